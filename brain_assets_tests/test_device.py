"""Devices: how one is chosen, how two are compared, and what a GPU is told; here most of it without a GPU."""

import math
import os

import pytest
import torch
from torch import nn

from brain_assets.device import (
    TOLERANCE,
    Device,
    Difference,
    compare,
    device_metadata,
    repeatable_gpu,
    require_close,
    resolve_device,
)
from brain_assets.errors import ConfigError, TrainingError


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


class OneWeight(nn.Module):
    """Has one weight, and one that nothing depends on."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
        self.idle = nn.Parameter(torch.tensor(7.0))


def square_and_opposite(network: OneWeight) -> torch.Tensor:
    """Two losses: w ** 2, and -w; their sum has the gradient 2 w - 1."""
    return torch.stack([network.weight**2, -network.weight])


def test_differences_are_shares_of_the_losses_and_of_the_largest_gradient() -> None:
    # losses 4 and -2 against 9 and -3: 5 + 1 over 4 + 2; gradients 3 and 5
    assert compare(OneWeight(2.0), OneWeight(3.0), square_and_opposite) == Difference(1.0, pytest.approx(2 / 3))
    assert compare(OneWeight(2.0), OneWeight(2.0), square_and_opposite) == Difference(0.0, 0.0)


def test_nothing_beside_nothing_is_no_difference_and_something_beside_it_is() -> None:
    def square(network: OneWeight) -> torch.Tensor:
        return network.weight**2

    assert compare(OneWeight(0.0), OneWeight(0.0), square) == Difference(0.0, 0.0)
    assert compare(OneWeight(0.0), OneWeight(1.0), square) == Difference(math.inf, math.inf)


def test_comparing_leaves_no_gradient_behind() -> None:
    network = OneWeight(2.0)
    compare(network, network, square_and_opposite)
    assert network.weight.grad is None


@pytest.mark.parametrize(
    "difference",
    [
        Difference(2 * TOLERANCE, 0.0),
        Difference(0.0, 2 * TOLERANCE),
        Difference(math.nan, 0.0),
        Difference(0.0, math.nan),
        Difference(math.inf, math.inf),
    ],
)
def test_a_gpu_that_computes_something_else_is_refused(difference: Difference) -> None:
    require_close(Difference(TOLERANCE, TOLERANCE))
    with pytest.raises(
        TrainingError,
        match=r"^device cuda: expected losses and gradients .* within 0.0001 of the CPU's, got .*; set device to cpu.$",
    ):
        require_close(difference)


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


def test_metadata_say_where_a_model_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_metadata("cpu", None) == {"device": "cpu"}
    monkeypatch.setattr("brain_assets.device.gpu_name", lambda: "GPU of a test")
    assert device_metadata("cuda", Difference(1e-8, 2e-6)) == {
        "device": "cuda",
        "gpu": {"name": "GPU of a test", "loss": 1e-8, "gradient": 2e-6, "tolerance": 1e-4},
    }
