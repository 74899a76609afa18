"""Devices: how one is chosen, and what a GPU is told; here most of it without a GPU."""

import os

import pytest
import torch

from brain_assets.device import Device, repeatable_gpu, resolve_device
from brain_assets.errors import ConfigError


@pytest.mark.parametrize(
    ("asked", "there", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cuda", True, "cuda"), ("cpu", True, "cpu")],
)
def test_auto_is_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, asked: Device, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device(asked) == expected


def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(
        ConfigError, match=r"^device: expected a GPU that torch .* can use, got none; set device to aut"
    ):
        resolve_device("cuda")


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
    with repeatable_gpu("cuda"):
        assert settings() == IN_FORCE
    assert settings() == before
    with pytest.raises(KeyboardInterrupt), repeatable_gpu("cuda"):
        raise KeyboardInterrupt
    assert settings() == before


def test_nothing_is_set_for_the_cpu() -> None:
    before = settings()
    with repeatable_gpu("cpu"):
        assert settings() == before
