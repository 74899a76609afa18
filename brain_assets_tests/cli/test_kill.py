"""kill -9 in the middle of a backfill: nothing half counts as done, and nothing complete is done again."""

import random
import shutil
import subprocess
import time

import dagster as dg
import pytest

from brain_assets_tests.backfills import (
    YEARS,
    assert_nothing_half,
    brain_assets,
    contents,
    identities,
    outcomes,
    start,
    weights,
)

POINTS = 20
"""Of which each has its own part of the run's time."""


def kill_after(seconds, data, finished):
    """Kill a backfill; tell whether it was still running."""
    process = start(data, "backfill", f"{YEARS[0]}-{YEARS[-1]}", "--config", str(finished.config))
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def complete(data, finished):
    """Run to the end, without training again what is there; every result is as if nothing had happened."""
    before = identities(weights(data))
    run = brain_assets(data, "backfill", f"{YEARS[0]}-{YEARS[-1]}", "--config", str(finished.config))
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(outcomes(run.stdout)) == len(outcomes(finished.output))
    after = identities(weights(data))
    assert {name: after[name] for name in before} == before
    assert contents(weights(data)) == contents(weights(finished.data_dir))
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
        assert instance.get_runs(filters=unfinished) == []


def test_killed_again_and_again(finished, tmp_path):
    """Three kills in a row, each on what the one before left."""
    delays = random.Random(0)
    data = tmp_path / "data"
    whole: dict[str, tuple[int, int]] = {}
    killed = []
    for _ in range(3):
        killed.append(kill_after(finished.seconds * delays.uniform(0.3, 0.8), data, finished))
        assert_nothing_half(data)
        now = identities(weights(data))
        assert {name: now[name] for name in whole} == whole
        whole = now
    assert any(killed)
    complete(data, finished)


@pytest.fixture(scope="module")
def duration(finished, tmp_path_factory):
    """Seconds that a whole backfill takes on this machine as it is now."""
    data = tmp_path_factory.mktemp("measured") / "data"
    started = time.monotonic()
    kill_after(300, data, finished)
    took = time.monotonic() - started
    shutil.rmtree(data)
    return took


@pytest.mark.slow
@pytest.mark.parametrize("point", range(POINTS))
def test_killed_at_a_random_point(finished, duration, tmp_path, point):
    delay = duration * (point + random.Random(point).random()) / POINTS
    data = tmp_path / "data"
    kill_after(delay, data, finished)
    assert_nothing_half(data)
    complete(data, finished)
