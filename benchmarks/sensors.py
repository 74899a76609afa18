"""Seconds of a tick of the sensor `new_data` with 200 files: nothing changed, one file changed, all new."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

N_FILES = 200
SESSIONS = 252 * 10
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


def measure() -> Ticks:
    """Time ticks on 200 files, one a symbol, of ten years each; imports and the calendar not counted."""
    import os

    os.environ.setdefault("BRAIN_MARKET", "simulator")
    import dagster as dg

    from brain_assets.definitions import defs
    from brain_assets.user_files.market import FilesMarket

    new_data = defs.get_repository_def().get_sensor_def("new_data")
    with tempfile.TemporaryDirectory() as place, dg.DagsterInstance.ephemeral() as instance:
        folder = Path(place) / "files"
        folder.mkdir()
        frames = {folder / f"prices-S{i:03d}.csv": _bars(i) for i in range(N_FILES)}
        for path, frame in frames.items():
            _write(path, frame)
        resources = {"market": FilesMarket(folder)}
        cursor = None

        def tick() -> tuple[float, int]:
            nonlocal cursor
            context = dg.build_sensor_context(instance, cursor, resources=resources, definitions=defs)
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


def _bars(number: int) -> pd.DataFrame:
    from brain_assets.market.calendar import sessions_between

    dates = sessions_between(pd.Timestamp(2016, 1, 1).date(), pd.Timestamp(2026, 1, 1).date())[:SESSIONS]
    close = 100.0 + number + pd.Series(range(len(dates))) % 97 / 7
    bars = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": 1000.0 + number}
    return pd.DataFrame({"date": dates, "symbol": f"S{number:03d}", **bars})


def _write(path: Path, frame: pd.DataFrame) -> None:
    import os

    frame.to_csv(path, index=False)
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
