"""`brain-assets check-files` over a folder of 500 files of fifteen years each: processor time, and peak of memory."""

import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.market.calendar import sessions_between

N_FILES = 500
FIRST_YEAR, LAST_YEAR = 2005, 2019
COMMAND = "import sys; from brain_assets.cli import main; sys.argv[0] = 'brain-assets'; main()"


class Cost(NamedTuple):
    """What the command took."""

    seconds: float
    """Of processor time, imports and all."""
    mebibytes: float
    megabytes_read: float


def make(folder: Path, n_files: int = N_FILES) -> float:
    """Write files of random walks with all the digits that a float has; gives megabytes."""
    days = sessions_between(datetime.date(FIRST_YEAR, 1, 1), datetime.date(LAST_YEAR + 1, 1, 1)).astype(str)
    rng = np.random.default_rng(0)
    for number in range(n_files):
        close = 50 * np.exp(rng.normal(0, 0.01, len(days)).cumsum())
        opening = close * np.exp(rng.normal(0, 0.003, len(days)))
        high, low = np.maximum(opening, close) * 1.005, np.minimum(opening, close) * 0.995
        volume = rng.integers(1_000, 1_000_000, len(days)).astype(float)
        prices = {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
        bars = pd.DataFrame({"date": days, "symbol": f"S{number:03d}", **prices})
        bars.to_csv(folder / f"prices_S{number:03d}.csv", index=False)
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def measure() -> Cost:
    """Run the command in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        megabytes = make(Path(name))
        environment = {**os.environ, "BRAIN_FIRST_YEAR": str(FIRST_YEAR)}
        command = [sys.executable, "-c", COMMAND, "check-files", name]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, command)
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, megabytes)


if __name__ == "__main__":
    cost = measure()
    print(f"{cost.megabytes_read:.0f} MB: {cost.seconds:.1f} s of processor time, {cost.mebibytes:.0f} MiB at most")
