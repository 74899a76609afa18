"""Devices: how one is chosen, and what a GPU is told; here most of it without a GPU."""
# ruff: noqa: NPY002 - stable-baselines3 draws with the legacy generator

import os
import random

import numpy as np
import pytest
import torch

from brain_assets.device import Device, repeatable, resolve_device
from brain_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cuda", True, "cuda"), ("cpu", True, "cpu"), ("cuda", False, "")],
)
def test_auto_is_a_gpu_where_there_is_one_and_one_that_is_not_there_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, asked: Device, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    if expected:
        assert resolve_device(asked) == expected
        return
    with pytest.raises(ConfigError, match=r"^device: expected a GPU that torch .* can use, got none; set device to au"):
        resolve_device(asked)


def settings() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return (
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        cudnn.deterministic,
        cudnn.benchmark,
        torch.backends.cuda.matmul.fp32_precision,
        cudnn.rnn.fp32_precision,
        cudnn.conv.fp32_precision,
    )


IN_FORCE = (":16:8", True, False, True, False, "ieee", "ieee", "ieee")


@pytest.mark.parametrize("workspace", [None, ":4096:8"])
def test_a_gpu_repeats_in_full_float32_and_the_settings_of_the_caller_come_back(
    monkeypatch: pytest.MonkeyPatch, workspace: str | None
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    if workspace is not None:
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", workspace)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = settings()
    assert before[0] == workspace
    with repeatable(7, "cuda"):
        assert settings() == IN_FORCE
    assert settings() == before
    with pytest.raises(KeyboardInterrupt), repeatable(7, "cuda"):
        raise KeyboardInterrupt
    assert settings() == before


def test_the_cpu_repeats_and_the_process_is_as_it_was_before() -> None:
    def state() -> tuple[object, ...]:
        return *settings(), torch.get_num_threads(), torch.rand(1).item(), np.random.rand(), random.random()

    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    before = state()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    drawn = []
    for _ in range(2):
        with repeatable(7):
            assert torch.get_num_threads() == 1
            assert torch.are_deterministic_algorithms_enabled()
            drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]
    with pytest.raises(KeyboardInterrupt), repeatable(7):
        raise KeyboardInterrupt
    assert state() == before
