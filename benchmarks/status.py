"""Processor seconds of `brain-assets status` on 500 unchanged files of prices beside one with the same rows."""

import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.commands import CLI

N_FILES, FIRST_YEAR, LAST_YEAR = 500, 2008, 2022
EVERY = 5
"""Sessions from a bar to the next: what a look costs that reads no file depends on files and years alone."""
REPEATS = 5


class Status(NamedTuple):
    """Processor seconds, medians."""

    many: float
    one: float


def measure() -> Status:
    """Time both, once all raw years are there."""
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
        return Status(_seconds_of_status(many), _seconds_of_status(one))


def _bars(dates: pd.DatetimeIndex, number: int) -> pd.DataFrame:
    close = 100.0 + number + pd.Series(range(len(dates))) % 97 / 7
    bars = {"open": close, "high": close * 1.01, "low": close / 1.01, "close": close, "volume": 1000.0 + number}
    return pd.DataFrame({"date": dates, "symbol": f"S{number:03d}", **bars})


def _seconds_of_status(files: Path) -> float:
    environment = {
        **os.environ,
        "BRAIN_MARKET": "files",
        "BRAIN_FILES_DIR": str(files),
        "BRAIN_DATA_DIR": str(files.with_name(f"data-{files.name}")),
        "BRAIN_FIRST_YEAR": str(FIRST_YEAR),
        "DAGSTER_HOME": "",
    }
    assets = "raw_prices,raw_news_sentiment,raw_fundamentals"
    _run([*CLI, "backfill", f"{FIRST_YEAR + 3}-{LAST_YEAR}", "--assets", assets], environment)
    return statistics.median(_run([*CLI, "status"], environment) for _ in range(REPEATS))


def _run(command: list[str], environment: dict[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print both, and what the files cost."""
    found = measure()
    print(f"status, {N_FILES} files unchanged: {found.many:.2f} s, one file with the same rows: {found.one:.2f} s")
    print(f"more with {N_FILES} files: {found.many - found.one:.2f} s, reach 0.2 s")


if __name__ == "__main__":
    main()
