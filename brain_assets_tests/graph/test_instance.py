"""The record of Dagster: where it lies, what is said where it is broken, runs whose process died, and pools."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy.exc
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import GRPC_INFO_TAG

from brain_assets.errors import StorageError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.instance import (
    MARKET_POOL,
    PROCESS_TAG,
    TRAINING_POOL,
    close_dead_runs,
    dagster_home,
    dead_runs,
    let_training_use_all_cores,
    open_instance,
    patiently,
    this_process,
)
from brain_assets.settings import read_settings
from brain_assets_tests.graph.worlds import DEFS, EVERY, PoolHere


@pytest.mark.parametrize(
    ("data_dir", "home"),
    [
        ("elsewhere", "elsewhere/dagster"),
        ("s3://bucket/prefix", "data/dagster-s3-bucket-prefix"),
        ("s3://bucket/a/b_c/", "data/dagster-s3-bucket-a-b-c"),
        ("memory://x", "data/dagster-memory-x"),
    ],
)
def test_dagsters_records_lie_on_this_machine(
    data_dir: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRAIN_DATA_DIR", data_dir)
    assert dagster_home(read_settings()) == tmp_path / home
    assert (tmp_path / home / "dagster.yaml").is_file()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own"))
    assert dagster_home(read_settings()) == tmp_path / "own"


def open_damaged(home: Path) -> None:
    with open_instance(home) as instance:
        instance.fetch_materializations(dg.AssetKey("x"), limit=3)


WORDS = "^{}: expected Dagster's record, got: .*{}; start its server, or correct dagster.yaml; if it is broken, "


@pytest.mark.parametrize("file", ["schedules/schedules.db", "history/runs.db", "history/runs/index.db"])
def test_a_record_that_is_broken_is_one_sentence(file: str, tmp_path: Path) -> None:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with open_instance(home):
        pass
    (home / file).write_text("no database of SQLite's\n")
    with pytest.raises(StorageError, match=WORDS.format(home, "file is not a database")):
        open_damaged(home)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (('\'{"__class__": "EventLogEntry"\'', '\'{"__class__": "EventLogEntrz"\''), "which is not in the whitelist."),
        (("'EventLogEntry'", "cast(x'ff' as text)"), "Could not decode to UTF-8 column 'event'"),
    ],
)
def test_an_event_that_is_damaged_is_one_sentence(damage: tuple[str, str], said: str, tmp_path: Path) -> None:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with open_instance(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("x"))
    with sqlite3.connect(home / "history/runs/index.db") as database:
        database.execute(f"UPDATE event_logs SET event = replace(event, {damage[0]}, {damage[1]})")
    with pytest.raises(StorageError, match=WORDS.format(home, said)):
        open_damaged(home)


def test_waiting_for_a_database_that_is_away_ends_when_it_is_asked_to() -> None:
    asked = iter([False, True])

    def stop_if_asked() -> None:
        if next(asked):
            raise KeyboardInterrupt

    def away() -> None:
        raise sqlalchemy.exc.OperationalError("SELECT 1", {}, ConnectionError("no server"))

    with pytest.raises(KeyboardInterrupt):
        patiently(away, stop_if_asked)


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
