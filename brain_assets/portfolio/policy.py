"""The policies: one small network shared by all assets, and how it acts.

Shapes: B = batch, A = assets, F = `N_FEATURES`, H = hidden.

Names in the state dicts, each a ``weight`` and a ``bias``. Both families: ``actor.embed`` (F to H), ``actor.own`` and
``actor.others`` (H to H), ``score`` (H to 1, every asset), ``cash`` (H to 1, from the mean over assets). PPO:
``critic.embed``, ``critic.own``, ``critic.others``, ``value`` (H to 1, likewise from the mean). SAC, for n of 0 and 1:
``critics.<n>.assets.embed`` (F + 1 to H, the weight too), ``.own``, ``.others``, and ``critics.<n>.value`` (2 H to 1).
Besides them ``log_std`` (2 numbers): logarithm of the standard deviation while it explores, of assets and of cash; of
scores for PPO, of what tanh bounds for SAC. Acting uses neither critics nor ``log_std``.
"""
# ruff: noqa: TID253 - a torch module needs torch when it is imported; import this module inside functions

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.portfolio.arithmetic import TradingRules, target_weights
from brain_assets.portfolio.config import PolicyConfig
from brain_assets.portfolio.environment import SCORE_LIMIT
from brain_assets.portfolio.families import POLICIES
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import AVAILABLE, N_FEATURES, ObservationBuilder
from brain_assets.portfolio.strategy import StrategyRun, run_strategy

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

SAC_STD = 0.5
"""Standard deviation of SAC's exploration at the start, before tanh; it is learned from there."""


def initialize(layer: nn.Linear, gain: float) -> nn.Linear:
    """Make a layer's weights orthogonal, scaled by `gain`, and its biases 0."""
    nn.init.orthogonal_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer


def by_asset(observation: Tensor) -> Tensor:
    """Undo the flattening of the environments; [B, A * F] to [B, A, F]."""
    return observation.reshape(len(observation), -1, N_FEATURES)  # [B, A, F]


def spread(of_kinds: Tensor, n_assets: int) -> Tensor:
    """Give each asset the first of two numbers, and cash the second; [2] to [A + 1]."""
    return torch.cat([of_kinds[:1].expand(n_assets), of_kinds[1:]])


class SharedAssetNetwork(nn.Module):
    """Looks at each asset, and at the mean of those available, with the same weights: any number, in any order."""

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


class ScoreNetwork(nn.Module):
    """Scores for every asset and for cash: what a family's network does when it acts.

    Scores lie within ``score_limit`` on both sides, or are cut off there by the environment.

    Parameters
    ----------
    hidden : int
        Width of the layers.
    score_limit : float
        Bound of the scores, on both sides.
    """

    def __init__(self, hidden: int, score_limit: float) -> None:
        super().__init__()
        self.score_limit = score_limit
        self.actor = SharedAssetNetwork(N_FEATURES, hidden)
        self.score = nn.Linear(hidden, 1)
        self.cash = nn.Linear(hidden, 1)
        for head in (self.score, self.cash):
            initialize(head, gain=0.01)  # it starts at nearly equal weights

    def scores(self, observation: Tensor) -> Tensor:
        """Score assets and cash; [B, A * F] to [B, A + 1], cash last."""
        mixed, pooled = self.actor(by_asset(observation))  # [B, A, H], [B, H]
        return torch.cat([self.score(mixed).squeeze(-1), self.cash(pooled)], dim=1)  # [B, A + 1]

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


class PpoNetwork(ScoreNetwork):
    """Scores, and a value of the state (used in training only).

    Parameters
    ----------
    hidden : int
        Width of the layers.
    score_std : float
        Standard deviation of the scores that exploration starts with.
    """

    def __init__(self, hidden: int = 32, score_std: float = 1.0) -> None:
        super().__init__(hidden, SCORE_LIMIT)
        self.critic = SharedAssetNetwork(N_FEATURES, hidden)
        self.value = initialize(nn.Linear(hidden, 1), gain=1.0)
        self.log_std = nn.Parameter(torch.full((2,), float(np.log(score_std))))

    def values(self, observation: Tensor) -> Tensor:
        """Estimate the sum of discounted rewards to come; [B, A * F] to [B, 1]."""
        _, pooled = self.critic(by_asset(observation))  # [B, H]
        value: Tensor = self.value(pooled)  # [B, 1]
        return value

    def log_std_by_score(self, n_assets: int) -> Tensor:
        """Spread `log_std` over the scores; shape [A + 1]."""
        return spread(self.log_std, n_assets)


class ActionValueNetwork(nn.Module):
    """Estimates what target weights are worth: weights, not scores, since rewards are all but linear in them.

    Each asset's embedding sees the weight beside the observation, for what trading it costs, and is pooled twice: by
    weight, which is what the portfolio earns, and over the available assets.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.assets = SharedAssetNetwork(N_FEATURES + 1, hidden)
        self.value = initialize(nn.Linear(2 * hidden, 1), gain=1.0)

    def forward(self, observation: Tensor, weights: Tensor, max_weight: float) -> Tensor:
        """Estimate the sum of discounted rewards to come; [B, A * F] and [B, A + 1] to [B, 1].

        `weights` are those traded to, cash last; `max_weight` is the largest that the rules allow.
        """
        of_assets = weights[:, :-1].unsqueeze(1)  # [B, 1, A]
        seen = torch.cat([by_asset(observation), of_assets.transpose(1, 2) / max_weight], dim=2)  # [B, A, F + 1]
        mixed, pooled = self.assets(seen)  # [B, A, H], [B, H]
        earning = (of_assets @ mixed).squeeze(1)  # [B, H]
        value: Tensor = self.value(torch.cat([earning, pooled], dim=1))  # [B, 1]
        return value


class SacNetwork(ScoreNetwork):
    """Scores within bounds, and two estimates of what an action is worth (used in training only).

    Parameters
    ----------
    hidden : int
        Width of the layers.
    score_limit : float
        Bound of the scores, on both sides.
    """

    def __init__(self, hidden: int = 32, score_limit: float = 3.0) -> None:
        super().__init__(hidden, score_limit)
        self.log_std = nn.Parameter(torch.full((2,), float(np.log(SAC_STD))))
        self.critics = nn.ModuleList(ActionValueNetwork(hidden) for _ in range(2))

    def gaussian(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Give mean and logarithm of the standard deviation of what tanh bounds; [B, A * F] to [B, A + 1] twice."""
        means = super().scores(observation)  # [B, A + 1]
        return means, spread(self.log_std, means.shape[1] - 1).expand_as(means)

    def scores(self, observation: Tensor) -> Tensor:
        """Score assets and cash within the bounds; [B, A * F] to [B, A + 1], cash last."""
        return self.score_limit * torch.tanh(super().scores(observation))


def restore_policy(family: str, config: PolicyConfig, state_dict: "Mapping[str, Tensor | np.ndarray]") -> ScoreNetwork:
    """Build the network that a state dict of a family is of."""
    network = POLICIES[family].network(config)
    network.load_state_dict({name: torch.as_tensor(weight) for name, weight in state_dict.items()})
    return network.eval()


def empty_policy(family: str, config: PolicyConfig) -> ScoreNetwork:
    """Build a network on the device "meta": its weights have names, shapes and types, but no memory."""
    with torch.device("meta"):
        return POLICIES[family].network(config)


class Actor:
    """A network that trades through weeks, without exploring.

    Parameters
    ----------
    network : ScoreNetwork
    scaler : sklearn.preprocessing.StandardScaler
        The one it was trained with.
    weeks : MarketWeeks
        Assets may be others, or more, than in training.
    rules : TradingRules
    signal_scale : float
        Of the configuration that it was trained with.
    """

    def __init__(
        self,
        network: ScoreNetwork,
        scaler: "StandardScaler",
        weeks: MarketWeeks,
        rules: TradingRules,
        signal_scale: float,
    ) -> None:
        self._network, self._weeks, self._rules = network, weeks, rules
        self._builder = ObservationBuilder(weeks, scaler, rules, signal_scale)

    def score(self, week: int, held: FloatArray) -> Float32Array:
        """Score assets and cash at the decision time of a week; shape (n_assets + 1,)."""
        return self._network.act(self._builder.build(week, held))

    def choose(self, week: int, held: FloatArray) -> FloatArray:
        """Give the target weights of a week; see `brain_assets.portfolio.strategy.run_strategy`."""
        return target_weights(self.score(week, held), self._weeks.available[week], self._rules)


def trace(actor: Actor, weeks: MarketWeeks, rules: TradingRules) -> tuple[StrategyRun, FloatArray]:
    """Let a policy trade through weeks, and note the scores from which it decided; (n_weeks, n_assets + 1)."""
    scores = np.empty((len(weeks), weeks.n_assets + 1))

    def choose(week: int, held: FloatArray) -> FloatArray:
        scores[week] = actor.score(week, held)
        return target_weights(scores[week], weeks.available[week], rules)

    return run_strategy(weeks, rules, choose), scores


def run_policy(
    network: ScoreNetwork,
    scaler: "StandardScaler",
    weeks: MarketWeeks,
    rules: TradingRules,
    signal_scale: float,
    held: FloatArray | None = None,
) -> StrategyRun:
    """Let a trained policy trade through weeks; see `Actor` and `brain_assets.portfolio.strategy.run_strategy`."""
    return run_strategy(weeks, rules, Actor(network, scaler, weeks, rules, signal_scale).choose, held)
