"""What a report says of strategies, forecasts, and how models learned: tables, put together once.

Strategies are compared on the weeks that all of them traded. A backtest begins every year in cash, for all strategies
alike, so years are chained: each January has the cost of buying in. A policy that was also trained from other seeds
(``ppo_seed_1``, …) is one strategy; the seeds show how far it depends on luck in training.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from brain_assets import registry
from brain_assets.arrays import FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.forecasting.walkforward import families_in
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import years_of_weeks
from brain_assets.portfolio import metrics
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, benchmark_strategies
from brain_assets.portfolio.rules import RULES
from brain_assets.portfolio.seeds import family_of_seed
from brain_assets.portfolio.trials import Trial
from brain_assets.portfolio.weights_table import CASH, weights_table
from brain_assets.report.colors import STRATEGIES, colors_of
from brain_assets.report.forecasts import ForecastTables, measure_forecasts
from brain_assets.store.names import cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report shows; known after its last week. Figures a year have 52 weeks, returns are net."""

    market: MarketNote
    strategies: pd.DataFrame
    """By name, policies first: ``label``, ``color``, ``is_policy``, ``front`` (a policy or equal weight); figures of
    `brain_assets.portfolio.metrics`, of which ``annual_return``, ``sharpe`` and ``excess``, the annual return less
    equal weight's, have intervals; ``deflated_sharpe`` is NaN where no trial is recorded."""
    returns: pd.DataFrame
    """A row a week that all strategies traded, by its first session; a column a strategy."""
    weights: Mapping[str, pd.DataFrame]
    """What each strategy held from the first open of each week: symbols, the largest on average first, then cash."""
    seeds: Mapping[str, pd.DataFrame]
    """Weekly returns of each policy by training seed; the first is the policy that the report shows."""
    forecasts: ForecastTables
    curves: Mapping[str, pd.DataFrame]
    """How the models of each family learned, see `read_learning_curves`."""
    n_trials: int
    """Policy configurations tried, as recorded; 0: none is recorded."""
    weeks_left_out: int
    """Weeks that were traded by some strategies only."""
    block_length: int
    """Mean length, in weeks, of the blocks that strategies were resampled in."""

    @property
    def years(self) -> IntArray:
        """The year that each week belongs to, (n_weeks,)."""
        return years_of_weeks(self.returns.index.to_numpy().astype("datetime64[D]"))

    @property
    def policies(self) -> pd.DataFrame:
        """The strategies that are a policy's."""
        return self.strategies[self.strategies["is_policy"]]

    @property
    def on_top(self) -> pd.DataFrame:
        """The strategies with equal weight and then policies last, so that their lines lie on top."""
        return self.strategies.sort_values(["is_policy", "front"], kind="stable")

    @property
    def span(self) -> str:
        """The years, in words."""
        first, last = int(self.years[0]), int(self.years[-1])
        return str(first) if first == last else f"{first}-{last}"


def build_report(
    backtests: pd.DataFrame,
    forecasts: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
    trials: Sequence[Trial],
    market: MarketNote,
) -> Report:
    """Put the tables together, of `backtests` and `forecasts` of the years of the report, in any order.

    `trials` are every policy configuration tried, whatever its years. Raises `TableError` if no week was traded by all
    strategies, or none of them is equal weight.
    """
    everyone = _wide(backtests, "net_return")
    labels = _labels(everyone.columns, families_in(forecasts))
    shared = everyone[list(labels)].notna().all(axis=1)
    if EQUAL_WEIGHT not in labels or not shared.any():
        raise TableError(
            f"report: expected weeks that all strategies traded, {EQUAL_WEIGHT} among them, got none; materialize the "
            "backtests of these years again."
        )
    everyone = everyone[shared]
    returns = everyone[list(labels)]
    ratios = metrics.weekly_sharpe_ratios(trials)
    turnover = _wide(backtests, "turnover").loc[returns.index, returns.columns]
    held = {name: rows.set_index("week_start")["weights"] for name, rows in backtests.groupby("strategy")}
    return Report(
        market=market,
        strategies=_strategies(returns, turnover, labels, ratios),
        returns=returns,
        weights={name: held_weights(held[name].loc[returns.index]) for name in labels},
        seeds={name: _seeds(name, everyone) for name in labels if _is_policy(name)},
        forecasts=measure_forecasts(forecasts),
        curves=curves,
        n_trials=len(ratios),
        weeks_left_out=int((~shared).sum()),
        block_length=metrics.block_length(returns.to_numpy()) if len(returns) >= metrics.MIN_WEEKS else 1,
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
    labels = {name: registry.label(name) for name in sorted(filter(_is_policy, main), key=_is_foreign)}
    labels |= {name: each.label for name, each in benchmark_strategies(forecasters).items() if name in main}
    return labels | {name: name for name in main if name not in labels}


def _strategies(
    returns: pd.DataFrame, turnover: pd.DataFrame, labels: Mapping[str, str], trial_ratios: FloatArray
) -> pd.DataFrame:
    """Measure the strategies, all on the same weeks."""
    values = returns.to_numpy()
    each = list(zip(values.T, turnover.to_numpy().T, strict=True))
    found = metrics.performance(values, returns.columns.get_loc(EQUAL_WEIGHT))
    columns = {
        "label": list(labels.values()),
        "color": colors_of(labels, STRATEGIES),
        "is_policy": [_is_policy(name) for name in labels],
        "front": [_is_policy(name) or name == EQUAL_WEIGHT for name in labels],
        "annual_return": found.annual_return,
        "volatility": metrics.volatility(values),
        "sharpe": found.sharpe,
        "max_drawdown": [metrics.max_drawdown(net) for net, _ in each],
        "calmar": [metrics.calmar_ratio(net) for net, _ in each],
        "turnover": [metrics.annual_turnover(traded) for _, traded in each],
        "cost_drag": [metrics.cost_drag(net, traded, RULES.cost_bps) for net, traded in each],
        "probabilistic_sharpe": [metrics.probabilistic_sharpe_ratio(net) for net, _ in each],
        "deflated_sharpe": [metrics.deflated_sharpe_ratio(net, trial_ratios) for net, _ in each],
        "excess": found.excess,
    }
    return pd.DataFrame(columns, index=returns.columns)


def held_weights(texts: pd.Series) -> pd.DataFrame:
    """Read weights as a backtest stores them, what was held most first, cash last."""
    table = weights_table(texts).set_axis(texts.index)
    symbols = table.drop(columns=CASH).mean().sort_values(ascending=False, kind="stable").index
    return table[[*symbols, CASH]]


def _seeds(policy: str, returns: pd.DataFrame) -> pd.DataFrame:
    """Give a policy's returns by seed; a further seed counts only if it traded every week of the report."""
    whole = [name for name in returns if family_of_seed(name) == policy and returns[name].notna().all()]
    return returns[[policy, *whole]]


def read_learning_curves(storages: Mapping[str, SnapshotLocalStorage], years: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Read how the snapshots of some partition years learned, a point a row, by family; who did not learn has none.

    ``year``, and of forecasters ``epoch`` and ``value``, the validation loss over that of predicting zero, below 1 is
    better than nothing; of policies ``environment steps`` and ``value``, the mean reward of an episode, 100 x log
    growth.
    """
    curves: dict[str, list[pd.DataFrame]] = {}
    for family, storage in storages.items():
        for year in years:
            training = (storage.read_metadata(cutoff_of_year(year)) or {}).get("training", {})
            if not training.get("curve"):
                continue
            points = pd.DataFrame(training["curve"])
            if "epoch" in points:
                step, values = {"epoch": points["epoch"]}, points["validation"] / training["zero_validation_loss"]
            else:
                step, values = {"environment steps": points["steps"]}, points["reward"]
            curves.setdefault(family, []).append(pd.DataFrame({"year": year, **step, "value": values}))
    return {family: pd.concat(found, ignore_index=True) for family, found in curves.items()}
