"""Devices: how one is chosen, what a GPU is told, here without one; and memory that large arrays leave behind."""
# ruff: noqa: NPY002 - stable-baselines3 draws with the legacy generator

import platform
import random
import resource

import numpy as np
import pytest
import torch

from brain_assets.device import Device, keep_freed_memory, repeatable, resolve_device
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


def state() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    multiplying = torch.backends.cuda.matmul, cudnn.rnn, cudnn.conv
    flags = torch.get_deterministic_debug_mode(), cudnn.deterministic, cudnn.benchmark, torch.get_num_threads()
    return *flags, *(part.fp32_precision for part in multiplying)


@pytest.mark.parametrize(
    ("device", "in_force"),
    [("cpu", (2, False, True, 1)), ("cuda", (2, True, False, 1, "ieee", "ieee", "ieee"))],
)
def test_a_training_repeats_and_all_is_as_before_it(
    monkeypatch: pytest.MonkeyPatch, device: str, in_force: tuple[object, ...]
) -> None:
    def draw() -> tuple[float, ...]:
        return torch.rand(1).item(), np.random.rand(), random.random()

    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before, drawn = state(), []
    for interrupt in (None, KeyboardInterrupt):
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(1)
        undisturbed = draw()
        for seed in (torch.manual_seed, np.random.seed, random.seed):
            seed(1)
        try:
            with repeatable(7, device):
                assert state()[: len(in_force)] == in_force
                drawn.append(draw())
                if interrupt:
                    raise interrupt
        except KeyboardInterrupt:
            pass
        assert (state(), draw()) == (before, undisturbed)
    assert drawn[0] == drawn[1] != undisturbed


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library can be told")
def test_large_arrays_take_the_place_of_those_before_them_and_leave_none_behind() -> None:
    def faults(n_arrays: int = 10) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(n_arrays):
            np.empty(48 * 2**20 // 8).fill(1.0)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    usual = faults()
    with keep_freed_memory():
        faults(1)
        assert faults() < usual / 5
    assert faults() > usual / 2  # as before
