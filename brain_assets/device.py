"""Where a model is trained: on the CPU, or on a GPU.

A GPU changes the last digits of every sum, so its models have fingerprints of their own. Everything after the training
is done on the CPU: what a stored model forecasts or decides depends on its weights alone. Loads without torch.

Not covered: two GPUs of different kinds have the same fingerprint, as two kinds of CPU have.
"""

import ctypes
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import numpy as np

from brain_assets.errors import ConfigError

Device = Literal["auto", "cpu", "cuda"]  # what a run may ask for; auto: a GPU where there is one

CPU, CUDA = "cpu", "cuda"

N_THREADS = 1  # bits repeat at a fixed number of threads only, and small models are fastest at one


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

    Python, numpy and torch draw from it; all is as before afterwards. On a GPU, with float32 in full; torch raises
    `RuntimeError` where it has no such kernel. Two trainings on one GPU must be within 1e-6 of each other, in their
    forecasts' spread and in a policy's weights; tests ask for it where there is a GPU.
    """
    import torch

    options: Any = torch.utils.deterministic
    with ExitStack() as before:
        before.callback(random.setstate, random.getstate())
        before.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002 - stable-baselines3 draws with it
        before.callback(torch.set_num_threads, torch.get_num_threads())
        before.callback(torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode())
        # a tenth of the time, and nothing reads it
        changes: list[tuple[Any, str, Any]] = [(options, "fill_uninitialized_memory", False)]
        gpus = []
        if device != CPU:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"  # torch admits two that repeat, cuDNN's LSTM this one only
            cudnn: Any = torch.backends.cudnn
            changes += [(cudnn, "deterministic", True), (cudnn, "benchmark", False)]
            multiplying = (torch.backends.cuda.matmul, cudnn.rnn, cudnn.conv)
            changes += [(part, "fp32_precision", "ieee") for part in multiplying]  # TF32 off
            gpus = list(range(torch.cuda.device_count()))
        for owner, name, value in changes:
            before.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        before.enter_context(torch.random.fork_rng(devices=gpus))
        torch.set_num_threads(N_THREADS)
        torch.set_deterministic_debug_mode("error")
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        yield


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep what is freed for the next arrays, and give it back at the end; no number depends on it.

    The GNU C library (from 2.35 on; another is left alone) gives each array of more than 32 MiB back to the system at
    once, and makes the next one out of fresh pages: a training on batches of such arrays spent two thirds of its time
    in there. What is kept, arrays of up to a GiB, is in pieces, so that more memory is held.
    """
    with ExitStack() as before:
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL("libc.so.6")
            before.callback(library.malloc_trim, 0)
            # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h; afterwards, what a large array that is freed sets
            for option, value, usual in ((-3, 2**30, 32 * 2**20), (-1, 2**31 - 1, 64 * 2**20)):
                before.callback(library.mallopt, option, usual)
                library.mallopt(option, value)
        yield
