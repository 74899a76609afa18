"""Runs whose process died, and how many go at the same time."""

import json
import os
import socket
import subprocess
import sys

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.instance import MARKET_POOL, TRAINING_POOL, let_training_use_all_cores
from brain_assets.graph.runs import PROCESS_TAG, close_dead_runs, dead_runs, this_process
from brain_assets_tests.graph.worlds import DEFS, EVERY, PoolHere


@pytest.fixture
def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def launched_run(instance: dg.DagsterInstance, process_id: int | None) -> str:
    """A run as its launcher and its own process leave it: the server in a tag, the process in the log."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "localhost", "socket": "/none"})}
    job = DEFS.resolve_job_def("walkforward")
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if process_id is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(process_id))
    return run.run_id


def test_runs_whose_process_died_are_marked_failed(dead_process: int) -> None:
    ours = f"{dead_process}@{socket.gethostname()}"
    with dg.DagsterInstance.ephemeral() as instance:

        def left(process: str | None, status: str = "STARTED") -> str:
            tags = {PROCESS_TAG: process} if process else {}
            job = DEFS.resolve_job_def("walkforward")
            return instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus(status)).run_id

        runs = [left(process) for process in (ours, this_process(), f"{dead_process}@another-machine", None)]
        runs.append(left(ours, "SUCCESS"))
        assert list(Backfill(DEFS, instance).run([], PoolHere(DEFS, instance))) == []
        found = [instance.get_run_by_id(run_id).status.value for run_id in runs]
    assert found == ["FAILURE", "STARTED", "STARTED", "STARTED", "SUCCESS"]


def test_launched_runs_are_closed_where_they_were_launched_only(dead_process: int) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        dead, alive, silent = (launched_run(instance, process) for process in (dead_process, os.getpid(), None))
        assert close_dead_runs(instance) == []  # a command, perhaps on another machine
        tick = dead_runs(dg.build_sensor_context(instance))
        assert tick.skip_message == f"closed {dead}"
        found = [instance.get_run_by_id(run_id).status.value for run_id in (dead, alive, silent)]
        assert found == ["FAILURE", "STARTED", "STARTED"]
        assert "every run" in dead_runs(dg.build_sensor_context(instance)).skip_message


@pytest.mark.wings
def test_whatever_asks_a_source_or_computes_waits_in_a_pool() -> None:
    pools = {asset.key.to_user_string(): asset.op.pool for asset in EVERY if "report" not in asset.key.path}
    assert {name for name, pool in pools.items() if pool == MARKET_POOL} == {
        "raw_prices",
        "raw_news_sentiment",
        "raw_fundamentals",
        "raw_year_to_date",
    }
    assert all(pool == TRAINING_POOL for name, pool in pools.items() if not name.startswith("raw_"))


def test_training_may_use_all_cores_unless_somebody_said_otherwise(tmp_path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        limits = lambda: {limit.name: limit.limit for limit in instance.event_log_storage.get_pool_limits()}  # noqa: E731
        let_training_use_all_cores(instance)
        assert limits() == {TRAINING_POOL: len(os.sched_getaffinity(0))}
        instance.event_log_storage.set_concurrency_slots(TRAINING_POOL, 7)
        let_training_use_all_cores(instance)
        assert limits() == {TRAINING_POOL: 7}
