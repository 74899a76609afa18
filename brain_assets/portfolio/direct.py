"""Direct: a policy that climbs the exact gradient of what it earns after costs.

The market's arithmetic is known, so nothing need be explored or estimated: log growth is differentiated through drift,
trade, cost and week, over blocks of consecutive weeks (Moody & Saffell 2001, doi:10.1109/72.935097; Zhang, Zohren &
Roberts 2020, arXiv:2005.13665). Logits are linear in what is seen of each asset, with the same few numbers for all
(Brandt, Santa-Clara & Valkanov 2009, doi:10.1093/rfs/hhp003): a tilt around equal weight.

Shapes: B = blocks, W = weeks of a block, T = all weeks, A = assets, F = `N_MARKET_FEATURES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from brain_assets import registry
from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.configuration import ModelConfig
from brain_assets.device import repeatable
from brain_assets.portfolio import arithmetic, dataset, policy
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import N_MARKET_FEATURES, PolicyDataset
from brain_assets.portfolio.policy import OnProgress, Policy, PolicyProgress
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets.store.weights import Scaler

if TYPE_CHECKING:
    from torch import Tensor

CASH_LOGIT = -50.0
"""Cash is what the rules ask for and what caps leave: a few hundred weeks do not teach when to leave the market."""

LEAST_HELD = 0.1  # of equal weight, added to a weight held before its logarithm: nothing held is a number too
REWARD_SCALE = 100.0  # of what the learning curve shows, as in `brain_assets.portfolio.training`
LEAST_DEVIATION = 1e-4  # log return of a week: an advantage that varies by less counts as one that varies by so much


class DirectConfig(ModelConfig):
    """How the policy is trained."""

    forecaster: policy.ForecasterName = "boosting"
    n_updates: int = Field(200, ge=1, le=1_000_000, description="Gradient steps.")
    n_blocks: int = Field(32, ge=1, le=10_000, description="Blocks of consecutive weeks in a gradient step.")
    block_weeks: int = Field(26, ge=1, le=10_000, description="Weeks in a block; all, where there are fewer.")
    learning_rate: float = Field(0.05, gt=0, lt=1, description="Of Adam, falling linearly to 0 over the training.")
    confidence: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="How sure it has to be that a tilt is no luck. By so many standard errors its mean advantage over "
        "equal weight is marked down as the best of all tilts reaches by luck no more often than 1 less this.",
    )
    penalty: float = Field(
        1e-4,
        ge=0,
        le=1,
        description="Log return of a week that squares of the slopes cost, so that none is large alone.",
    )
    trading_rate: policy.TradingRate = 1.0
    signal_scale: policy.SignalScale = dataset.SIGNAL_SCALE
    seed: int = Field(0, ge=0, lt=2**32, description="Of the weeks in which blocks begin.")


@registry.register
class Direct(Policy):
    """Policy over weekly weights, by the exact gradient of log growth after costs."""

    name, label, code_version = "direct", "Direct", "1"
    Config = DirectConfig
    forecaster = DirectConfig().forecaster
    kinds: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    quick: ClassVar[Mapping[str, Any]] = {"n_updates": 10, "n_blocks": 4}

    def layout(self, config: DirectConfig) -> Mapping[str, tuple[int, ...]]:  # noqa: ARG002
        """Name what it learns: a slope for each market feature, and one for the weight held."""
        return {"slopes": (N_MARKET_FEATURES,), "persistence": (1,)}

    def fit(
        self,
        weeks: PolicyDataset,
        config: DirectConfig,
        rules: PortfolioConstraints,
        progress: OnProgress,
        device: str,  # noqa: ARG002
    ) -> Mapping[str, Float32Array]:
        """Climb the gradient from equal weight; always on the CPU, which is faster for so few numbers."""
        import torch

        with repeatable(config.seed):
            market, random = Market(weeks, config, rules), np.random.default_rng(config.seed)
            n_errors = standard_errors(market.n_directions, config.confidence)
            learned = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in self.layout(config).items()}
            optimizer = torch.optim.Adam([value.requires_grad_() for value in learned.values()])
            for update in range(config.n_updates):
                optimizer.param_groups[0]["lr"] = config.learning_rate * (1.0 - update / config.n_updates)
                optimizer.zero_grad()
                first = random.integers(market.n_firsts, size=config.n_blocks)
                advantage = market.pass_through(first, **learned)  # [B, W]
                error = torch.sqrt((advantage.var(correction=0) + LEAST_DEVIATION**2) / len(weeks))
                penalty = n_errors * error + config.penalty * learned["slopes"].square().sum()
                (penalty - advantage.mean()).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                steps, reward = advantage.numel(), REWARD_SCALE * float(advantage.detach().sum(dim=1).mean())
                progress(PolicyProgress((update + 1) * steps, config.n_updates * steps, reward))
        return {name: value.detach().numpy().astype(np.float32) for name, value in learned.items()}

    def act(self, arrays: Mapping[str, np.ndarray], config: DirectConfig, weeks: PolicyDataset) -> policy.Act:
        """Give the logits that were trained."""
        import torch

        slopes, persistence = (torch.from_numpy(arrays[name]).double() for name in self.layout(config))
        seen = dataset.market_observations(weeks, Scaler.from_arrays(arrays), config.signal_scale)
        said = torch.from_numpy(seen).double() @ slopes  # [T, A]

        def act(week: int, held: FloatArray) -> FloatArray:
            available = torch.from_numpy(weeks.available[week])
            return logits(said[week], persistence, torch.from_numpy(held), available).numpy()

        return act


class Market:
    """The weeks to learn from, and the arithmetic of `brain_assets.portfolio.arithmetic` with its derivatives."""

    def __init__(self, weeks: PolicyDataset, config: DirectConfig, rules: PortfolioConstraints) -> None:
        import torch

        self._rules, self._rate = rules, config.trading_rate
        scaler = dataset.fit_observation_scaler(weeks)
        seen = dataset.market_observations(weeks, scaler, config.signal_scale)
        self._seen = torch.from_numpy(seen).double()  # [T, A, F]
        self.n_directions = int(dataset.varied_in_training(scaler).sum()) + 1  # slopes, and the persistence
        self._available = torch.from_numpy(weeks.available)  # [T, A]
        self._returns = torch.from_numpy(np.stack([weeks.pre_open_return, weeks.weekly_return]))  # [2, T, A]
        start = arithmetic.equal_weight(weeks.available, rules)
        # what was held before each week when a block went through the week before it last; equal weight until then
        self.held = torch.from_numpy(start)  # [T, A + 1]
        self._equal = torch.from_numpy(np.log1p(run_equal_weight(weeks, rules, start[0]).net_return))  # [T]
        self._block_weeks = min(config.block_weeks, len(weeks))
        self.n_firsts = len(weeks) - self._block_weeks + 1  # weeks in which a block may begin: the first so many

    def pass_through(self, first: IntArray, slopes: Tensor, persistence: Tensor) -> Tensor:
        """Trade through blocks from some weeks on, [B], and `held` with them; [B, W]: log growth over equal weight."""
        import torch

        rate, rules = self._rate, self._rules
        said = self._seen @ slopes  # [T, A]
        week = torch.from_numpy(first)  # [B]
        held = self.held[week]  # [B, A + 1]
        advantage = []
        for _ in range(self._block_weeks):
            available, (pre_open_return, weekly_return) = self._available[week], self._returns[:, week]
            said_now = logits(said[week], persistence, held, available)
            target = arithmetic.differentiable_weights(said_now, available, rules)
            if rate < 1.0:  # as `brain_assets.portfolio.arithmetic.trade_toward`
                way = (1.0 - rate) * held + rate * target
                target = arithmetic.differentiable_projection(way, available, rules)
            log_growth, held = step(held, pre_open_return, target, weekly_return, rules)
            advantage.append(log_growth - self._equal[week])
            week = week + 1
            goes_on = week < len(self.held)
            self.held[week[goes_on]] = held.detach()[goes_on]
        return torch.stack(advantage, dim=1)  # [B, W]


def standard_errors(n_directions: int, confidence: float) -> float:
    """Give how many standard errors above 0 the best of all tilts is by luck, but for a share 1 - confidence.

    The luckiest combination of them has a t whose square is chi-squared (Scheffé 1953, doi:10.1093/biomet/40.1-2.87).
    """
    from scipy.stats import chi2

    return float(np.sqrt(chi2.ppf(confidence, n_directions)))


def logits(said: Tensor, persistence: Tensor, held: Tensor, available: Tensor) -> Tensor:
    """Give logits from what the features say, [..., A], and the logarithm of what is held over equal weight."""
    import torch

    equal = 1.0 / available.sum(dim=-1, keepdim=True).clamp(min=1)  # [..., 1]
    of_assets = said + persistence * torch.log(held[..., :-1] / equal + LEAST_HELD)  # [..., A]
    return torch.cat([of_assets, torch.full_like(held[..., :1], CASH_LOGIT)], dim=-1)


def step(
    held: Tensor, pre_open_return: Tensor, target: Tensor, weekly_return: Tensor, rules: PortfolioConstraints
) -> tuple[Tensor, Tensor]:
    """Take portfolios through a week, as `brain_assets.portfolio.arithmetic.step`; log growth, [B], and held after."""
    import torch

    earned_before = held[:, :-1] * pre_open_return  # [B, A]
    growth_to_open = 1.0 + earned_before.sum(dim=1)  # [B]
    at_open = (held[:, :-1] + earned_before) / growth_to_open[:, None]  # [B, A]
    turnover = (target[:, :-1] - at_open).abs().sum(dim=1)  # [B]
    cost = rules.cost_bps * arithmetic.BASIS_POINT * turnover
    earned = target[:, :-1] * weekly_return  # [B, A]
    growth_of_week = 1.0 + earned.sum(dim=1)  # [B]
    held_after = torch.cat([target[:, :-1] + earned, target[:, -1:]], dim=1) / growth_of_week[:, None]
    return torch.log(growth_to_open * (1.0 - cost) * growth_of_week), held_after
