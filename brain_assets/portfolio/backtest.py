"""Out-of-sample returns of strategies, all from one piece of arithmetic, after the same costs, on the same weeks."""

import datetime
import json
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.errors import TableError
from brain_assets.forecasting.walkforward import SnapshotSource, fetch_snapshots
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.policies import POLICY_FORECASTER, forecast_matrix, market_weeks, run_policies
from brain_assets.portfolio.rules import RULES
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight
from brain_assets.snapshots.names import snapshot_name

EQUAL_WEIGHT = "equal_weight"


def backtest(
    panel: PricePanel,
    forecasts: pd.DataFrame,
    years: Sequence[int],
    family: str,
    source: SnapshotSource,
    first_cutoff: datetime.date | None = None,
    on_refusal: Callable[[str], None] | None = None,
    used: list[str] | None = None,
) -> pd.DataFrame:
    """Trade some years with the policies that were finished before, beside equal weight; both start in cash.

    Parameters
    ----------
    panel : PricePanel
        Bars up to the last year.
    forecasts : DataFrame
        Walk-forward forecasts of the years.
    years : sequence of int
        A week belongs to the year of its last session.
    family : str
        Policy family.
    source : SnapshotSource
        Its snapshots. Each week is traded by the newest whose cut-off lies before its first session. Weeks before the
        first such snapshot are left out, for every strategy alike; if no week has one, equal weight stands alone.
    first_cutoff, on_refusal
        See `brain_assets.forecasting.walkforward.build_forecast_features`.
    used : list of str, optional
        The names of the snapshots that traded are added to it.

    Returns
    -------
    DataFrame
        A row a week and strategy: week_start, strategy, net_return, turnover, weights (JSON: symbol -> weight traded to
        at the week's first open, cash under ``cash``; zeros left out). Known at the week's last close.
    """
    bars = WeeklyBars.from_panel(panel)
    bars = bars.select(np.isin(bars.weeks.year, list(years)))
    choice, snapshots = fetch_snapshots(bars.weeks, source, first_cutoff, on_refusal)
    if snapshots:
        bars, choice = bars.select(choice >= 0), choice[choice >= 0]
    if len(bars.weeks) == 0:
        raise TableError(
            f"backtest: expected complete weeks in {', '.join(map(str, years))}, got none; choose other years."
        )
    weeks = market_weeks(bars, forecast_matrix(bars, forecasts, POLICY_FORECASTER[family]))
    runs = {EQUAL_WEIGHT: run_equal_weight(weeks, RULES)}
    if snapshots:
        runs[family] = run_policies(snapshots, choice, weeks)
        (used if used is not None else []).extend(snapshot_name(snapshot.cutoff_date) for snapshot in snapshots)
    tables = [_table(name, run, bars) for name, run in runs.items()]
    return pd.concat(tables).sort_values(["week_start", "strategy"], ignore_index=True)


def growth(backtests: pd.DataFrame, strategy: str) -> float:
    """Give the return of a strategy over all weeks of a backtest, after costs; NaN if it is not in there."""
    returns = backtests.loc[backtests["strategy"] == strategy, "net_return"]
    return float(np.prod(1 + returns) - 1) if len(returns) else float("nan")


def _table(name: str, run: StrategyRun, bars: WeeklyBars) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "week_start": bars.weeks.start.astype("datetime64[us]"),
            "strategy": pd.array([name] * len(bars.weeks), dtype="str"),
            "net_return": run.net_return,
            "turnover": run.turnover,
            "weights": pd.array([_weights_json(weights, bars.symbols) for weights in run.weights], dtype="str"),
        }
    )


def _weights_json(weights: FloatArray, symbols: tuple[str, ...]) -> str:
    return json.dumps({name: float(w) for name, w in zip((*symbols, "cash"), weights, strict=True) if w > 0})
