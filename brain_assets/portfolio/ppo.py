"""Training of the policy with PPO (Schulman et al. 2017, arXiv:1707.06347), as stable-baselines3 does it.

The same weeks, config and rules give the same bits, in any process with the same versions: one thread, deterministic
kernels, and every random number from the config's seed. The caller's own random numbers, thread count and determinism
settings are as before afterwards.
"""
# ruff: noqa: TID253 - a policy class of SB3 needs its base when imported; import this module inside functions

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor

from brain_assets.errors import BrainAssetsError
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.environment import SCORE_LIMIT, EnvConfig
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.policy import PolicyNetwork
from brain_assets.portfolio.vectorized import VectorizedPortfolioEnv

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


class PpoProgress(NamedTuple):
    """Where a training stands after a rollout: a point of its learning curve."""

    steps: int
    """Weeks lived through so far."""

    total_steps: int
    """Weeks to live through in all."""

    mean_episode_reward: float
    """Mean sum of rewards (100 * log growth, after costs) over the last episodes that ended, as many as run at once,
    exploration included; NaN while none has."""


class PpoResult(NamedTuple):
    """A trained policy."""

    state_dict: dict[str, Tensor]
    """Of a `PolicyNetwork`, on the CPU; names in `brain_assets.portfolio.policy`."""

    scaler: "StandardScaler"
    """Of its observations, fitted on the training weeks."""

    learning_curve: tuple[PpoProgress, ...]
    """A point a rollout."""

    n_threads: int
    """Threads it was trained with: part of what makes the bits repeat."""


class SharedPolicy(ActorCriticPolicy):
    """Shows SB3 a `PolicyNetwork`: what SB3 trains is the very module that is stored.

    Actions are scores over `SCORE_LIMIT`.
    """

    def __init__(self, *args: Any, hidden: int, score_std: float, **kwargs: Any) -> None:
        self._hidden, self._score_std = hidden, score_std
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = PolicyNetwork(self._hidden, self._score_std)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """Give the distribution of actions; [B, A * F] to a diagonal Gaussian over [B, A + 1]."""
        scores = self.network.scores(obs)  # type: ignore[arg-type]  # our observations are one tensor
        log_std = self.network.log_std_by_score(scores.shape[1] - 1) - math.log(SCORE_LIMIT)
        distribution = self.action_dist
        if not isinstance(distribution, DiagGaussianDistribution):
            raise BrainAssetsError(f"expected a Gaussian over a Box of actions, got {type(distribution).__name__}.")
        return distribution.proba_distribution(scores / SCORE_LIMIT, log_std)

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Give the critic's values; [B, A * F] to [B, 1]."""
        return self.network.values(obs)  # type: ignore[arg-type]

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Give actions, values and log probabilities; [B, A * F] to [B, A + 1], [B, 1] and [B]."""
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Give values, log probabilities and entropies; [B, 1], [B] and [B]."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()


class _LearningCurve(BaseCallback):
    """Notes a point after every rollout and passes it on."""

    def __init__(self, on_progress: Callable[[PpoProgress], None] | None) -> None:
        super().__init__()
        self.points: list[PpoProgress] = []
        self._on_progress = on_progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        ended = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(ended)) if ended else math.nan
        point = PpoProgress(self.num_timesteps, self.model._total_timesteps, mean)
        self.points.append(point)
        if self._on_progress is not None:
            self._on_progress(point)


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Seed everything that SB3 draws from, on one thread with deterministic kernels; put all back afterwards."""
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy_state = np.random.get_state()  # noqa: NPY002 (SB3 shuffles its batches with the legacy generator)
    n_threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.set_num_threads(n_threads)


def train_ppo(
    weeks: MarketWeeks,
    config: PpoConfig,
    rules: TradingRules,
    on_progress: Callable[[PpoProgress], None] | None = None,
) -> PpoResult:
    """Train a policy on weeks that have all gone by.

    Parameters
    ----------
    weeks : MarketWeeks
        Up to the cut-off; nothing later reaches the scaler or the weights.
    config : PpoConfig
    rules : TradingRules
    on_progress : callable, optional
        Called with every point of the learning curve.

    Returns
    -------
    PpoResult
    """
    scaler = fit_observation_scaler(weeks)
    env_config = EnvConfig(rules, config.episode_weeks)
    curve = _LearningCurve(on_progress)
    with _repeatable(config.seed):
        model = PPO(
            SharedPolicy,
            VectorizedPortfolioEnv(weeks, scaler, config.n_envs, env_config),
            learning_rate=lambda remaining: config.learning_rate * remaining,
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            n_epochs=config.n_epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip,
            ent_coef=config.ent_coef,
            policy_kwargs={"hidden": config.hidden, "score_std": config.score_std},
            stats_window_size=config.n_envs,
            seed=config.seed,
            device="cpu",
        )
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(config.total_steps, callback=curve)
        network: PolicyNetwork = model.policy.network  # type: ignore[assignment]
        state_dict = {name: value.detach().clone() for name, value in network.state_dict().items()}
        n_threads = torch.get_num_threads()
    if not all(bool(torch.isfinite(value).all()) for value in state_dict.values()):
        raise BrainAssetsError("expected finite weights, got some that are not: lower the learning rate.")
    return PpoResult(state_dict, scaler, tuple(curve.points), n_threads)
