"""The policy: one small network shared by all assets, and how it acts.

Shapes: B = batch, A = assets, F = `N_FEATURES`, H = hidden.

Names in the state dict, each a ``weight`` and a ``bias``: ``actor.embed`` (F to H), ``actor.own`` and ``actor.others``
(H to H), ``score`` (H to 1, every asset), ``cash`` (H to 1, from the mean over assets); ``critic.embed``,
``critic.own``, ``critic.others``, ``value`` (H to 1, likewise from the mean). ``log_std`` (2): logarithm of the
standard deviation of the scores while it explores, of assets and of cash; acting does not use it.
"""
# ruff: noqa: TID253 - a torch module needs torch when it is imported; import this module inside functions

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.portfolio.arithmetic import TradingRules, target_weights
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import AVAILABLE, N_FEATURES, ObservationBuilder
from brain_assets.portfolio.strategy import StrategyRun, run_strategy

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


class SharedAssetNetwork(nn.Module):
    """Looks at each asset, and at the mean of those available, with the same weights: any number, in any order."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Linear(N_FEATURES, hidden)
        self.own = nn.Linear(hidden, hidden)
        self.others = nn.Linear(hidden, hidden)

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Give an embedding an asset, and their mean over the available ones; [B, A, F] to [B, A, H] and [B, H]."""
        share = observation[:, :, AVAILABLE]  # [B, A]
        share = (share / share.sum(dim=1, keepdim=True).clamp(min=1.0)).unsqueeze(1)  # [B, 1, A]
        embedded = torch.relu(self.embed(observation))  # [B, A, H]
        context = self.others(share @ embedded)  # [B, 1, H]
        mixed = torch.relu(self.own(embedded) + context)  # [B, A, H]
        return mixed, (share @ mixed).squeeze(1)  # [B, A, H], [B, H]


class PolicyNetwork(nn.Module):
    """Scores for every asset and for cash, and a value of the state (used in training only).

    Parameters
    ----------
    hidden : int
        Width of the layers.
    score_std : float
        Standard deviation of the scores that exploration starts with.
    """

    def __init__(self, hidden: int = 32, score_std: float = 1.0) -> None:
        super().__init__()
        self.actor = SharedAssetNetwork(hidden)
        self.score = nn.Linear(hidden, 1)
        self.cash = nn.Linear(hidden, 1)
        self.critic = SharedAssetNetwork(hidden)
        self.value = nn.Linear(hidden, 1)
        self.log_std = nn.Parameter(torch.full((2,), float(np.log(score_std))))
        for network in (self.actor, self.critic):
            for layer in (network.embed, network.own, network.others):
                nn.init.orthogonal_(layer.weight, gain=2.0**0.5)
                nn.init.zeros_(layer.bias)
        for head, gain in ((self.score, 0.01), (self.cash, 0.01), (self.value, 1.0)):
            nn.init.orthogonal_(head.weight, gain=gain)  # 0.01: it starts at nearly equal weights
            nn.init.zeros_(head.bias)

    @staticmethod
    def by_asset(observation: Tensor) -> Tensor:
        """Undo the flattening of the environments; [B, A * F] to [B, A, F]."""
        return observation.reshape(len(observation), -1, N_FEATURES)  # [B, A, F]

    def scores(self, observation: Tensor) -> Tensor:
        """Score assets and cash; [B, A * F] to [B, A + 1], cash last."""
        mixed, pooled = self.actor(self.by_asset(observation))  # [B, A, H], [B, H]
        return torch.cat([self.score(mixed).squeeze(-1), self.cash(pooled)], dim=1)  # [B, A + 1]

    def values(self, observation: Tensor) -> Tensor:
        """Estimate the sum of discounted rewards to come; [B, A * F] to [B, 1]."""
        _, pooled = self.critic(self.by_asset(observation))  # [B, H]
        value: Tensor = self.value(pooled)  # [B, 1]
        return value

    def log_std_by_score(self, n_assets: int) -> Tensor:
        """Spread `log_std` over the scores; shape [A + 1]."""
        return torch.cat([self.log_std[:1].expand(n_assets), self.log_std[1:]])

    def act(self, observation: Float32Array) -> Float32Array:
        """Score without exploring: the same observation, the same scores.

        Parameters
        ----------
        observation : ndarray of float32, shape (n_assets * N_FEATURES,)
            From `ObservationBuilder.build`.

        Returns
        -------
        ndarray of float32, shape (n_assets + 1,)
            For `brain_assets.portfolio.arithmetic.target_weights`.
        """
        with torch.no_grad():
            scores: Float32Array = self.scores(torch.from_numpy(observation).unsqueeze(0))[0].numpy()
        return scores


def restore_policy(state_dict: Mapping[str, Tensor]) -> PolicyNetwork:
    """Build the network that a state dict is of; its width is read off the weights."""
    network = PolicyNetwork(hidden=len(state_dict["actor.embed.weight"]))
    network.load_state_dict(state_dict)
    return network.eval()


def empty_policy(hidden: int) -> PolicyNetwork:
    """Build a network on the device "meta": its weights have names, shapes and types, but no memory."""
    with torch.device("meta"):
        return PolicyNetwork(hidden)


def run_policy(
    network: PolicyNetwork,
    scaler: "StandardScaler",
    weeks: MarketWeeks,
    rules: TradingRules,
    held: FloatArray | None = None,
) -> StrategyRun:
    """Let a trained policy trade through the weeks, without exploring.

    Parameters
    ----------
    network : PolicyNetwork
    scaler : sklearn.preprocessing.StandardScaler
        The one it was trained with.
    weeks : MarketWeeks
        Assets may be others, or more, than in training.
    rules : TradingRules
    held : ndarray of float64, shape (n_assets + 1,), optional
        Weights at the close before the first week; default: all in cash.

    Returns
    -------
    StrategyRun
        ``weights`` are the decisions.
    """
    builder = ObservationBuilder(weeks, scaler, rules)

    def choose(week: int, held: FloatArray) -> FloatArray:
        return target_weights(network.act(builder.build(week, held)), weeks.available[week], rules)

    return run_strategy(weeks, rules, choose, held)
