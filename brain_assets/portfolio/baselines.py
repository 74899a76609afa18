"""What every policy has to beat: benchmark strategies, rules without learning, a line each in `BASELINES`.

Besides them there is one for each forecaster, which holds the top third by its forecasts. A rule chooses as a policy
does: from what is known at decision time, under the same trading rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brain_assets import registry
from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.strategy import Choose, follow
from brain_assets.registry import AVERAGE

if TYPE_CHECKING:
    from brain_assets.portfolio.dataset import PolicyDataset


@dataclass(frozen=True, eq=False)
class BaselineInputs:
    """What rules may look at; a row a week, known at its decision time except where `PolicyDataset` says otherwise."""

    weeks: PolicyDataset
    """`forecast` is not looked at: `forecasts` has those of every family."""
    forecasts: Mapping[str, FloatArray]
    """Forecaster family -> forecast weekly returns, (n_weeks, n_assets); finite where available."""
    past_returns: FloatArray
    """`brain_assets.market.weekly.past_weekly_returns`, (n_weeks, 52, n_assets)."""


Rule = Callable[[BaselineInputs, PortfolioConstraints], Choose]


def equal_weight(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold the same of each available asset, set right every week."""
    return follow(arithmetic.equal_weight(known.weeks.available, rules))


def buy_and_hold(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Buy the same of each available asset in the first week, then trade only what the trading rules ask for.

    The order "trade nothing" is given at decision time, and gives the weights that have drifted until the open. Where
    these break a rule (an asset above its cap, or no longer available), the nearest that keep it are traded to.
    """
    start = arithmetic.equal_weight(known.weeks.available, rules)

    def choose(week: int, held: FloatArray) -> FloatArray:
        if held[-1] == 1.0:  # nothing is held yet
            bought: FloatArray = start[week]
            return bought
        drifted = held.copy()
        drifted[:-1], growth = arithmetic.drift(held[:-1], known.weeks.pre_open_return[week])
        drifted[-1] /= growth
        return arithmetic.project(drifted, known.weeks.available[week], rules)

    return choose


def top_third(scores: FloatArray, known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold the same of each asset in the upper third by score, (n_weeks, n_assets); ties go to the earlier column.

    An asset whose score is NaN is not held.
    """
    available = known.weeks.available & np.isfinite(scores)
    ranked = np.argsort(-np.where(available, scores, -math.inf), axis=1, kind="stable")
    place = np.argsort(ranked, axis=1, kind="stable")
    chosen = place < np.ceil(available.sum(axis=1, keepdims=True) / 3)
    return follow(arithmetic.equal_weight(chosen & available, rules))


def momentum_top_third(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold the third of the assets with the highest 4-week momentum."""
    return top_third(known.weeks.momentum, known, rules)


def past_top_third(score: Callable[[FloatArray], FloatArray]) -> Rule:
    """Make the rule that holds the third of the assets with the highest score by `BaselineInputs.past_returns`."""
    return lambda known, rules: top_third(score(known.past_returns), known, rules)


def forecast_top_third(family: str) -> Rule:
    """Make the rule that holds the third of the assets with the highest forecasts of a family."""
    return lambda known, rules: top_third(known.forecasts[family], known, rules)


def minimum_variance(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Hold what varied least together over the past 52 weeks: covariance shrunk as by Ledoit & Wolf (2004)."""
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    def weigh(past: FloatArray) -> FloatArray:
        model = MeanRisk(  # minimizes the variance, unless told otherwise
            prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()),
            max_weights=rules.max_weight,
            budget=min(1.0 - rules.min_cash, rules.max_weight * past.shape[1]),
        )
        weights: FloatArray = model.fit(past).weights_
        return weights

    return _by_past_returns(known, rules, weigh)


def hierarchical_risk_parity(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
    """Share out risk down a tree of assets that moved together over the past 52 weeks (López de Prado 2016)."""
    from skfolio.cluster import HierarchicalClustering
    from skfolio.optimization import SchurComplementary
    from skfolio.seriation import HierarchicalSeriation

    model = SchurComplementary(  # with gamma 0 it is HierarchicalRiskParity, but has matrices instead of portfolios
        gamma=0.0,
        keep_monotonic=False,
        seriation_estimator=HierarchicalSeriation(  # asks for the order of the leaves only, not how many clusters
            hierarchical_clustering_estimator=HierarchicalClustering(max_clusters=1)
        ),
    )

    def weigh(past: FloatArray) -> FloatArray:
        weights: FloatArray = model.fit(past).weights_
        return weights * (1.0 - rules.min_cash)

    return _by_past_returns(known, rules, weigh)


def _by_past_returns(
    known: BaselineInputs, rules: PortfolioConstraints, weigh: Callable[[FloatArray], FloatArray]
) -> Choose:
    """Ask a rule for weights of the assets whose past is known; the others, and those that never moved, get none."""
    from threadpoolctl import ThreadpoolController

    threads = ThreadpoolController()  # one is fastest for matrices this small, and gives the same bits on every machine

    def choose(week: int, held: FloatArray) -> FloatArray:  # noqa: ARG001
        past = known.past_returns[week]
        usable: BoolArray = known.weeks.available[week] & np.isfinite(past).all(axis=0)
        usable &= np.ptp(np.where(usable, past, 0.0), axis=0) > 0.0
        weights = arithmetic.all_cash(known.weeks.n_assets)
        if usable.sum() == 1:
            weights[:-1] = usable
        elif usable.any():
            with threads.limit(limits=1):
                weights[:-1][usable] = weigh(past[:, usable])
        weights[-1] = 1.0 - weights[:-1].sum()
        return arithmetic.project(weights, usable, rules)

    return choose


@dataclass(frozen=True)
class Baseline:
    """A rule, and what a reader of results calls it."""

    rule: Rule
    label: str
    forecaster: str | None = None
    """Family of the forecasts that it needs; None: none."""
    drifts: bool = False
    """Whether it trades to what it holds after the drift to the week's first open: its weights are known then only."""


EQUAL_WEIGHT = "equal_weight"

BASELINES: Mapping[str, Baseline] = {
    EQUAL_WEIGHT: Baseline(equal_weight, "equal weight"),
    "buy_and_hold": Baseline(buy_and_hold, "buy and hold", drifts=True),
    "risk_parity": Baseline(hierarchical_risk_parity, "hierarchical risk parity"),
    "min_variance": Baseline(minimum_variance, "minimum variance"),
    "momentum_top": Baseline(momentum_top_third, "momentum, top third"),
    "past_year_top": Baseline(
        past_top_third(lambda past: (1.0 + past[:, :-4]).prod(axis=1)), "12-1 momentum, top third"
    ),
    "reversal_top": Baseline(past_top_third(lambda past: -past[:, -1]), "1-week reversal, top third"),
}
"""Those that need no forecaster, in the order in which reports show them."""


def benchmark_strategies(forecasters: Iterable[str]) -> dict[str, Baseline]:
    """Give `BASELINES`, and the rule that follows the forecasts of each of some families."""
    following = {
        f"{family}_top": Baseline(
            forecast_top_third(family), f"{_forecasts_label(family)}, top third", forecaster=family
        )
        for family in forecasters
    }
    return {**BASELINES, **following}


def _forecasts_label(family: str) -> str:
    return "average of forecasts" if family == AVERAGE else f"{registry.label(family)} forecasts"


def is_benchmark(strategy: str) -> bool:
    """Tell whether a strategy is one of `benchmark_strategies`, whatever the forecasters; no family ends in _top."""
    return strategy in BASELINES or strategy.endswith("_top")
