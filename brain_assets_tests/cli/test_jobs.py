"""Several worker processes: what one makes, and what becomes of it if they are stopped, killed, or not alone."""

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.graph.instance import PROCESS_TAG
from brain_assets_tests.backfills import (
    ASSETS,
    REPOSITORY,
    YEARS,
    Terminal,
    all_but,
    assert_nothing_half,
    await_training,
    brain_assets,
    contents,
    files_of,
    identities,
    in_own_process,
    long_training,
    outcomes,
    paths_in,
    screen,
    start,
    statuses,
    weights,
    write_config,
)
from brain_assets_tests.conftest import TINY
from brain_assets_tests.graph.test_ui import ALL_GREEN, JOB, followed, launch, serving, states
from brain_assets_tests.graph.worlds import RAW

N_MOMENTS = 10
COMMAND = ("backfill", f"{YEARS[0]}-{YEARS[-1]}")


def record(data):
    """Read from Dagster what was made of what: (asset, year) -> data version, and the status of its run."""
    found = {}
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        for run in instance.get_runs():
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
                made = entry.asset_materialization
                place = (made.asset_key.to_user_string(), made.partition)
                assert place not in found
                found[place] = (made.tags["dagster/data_version"], sorted(made.metadata), run.status.value)
    return found


@pytest.mark.slow
def test_one_worker_makes_the_bytes_and_the_record_of_several(finished, tmp_path):
    data = tmp_path / "data"
    run = in_own_process(data, *COMMAND, "--jobs", "1", "--config", str(finished.config), seconds=900)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.startswith("years of assets at a time: 1, ")
    assert set(outcomes(run.stdout)) == set(outcomes(finished.output))
    assert files_of(data) == files_of(finished.data_dir)
    assert record(data) == record(finished.data_dir)


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_is_killed_is_replaced_once(tmp_path, deaths):
    """As the kernel kills it if memory runs out."""
    config = long_training(tmp_path)
    data = all_but(["ppo_policy", "sac_policy", "direct_policy", "backtest"], tmp_path / "data", config)
    command = ("backfill", "2019", "--config", str(config), "--jobs", "2")
    running, known = Terminal(data, *command), []
    for _ in range(deaths):
        run = await_training(data / "dagster", known)
        known.append(run.run_id)
        os.kill(int(run.tags[PROCESS_TAG].partition("@")[0]), signal.SIGKILL)
    code, shown = running.ended(300)
    lines = " ".join(shown.split())
    assert "ppo_policy[2019]: its worker process was killed by signal 9: it is tried again" in lines
    assert_nothing_half(data)
    if deaths == 1:
        assert code == 0
        assert statuses(data / "dagster") == ["FAILURE", "SUCCESS"]
        return
    assert code == 1
    assert "got 2 of which its worker process was killed by signal 9; if memory ran out, give fewer --jobs." in lines
    assert statuses(data / "dagster") == ["FAILURE", "FAILURE"]
    again = brain_assets(data, *command)
    # SAC and the backtest went on
    assert f"1 made, 0 run without change, {len(ASSETS) - 1} done before, 0 not done" in again.stdout


@pytest.mark.slow
@pytest.mark.claim
def test_ctrl_c_at_any_moment_stops_all_at_once_and_leaves_nothing_half(finished, tmp_path):
    data, whole = tmp_path / "data", paths_in(finished.data_dir)
    command = (*COMMAND, "--config", str(finished.config), "--jobs", "2")
    for moment in range(N_MOMENTS):
        running = Terminal(data, *command)
        running.await_output(" of 36 ")  # the line for all, at the foot
        while running.is_running() and paths_in(data) < (moment + 0.5) / (N_MOMENTS + 1) * whole:
            time.sleep(0.005)
        pressed = time.monotonic()
        running.press_ctrl_c()
        code, shown = running.ended(30)
        took = time.monotonic() - pressed
        assert (code, "Traceback" in shown) == (130, False), shown
        *_, last = filter(None, screen(shown))
        assert re.fullmatch("stopped; 20[0-9, -]+ unfinished; run again to go on", last)
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
        assert took < 5  # 0.5 s on a machine that does nothing else
        assert_nothing_half(data)
        with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
            assert {run.status.value for run in instance.get_runs()} <= {"SUCCESS", "CANCELED"}
    assert brain_assets(data, *command).returncode == 0
    assert files_of(data) == files_of(finished.data_dir)


@pytest.mark.slow
def test_two_backfills_at_once_make_what_one_makes(tmp_path):
    both, alone, config = tmp_path / "both", tmp_path / "alone", write_config(tmp_path / "tiny.yaml")
    assets = (*RAW, "lstm_snapshot", "walkforward_forecasts", "direct_policy")
    command = ("backfill", "2019-2020", "--assets", ",".join(assets), "--config", str(config), "--jobs", "2")
    with ThreadPoolExecutor() as threads:
        runs = list(threads.map(lambda _: in_own_process(both, *command, seconds=600), range(2)))
    for run in runs:  # who is not alone in a folder's place at the very same moment may be told so
        assert run.returncode == 0 or re.search("^error: .*: expected ", run.stderr), run.stdout + run.stderr
        assert "Traceback" not in run.stdout + run.stderr
    assert_nothing_half(both)
    assert [brain_assets(folder, *command).returncode for folder in (both, alone)] == [0, 0]
    assert files_of(both) == files_of(alone)


@pytest.mark.slow
@pytest.mark.claim
def test_a_backfill_beside_one_of_the_uis_daemon_makes_what_one_makes(finished, tmp_path):
    data = tmp_path / "data"
    with serving(data, "dagster", "dev") as server:
        launched = launch(server, selector=JOB, partitionNames=list(map(str, YEARS)), runConfigData=TINY)
        run = in_own_process(data, *COMMAND, "--config", str(finished.config), "--jobs", "2", seconds=900)
        assert run.returncode == 0, run.stdout + run.stderr
        followed(server, launched, 900)
        assert states(server) == ALL_GREEN
    assert files_of(data) == files_of(finished.data_dir)
    again = in_own_process(data, *COMMAND, "--config", str(finished.config))
    assert f"0 made, 0 run without change, {3 * len(ASSETS)} done before, 0 not done" in again.stdout


POINTS = 20
"""Of which each has its own part of what a run writes."""


def kill_at(share, delay, data, finished):
    """Kill a backfill once it has written its share of all paths, and some seconds more; tell whether it still ran.

    Counted in what it wrote and not in seconds: how fast a machine is changes from one run to the next.
    """
    wanted = share * paths_in(finished.data_dir)
    process = start(data, *COMMAND, "--config", str(finished.config))
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
    run = in_own_process(data, *COMMAND, "--config", str(finished.config))
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
    "point", [pytest.param(point, marks=[pytest.mark.claim] * (point % 8 > 0)) for point in range(POINTS)]
)
def test_killed_at_a_random_point(finished, tmp_path, point):
    chance = random.Random(point)
    share, delay = (point + chance.random()) / POINTS, chance.uniform(0, 0.2)
    data = tmp_path / "data"
    killed = kill_at(share, delay, data, finished)
    assert killed or point >= POINTS - 2  # near the end it may be faster than we are
    assert_nothing_half(data)
    complete(data, finished)


FAMILY = """
import os, resource
from pathlib import Path
import torch
from brain_assets import register
from examples.pls_forecaster import Pls

@register
class Hungry(Pls):
    name, label = "hungry", "Hungry"

    def fit(self, *given):
        eaten = os.environ["EATEN"]
        if eaten:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
            bytes(2**31) if eaten == "bytes" else torch.empty(2**31, dtype=torch.uint8)
        return super().fit(*given)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("eaten", "sentence"),
    [
        ("bytes", r"hungry_snapshot 2019: expected enough memory for it, got too little \(MemoryError.*\); give .*\."),
        ("tensor", r"hungry_snapshot 2019: expected enough memory for it, got too little \(.*allocate.*\); give .*\."),
    ],
)
def test_a_worker_out_of_memory_is_one_sentence(tmp_path: Path, eaten: str, sentence: str) -> None:
    (tmp_path / "mine.py").write_text(FAMILY)
    variables = {"BRAIN_PLUGINS": "mine", "PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    command = ("backfill", "2019", "--assets", "raw_prices,hungry_snapshot", "--jobs", "2")
    run = in_own_process(tmp_path / "data", *command, seconds=600, EATEN=eaten, **variables)
    assert (run.returncode, "Traceback" in run.stdout + run.stderr) == (1, False), run.stdout + run.stderr
    [said] = [line.removeprefix("error: ") for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert re.fullmatch(sentence, said), said
    assert "1 made, 0 run without change, 0 done before, 1 not done" in run.stdout
    assert_nothing_half(tmp_path / "data")
    again = in_own_process(tmp_path / "data", *command, seconds=600, EATEN="", **variables)
    assert "1 made, 0 run without change, 1 done before, 0 not done" in again.stdout, again.stdout + again.stderr
