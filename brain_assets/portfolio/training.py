"""What all trainings of a policy share: one environment, one learning curve, one way to make the bits repeat.

The same weeks, config and rules give the same bits, in any process with the same versions: one thread, deterministic
kernels, and every random number from the config's seed. The caller's own random numbers, thread count and determinism
settings are as before afterwards. On a GPU other random numbers are drawn than on the CPU, so that the policies differ:
what is compared is the first batch.
"""
# ruff: noqa: TID253 - a callback of SB3 needs its base when imported; import this module inside functions

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import Tensor, nn

from brain_assets.device import CPU, Difference, Losses, compare, repeatable_gpu, require_close
from brain_assets.errors import TrainingError
from brain_assets.memory import keep_freed_memory
from brain_assets.portfolio.environment import EnvConfig
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.vectorized import VectorizedPortfolioEnv

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

N_THREADS = 1
"""Bits repeat at a fixed thread count only, and small networks are fastest at one."""


class PolicyProgress(NamedTuple):
    """Where a training stands after a rollout: a point of its learning curve."""

    steps: int
    """Weeks lived through so far."""

    total_steps: int
    """Weeks to live through in all."""

    mean_episode_reward: float
    """Mean sum of rewards (100 * log growth, after costs) over the last episodes that ended, as many as run at once,
    exploration included; NaN while none has."""


class PolicyResult(NamedTuple):
    """A trained policy."""

    state_dict: dict[str, Tensor]
    """Of the family's network, on the CPU; names in `brain_assets.portfolio.policy`."""

    scaler: "StandardScaler"
    """Of its observations, fitted on the training weeks."""

    learning_curve: tuple[PolicyProgress, ...]
    """A point a rollout."""

    n_threads: int
    """Threads it was trained with: part of what makes the bits repeat."""

    difference: Difference | None = None
    """How far its device was from the CPU on the first batch; None: it was trained on the CPU."""


OnProgress = Callable[[PolicyProgress], None]

FirstLosses = Callable[[Any], Losses]
"""Gives, of an algorithm after its first rollout, the losses of the first batch by its policy."""


class _LearningCurve(BaseCallback):
    """Notes a point after every rollout and passes it on."""

    def __init__(self, on_progress: OnProgress | None) -> None:
        super().__init__()
        self.points: list[PolicyProgress] = []
        self._on_progress = on_progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        ended = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(ended)) if ended else math.nan
        point = PolicyProgress(self.num_timesteps, self.model._total_timesteps, mean)
        self.points.append(point)
        if self._on_progress is not None:
            self._on_progress(point)


class FirstBatch(BaseCallback):
    """Compares a device with the CPU on the first batch, before the first gradient step.

    Parameters
    ----------
    first_losses : callable
    device : str
        Where the model learns.

    Attributes
    ----------
    difference : Difference or None
        None until the first rollout has ended.
    """

    def __init__(self, first_losses: FirstLosses, device: str) -> None:
        super().__init__()
        self.difference: Difference | None = None
        self._first_losses, self._device = first_losses, device

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.difference is None:
            on_cpu, there = (copy.deepcopy(self.model.policy).to(device) for device in (CPU, self._device))
            self.difference = compare(on_cpu, there, self._first_losses(self.model))
            require_close(self.difference)


@contextmanager
def repeatable(seed: int, device: str = CPU) -> Iterator[None]:
    """Seed everything that SB3 draws from, on one thread with deterministic kernels; put all back afterwards."""
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002 (SB3 draws batches with the legacy generator)
    n_threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_num_threads(N_THREADS)
        torch.use_deterministic_algorithms(True)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        with repeatable_gpu(device):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_num_threads(n_threads)


def finite_weights(network: nn.Module) -> dict[str, Tensor]:
    """Copy the weights of a network to the CPU; raises `TrainingError` if one is no longer a number."""
    weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise TrainingError("training: expected finite weights, got some that are not; set a smaller learning_rate.")
    return weights


def learn(
    make_model: Callable[[VectorizedPortfolioEnv], BaseAlgorithm],
    weeks: MarketWeeks,
    env_config: EnvConfig,
    n_envs: int,
    total_steps: int,
    seed: int,
    on_progress: OnProgress | None,
    device: str,
    first_losses: FirstLosses,
) -> PolicyResult:
    """Let an algorithm of SB3 learn from weeks that have all gone by.

    Parameters
    ----------
    make_model : callable
        Makes the algorithm for an environment; its policy holds the module that is stored as ``network``.
    weeks : MarketWeeks
        Up to the cut-off; nothing later reaches the scaler or the weights.
    env_config : EnvConfig
    n_envs, total_steps, seed : int
        As in `brain_assets.portfolio.config.PolicyConfig`.
    on_progress : callable, optional
        Called with every point of the learning curve.
    device : str
        Where `make_model` makes the algorithm.
    first_losses : callable
        For the comparison with the CPU.

    Raises
    ------
    TrainingError
        If a weight is no longer a number, or the device is too far from the CPU on the first batch.
    """
    scaler = fit_observation_scaler(weeks)
    curve, first_batch = _LearningCurve(on_progress), FirstBatch(first_losses, device)
    with repeatable(seed, device), keep_freed_memory():
        model = make_model(VectorizedPortfolioEnv(weeks, scaler, n_envs, env_config))
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(total_steps, callback=[curve] if device == CPU else [curve, first_batch])
        weights = finite_weights(model.policy.network)  # type: ignore[arg-type]
    return PolicyResult(weights, scaler, tuple(curve.points), N_THREADS, first_batch.difference)
