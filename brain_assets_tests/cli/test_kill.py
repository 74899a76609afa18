"""kill -9 in the middle of a backfill: nothing half counts as done, and nothing complete is done again."""

import contextlib
import random
import subprocess
import time

import dagster as dg
import pytest

from brain_assets_tests.backfills import (
    YEARS,
    assert_nothing_half,
    contents,
    identities,
    in_own_process,
    outcomes,
    paths_in,
    start,
    weights,
)

POINTS = 20
"""Of which each has its own part of what a run writes."""


def kill_at(share, delay, data, finished):
    """Kill a backfill once it has written its share of all paths, and some seconds more; tell whether it still ran.

    Counted in what it wrote and not in seconds: how fast a machine is changes from one run to the next.
    """
    wanted = share * paths_in(finished.data_dir)
    process = start(data, "backfill", f"{YEARS[0]}-{YEARS[-1]}", "--config", str(finished.config))
    while process.poll() is None and paths_in(data) < wanted:
        time.sleep(0.005)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=delay)
    running = process.poll() is None
    process.kill()
    process.wait()
    return running


def complete(data, finished):
    """Run to the end, without training again what is there; every result is as if nothing had happened."""
    before = identities(weights(data))
    run = in_own_process(data, "backfill", f"{YEARS[0]}-{YEARS[-1]}", "--config", str(finished.config))
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(outcomes(run.stdout)) == len(outcomes(finished.output))
    after = identities(weights(data))
    assert {name: after[name] for name in before} == before
    assert contents(weights(data)) == contents(weights(finished.data_dir))
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
        assert instance.get_runs(filters=unfinished) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", [pytest.param(point, marks=[pytest.mark.claim] * (point % 4 > 0)) for point in range(POINTS)]
)
def test_killed_at_a_random_point(finished, tmp_path, point):
    chance = random.Random(point)
    share, delay = (point + chance.random()) / POINTS, chance.uniform(0, 0.2)
    data = tmp_path / "data"
    killed = kill_at(share, delay, data, finished)
    assert killed or point >= POINTS - 2  # near the end it may be faster than we are
    assert_nothing_half(data)
    complete(data, finished)
