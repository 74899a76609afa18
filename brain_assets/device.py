"""Where a model is trained: on the CPU, or on a GPU.

A GPU changes the last digits of every sum, so its models have fingerprints of their own. Everything after the training
is done on the CPU: what a stored model forecasts or decides depends on its weights alone. Loads without torch.

Not covered: two GPUs of different kinds have the same fingerprint, as two kinds of CPU have.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import numpy as np

from brain_assets.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]
"""What a run may ask for; auto: a GPU where there is one."""

CPU, CUDA = "cpu", "cuda"

N_THREADS = 1
"""Bits repeat at a fixed number of threads only, and small models are fastest at one."""

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
def repeatable(seed: int, device: str = CPU) -> Iterator[None]:
    """Let a training repeat to the bit: one thread, kernels that always add in the same order, all draws from a seed.

    Python, numpy and torch draw from it; all is as before afterwards. Two trainings on one GPU must be within 1e-6 of
    each other, in their forecasts' spread and in a policy's weights; tests ask for it where there is a GPU.
    """
    import torch

    python_state, n_threads = random.getstate(), torch.get_num_threads()
    numpy_state = np.random.get_state()  # noqa: NPY002 - stable-baselines3 draws with the legacy generator
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    options: Any = torch.utils.deterministic
    filled = options.fill_uninitialized_memory
    try:
        torch.set_num_threads(N_THREADS)
        torch.use_deterministic_algorithms(True)
        options.fill_uninitialized_memory = False  # a tenth of the time, and nothing reads it
        with torch.random.fork_rng(devices=[]), nullcontext() if device == CPU else _repeatable_gpu():
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        options.fill_uninitialized_memory = filled
        torch.set_num_threads(n_threads)


@contextmanager
def _repeatable_gpu() -> Iterator[None]:
    """Let a GPU repeat itself, with float32 in full; torch raises `RuntimeError` where it has no such kernel."""
    import torch

    cudnn = torch.backends.cudnn
    multiplying: tuple[Any, ...] = (torch.backends.cuda.matmul, cudnn.rnn, cudnn.conv)  # type: ignore[attr-defined]
    precisions = [part.fp32_precision for part in multiplying]
    choice = cudnn.deterministic, cudnn.benchmark
    workspace, states = os.environ.get(_WORKSPACE), torch.cuda.get_rng_state_all()
    try:
        os.environ[_WORKSPACE] = _WORKSPACE_THAT_REPEATS
        cudnn.deterministic, cudnn.benchmark = True, False
        for part in multiplying:
            part.fp32_precision = "ieee"  # TF32 off
        yield
    finally:
        for part, precision in zip(multiplying, precisions, strict=True):
            part.fp32_precision = precision
        cudnn.deterministic, cudnn.benchmark = choice
        torch.cuda.set_rng_state_all(states)
        if workspace is None:
            del os.environ[_WORKSPACE]
        else:
            os.environ[_WORKSPACE] = workspace
