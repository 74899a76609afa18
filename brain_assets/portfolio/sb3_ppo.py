"""Training of the policy with PPO (Schulman et al. 2017, arXiv:1707.06347), as stable-baselines3 does it."""
# ruff: noqa: TID253 - a policy class of SB3 needs its base; loaded by `brain_assets.registry.load` alone

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from stable_baselines3 import PPO
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor
from torch.optim import AdamW

from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.networks import PpoNetwork, by_kind

if TYPE_CHECKING:
    from brain_assets.portfolio.ppo import PpoConfig


class SharedPolicy(ActorCriticPolicy):
    """Shows SB3 a `PpoNetwork`: what SB3 trains is the very module that is stored.

    Actions are tilts over `LOGIT_BOUND`.
    """

    def __init__(self, *args: Any, hidden: int, score_std: float, **kwargs: Any) -> None:
        self._hidden, self._score_std = hidden, score_std
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = PpoNetwork(self._hidden, self._score_std)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """Give the distribution of actions; [B, A * F] to a diagonal Gaussian over [B, A + 1]."""
        tilts = self.network.tilts(obs)  # type: ignore[arg-type]  # our observations are one tensor
        log_std = by_kind(self.network.log_std, tilts.shape[1] - 1) - math.log(LOGIT_BOUND)
        distribution: DiagGaussianDistribution = self.action_dist  # type: ignore[assignment]  # actions are a Box
        return distribution.proba_distribution(tilts / LOGIT_BOUND, log_std)

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


def make_model(env: VectorizedPortfolioEnv, config: PpoConfig, rules: PortfolioConstraints, device: str) -> PPO:  # noqa: ARG001
    """Make the algorithm; see `brain_assets.portfolio.training.learn`."""
    return PPO(
        SharedPolicy,
        env,
        learning_rate=lambda remaining: config.learning_rate * max(remaining, 0.0),  # the last rollout overshoots
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.ent_coef,
        policy_kwargs={
            "hidden": config.hidden,
            "score_std": config.score_std,
            "optimizer_class": AdamW,
            "optimizer_kwargs": {"eps": 1e-5, "weight_decay": config.weight_decay},
        },
        stats_window_size=config.n_envs,
        seed=config.seed,
        device=device,
    )
