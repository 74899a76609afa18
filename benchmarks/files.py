"""What it costs to look at many files: a tick of the sensor `new_data`, and `brain-assets status`.

The first in seconds, on 200 files of ten years: nothing changed, one file changed, all new. The second in processor
seconds, on 500 unchanged files of prices, beside one file of the same rows.
"""

import datetime
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

N_FILES, DAYS = 200, (datetime.date(2016, 1, 1), datetime.date(2026, 1, 1))
N_STATUS_FILES, FIRST_YEAR, LAST_YEAR, BOOTSTRAP_YEARS = 500, 2008, 2022, 4
EVERY = 5
"""Sessions from a bar to the next: what a look costs that reads no file depends on files and years alone."""
REPEATS = 5


class Ticks(NamedTuple):
    """Seconds."""

    unchanged: float
    """The median."""
    one_changed: float
    """Its rows too, in one year; the median."""
    first: float
    """All files are new; in how many ticks stands beside it."""
    n_first: int


def ticks() -> Ticks:
    """Time ticks on 200 files, one a symbol, of ten years each; imports and the calendar not counted."""
    import dagster as dg

    from brain_assets.graph.build import open_project
    from brain_assets.market.calendar import sessions_between
    from brain_assets.settings import read_settings

    with tempfile.TemporaryDirectory() as place, dg.DagsterInstance.ephemeral() as instance:
        folder = Path(place) / "files"
        folder.mkdir()
        dates = sessions_between(*DAYS)
        frames = {folder / f"prices-S{i:03d}.csv": _bars(dates, i) for i in range(N_FILES)}
        for path, frame in frames.items():
            _write(path, frame)
        settings = read_settings(market="files", files_dir=str(folder), data_dir=f"{place}/data")
        definitions = open_project(settings).definitions
        new_data = definitions.get_repository_def().get_sensor_def("new_data")
        cursor = None

        def tick() -> tuple[float, int]:
            nonlocal cursor
            context = dg.build_sensor_context(instance, cursor, definitions=definitions)
            started = time.perf_counter()
            result = new_data(context)
            seconds = time.perf_counter() - started
            cursor, prices = result.cursor, dg.AssetKey("raw_prices")
            return seconds, sum(prices in request.asset_selection for request in result.run_requests or ())

        seconds, n_requests = tick()
        n_first = 1
        while n_requests == 0:
            more, n_requests = tick()
            seconds, n_first = max(seconds, more), n_first + 1
        unchanged = [tick()[0] for _ in range(REPEATS)]
        changed = []
        for repeat in range(REPEATS):
            path, frame = list(frames.items())[repeat]
            frame.loc[300, ["high", "close"]] *= 1.01
            _write(path, frame)
            took, n_requests = tick()
            assert n_requests == 1
            changed.append(took)
        return Ticks(statistics.median(unchanged), statistics.median(changed), seconds, n_first)


class Status(NamedTuple):
    """Processor seconds, medians."""

    many: float
    one: float


def status() -> Status:
    """Time what a new process asks of files that it has seen before, once all years of prices are made from them."""
    from brain_assets.market.calendar import sessions_between

    dates = sessions_between(pd.Timestamp(FIRST_YEAR, 1, 1).date(), pd.Timestamp(LAST_YEAR + 1, 1, 1).date())[::-EVERY]
    with tempfile.TemporaryDirectory() as place:
        frames = [_bars(dates, number) for number in range(N_STATUS_FILES)]
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


def _write(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
