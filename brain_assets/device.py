"""Where a model is trained: on the CPU, or on a GPU once it has been seen to compute what the CPU does.

A GPU changes the last digits of every sum, so its models have fingerprints of their own, and its settings, its name and
how far it is from the CPU on the first batch stand in the metadata. Everything after the training is done on the CPU:
what a stored model forecasts or decides depends on its weights alone. Loads without torch.

Not covered: two GPUs of different kinds have the same fingerprint, as two kinds of CPU have, and only the metadata
tells them apart.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from brain_assets.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from torch import Tensor, nn

Device = Literal["auto", "cpu", "cuda"]
"""What a run may ask for; auto: a GPU where there is one."""

CPU, CUDA = "cpu", "cuda"

TOLERANCE = 1e-4
"""Largest difference between a GPU and the CPU, in shares of the losses and of the largest gradient.

A gradient is a sum over a batch, of 8,000 terms for 128 windows of 60 sessions, each rounded to 6e-8: in another order
it moves by about the root of their number times that, 5e-6. Measured on first batches of all four families on a CPU,
the gradients of float32 are 2e-7 to 5e-6 away from those of float64; with weights rounded as TF32 rounds they are 4e-5
to 4e-3 away, as bfloat16 does 9e-4 to 8e-2. The tolerance lets pass what rounds like float32, with room for a GPU's own
tanh and exp, and nothing as coarse as bfloat16.
"""

_WORKSPACE, _WORKSPACE_THAT_REPEATS = "CUBLAS_WORKSPACE_CONFIG", ":16:8"
"""cuBLAS repeats with a workspace of this form; of the two that torch admits it is the one that cuDNN's LSTM admits."""


def resolve_device(asked: Device) -> str:
    """Give the device that a run trains on, ``cpu`` or ``cuda``; raises `ConfigError` if it is not there."""
    if asked == CPU:
        return CPU
    import torch

    if torch.cuda.is_available():
        return CUDA
    if asked == CUDA:
        raise ConfigError(
            f"device: expected a GPU that torch {torch.__version__} can use, got none; set device to auto or cpu, or "
            "install the driver and a torch built for CUDA."
        )
    return CPU


@contextmanager
def repeatable_gpu(device: str) -> Iterator[None]:
    """Let a GPU repeat itself: kernels that always add in the same order, float32 in full; nothing on the CPU.

    Two trainings on one GPU must be within 1e-6 of each other, in their forecasts' spread and in a policy's weights;
    tests ask for it where there is a GPU. Settings and the GPUs' random numbers are as before
    afterwards. torch raises `RuntimeError` where it has no such kernel.
    """
    if device == CPU:
        yield
        return
    import torch

    cudnn = torch.backends.cudnn
    multiplying: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.rnn, cudnn.conv)  # type: ignore[attr-defined]
    precisions = [part.fp32_precision for part in multiplying]
    choice = cudnn.deterministic, cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace, states = os.environ.get(_WORKSPACE), torch.cuda.get_rng_state_all()
    try:
        os.environ[_WORKSPACE] = _WORKSPACE_THAT_REPEATS
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic, cudnn.benchmark = True, False
        for part in multiplying:
            part.fp32_precision = "ieee"  # TF32 off
        yield
    finally:
        for part, precision in zip(multiplying, precisions, strict=True):
            part.fp32_precision = precision
        cudnn.deterministic, cudnn.benchmark = choice
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.cuda.set_rng_state_all(states)
        if workspace is None:
            del os.environ[_WORKSPACE]
        else:
            os.environ[_WORKSPACE] = workspace


class Difference(NamedTuple):
    """How far two devices are apart on one batch."""

    loss: float
    """Sum of the absolute differences of the losses, over the sum of their absolute values on the first device."""

    gradient: float
    """Largest absolute difference of a gradient, over the largest absolute gradient on the first device."""


Losses = Callable[[Any], "Tensor"]
"""Computes the losses of a batch where a network's weights are, one or several; their sum is to be minimized."""


def compare(network: "nn.Module", other: "nn.Module", losses: Losses) -> Difference:
    """Take a batch forward and backward through two networks of the same weights, each where its weights are.

    Parameters
    ----------
    network, other : Module
        Left as they are: no gradient is stored.
    losses : callable
        Must not draw random numbers.
    """
    (loss, gradients), (other_loss, other_gradients) = (_backward(each, losses) for each in (network, other))
    apart = [(ours - theirs).abs().max() for ours, theirs in zip(gradients, other_gradients, strict=True)]
    return Difference(
        _relative(float((loss - other_loss).abs().sum()), float(loss.abs().sum())),
        _relative(max(map(float, apart)), max(float(ours.abs().max()) for ours in gradients)),
    )


def _backward(network: "nn.Module", losses: Losses) -> "tuple[Tensor, list[Tensor]]":
    """Give losses and gradients, float64 on the CPU."""
    import torch

    weights = [weight for weight in network.parameters() if weight.requires_grad]
    values = losses(network)
    found = torch.autograd.grad(values.sum(), weights, allow_unused=True)
    return values.detach().cpu().double(), [each.cpu().double() for each in found if each is not None]


def _relative(difference: float, size: float) -> float:
    if size > 0:
        return difference / size
    return 0.0 if difference == 0 else math.inf


def require_close(difference: Difference) -> None:
    """Refuse a GPU that does not compute what the CPU does; raises `TrainingError`, also if a number is NaN."""
    if not (difference.loss <= TOLERANCE and difference.gradient <= TOLERANCE):
        raise TrainingError(
            f"device cuda: expected losses and gradients of the first batch within {TOLERANCE:g} of the CPU's, got "
            f"{difference.loss:.2g} and {difference.gradient:.2g}; set device to cpu."
        )


def device_metadata(device: str, difference: Difference | None) -> dict[str, Any]:
    """Give what a model's metadata says of where it was trained; `difference`: None on the CPU."""
    if difference is None:
        return {"device": device}
    return {"device": device, "gpu": {"name": gpu_name(), **difference._asdict(), "tolerance": TOLERANCE}}


def gpu_name() -> str:
    """Name the GPU that torch uses."""
    import torch

    return torch.cuda.get_device_name()
