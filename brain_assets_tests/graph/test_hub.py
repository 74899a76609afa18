"""The graph with a Hub: real runs, the real client against a Hub on this machine."""

import itertools
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.places import read_files
from brain_assets.store.tables import MemoryTableStore, TableStore
from brain_assets_tests.backfills import YEARS, shared_backfill
from brain_assets_tests.conftest import FAMILIES, SYMBOLS
from brain_assets_tests.graph.worlds import MODELS, RAW, TABLES, metadata_of, run_year
from brain_assets_tests.graph.worlds import world as without_hub
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import bind


def machine(root: Path, hub: LoopbackHub | str, tables: TableStore | None = None) -> dict[str, Any]:
    """Give the resources of a machine of its own, whose snapshots go to the Hub."""
    storages = {family: bind(root / "models", hub, family=family) for family in FAMILIES}
    return {
        **without_hub(SimulatorMarket(SYMBOLS), root / "models", tables),
        "snapshot_io": SnapshotIOManager(storages),
    }


@contextmanager
def hub_of(models: Path) -> Iterator[LoopbackHub]:
    """Give a Hub with a branch for each snapshot of a folder of models, to do with as one likes."""
    with LoopbackHub() as hub:
        for family in FAMILIES:
            hub.add_repo(f"user/{family}")
            for year in YEARS:
                branch = f"snapshot-{year}-12-31"
                hub.put(f"user/{family}", branch, read_files(models / family / branch))
        yield hub


class World(NamedTuple):
    """A Hub, and the machine that has filled it."""

    hub: LoopbackHub
    models: Path
    tables: TableStore
    resources: Mapping[str, Any]

    def raw(self) -> TableStore:
        """Give its raw tables to another machine."""
        store = MemoryTableStore()
        for name, year in itertools.product(RAW, YEARS):
            store.write(name, year, self.tables.read_year(name, year))
        return store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    data = shared_backfill(tmp_path_factory).copy(tmp_path_factory.mktemp("first"))
    tables = TableStore(data, {"market": "simulator"})
    with LoopbackHub() as hub:
        yield World(hub, data / "models", tables, machine(data, hub, tables=tables))


@pytest.fixture
def copied_hub(world: World) -> Iterator[LoopbackHub]:
    """A Hub with a branch for each of its snapshots."""
    with hub_of(world.models) as hub:
        yield hub


def test_every_model_is_a_branch_of_the_same_files_and_running_again_makes_no_commit(world: World) -> None:
    found = []
    for year, state in ((2019, "pushed"), (2020, "pushed"), (2020, "unchanged")):
        result, branch = run_year(year, world.resources, names=tuple(MODELS)), f"snapshot-{year}-12-31"
        commits = {family: world.hub.branches(f"user/{family}") for family in MODELS.values()}
        found.append(commits)
        for asset, family in MODELS.items():
            shown = metadata_of(result, asset)
            assert world.hub.files(f"user/{family}", branch) == read_files(world.models / family / branch)
            assert (shown["hub"], shown["hub_commit"]) == (state, commits[family][branch])
            assert shown["hub_branch"] == f"{world.hub.endpoint}/user/{family}/tree/{branch}"
            assert set(commits[family]) == {"main", "snapshot-2019-12-31", branch}
    assert found[1] == found[2]


@pytest.mark.slow
def test_machine_without_snapshots_forecasts_and_trades_with_those_of_the_hub(
    world: World, copied_hub: LoopbackHub, tmp_path: Path
) -> None:
    second = machine(tmp_path, copied_hub)
    for year in YEARS:
        result = run_year(year, second, names=TABLES)
        for name in TABLES:
            pd.testing.assert_frame_equal(
                second["table_io"].store.read_year(name, year), world.tables.read_year(name, year)
            )
    assert metadata_of(result, "walkforward_forecasts")["places"]["lstm"] == {"snapshot-2020-12-31": "Hub user/lstm"}
    again = run_year(2021, second, names=("walkforward_forecasts",))
    assert metadata_of(again, "walkforward_forecasts")["places"]["lstm"] == {"snapshot-2020-12-31": "this machine"}


def test_absent_branch_gives_way_to_the_closest_earlier_one(
    world: World, copied_hub: LoopbackHub, tmp_path: Path
) -> None:
    copied_hub.remove("user/lstm", "snapshot-2020-12-31")  # as its owner may
    second = machine(tmp_path, copied_hub, tables=world.raw())
    results = [run_year(year, second, names=("walkforward_forecasts",)) for year in YEARS]
    sources = second["table_io"].store.read_year("walkforward_forecasts", 2021)["lstm_source"]
    assert set(sources) == {"snapshot-2019-12-31"}
    none, pulled, here = [metadata_of(result, "walkforward_forecasts")["places"]["lstm"] for result in results]
    assert none == {}
    assert pulled == {"snapshot-2019-12-31": "Hub user/lstm"}
    assert here == {"snapshot-2019-12-31": "this machine"}


def test_refused_branch_gives_way_too_and_the_materialization_says_so(
    world: World, copied_hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = machine(tmp_path, copied_hub, tables=world.raw())
    branches = ("snapshot-2020-12-31", "snapshot-2019-12-31")
    for branch in branches:
        files = copied_hub.files("user/lstm", branch)
        copied_hub.put("user/lstm", branch, {**files, "extra.py": b"import os"})
    result = run_year(2021, second, names=("walkforward_forecasts",))
    table = second["table_io"].store.read_year("walkforward_forecasts", 2021)
    assert set(table["lstm_source"]) == {"momentum"}
    pd.testing.assert_series_equal(table["lstm"], table["momentum"], check_names=False)
    refused = metadata_of(result, "walkforward_forecasts")["refused_snapshots"]
    assert [sentence.split(":")[0] for sentence in refused] == [f"user/lstm@{each}/'extra.py'" for each in branches]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == refused  # where a command shows it
    assert not second["snapshot_io"].storages["lstm"].list_snapshots()


@pytest.mark.slow
def test_hub_that_is_down_is_not_needed_for_what_is_here(world: World, tmp_path: Path) -> None:
    second = machine(tmp_path, "http://127.0.0.1:9")  # nobody listens there
    for family in MODELS.values():
        shutil.copytree(world.models / family, tmp_path / "models" / family)
    for year in YEARS:
        result = run_year(year, second)
        for asset in MODELS:
            shown = metadata_of(result, asset)
            assert (shown["reused"], shown["hub"]) == (True, "failed")
        for name in TABLES:
            pd.testing.assert_frame_equal(
                second["table_io"].store.read_year(name, year), world.tables.read_year(name, year)
            )


def test_forecasts_fail_rather_than_pass_momentum_for_a_model_that_cannot_be_seen(world: World, tmp_path: Path) -> None:
    with LoopbackHub() as hub:
        for target, words in (
            (hub, "expected a model repo that HF_TOKEN lets us read, got none of this name"),
            ("http://127.0.0.1:9", "expected the Hub (http://127.0.0.1:9) to list its branches"),
        ):
            resources = machine(tmp_path, target, tables=world.raw())
            result = run_year(2020, resources, names=("walkforward_forecasts",), raise_on_error=False)
            [failure] = [event for event in result.all_events if event.is_step_failure]
            assert words in str(failure.step_failure_data.error)
    run_year(2019, resources, names=("walkforward_forecasts",))  # the bootstrap asks for none
