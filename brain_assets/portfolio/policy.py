"""What a policy is, and the one road from what it says to trades.

A policy gives logits; the platform checks them, turns them into target weights (softmax over what is available and
cash, then the trading rules), and trades a share of the way from what is held to them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from brain_assets import registry
from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.configuration import ModelConfig
from brain_assets.errors import BrainAssetsError, PolicyError
from brain_assets.market.signals import SIGNALS
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.arithmetic import (
    CONSTRAINTS,
    PortfolioConstraints,
    read_policy_options,
    target_weights,
    trade_toward,
)
from brain_assets.portfolio.dataset import N_MARKET_FEATURES, PolicyDataset, market_weeks
from brain_assets.portfolio.strategy import StrategyRun, run_strategy
from brain_assets.store import checks
from brain_assets.store.checks import COUNT, DATE, NUMBER, SCALE, Kind
from brain_assets.store.weights import check_scaler

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot


class PolicyProgress(NamedTuple):
    """Where a training stands: a point of its learning curve."""

    steps: int  # weeks lived through so far
    total_steps: int
    mean_episode_reward: float
    """Mean sum of rewards (100 * log growth over that of equal weight) of the last episodes that ended; NaN: none."""


OnProgress = Callable[[PolicyProgress], None]
Act = Callable[[int, FloatArray], npt.NDArray[np.floating]]
"""From the position of a week, and the weights held at the close before it, (n_assets + 1,), to logits, cash last."""

ForecasterName = Annotated[
    str, Field(min_length=1, description="Whose forecasts it follows: a column of walkforward_forecasts.")
]
SignalScale = Annotated[
    float, Field(ge=0, le=10, description="Standard deviation of news and ratios in what it sees; of forecasts: 1.")
]
TradingRate = Annotated[
    float, Field(gt=0, le=1, description="Share of the way from what is held to its target that is traded each week.")
]

SIGNAL = Kind(f"one of {', '.join(SIGNALS)}", lambda value: value in SIGNALS)
DATA = {"first_week": DATE, "last_week": DATE, "symbols": checks.NAMES, "n_weeks": COUNT}
TRAINING = {
    **dict.fromkeys(("cagr", "cagr_equal_weight"), NUMBER),
    **dict.fromkeys(("mean_turnover", "distance_to_equal_weight"), SCALE),
    **dict.fromkeys(("forecast_rank_correlation", "momentum_rank_correlation"), checks.NUMBER_OR_NULL),
    "curve": [{"steps": COUNT, "reward": NUMBER}],
}
BOUNDED = dict.fromkeys(("action_spread", "saturation"), SCALE)  # of the training of one whose logits have a bound


class Policy(registry.Family):
    """A family of policies: one class in one file, registered by `brain_assets.registry.register`."""

    role: ClassVar[Literal["forecaster", "policy"]] = "policy"
    forecaster: ClassVar[str]
    """Name of the family whose forecasts it follows, see `follows`: ``forecast`` of the weeks that it is given."""

    @abstractmethod
    def fit(
        self, weeks: PolicyDataset, config: Any, rules: PortfolioConstraints, progress: OnProgress, device: str
    ) -> Mapping[str, Float32Array]:
        """Learn from weeks that have all gone by, up to the cut-off, oldest first, and give the arrays of `layout`.

        The same weeks, config and device (``cpu`` or ``cuda``) must give the same bytes. `progress` may be called with
        points of a learning curve. Nothing to learn: give no array.
        """

    @abstractmethod
    def act(self, arrays: Mapping[str, np.ndarray], config: Any, weeks: PolicyDataset) -> Act:
        """Prepare to decide some weeks, and give the function that does.

        `arrays` are what `fit` gave, and ``scaler.mean`` and so on, of `brain_assets.portfolio.dataset`; assets of
        `weeks` may be others, or more, than in training. ``act(week, held)`` gives logits, (n_assets + 1,), cash last:
        any finite numbers, of which only differences count, or -inf for an asset that shall not be held. It must look
        at nothing of the week that is known after its decision time (see `PolicyDataset`), nor of later weeks.
        """

    def layout(self, config: Any) -> Mapping[str, tuple[int, ...]]:  # noqa: ARG002
        """Name the float32 arrays that `fit` gives, with their shapes; default: none."""
        return {}

    def logit_bound(self, config: Any) -> float | None:  # noqa: ARG002
        """Bound of the logits, on both sides; None: there is none."""
        return None

    def follows(self, config: Any) -> str:
        """Name the column of the forecasts that it follows: the configuration's ``forecaster``, else the class's."""
        return getattr(config, "forecaster", self.forecaster)

    def trading_rate(self, config: Any) -> float:
        """Share of the way to its target that it trades each week, in (0, 1]: the configuration's, else all of it."""
        return getattr(config, "trading_rate", 1.0)

    @classmethod
    def problem(cls) -> tuple[str, str] | None:
        """See `brain_assets.registry.Family.problem`."""
        forecaster = getattr(cls, "forecaster", None)
        named = isinstance(forecaster, str) and forecaster
        return None if named else ("the name of a family as forecaster", repr(forecaster))

    def check(self, snapshot: ModelSnapshot) -> None:
        """Refuse a snapshot whose metadata, configuration and arrays are not those of one policy of the family."""
        config = self.read_config(snapshot.config)
        training = {**TRAINING, **({} if self.logit_bound(config) is None else BOUNDED)}
        expected = {"data": DATA, "training": training, "uninformative_features": [SIGNAL]}
        checks.check_metadata(snapshot.metadata, expected)
        checks.check_dates(snapshot.metadata["data"], ("last_week",), snapshot.cutoff_date)
        check_scaler(snapshot.arrays, N_MARKET_FEATURES)

    def decide(self, snapshot: ModelSnapshot, bars: WeeklyPanel, forecast: FloatArray) -> FloatArray:
        """Give target weights, (n_weeks, n_assets + 1); see `ModelSnapshot.decide`."""
        choice = np.zeros(len(bars.weeks), dtype=np.int64)
        return run_policies([snapshot], choice, [market_weeks(bars, forecast)]).weights

    def read_config(self, options: Mapping[str, Any]) -> ModelConfig:
        """Read how a snapshot was trained; see `policy_options`."""
        return read_policy_options(self.Config, options)[0]


class PolicyRunner:
    """A trained policy that trades through weeks."""

    def __init__(
        self,
        policy: Policy,
        arrays: Mapping[str, np.ndarray],
        config: ModelConfig,
        weeks: PolicyDataset,
        rules: PortfolioConstraints,
    ) -> None:
        self._name, self._weeks, self._rules = policy.name, weeks, rules
        self._act, self._rate = policy.act(arrays, config, weeks), policy.trading_rate(config)
        if not 0.0 < self._rate <= 1.0:
            raise PolicyError(
                f"{policy.name}: expected a trading rate in (0, 1], got {self._rate}; correct its trading_rate."
            )
        self.logits: FloatArray = np.full((len(weeks), weeks.n_assets + 1), np.nan)  # NaN: not decided yet

    @classmethod
    def of(cls, snapshot: ModelSnapshot, weeks: PolicyDataset) -> PolicyRunner:
        """Let a snapshot trade; raises `BrainAssetsError` if it was trained for other trading rules."""
        policy: Policy = registry.get(snapshot.family)
        config, rules = read_policy_options(policy.Config, snapshot.config)
        if rules != CONSTRAINTS:
            raise BrainAssetsError(
                f"{snapshot.family} {snapshot.cutoff_date}: expected {CONSTRAINTS!r}, got {rules!r}; train it again "
                "with brain-assets backfill."
            )
        return cls(policy, snapshot.arrays, config, weeks, rules)

    def choose(self, week: int, held: FloatArray) -> FloatArray:
        """Give the weights to trade to in a week, (n_assets + 1,); raises `PolicyError` if it said no logits.

        An asset at -inf is as one that is not available, else a cap might fill it up.
        """
        logits: FloatArray = np.asarray(self._act(week, held), dtype=np.float64)
        n_logits, problem = self._weeks.n_assets + 1, ""
        if logits.shape != (n_logits,):
            problem = f"logits of shape (n_assets + 1,) = ({n_logits},), got {logits.shape}"
        elif np.isnan(logits).any() or logits.max() == np.inf or logits[-1] == -np.inf:
            problem = f"logits that are numbers, or -inf for an asset, got {logits}"
        if problem:
            day = self._weeks.week_start[week]
            raise PolicyError(
                f"{self._name}: expected {problem} in the week of {day}; correct its act, or train it again."
            )
        self.logits[week] = logits
        allowed = self._weeks.available[week] & np.isfinite(logits[:-1])
        target = target_weights(logits, allowed, self._rules)
        return trade_toward(held, target, allowed, self._rate, self._rules)

    def rollout(self) -> StrategyRun:
        """Trade through all weeks, starting in cash."""
        return run_strategy(self._weeks, self._rules, self.choose)


def followed_by(snapshot: ModelSnapshot) -> str:
    """Name the column of the forecasts that a policy's snapshot follows."""
    policy: Policy = registry.get(snapshot.family)
    return policy.follows(policy.read_config(snapshot.config))


def run_policies(
    snapshots: Sequence[ModelSnapshot], choice: IntArray, weeks: Sequence[PolicyDataset], held: FloatArray | None = None
) -> StrategyRun:
    """Trade weeks one after the other, each with the snapshot at its position in `choice`; see `run_strategy`.

    `weeks` are the same for each snapshot, with the forecasts that it follows. Raises `LookAheadError` if one begins on
    or before the cut-off of its snapshot.
    """
    runners = []
    for position, (snapshot, seen) in enumerate(zip(snapshots, weeks, strict=True)):
        snapshot.refuse_known_weeks(seen.week_start[choice == position])
        runners.append(PolicyRunner.of(snapshot, seen))
    return run_strategy(weeks[0], CONSTRAINTS, lambda week, held: runners[choice[week]].choose(week, held), held)


def weights_on(snapshot: ModelSnapshot, weeks: PolicyDataset) -> FloatArray:
    """Give the weights that a policy trades to, from cash on, in the last 52 of the weeks that it learned from."""
    return PolicyRunner.of(snapshot, weeks.select(slice(-52, None))).rollout().weights
