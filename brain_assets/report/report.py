"""What a report says of strategies, forecasts, and how models learned: tables, put together once.

Strategies are compared on the weeks that all of them traded. Each year goes on from the end of the year before, so the
returns of years in a row are those of one portfolio. A policy that was also trained from other seeds
(``ppo_seed_1``, …) is one strategy; the seeds show how far it depends on luck in training.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from brain_assets import registry
from brain_assets.arrays import IntArray
from brain_assets.errors import TableError
from brain_assets.forecasting.average import families_in
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import week_times
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, benchmark_strategies, is_tenth
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.portfolio.seeds import family_of_seed
from brain_assets.portfolio.trials import TUNING_TRIALS, Trial
from brain_assets.portfolio.weights_table import CASH, weights_table
from brain_assets.report import metrics
from brain_assets.report.colors import STRATEGIES, colors_of
from brain_assets.report.data import Doubt
from brain_assets.report.forecasts import ForecastTables, measure_forecasts
from brain_assets.store.names import cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

MAX_LINES = 5
"""Lines that a chart shows at first: more are read by nobody."""


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that a report shows; known after its last week. Figures a year have 52 weeks, returns are net."""

    market: MarketNote
    strategies: pd.DataFrame
    """By name, policies first: ``label``, ``color``, ``is_policy``, ``front`` (a policy or equal weight), ``shown``
    (among the first `MAX_LINES`), and the figures of `metrics.measure`."""
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
    """Configurations tried, those recorded and those of tuning; 0: none is recorded."""
    n_tuned: int
    """Of them, those that chose the defaults of the families of the report, `TUNING_TRIALS`."""
    weeks_left_out: int
    """Weeks that were traded by some strategies only."""
    block_length: int
    """Mean length, in weeks, of the blocks that strategies were resampled in."""
    doubts: Sequence[Doubt] | None = None
    """What checks of the raw tables warn of, by year; None: nobody asked."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where it comes from: name -> words."""

    @property
    def ends(self) -> pd.DatetimeIndex:
        """The last session of each week, whose month and year it belongs to, (n_weeks,)."""
        return pd.DatetimeIndex(week_times(self.returns.index.to_numpy().astype("datetime64[D]"))[2])

    @property
    def years(self) -> IntArray:
        """The year that each week belongs to, (n_weeks,)."""
        return self.ends.year.to_numpy()

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
    doubts: Sequence[Doubt] | None = None,
) -> Report:
    """Put the tables together, of `backtests` and `forecasts` of the years of the report, in any order.

    `trials` are every policy configuration recorded, whatever its years. A top tenth, which years with few symbols
    lack, costs the others no week: it is left out unless it traded all of theirs. Raises `TableError` if no week was
    traded by all others, or none of them is equal weight.
    """
    everyone = _wide(backtests, "net_return")
    labels = _labels(everyone.columns, families_in(forecasts))
    shared = everyone[[name for name in labels if not is_tenth(name)]].notna().all(axis=1)
    if EQUAL_WEIGHT not in labels or not shared.any():
        raise TableError(
            f"report: expected weeks that all strategies traded, {EQUAL_WEIGHT} among them, got none; materialize the "
            "backtests of these years again."
        )
    everyone = everyone[shared].dropna(axis="columns")  # seeds and top tenths that were not there in all weeks
    labels = {name: label for name, label in labels.items() if name in everyone}
    returns = everyone[list(labels)]
    ratios = metrics.weekly_sharpe_ratios(trials)
    families = {*labels, *families_in(forecasts)}
    n_tuned = sum(count for family, count in TUNING_TRIALS.items() if family in families)
    turnover = _wide(backtests, "turnover").loc[returns.index, returns.columns]
    held = {name: rows.set_index("week_start")["weights"] for name, rows in backtests.groupby("strategy")}
    is_policy = {name: _is_policy(name) for name in labels}
    front = {name: is_policy[name] or name == EQUAL_WEIGHT for name in labels}
    look = {"label": labels, "color": colors_of(labels, STRATEGIES), "is_policy": is_policy, "front": front}
    look["shown"] = {name: number < MAX_LINES for number, name in enumerate(labels)}
    return Report(
        market=market,
        strategies=pd.DataFrame(look, index=returns.columns).join(
            metrics.measure(returns, turnover, EQUAL_WEIGHT, CONSTRAINTS, ratios, len(ratios) + n_tuned)
        ),
        returns=returns,
        weights={name: held_weights(held[name].loc[returns.index]) for name in labels},
        seeds={name: _seeds(name, everyone) for name in labels if _is_policy(name)},
        forecasts=measure_forecasts(forecasts),
        curves=curves,
        n_trials=len(ratios) + n_tuned if len(ratios) else 0,
        n_tuned=n_tuned,
        weeks_left_out=int((~shared).sum()),
        block_length=metrics.block_length(returns.to_numpy()),
        doubts=doubts,
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


def held_weights(texts: pd.Series) -> pd.DataFrame:
    """Read weights as a backtest stores them, what was held most first, cash last."""
    table = weights_table(texts).set_axis(texts.index)
    symbols = table.drop(columns=CASH).mean().sort_values(ascending=False, kind="stable").index
    return table[[*symbols, CASH]]


def _seeds(policy: str, returns: pd.DataFrame) -> pd.DataFrame:
    """Give a policy's returns by seed."""
    return returns[[policy, *(name for name in returns if family_of_seed(name) == policy)]]


def read_learning_curves(storages: Mapping[str, SnapshotLocalStorage], years: Sequence[int]) -> dict[str, pd.DataFrame]:
    """Read how the snapshots of some partition years learned, a point a row, by family; who did not learn has none.

    The first column is ``epoch``, of forecasters, or ``environment steps``, of policies; then ``value``, the validation
    loss over that of predicting zero (below 1 is better than nothing), or the mean reward of an episode, 100 x log
    growth less equal weight's; and ``year``.
    """
    curves: dict[str, list[pd.DataFrame]] = {}
    for (family, storage), year in itertools.product(storages.items(), years):
        training = (storage.read_metadata(cutoff_of_year(year)) or {}).get("training", {})
        if not training.get("curve"):
            continue
        points = pd.DataFrame(training["curve"])
        if "epoch" in points:
            points = points[["epoch"]].assign(value=points["validation"] / training["zero_validation_loss"])
        else:  # a file has its keys in the order of the alphabet
            points = points[["steps", "reward"]].set_axis(["environment steps", "value"], axis=1)
        curves.setdefault(family, []).append(points.assign(year=year))
    return {family: pd.concat(found, ignore_index=True) for family, found in curves.items()}
