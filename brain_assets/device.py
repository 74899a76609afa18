"""Where a model is trained: on the CPU, or on a GPU.

A GPU changes the last digits of every sum, so its models have fingerprints of their own. Everything after the training
is done on the CPU: what a stored model forecasts or decides depends on its weights alone. Loads without torch.

Not covered: two GPUs of different kinds have the same fingerprint, as two kinds of CPU have.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from brain_assets.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
"""What a run may ask for; auto: a GPU where there is one."""

CPU, CUDA = "cpu", "cuda"

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
