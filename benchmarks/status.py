"""Processor seconds that `brain-assets status` spends on 500 unchanged files of prices, beside one of the same rows."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

N_FILES, FIRST_YEAR, LAST_YEAR, BOOTSTRAP_YEARS = 500, 2008, 2022, 4
EVERY = 5
"""Sessions from a bar to the next: what a look costs that reads no file depends on files and years alone."""
REPEATS = 5


class Status(NamedTuple):
    """Processor seconds, medians."""

    many: float
    one: float


def measure() -> Status:
    """Time what a new process asks of files that it has seen before, once all years of prices are made from them."""
    from brain_assets.market.calendar import sessions_between

    dates = sessions_between(pd.Timestamp(FIRST_YEAR, 1, 1).date(), pd.Timestamp(LAST_YEAR + 1, 1, 1).date())[::-EVERY]
    with tempfile.TemporaryDirectory() as place:
        frames = [_bars(dates, number) for number in range(N_FILES)]
        many, one = Path(place) / "many", Path(place) / "one"
        for folder in (many, one):
            folder.mkdir()
        for number, frame in enumerate(frames):
            frame.to_csv(many / f"prices-S{number:03d}.csv", index=False)
        pd.concat(frames).to_csv(one / "prices.csv", index=False)
        return Status(_seconds(many), _seconds(one))


def _bars(dates: pd.DatetimeIndex, number: int) -> pd.DataFrame:
    close = 100.0 + number + pd.Series(range(len(dates))) % 97 / 7
    bars = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": 1000.0 + number}
    return pd.DataFrame({"date": dates, "symbol": f"S{number:03d}", **bars})


def _seconds(files: Path) -> float:
    import dagster as dg

    from brain_assets.graph.status import change, look, recorded
    from brain_assets.user_files.market import FilesMarket

    years, table = range(FIRST_YEAR + BOOTSTRAP_YEARS - 1, LAST_YEAR + 1), "raw_prices"
    memory = files.with_name(f"{files.name}.json")
    with tempfile.TemporaryDirectory() as home, dg.DagsterInstance.local_temp(home) as instance:
        found = look(FilesMarket(files, (), memory), years)
        for year in years:
            made = dg.AssetMaterialization(table, partition=str(year), metadata=recorded(found, table, year))
            instance.report_runless_asset_event(made)
        took = []
        for _ in range(REPEATS):
            started = time.process_time()
            market = FilesMarket(files, (), memory)
            market.last_complete_year()
            found = look(market, years)
            assert not any(change(found, instance, table, year) for year in years)
            took.append(time.process_time() - started)
    return statistics.median(took)
