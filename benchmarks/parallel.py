"""What a second worker process brings: a backfill with one and with two, in turn; ``python -m benchmarks.parallel``."""

import statistics
import tempfile

from benchmarks.commands import CLI, seconds

YEARS, REPEATS, JOBS = "2019-2022", 3, (1, 2)


def backfill(jobs: int) -> float:
    """Give the seconds of a backfill of the market `sample` from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"BRAIN_DATA_DIR": folder, "BRAIN_MARKET": "sample", "DAGSTER_HOME": ""}
        return seconds([*CLI, "backfill", YEARS, "--jobs", str(jobs)], environment)


def measure() -> dict[int, float]:
    """Give the median seconds by number of workers; in turn, so that a busy hour touches both."""
    taken: dict[int, list[float]] = {jobs: [] for jobs in JOBS}
    for _ in range(REPEATS):
        for jobs in JOBS:
            taken[jobs].append(backfill(jobs))
    return {jobs: statistics.median(each) for jobs, each in taken.items()}


if __name__ == "__main__":
    found = measure()
    one, two = found[1], found[2]
    print(f"backfill {YEARS}: {one:.1f} s with --jobs 1, {two:.1f} s with --jobs 2: {one / two:.2f}x")
