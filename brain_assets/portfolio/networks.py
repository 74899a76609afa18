"""The network of PPO and SAC: small, shared by all assets.

Shapes: B = batch, A = assets, F = `N_FEATURES`, H = hidden.

The heads ``score`` (every asset) and ``cash`` (from the mean over assets) start at 0, and the latter is counted from
where cash is the least that the rules ask for: untrained, a policy is equal weight, and what it learns are tilts.
``log_std``: logarithm of the standard deviation while it explores, of assets and of cash; of logits for PPO, of what
tanh bounds for SAC. Acting uses neither critics nor ``log_std``.
"""
# ruff: noqa: TID253 - torch modules need their base; loaded by `brain_assets.registry.load` alone

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from brain_assets.arrays import Float32Array
from brain_assets.portfolio.arithmetic import CONSTRAINTS, LOGIT_BOUND, min_cash_odds
from brain_assets.portfolio.dataset import AVAILABLE, N_FEATURES
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig

SAC_STD = 0.5  # of SAC's exploration at the start, before tanh; it is learned from there


def initialize(layer: nn.Linear, gain: float) -> nn.Linear:
    """Make a layer's weights orthogonal, scaled by `gain`, and its biases 0."""
    nn.init.orthogonal_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer


def by_asset(observation: Tensor) -> Tensor:
    """Undo the flattening of the environments; [B, A * F] to [B, A, F]."""
    return observation.reshape(len(observation), -1, N_FEATURES)  # [B, A, F]


def by_kind(of_kinds: Tensor, n_assets: int) -> Tensor:
    """Give each asset the first of two numbers, and cash the second; [2] to [A + 1]."""
    return torch.cat([of_kinds[:1].expand(n_assets), of_kinds[1:]])


def with_least_cash(tilts: Tensor, available: Tensor) -> Tensor:
    """Count the logit of cash from that of the least cash beside equal weight; [B, A + 1] and [B, A] to [B, A + 1]."""
    least = torch.log(min_cash_odds(CONSTRAINTS) * available.sum(dim=1, keepdim=True).clamp(min=1.0))  # [B, 1]
    return torch.cat([tilts[:, :-1], tilts[:, -1:] + least], dim=1)


class DeepSetsEncoder(nn.Module):
    """Deep Sets encoder (Zaheer et al. 2017): each asset and the mean of those available, any number in any order."""

    def __init__(self, n_features: int, hidden: int) -> None:
        super().__init__()
        self.embed, self.own, self.others = (
            initialize(nn.Linear(size, hidden), gain=2.0**0.5) for size in (n_features, hidden, hidden)
        )

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Give an embedding an asset, and their mean over the available ones; [B, A, F] to [B, A, H] and [B, H]."""
        share = observation[:, :, AVAILABLE]  # [B, A]
        share = (share / share.sum(dim=1, keepdim=True).clamp(min=1.0)).unsqueeze(1)  # [B, 1, A]
        embedded = torch.relu(self.embed(observation))  # [B, A, H]
        context = self.others(share @ embedded)  # [B, 1, H]
        mixed = torch.relu(self.own(embedded) + context)  # [B, A, H]
        return mixed, (share @ mixed).squeeze(1)  # [B, A, H], [B, H]


class LogitNetwork(nn.Module):
    """Logits of assets and cash: tilts from equal weight, within ``logit_bound`` or cut off there in training."""

    def __init__(self, hidden: int, logit_bound: float) -> None:
        super().__init__()
        self.logit_bound = logit_bound
        self.actor = DeepSetsEncoder(N_FEATURES, hidden)
        self.score = nn.Linear(hidden, 1)
        self.cash = nn.Linear(hidden, 1)
        for head in (self.score, self.cash):
            initialize(head, gain=0.0)

    def tilts(self, observation: Tensor) -> Tensor:
        """Give what the heads say of assets and cash; [B, A * F] to [B, A + 1], cash last."""
        mixed, pooled = self.actor(by_asset(observation))  # [B, A, H], [B, H]
        return torch.cat([self.score(mixed).squeeze(-1), self.cash(pooled)], dim=1)  # [B, A + 1]

    def restore(self, arrays: Mapping[str, np.ndarray]) -> Self:
        """Take the weights of a snapshot; what it holds besides is not looked at."""
        self.load_state_dict({name: torch.tensor(arrays[name]) for name in self.state_dict()})
        return self.eval()

    def act(self, observation: Float32Array) -> Float32Array:
        """Give logits, (n_assets + 1,), without exploring: the same observation, the same logits."""
        with torch.no_grad():
            seen = torch.from_numpy(observation).unsqueeze(0)  # [1, A * F]
            return with_least_cash(self.tilts(seen), by_asset(seen)[:, :, AVAILABLE])[0].numpy()


class PpoNetwork(LogitNetwork):
    """Logits, and a value of the state (used in training only); exploration starts with `score_std`, of logits."""

    def __init__(self, config: PpoConfig) -> None:
        super().__init__(config.hidden, LOGIT_BOUND)
        self.critic = DeepSetsEncoder(N_FEATURES, config.hidden)
        self.value = initialize(nn.Linear(config.hidden, 1), gain=1.0)
        self.log_std = nn.Parameter(torch.full((2,), float(np.log(config.score_std))))

    def values(self, observation: Tensor) -> Tensor:
        """Estimate the sum of discounted rewards to come; [B, A * F] to [B, 1]."""
        _, pooled = self.critic(by_asset(observation))  # [B, H]
        return self.value(pooled)  # [B, 1]


class ActionValueNetwork(nn.Module):
    """Estimates what target weights are worth; each asset's embedding sees its own, and is pooled by weight too."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.assets = DeepSetsEncoder(N_FEATURES + 1, hidden)
        self.value = initialize(nn.Linear(2 * hidden, 1), gain=1.0)

    def forward(self, observation: Tensor, weights: Tensor, max_weight: float) -> Tensor:
        """Estimate the discounted rewards after trading to weights; [B, A * F] and [B, A + 1] to [B, 1]."""
        of_assets = weights[:, :-1].unsqueeze(1)  # [B, 1, A]
        seen = torch.cat([by_asset(observation), of_assets.transpose(1, 2) / max_weight], dim=2)  # [B, A, F + 1]
        mixed, pooled = self.assets(seen)  # [B, A, H], [B, H]
        earning = (of_assets @ mixed).squeeze(1)  # [B, H]
        return self.value(torch.cat([earning, pooled], dim=1))  # [B, 1]


class SacNetwork(LogitNetwork):
    """Logits within bounds, and two estimates of what an action is worth (used in training only)."""

    def __init__(self, config: SacConfig) -> None:
        super().__init__(config.hidden, config.score_limit)
        self.log_std = nn.Parameter(torch.full((2,), float(np.log(SAC_STD))))
        self.critics = nn.ModuleList(ActionValueNetwork(config.hidden) for _ in range(2))

    def gaussian(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and logarithm of the standard deviation of what tanh bounds; [B, A * F] to [B, A + 1] twice."""
        means = super().tilts(observation)  # [B, A + 1]
        return means, by_kind(self.log_std, means.shape[1] - 1).expand_as(means)

    def tilts(self, observation: Tensor) -> Tensor:
        """Give the same within the bounds."""
        return self.logit_bound * torch.tanh(super().tilts(observation))


NETWORKS: Mapping[str, Callable[[Any], LogitNetwork]] = {"ppo": PpoNetwork, "sac": SacNetwork}
