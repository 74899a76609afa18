"""What a report says: figures of every strategy, of the forecasts, and of how models learned, put together once.

Strategies are compared on the weeks that all of them traded. A backtest begins every year in cash, for all strategies
alike, so years are chained: each January has the cost of buying in. A policy that was also trained from other seeds
(``ppo_seed_1``, …) is one strategy; the seeds show how far it depends on luck in training.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.forecasting.walkforward import families_in
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import years_of_weeks
from brain_assets.portfolio import metrics
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, benchmark_strategies
from brain_assets.portfolio.forecast_figures import ForecasterFigures, measure_forecasts
from brain_assets.portfolio.learning_curves import LearningCurve
from brain_assets.portfolio.metrics import Estimate
from brain_assets.portfolio.rules import RULES
from brain_assets.portfolio.seeds import family_of_seed
from brain_assets.portfolio.trials import Trial
from brain_assets.portfolio.weights_table import CASH, weights_table


class Weights(NamedTuple):
    """What a strategy held at the first open of each week."""

    names: tuple[str, ...]
    """Symbols by mean weight, the largest first; cash last."""
    values: FloatArray
    """Shape (n_weeks, n_names)."""


@dataclass(frozen=True, eq=False)
class StrategyFigures:
    """What a strategy did over all weeks of the report, after costs; figures a year have 52 weeks."""

    name: str
    label: str
    is_policy: bool
    """Whether it is that of a family of policies; else it is a benchmark strategy, or nobody knows it."""
    net_returns: FloatArray
    """(n_weeks,)"""
    annual_return: Estimate
    volatility: float
    sharpe: Estimate
    max_drawdown: float
    """A positive share."""
    calmar: float
    """NaN if the value never fell."""
    turnover: float
    """Dollars traded a year over the value."""
    cost_drag: float
    """Annual return that the costs took."""
    excess: Estimate
    """Annual return above equal weight's, on the same resampled weeks."""
    yearly: Mapping[int, float]
    """Year -> return."""
    weights: Weights


@dataclass(frozen=True, eq=False)
class PolicyFigures:
    """What is asked of a policy beyond what every strategy shows."""

    name: str
    label: str
    probabilistic_sharpe: float
    """Probability that the true Sharpe ratio is above 0."""
    deflated_sharpe: float
    """The same against the best of as many trials without skill; NaN: no trial is recorded."""
    seed_returns: FloatArray
    """Weekly net returns by training seed, (n_weeks, n_seeds); the first is the policy that the report shows."""

    @property
    def n_seeds(self) -> int:
        """Count the training seeds."""
        return int(self.seed_returns.shape[1])

    @property
    def seed_annual_returns(self) -> FloatArray:
        """Annual return by seed, (n_seeds,)."""
        return metrics.annual_return(self.seed_returns)

    @property
    def seed_sharpe_ratios(self) -> FloatArray:
        """Sharpe ratio by seed, (n_seeds,)."""
        return metrics.sharpe_ratio(self.seed_returns)


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report shows; known after its last week."""

    market: MarketNote
    weeks: DateArray
    """First session of each week that strategies are compared on, (n_weeks,)."""
    years: IntArray
    """The year that each belongs to, (n_weeks,)."""
    weeks_left_out: int
    """Weeks that were traded by some strategies only."""
    strategies: tuple[StrategyFigures, ...]
    """Policies first."""
    policies: tuple[PolicyFigures, ...]
    n_trials: int
    """Policy configurations tried, as recorded; 0: none is recorded."""
    forecasters: tuple[ForecasterFigures, ...]
    """Those that forecast, momentum last."""
    curves: tuple[LearningCurve, ...]
    cost_bps: float
    block_length: int
    """Mean length, in weeks, of the blocks that strategies were resampled in."""

    @property
    def n_weeks(self) -> int:
        """Count the weeks that strategies are compared on."""
        return len(self.weeks)

    @property
    def span(self) -> str:
        """The years, in words."""
        first, last = int(self.years[0]), int(self.years[-1])
        return str(first) if first == last else f"{first}-{last}"


def build_report(
    backtests: pd.DataFrame,
    forecasts: pd.DataFrame,
    curves: Sequence[LearningCurve],
    trials: Sequence[Trial],
    market: MarketNote,
) -> Report:
    """Put the figures together, of `backtests` and `forecasts` of the years of the report, in any order.

    `trials` are every policy configuration tried, whatever its years. Raises `TableError` if no week was traded by all
    strategies, or none of them is equal weight.
    """
    returns = _wide(backtests, "net_return")
    labels = _labels(returns.columns, families_in(forecasts))
    names = list(labels)
    shared = returns[names].notna().all(axis=1)
    if EQUAL_WEIGHT not in names or not shared.any():
        raise TableError(
            f"report: expected weeks that all strategies traded, {EQUAL_WEIGHT} among them, got none; materialize the "
            "backtests of these years again."
        )
    returns = returns[shared]
    turnover = _wide(backtests, "turnover").loc[returns.index]
    weeks = returns.index.to_numpy().astype("datetime64[D]")
    years = years_of_weeks(weeks)
    strategies = _strategies(backtests, returns[names], turnover[names], years, labels)
    ratios = metrics.weekly_sharpe_ratios(trials)
    return Report(
        market=market,
        weeks=weeks,
        years=years,
        weeks_left_out=int((~shared).sum()),
        strategies=strategies,
        policies=tuple(_policy(each, returns, ratios) for each in strategies if each.is_policy),
        n_trials=len(ratios),
        forecasters=measure_forecasts(forecasts),
        curves=tuple(curves),
        cost_bps=RULES.cost_bps,
        block_length=metrics.block_length(returns[names].to_numpy()) if len(returns) >= metrics.MIN_WEEKS else 1,
    )


def _wide(backtests: pd.DataFrame, column: str) -> pd.DataFrame:
    return backtests.pivot(index="week_start", columns="strategy", values=column).sort_index()


def _is_policy(name: str) -> bool:
    return name in registry.names() and registry.get(name).role == "policy"


def _is_foreign(family: str) -> bool:
    return type(registry.get(family)).__module__ not in registry.OURS


def _labels(strategies: Iterable[str], forecasters: Iterable[str]) -> dict[str, str]:
    """Label strategies, further seeds left out, in the order of the report: policies, benchmarks, unknown ones."""
    main = sorted(name for name in strategies if family_of_seed(name) is None)
    benchmarks = {name: each.label for name, each in benchmark_strategies(forecasters).items() if name in main}
    policies = {name: registry.label(name) for name in sorted(filter(_is_policy, main), key=_is_foreign)}
    known = {**policies, **benchmarks}
    return {**known, **{name: name for name in main if name not in known}}


def _strategies(
    backtests: pd.DataFrame,
    returns: pd.DataFrame,
    turnover: pd.DataFrame,
    years: IntArray,
    labels: Mapping[str, str],
) -> tuple[StrategyFigures, ...]:
    """Measure the strategies, all on the same weeks."""
    values = returns.to_numpy()
    found = metrics.performance(values, returns.columns.get_loc(EQUAL_WEIGHT))
    volatility = metrics.volatility(values)
    weights = {name: rows for name, rows in backtests.groupby("strategy") if name in returns}
    figures = []
    for position, name in enumerate(returns.columns):
        net, traded = values[:, position], turnover[name].to_numpy()
        figures.append(
            StrategyFigures(
                name=name,
                label=labels[name],
                is_policy=_is_policy(name),
                net_returns=net,
                annual_return=found.annual_return[position],
                volatility=float(volatility[position]),
                sharpe=found.sharpe[position],
                max_drawdown=metrics.max_drawdown(net),
                calmar=metrics.calmar_ratio(net),
                turnover=metrics.annual_turnover(traded),
                cost_drag=metrics.cost_drag(net, traded, RULES.cost_bps),
                excess=found.excess[position],
                yearly={int(year): float(np.prod(1.0 + net[years == year]) - 1.0) for year in np.unique(years)},
                weights=read_weights(weights[name].set_index("week_start").loc[returns.index, "weights"]),
            )
        )
    return tuple(figures)


def read_weights(texts: pd.Series) -> Weights:
    """Read weights as a backtest stores them, what was held most first, cash last."""
    table = weights_table(texts)
    symbols = table.drop(columns=CASH).mean().sort_values(ascending=False, kind="stable").index
    names = (*symbols, CASH)
    return Weights(names, table[list(names)].to_numpy())


def _policy(figures: StrategyFigures, returns: pd.DataFrame, trial_ratios: FloatArray) -> PolicyFigures:
    """Add what is asked of a policy; a further seed counts only if it traded every week of the report."""
    seeds = [name for name in returns.columns if family_of_seed(name) == figures.name and returns[name].notna().all()]
    return PolicyFigures(
        name=figures.name,
        label=figures.label,
        probabilistic_sharpe=metrics.probabilistic_sharpe_ratio(figures.net_returns),
        deflated_sharpe=metrics.deflated_sharpe_ratio(figures.net_returns, trial_ratios),
        seed_returns=returns[[figures.name, *seeds]].to_numpy(),
    )
