"""Training of the policy with SAC (Haarnoja et al. 2018, arXiv:1812.05905), as stable-baselines3 does it.

An action is a tilt an asset over their bound, within [-1, 1] by tanh. The critics do not see it, but the weights
that it is traded at: the market's own arithmetic (`brain_assets.portfolio.arithmetic.target_weights`) stands between
actor and critics, with its exact derivative, so that they need not learn a softmax and a projection from noisy rewards.

A rollout is n_steps weeks of n_envs episodes, then gradient_steps batches are drawn from the buffer, which holds random
weeks at first: those tell best what each asset is worth, since nothing else decides what is held in them.
"""
# ruff: noqa: TID253 - a policy class of SB3 needs its base; loaded by `brain_assets.registry.load` alone

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.policies import BaseModel, BasePolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn

from brain_assets.portfolio.arithmetic import PortfolioConstraints, all_cash, trade_toward
from brain_assets.portfolio.differentiable import target_weights
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.networks import SacNetwork, by_asset, with_least_cash
from brain_assets.portfolio.observations import AVAILABLE, WEIGHT_HELD
from brain_assets.portfolio.replay import MarketReplayBuffer

if TYPE_CHECKING:
    from brain_assets.portfolio.sac import SacConfig


def traded_weights(
    target: Tensor, observation: Tensor, available: Tensor, rate: float, rules: PortfolioConstraints
) -> Tensor:
    """Go toward targets as `brain_assets.portfolio.arithmetic.trade_toward` does; [B, A + 1], [B, A * F], bool [B, A].

    The derivative is `rate`: exact where the way there keeps the rules.
    """
    if rate == 1.0:
        return target
    seen = by_asset(observation)[:, :, WEIGHT_HELD].cpu().numpy().astype(np.float64)  # [B, A]
    held = np.tile(all_cash(seen.shape[1]), (len(seen), 1))  # [B, A + 1]
    held[:, :-1] = seen * rules.max_weight
    held[:, -1] -= held[:, :-1].sum(axis=1)
    traded = trade_toward(held, target.detach().cpu().numpy(), available.cpu().numpy(), rate, rules)
    way = rate * target
    return way + (torch.from_numpy(traded.astype(np.float32)).to(way) - way).detach()


class _Actor(BasePolicy):
    """Shows SB3 the tilts of a `SacNetwork` as actions."""

    def __init__(self, policy: SACPolicy, network: SacNetwork, n_actions: int) -> None:
        super().__init__(policy.observation_space, policy.action_space, squash_output=True)
        self.network = network
        self._distribution = SquashedDiagGaussianDistribution(n_actions)

    def forward(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Give actions; [B, A * F] to [B, A + 1]."""
        return self._distribution.actions_from_params(*self.network.gaussian(obs), deterministic=deterministic)

    def action_log_prob(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Give explored actions and their log probabilities; [B, A * F] to [B, A + 1] and [B]."""
        return self._distribution.log_prob_from_params(*self.network.gaussian(obs))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class _Critics(BaseModel):
    """Shows SB3 the critics of a `SacNetwork`, to which it gives actions."""

    def __init__(
        self, policy: SACPolicy, networks: nn.ModuleList, config: SacConfig, rules: PortfolioConstraints
    ) -> None:
        super().__init__(policy.observation_space, policy.action_space)
        self.networks, self._config, self._rules = networks, config, rules

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Estimate what actions are worth, once a critic; [B, A * F] and [B, A + 1] to [B, 1] each."""
        available = by_asset(obs)[:, :, AVAILABLE] > 0.5  # [B, A]
        logits = with_least_cash(actions * self._config.score_limit, available)  # [B, A + 1]
        target = target_weights(logits, available, self._rules)  # [B, A + 1]
        weights = traded_weights(target, obs, available, self._config.trading_rate, self._rules)  # [B, A + 1]
        # where it is the actor that learns, SB3 throws away what the critics would learn: it need not be worked out
        self.networks.requires_grad_(not actions.requires_grad)
        values = tuple(network(obs, weights, self._rules.max_weight) for network in self.networks)
        self.networks.requires_grad_(True)
        return values


class SharedSacPolicy(SACPolicy):
    """Shows SB3 a `SacNetwork`: what SB3 trains is the very module that is stored."""

    def __init__(self, *args: Any, config: SacConfig, rules: PortfolioConstraints, **kwargs: Any) -> None:
        self._config, self._rules = config, rules
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = SacNetwork(self._config.hidden, self._config.score_limit)
        critics, targets = (
            _Critics(self, networks, self._config, self._rules)
            for networks in (self.network.critics, copy.deepcopy(self.network.critics))
        )
        targets.set_training_mode(False)
        actor = _Actor(self, self.network, _n_actions(self))
        acting = [value for name, value in self.network.named_parameters() if not name.startswith("critics.")]
        rate = lr_schedule(1)
        actor.optimizer = self.optimizer_class(acting, lr=rate, **self.optimizer_kwargs)  # type: ignore[call-arg]
        critics.optimizer = self.optimizer_class(critics.parameters(), lr=rate, **self.optimizer_kwargs)  # type: ignore[call-arg]
        self.actor, self.critic, self.critic_target = actor, critics, targets  # type: ignore[assignment]


def make_model(env: VectorizedPortfolioEnv, config: SacConfig, rules: PortfolioConstraints, device: str) -> SAC:
    """Make the algorithm; see `brain_assets.portfolio.training.learn`."""
    return SAC(
        SharedSacPolicy,
        env,
        learning_rate=lambda remaining: config.learning_rate * max(remaining, 0.0),
        buffer_size=config.buffer_steps,
        replay_buffer_class=MarketReplayBuffer,
        replay_buffer_kwargs={"env": env},
        learning_starts=config.warmup_steps,
        batch_size=config.batch_size,
        tau=config.tau,
        gamma=config.gamma,
        train_freq=config.n_steps,
        gradient_steps=config.gradient_steps,
        ent_coef=f"auto_{config.ent_coef}",
        target_entropy=config.target_entropy * _n_actions(env),
        policy_kwargs={"config": config, "rules": rules, "optimizer_kwargs": {"fused": True}},
        stats_window_size=config.n_envs,
        seed=config.seed,
        device=device,
    )


def _n_actions(of: Any) -> int:
    return int(np.prod(of.action_space.shape))
