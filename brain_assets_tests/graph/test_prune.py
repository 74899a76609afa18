"""Which runs may be deleted: those that ended long ago and made nothing that is there now."""

import datetime
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from brain_assets.graph.runs import prunable, prune
from brain_assets_tests.backfills import brain_assets, shared_backfill

TWO_YEARS = dg.StaticPartitionsDefinition(["2019", "2020"])
LATER = datetime.timedelta(minutes=1)


class Toy(dg.Config):
    fail: bool = False


@dg.asset(partitions_def=TWO_YEARS)
def first(config: Toy) -> None:
    if config.fail:
        raise ValueError("asked to")


@dg.asset(partitions_def=TWO_YEARS)
def second() -> None: ...


@dg.asset
def alone() -> None: ...


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test(temp_dir=str(tmp_path)) as opened:
        yield opened


def run(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition, year: str | None = None, fail: bool = False) -> str:
    config = {"ops": {"first": {"config": {"fail": fail}}}} if first in assets else {}
    made = dg.materialize(assets, partition_key=year, instance=instance, run_config=config, raise_on_error=False)
    assert made.success is not fail
    return made.run_id


def found(instance: dg.DagsterInstance) -> list[str]:
    return [each.dagster_run.run_id for each in prunable(instance, datetime.datetime.now(datetime.UTC) + LATER)]


def test_a_run_stays_as_long_as_it_made_one_thing_that_is_there(instance: dg.DagsterInstance) -> None:
    both, other_year = run(instance, first, second, year="2019"), run(instance, first, second, year="2020")
    assert found(instance) == []
    again = run(instance, first, year="2019")  # second[2019] is still of the first run
    assert found(instance) == []
    run(instance, second, year="2019")
    assert found(instance) == [both]
    failed = run(instance, first, year="2020", fail=True)  # what was made before it stays
    assert found(instance) == [both, failed]
    run(instance, first, year="2019")
    assert found(instance) == [both, again, failed]
    assert other_year not in found(instance)
    old, _ = run(instance, alone), run(instance, alone)  # an asset without years keeps its newest run
    assert found(instance) == [both, again, failed, old]


def test_a_pruned_run_is_gone_with_its_logs_and_the_years_stay(instance: dg.DagsterInstance) -> None:
    old, new = run(instance, first, year="2019"), run(instance, first, year="2019")
    logs = Path(instance.storage_directory())
    assert {old, new} <= {path.name for path in logs.iterdir()}
    [record] = prunable(instance, datetime.datetime.now(datetime.UTC) + LATER)
    prune(instance, record)
    assert [kept.run_id for kept in instance.get_runs()] == [new]
    assert old not in {path.name for path in logs.iterdir()}
    assert instance.get_materialized_partitions(first.key) == {"2019"}
    event = instance.get_latest_materialization_event(first.key)
    assert event is not None
    assert event.run_id == new


def test_the_command_deletes_what_it_said_it_would(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    data = shared_backfill(tmp_path_factory).copy(tmp_path)
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        failed = run(instance, first, year="2020", fail=True)
    with sqlite3.connect(data / "dagster" / "history" / "runs.db") as runs:
        runs.execute("UPDATE runs SET update_timestamp = datetime('now', '-50 days')")
    for arguments, said, left in (
        (["--days", "40", "--dry-run"], "1 runs would be deleted", 37),
        ([], "0 runs deleted", 37),
        (["--days", "40"], "1 runs deleted", 36),  # all others made what is there
    ):
        done = brain_assets(data, "prune", *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"{said}, {left} there\n")
        assert (f"{failed} " in done.stdout) is said.startswith("1")
