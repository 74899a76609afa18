"""Out-of-sample returns of strategies, all from one piece of arithmetic, after the same costs, on the same weeks."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, FloatArray, IntArray
from brain_assets.errors import SnapshotError, TableError
from brain_assets.forecasting.average import families_in
from brain_assets.forecasting.walkforward import SnapshotSource, fetch_snapshots, forecast_weeks
from brain_assets.formatting import CheckResult, listed
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel, past_weekly_returns
from brain_assets.portfolio import baselines
from brain_assets.portfolio.arithmetic import CONSTRAINTS, PortfolioConstraints, stands_beside
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.dataset import PolicyDataset, forecast_matrix, market_weeks, require_forecaster
from brain_assets.portfolio.policy import followed_by, run_policies
from brain_assets.portfolio.strategy import (
    CASH,
    StrategyRun,
    break_even_cost,
    gross_return,
    run_strategy,
    sharpe_ratio,
    weights_table,
    write_weights,
)
from brain_assets.store.names import snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot

ROUNDING = 1e-9  # by which a weight may exceed its bound


class BacktestResult(NamedTuple):
    """What strategies earned, and which snapshots traded."""

    table: pd.DataFrame
    """A row a week and strategy: week_start, strategy, net_return, turnover, weights (JSON: symbol -> weight traded to
    at the week's first open, cash under ``cash``; zeros left out). Known at the week's last close."""
    used: Mapping[str, tuple[str, ...]]
    """Policy family -> names of the snapshots that traded, oldest first; none: the family is not in the table."""
    latest: Mapping[str, ModelSnapshot]
    """Policy family -> the newest snapshot that traded."""


class _Traders(NamedTuple):
    choice: IntArray  # position in the snapshots of a family of the one that trades each week; -1: none
    snapshots: list[ModelSnapshot]


def backtest(
    panel: PricePanel,
    forecasts: pd.DataFrame,
    years: Sequence[int],
    sources: Mapping[str, SnapshotSource],
    first_cutoff: datetime.date | None = None,
    on_refusal: Callable[[str], None] | None = None,
    other_seeds: Mapping[str, Mapping[int, SnapshotSource]] | None = None,
    before: pd.DataFrame | None = None,
) -> BacktestResult:
    """Trade some years with the policies that were finished before, beside rules without learning.

    All trade the same weeks, and the same symbols in each: those with a bar, momentum, volatility and a forecast of
    every forecaster at decision time. Weeks in which a family that has snapshots does not have one yet are left out for
    all; so are weeks that a forecaster that has forecasts of its own leaves to momentum. A family without any snapshot
    in these years is left out itself, and costs the others no week; so is a rule whose forecaster has no forecast of
    its own, or a top tenth of too few symbols. Where no policy trades there is nothing to compare: only equal weight is
    there.

    Arguments are as in `build_forecast_features`; `sources` and `other_seeds` are of policies, the latter by the number
    of a seed, each a strategy of its own, left out unless it has a training beside each snapshot that trades. `before`
    is the table of the weeks before: a strategy goes on with what it held at their end, a new one starts in cash.
    Raises `TableError` if the years have no complete week, or forecasts or prices of what is followed or held lack.
    """
    bars = WeeklyPanel.from_panel(panel)
    held = {} if before is None else _held_after(before, bars)
    bars = bars.select(np.isin(bars.weeks.year, list(years)))
    traders = {
        family: _Traders(*fetch_snapshots(bars.weeks, source, first_cutoff, on_refusal))
        for family, source in sources.items()
    }
    traders = {family: each for family, each in traders.items() if each.snapshots}
    for each in traders.values():
        for snapshot in each.snapshots:
            require_forecaster(forecasts, followed_by(snapshot))
    has_model = {  # none in a year of the bootstrap window
        family: np.isin(bars.weeks.start, forecast_weeks(forecasts, family)) for family in families_in(forecasts)
    }
    can_trade = [
        *(each.choice >= 0 for each in traders.values()),
        *(weeks for weeks in has_model.values() if weeks.any()),
    ]
    keep = np.logical_and.reduce(can_trade) if can_trade else np.ones(len(bars.weeks), dtype=np.bool_)
    bars, traders = bars.select(keep), {name: each._replace(choice=each.choice[keep]) for name, each in traders.items()}
    if len(bars.weeks) == 0:
        raise TableError(
            f"backtest: expected complete weeks in {', '.join(map(str, years))}, got none; choose other years."
        )
    by_forecaster = {family: market_weeks(bars, forecast_matrix(bars, forecasts, family)) for family in has_model}
    available = np.logical_and.reduce([each.available for each in by_forecaster.values()])
    by_forecaster = {family: replace(each, available=available) for family, each in by_forecaster.items()}
    past_returns = past_weekly_returns(panel, bars.weeks)
    policies = {**traders, **_other_seeds(traders, other_seeds or {})}
    many = available[0].sum() >= baselines.ENOUGH_FOR_TENTHS  # of the first week: no later one decides what trades then
    rules = {
        name: baseline
        for name, baseline in baselines.benchmark_strategies(has_model).items()
        if name == EQUAL_WEIGHT
        or (
            policies
            and (baseline.forecaster is None or has_model[baseline.forecaster].any())
            and (many or not baselines.is_tenth(name))
        )
    }
    tables: list[pd.DataFrame] = []
    for rows, assets in _universes(available, np.any([each[:-1] > 0.0 for each in held.values()], axis=0)):
        part = {family: each.select(rows).select_assets(assets) for family, each in by_forecaster.items()}
        weeks = next(iter(part.values()))
        forecast = {forecaster: each.forecast for forecaster, each in part.items()}
        known = baselines.BaselineInputs(weeks, forecast, past_returns[rows][:, :, assets])
        columns = [*assets, -1]  # in the arrays of all assets, cash last
        start = {name: each[columns] for name, each in held.items()}
        runs = {
            name: run_strategy(weeks, CONSTRAINTS, baseline.rule(known, CONSTRAINTS), start.get(name))
            for name, baseline in rules.items()
        }
        for name, (choice, snapshots) in policies.items():
            followed = [part[followed_by(snapshot)] for snapshot in snapshots]
            runs[name] = run_policies(snapshots, choice[rows], followed, start.get(name))
        tables += [_table(name, run, weeks) for name, run in runs.items()]
        for name, run in runs.items():
            held[name] = np.zeros(len(bars.symbols) + 1)
            held[name][columns] = run.held
    used = {
        family: tuple(snapshot_name(snapshots[position].cutoff_date) for position in np.unique(choice))
        for family, (choice, snapshots) in traders.items()
    }
    latest = {family: snapshots[choice.max()] for family, (choice, snapshots) in traders.items()}
    table = pd.concat(tables).sort_values(["week_start", "strategy"], ignore_index=True)
    return BacktestResult(table, {family: used.get(family, ()) for family in sources}, latest)


def _other_seeds(
    traders: Mapping[str, _Traders], other_seeds: Mapping[str, Mapping[int, SnapshotSource]]
) -> dict[str, _Traders]:
    """Give a strategy for each other seed of a family that can trade."""
    return {
        baselines.seed_strategy(family, number): each._replace(snapshots=snapshots)
        for family, each in traders.items()
        for number, source in other_seeds.get(family, {}).items()
        if (snapshots := _seed_snapshots(each, source, number))
    }


def _seed_snapshots(main: _Traders, source: SnapshotSource, number: int) -> list[ModelSnapshot] | None:
    """Give the trainings with the seed of a number beside each policy that trades; None: not each has one like it."""
    here = source.list_candidates([snapshot.cutoff_date for snapshot in main.snapshots])
    found = list(main.snapshots)
    for position in set(main.choice.tolist()):
        policy = main.snapshots[position]
        if policy.cutoff_date not in here:
            return None
        try:
            found[position] = source.fetch_snapshot(policy.cutoff_date)
        except SnapshotError:
            return None
        fingerprint = found[position].metadata["fingerprint"]
        if not stands_beside(policy.metadata["fingerprint"], policy.config, number, fingerprint):
            return None
    return found


def _held_after(before: pd.DataFrame, bars: WeeklyPanel) -> dict[str, FloatArray]:
    """Give what strategies held at the close of the last week of a backtest, (n_assets + 1,); grown as in `step`."""
    last = before[before["week_start"] == before["week_start"].max()]
    day = last["week_start"].iloc[0]
    traded = weights_table(last["weights"])
    at = np.flatnonzero(bars.weeks.start == np.datetime64(day, "D"))
    known = [*bars.symbols, CASH] if len(at) else [CASH]
    if unknown := [name for name in traded if name not in known]:
        raise TableError(
            f"backtest: expected prices of what was held after the week of {day:%Y-%m-%d}, got none of "
            f"{', '.join(unknown)}; make the year before again."
        )
    growth = pd.Series([*np.append(1.0 + bars.return_ffill[at[0]], 1.0)], known)
    # only what was held is summed up: the last digits must not tell of symbols that are listed later
    grown = traded * growth[traded.columns]
    held = grown.div(grown.sum(axis=1), axis=0).reindex(columns=known, fill_value=0.0)
    return dict(zip(last["strategy"], held.to_numpy(), strict=True))


def _universes(available: BoolArray, held: BoolArray) -> list[tuple[slice, IntArray]]:
    """Cut weeks where an asset is available for the first time, and give the positions of assets that were by then.

    Those that are `held` at the start, (n_assets,), are there from the first week on, to be sold if need be. One that
    is listed later is not in the arrays: sums over longer rows round otherwise, and the last digits of a week would
    tell how many symbols are listed after it.
    """
    seen = np.logical_or.accumulate(np.vstack([available[:1] | held, available[1:]]), axis=0)
    cuts = [0, *(np.flatnonzero((seen[1:] != seen[:-1]).any(axis=1)) + 1).tolist(), len(seen)]
    seen[~seen.any(axis=1), 0] = True  # there must be one
    return [(slice(start, end), np.flatnonzero(seen[start])) for start, end in pairwise(cuts)]


def _table(name: str, run: StrategyRun, weeks: PolicyDataset) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "week_start": weeks.week_start.astype("datetime64[us]"),
            "strategy": pd.array([name] * len(weeks), dtype="str"),
            "net_return": run.net_return,
            "turnover": run.turnover,
            "weights": pd.array([write_weights(weights, weeks.symbols) for weights in run.weights], dtype="str"),
        }
    )


def growth(backtests: pd.DataFrame, strategy: str) -> float:
    """Give the return of a strategy over all weeks of a backtest, after costs; NaN if it is not in there."""
    returns = backtests.loc[backtests["strategy"] == strategy, "net_return"]
    return float(np.prod(1 + returns) - 1) if len(returns) else float("nan")


def compare(backtests: pd.DataFrame) -> pd.DataFrame:
    """Compare strategies over the weeks of a backtest, which all of them traded; a row a strategy, by name.

    ``net_return`` over all weeks, after costs; ``active_return``, the same less equal weight's; ``break_even``, see
    `break_even_cost`; ``sharpe_ratio``, a year; ``mean_turnover``, a week.
    """
    wide = backtests.pivot(index="week_start", columns="strategy", values=["net_return", "turnover"])
    net, turnover = wide["net_return"].to_numpy(), wide["turnover"].to_numpy()
    names, gross = wide["net_return"].columns, gross_return(net, turnover, CONSTRAINTS)
    place = int(names.get_loc(EQUAL_WEIGHT))
    grown = np.prod(1.0 + net, axis=0)
    columns = {
        "net_return": grown - 1.0,
        "active_return": grown - grown[place],
        "break_even": break_even_cost(gross, turnover, place),
        "sharpe_ratio": sharpe_ratio(net),
        "mean_turnover": turnover.mean(axis=0),
    }
    return pd.DataFrame(columns, index=names)


def weights_verdict(
    weights: FloatArray, rules: PortfolioConstraints, max_weight: FloatArray | None = None
) -> CheckResult:
    """Check weights traded to, (n, n_assets + 1), against the trading rules; `max_weight`: (n,), if others."""
    assets, cash = weights[:, :-1], weights[:, -1]
    bound = rules.max_weight if max_weight is None else max_weight
    broken = {
        "are not finite": ~np.isfinite(weights).all(axis=1),
        "do not add up to 1": np.abs(weights.sum(axis=1) - 1) > ROUNDING,
        "are short": (weights < -ROUNDING).any(axis=1),
        f"hold more than {rules.max_weight:.0%} of one symbol": assets.max(axis=1, initial=0.0) > bound + ROUNDING,
        f"hold less than {rules.min_cash:.0%} of cash": cash < rules.min_cash - ROUNDING,
    }
    named = [f"{int(rows.sum())} {rule}" for rule, rows in broken.items() if rows.any()]
    expected = f"expected weights that keep the rules, got {listed(named)} of {len(weights)}; do not use them."
    return CheckResult(not named, expected if named else f"{len(weights):,} sets of weights keep the trading rules")


def backtest_weights_verdict(table: pd.DataFrame, rules: PortfolioConstraints) -> CheckResult:
    """Check the weights of a backtest; `is_top` may hold the same of so few that each exceeds the cap on one asset."""
    weights = weights_table(table["weights"]).to_numpy()
    alike = table["strategy"].map(baselines.is_top).to_numpy() / np.maximum((weights[:, :-1] > 0.0).sum(axis=1), 1)
    return weights_verdict(weights, rules, np.maximum(rules.max_weight, alike))


def beats_equal_weight(table: pd.DataFrame) -> CheckResult:
    """Compare the return of each policy in a backtest with that of equal weight, on the same weeks, after costs."""
    equal = growth(table, EQUAL_WEIGHT)
    names = sorted(set(table["strategy"]))
    trained = [name for name in names if not baselines.is_benchmark(name) and baselines.family_of_seed(name) is None]
    policies = {name: growth(table, name) for name in trained}
    if not policies:
        return CheckResult(True, "no policy was finished before these weeks")
    words = ", ".join(f"{family} {value:+.1%}" for family, value in policies.items())
    return CheckResult(min(policies.values()) > equal, f"{words}; equal weight {equal:+.1%}")
