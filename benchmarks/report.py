"""Seconds to backtest a year with 25 assets, all strategies; seconds and size of the report of ten years."""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.allocate.allocation import strategies_of
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.backtest import backtest
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets_tests.portfolio.toy_results import Stored

N_SYMBOLS = 25
YEAR = 2020
REPEATS = 5
FIRST_DAY, END = datetime.date(2016, 1, 1), datetime.date(YEAR + 1, 1, 1)
REPORT_YEARS = range(2010, 2020)
OURS = registry.families_of()
STRATEGIES = (
    *strategies_of(OURS.policies, OURS.forecasters),
    *(f"{family}_seed_{seed}" for family in OURS.policies for seed in (1, 2)),
)


class ReportCost(NamedTuple):
    """What a user waits for and gets."""

    seconds: float
    """Of a process of its own, imports included."""

    mebibytes: float


def backtest_seconds() -> float:
    """Give the seconds of a year's backtest, all strategies; median, imports not counted."""
    market = SimulatorMarket(tuple(f"S{i:02d}" for i in range(N_SYMBOLS)))
    news = market.news_sentiment(FIRST_DAY, END, lambda titles: np.zeros(len(titles))).table
    prices = PricePanel.from_frame(market.prices(FIRST_DAY, END))
    panel = add_signals(prices, news, market.fundamentals(FIRST_DAY, END).table)
    forecasts = build_forecast_features(
        panel, range(FIRST_DAY.year, YEAR + 1), {family: Stored() for family in OURS.forecasters}
    )
    bars, cutoff_date = WeeklyPanel.from_panel(panel), cutoff_of_year(YEAR - 1)
    sources = {}
    for family, policy in OURS.policies.items():
        config = policy.Config(**policy.quick)
        weeks = training_weeks(bars, forecasts, family, cutoff_date, config)
        sources[family] = Stored(train_policy_snapshot(family, weeks, cutoff_date, config, MarketNote.of(market)))
    for family in OURS.forecasters:  # so that the rules that follow forecasts trade, too
        forecasts[f"{family}_source"] = snapshot_name(cutoff_date)
    seconds = []
    for _ in range(REPEATS + 1):  # the first imports skfolio
        started = time.perf_counter()
        backtest(panel, forecasts, [YEAR], sources)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def report_cost() -> ReportCost:
    """Make the report of ten years in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"from benchmarks.report import make_report; make_report({folder!r})"
        started = time.perf_counter()
        environment = {**os.environ, "BRAIN_MARKET": "simulator", "BRAIN_FIRST_YEAR": "2006"}
        subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL, env=environment)
        seconds = time.perf_counter() - started
        [path] = (Path(folder) / "reports").glob("*.html")
        return ReportCost(seconds, path.stat().st_size / 2**20)


def make_report(folder: str) -> None:
    """Materialize the asset on ten years of made-up results: all strategies, policies with three seeds."""
    import dagster as dg

    from brain_assets.graph.build import open_project
    from brain_assets.graph.project import build_resources
    from brain_assets.report.assets import definitions
    from brain_assets.settings import read_settings
    from brain_assets.store.tables import MemoryTableStore

    tables = MemoryTableStore()
    random = np.random.default_rng(0)
    for year in REPORT_YEARS:
        tables.write("backtest", year, _made_up_backtest(year, random))
        tables.write("walkforward_forecasts", year, _made_up_forecasts(year, random))
    resources = dict(build_resources(SimulatorMarket(), tables, Path(folder) / "models"))
    resources["snapshot_io"].storages = {family: _Snapshots() for family in OURS.by_name}
    years = {"first_year": REPORT_YEARS[0], "last_year": REPORT_YEARS[-1]}
    config = {"ops": {"report": {"config": years}}}
    [report] = definitions(open_project(read_settings())).assets
    assert dg.materialize([report], resources=resources, run_config=config).success


class _Snapshots:
    """Metadata of snapshots, and nothing else."""

    def refuse_damaged(self, cutoff_date: datetime.date) -> None:
        """Nothing is."""

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any]:  # noqa: ARG002
        return {"fingerprint": {"config": "0" * 64}}


def _mondays(year: int) -> np.ndarray:
    first = np.datetime64(f"{year}-01-01") + (7 - np.datetime64(f"{year}-01-01").astype(object).weekday()) % 7
    return (first + 7 * np.arange(52)).astype("datetime64[us]")


def _made_up_backtest(year: int, random: np.random.Generator) -> pd.DataFrame:
    """A year in which every strategy holds all symbols, always others most."""
    frames = []
    for strategy in STRATEGIES:
        weights = random.dirichlet(np.ones(N_SYMBOLS + 1), 52)
        names = (*(f"S{place:02d}" for place in range(N_SYMBOLS)), "cash")
        columns = {
            "week_start": _mondays(year),
            "strategy": strategy,
            "net_return": random.normal(0.002, 0.02, 52),
            "turnover": random.uniform(0.0, 1.0, 52),
            "weights": [json.dumps(dict(zip(names, week.tolist(), strict=True))) for week in weights],
        }
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _made_up_forecasts(year: int, random: np.random.Generator) -> pd.DataFrame:
    """Forecasts that know nothing."""
    source = snapshot_name(cutoff_of_year(year - 1))
    columns = {
        "week_start": np.repeat(_mondays(year), N_SYMBOLS),
        "symbol": [f"S{place:02d}" for place in range(N_SYMBOLS)] * 52,
        **{name: random.normal(0.0, 0.02, 52 * N_SYMBOLS) for name in (*OURS.forecasters, "momentum", "realized")},
        **{f"{family}_source": source for family in OURS.forecasters},
    }
    return pd.DataFrame(columns)
