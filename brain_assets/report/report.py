"""What a report says of strategies and forecasts: tables, put together once.

Strategies are compared on the weeks that all of them traded. Each year goes on from the end of the year before, so the
returns of years in a row are those of one portfolio. A policy that was also trained from other seeds
(``ppo_seed_1``, …) is one strategy; the seeds show how far it depends on luck in training.
"""

from __future__ import annotations

import colorsys
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.errors import TableError
from brain_assets.forecasting.average import families_in
from brain_assets.forecasting.metrics import MIN_SYMBOLS, Skill, mean_skill
from brain_assets.forecasting.walkforward import MOMENTUM, YARDSTICKS, column_label, forecast_weeks, weekly_correlations
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import week_times, years_of_weeks
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, benchmark_strategies, family_of_seed, is_tenth
from brain_assets.portfolio.strategy import CASH, TUNING_TRIALS, Trial, weekly_sharpe_ratios, weights_table
from brain_assets.registry import AVERAGE
from brain_assets.report import metrics

MAX_LINES = 5
"""Lines that a chart shows at first: more are read by nobody."""

GRAY, BLACK = "#8a8a8a", "#222222"

STRATEGIES: Mapping[str, str] = {
    "ppo": "#0072B2",
    "sac": "#D55E00",
    "direct": "#882255",
    EQUAL_WEIGHT: BLACK,
    "buy_and_hold": GRAY,
    "risk_parity": "#009E73",
    "min_variance": "#56B4E9",
    "momentum_top": "#CC79A7",
    "past_year_top": "#AA4499",
    "reversal_top": "#C9A227",
    "lstm_top": "#E69F00",
    "patchtst_top": "#8C6D1F",
    "ridge_top": "#4B4B9F",
    "boosting_top": "#7FB800",
}
"""Their colours, after Okabe & Ito (2008): told apart by the colour-blind too; dashes tell the rest apart."""

FORECASTERS: Mapping[str, str] = {
    "lstm": "#0072B2",
    "patchtst": "#D55E00",
    "ridge": "#009E73",
    "boosting": "#CC79A7",
    AVERAGE: "#E69F00",
    MOMENTUM: GRAY,
}


class Doubt(NamedTuple):
    """What a check of a year of a raw table warns of, or how many members of the universe it has."""

    year: int
    table: str
    check: str
    words: str


class ForecastTables(NamedTuple):
    """What forecasters' own forecasts were worth, yardsticks last; what momentum stood in for does not count."""

    skill: pd.DataFrame
    """By name: ``label``, ``color``, ``n_weeks`` that have a rank correlation, ``rank_correlation`` (Spearman's, their
    mean), its ``t_statistic`` and ``smallest_detectable``."""
    by_year: Mapping[str, pd.DataFrame]
    """Of each, by year: ``value``, ``low`` and ``high`` of the year's mean rank correlation."""
    deciles: Mapping[str, pd.DataFrame]
    """Of each but yardsticks, by decile of each week's forecasts, 1 the lowest: ``forecast``, and ``value``,
    ``low`` and ``high`` of what was realized; means of a week's returns less their week's mean."""


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
    n_trials: int
    """Configurations tried, recorded ones and the `n_tuned` that chose the families' defaults; 0: none is recorded."""
    n_tuned: int
    weeks_left_out: int
    """Weeks that some strategies only traded."""
    block_length: int
    """Mean length, in weeks, of the blocks that strategies were resampled in."""
    doubts: Sequence[Doubt] | None = None
    """What checks of the raw tables warn of, by year; None: nobody asked."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Where it comes from: name -> words."""

    @property
    def ends(self) -> pd.DatetimeIndex:
        """The last session of each week, whose month and year it belongs to."""
        return pd.DatetimeIndex(week_times(self.returns.index.to_numpy().astype("datetime64[D]"))[2])

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
        first, last = self.ends[0].year, self.ends[-1].year
        return str(first) if first == last else f"{first}-{last}"


def build_report(
    backtests: pd.DataFrame, forecasts: pd.DataFrame, trials: Sequence[Trial], market: MarketNote
) -> Report:
    """Put the tables together, of `backtests` and `forecasts` of the years of the report, in any order.

    `trials` are every policy configuration recorded, whatever its years. A top tenth, which years with few symbols
    lack, costs the others no week: it is left out unless it traded all of theirs. Raises `TableError` if no week was
    traded by all others, or none of them is equal weight.
    """
    wide = backtests.pivot(index="week_start", columns="strategy", values=["net_return", "turnover", "weights"])
    everyone = wide["net_return"].astype("float64")
    forecasters = families_in(forecasts)
    labels = _labels(everyone.columns, forecasters)
    shared = everyone[[name for name in labels if not is_tenth(name)]].notna().all(axis=1)
    if EQUAL_WEIGHT not in labels or not shared.any():
        raise TableError(
            f"report: expected weeks that all strategies traded, {EQUAL_WEIGHT} among them, got none; materialize the "
            "backtests of these years again."
        )
    everyone = everyone[shared].dropna(axis="columns")  # seeds and top tenths that were not there in all weeks
    labels = {name: label for name, label in labels.items() if name in everyone}
    returns = everyone[list(labels)]
    turnover = wide["turnover"].astype("float64").loc[returns.index, returns.columns]
    ratios = weekly_sharpe_ratios(trials)
    n_tuned = sum(count for family, count in TUNING_TRIALS.items() if family in (*labels, *forecasters))
    looks = pd.DataFrame({"label": labels, "color": colors_of(labels, STRATEGIES)}, returns.columns)
    looks["is_policy"] = [_is_policy(name) for name in labels]
    looks["front"] = looks["is_policy"] | (looks.index == EQUAL_WEIGHT)
    looks["shown"] = np.arange(len(looks)) < MAX_LINES
    return Report(
        market=market,
        strategies=looks.join(metrics.measure(returns, turnover, EQUAL_WEIGHT, CONSTRAINTS, ratios, n_tuned)),
        returns=returns,
        weights={name: held_weights(wide["weights"].loc[returns.index, name]) for name in labels},
        seeds={
            name: everyone[[name, *(other for other in everyone if family_of_seed(other) == name)]]
            for name in looks.index[looks["is_policy"]]
        },
        forecasts=measure_forecasts(forecasts),
        n_trials=len(ratios) + n_tuned if len(ratios) else 0,
        n_tuned=n_tuned,
        weeks_left_out=int((~shared).sum()),
        block_length=metrics.block_length(returns.to_numpy()),
    )


def colors_of(names: Collection[str], ours: Mapping[str, str]) -> list[str]:
    """Give each name its colour, which for one that is not ours follows from the name alone."""
    found = []
    for name in names:
        number = zlib.crc32(name.encode())
        parts = colorsys.hls_to_rgb(number % 65_536 / 65_536, 0.3 + 0.15 * (number % 3), 0.6)
        found.append(ours.get(name) or "#" + "".join(f"{round(255 * part):02x}" for part in parts))
    return found


def _is_policy(name: str) -> bool:
    return name in registry.names() and registry.get(name).role == "policy"


def _labels(strategies: Iterable[str], forecasters: Iterable[str]) -> dict[str, str]:
    """Label strategies, further seeds left out, in the order of the report: policies, benchmarks, unknown ones."""
    main = sorted(name for name in strategies if family_of_seed(name) is None)
    policies = sorted(
        filter(_is_policy, main), key=lambda name: type(registry.get(name)).__module__ not in registry.OURS
    )
    labels = {name: registry.label(name) for name in policies}
    labels |= {name: each.label for name, each in benchmark_strategies(forecasters).items() if name in main}
    return labels | {name: name for name in main if name not in labels}


def held_weights(texts: pd.Series) -> pd.DataFrame:
    """Read weights as a backtest stores them, what was held most first, cash last."""
    table = weights_table(texts).set_axis(texts.index)
    symbols = table.drop(columns=CASH).mean().sort_values(ascending=False, kind="stable").index
    return table[[*symbols, CASH]]


def measure_forecasts(forecasts: pd.DataFrame) -> ForecastTables:
    """Measure forecasters and yardsticks on the weeks that a model forecast; where none did, yardsticks alone on all.

    A forecaster that never had a model is left out; the tables are empty if there are no forecasts.
    """
    if forecasts.empty:
        return ForecastTables(pd.DataFrame(columns=["label", *Skill._fields]), {}, {})
    weekly = weekly_correlations(forecasts)
    models = [name for name in weekly if name not in YARDSTICKS]
    years = weekly.groupby(years_of_weeks(weekly.index.to_numpy().astype("datetime64[D]")))
    by_year = pd.concat({year: metrics.mean_estimates(rows) for year, rows in years})
    skill = pd.DataFrame([mean_skill(weekly[name].to_numpy()) for name in weekly], weekly.columns)
    estimates = [metrics.Estimate(*row) for row in metrics.mean_estimates(weekly).to_numpy()]
    labels, colors = map(column_label, weekly), colors_of(weekly.columns, FORECASTERS)
    return ForecastTables(
        skill=skill.assign(label=list(labels), color=colors, rank_correlation=estimates),
        by_year={name: by_year.xs(name, level=1).dropna(subset="value") for name in weekly},
        deciles={name: found for name in models if len(found := _deciles(forecasts, name))},
    )


def _deciles(forecasts: pd.DataFrame, family: str) -> pd.DataFrame:
    """Group the symbols of each week by forecast, and see what each group earned; ties go to the earlier symbol."""
    rows = forecasts.sort_values(["week_start", "symbol"], ignore_index=True)
    known = np.isfinite(rows[[family, "realized"]]).all(axis=1)
    rows = rows[known & rows["week_start"].isin(forecast_weeks(forecasts, family))]
    rows = rows[rows.groupby("week_start")["symbol"].transform("size") >= MIN_SYMBOLS]
    if rows.empty:
        return pd.DataFrame()
    by_week = rows.groupby("week_start")
    place = by_week[family].rank(method="first").astype(int) - 1
    decile = place * 10 // by_week["symbol"].transform("size") + 1
    centred = rows[[family, "realized"]] - by_week[[family, "realized"]].transform("mean")
    earned = centred["realized"].groupby([rows["week_start"], decile.rename("decile")]).mean().unstack()
    return metrics.mean_estimates(earned).assign(forecast=centred[family].groupby(decile).mean())
