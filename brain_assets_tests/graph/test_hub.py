"""The graph with a Hub: real runs, a real instance, the real client against a Hub on this machine."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.places import read_files
from brain_assets_tests.graph.machines import YEARS, drop, hub_of, machine, storages_of
from brain_assets_tests.graph.worlds import MODELS, RAW, TABLES, metadata_of, run_year
from brain_assets_tests.store.hubs import WatchedHub


@dataclass(frozen=True)
class World:
    """A Hub, and the machine that has filled it."""

    hub: WatchedHub
    resources: Mapping[str, Any]
    results: Mapping[int, dg.ExecuteInProcessResult]

    def table(self, name: str, year: int) -> pd.DataFrame:
        return self.resources["table_io"].store.read_year(name, year)


@pytest.fixture(scope="module")
def world(market: SimulatorMarket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with WatchedHub() as hub:
        resources = machine(market, tmp_path_factory.mktemp("first"), hub)
        yield World(hub, resources, {year: run_year(year, resources) for year in YEARS})


@pytest.fixture
def copied_hub(world: World) -> Iterator[WatchedHub]:
    """A Hub with the same branches."""
    with hub_of(storages_of(world.resources)["lstm"].folder.parent) as hub:
        yield hub


def test_every_model_is_a_branch_of_the_same_files_and_the_materialization_shows_it(world: World) -> None:
    for asset, family in MODELS.items():
        branches = world.hub.branches(f"user/{family}")
        assert set(branches) == {"main", *(f"snapshot-{year}-12-31" for year in YEARS)}
        for year in YEARS:
            shown, branch = metadata_of(world.results[year], asset), f"snapshot-{year}-12-31"
            folder = storages_of(world.resources)[family].path(cutoff_of_year(year))
            assert world.hub.files(f"user/{family}", branch) == read_files(folder)
            assert (shown["hub"], shown["hub_commit"]) == ("pushed", branches[branch])
            assert shown["hub_branch"] == f"{world.hub.endpoint}/user/{family}/tree/{branch}"


def test_running_again_makes_no_commit(world: World) -> None:
    before = {family: world.hub.branches(f"user/{family}") for family in MODELS.values()}
    result = run_year(2021, world.resources, names=tuple(MODELS))
    for asset in MODELS:
        assert metadata_of(result, asset)["hub"] == "unchanged"
    assert {family: world.hub.branches(f"user/{family}") for family in MODELS.values()} == before


@pytest.mark.slow
def test_machine_without_snapshots_forecasts_and_trades_with_those_of_the_hub(
    market: SimulatorMarket, world: World, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    second = machine(market, tmp_path, copied_hub)
    for year in YEARS:
        result = run_year(year, second, names=TABLES)
        for name in TABLES:
            pd.testing.assert_frame_equal(second["table_io"].store.read_year(name, year), world.table(name, year))
    assert metadata_of(result, "walkforward_forecasts")["places"]["lstm"] == {"snapshot-2020-12-31": "Hub user/lstm"}
    again = run_year(2021, second, names=("walkforward_forecasts",))
    assert metadata_of(again, "walkforward_forecasts")["places"]["lstm"] == {"snapshot-2020-12-31": "this machine"}


def test_absent_branch_gives_way_to_the_closest_earlier_one(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    drop(copied_hub, "snapshot-2020-12-31")
    second = machine(market, tmp_path, copied_hub)
    results = [run_year(year, second, names=(*RAW, "walkforward_forecasts")) for year in YEARS]
    sources = second["table_io"].store.read_year("walkforward_forecasts", 2021)["lstm_source"]
    assert set(sources) == {"snapshot-2019-12-31"}
    none, pulled, here = [metadata_of(result, "walkforward_forecasts")["places"]["lstm"] for result in results]
    assert none == {}
    assert pulled == {"snapshot-2019-12-31": "Hub user/lstm"}
    assert here == {"snapshot-2019-12-31": "this machine"}


def test_refused_branch_gives_way_too_and_the_materialization_says_so(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = machine(market, tmp_path, copied_hub)
    for year in (2019, 2020, 2021):
        run_year(year, second, names=RAW)
    for year in (2020, 2019):
        branch = f"snapshot-{year}-12-31"
        files = copied_hub.files("user/lstm", branch)
        copied_hub.put("user/lstm", branch, {**files, "extra.py": b"import os"})
    result = run_year(2021, second, names=("walkforward_forecasts",))
    table = second["table_io"].store.read_year("walkforward_forecasts", 2021)
    assert set(table["lstm_source"]) == {"momentum"}
    pd.testing.assert_series_equal(table["lstm"], table["momentum"], check_names=False)
    refused = metadata_of(result, "walkforward_forecasts")["refused_snapshots"]
    branches = ("user/lstm@snapshot-2020-12-31", "user/lstm@snapshot-2019-12-31")
    assert [sentence.split(":")[0] for sentence in refused] == [f"{branch}/'extra.py'" for branch in branches]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == refused  # where a command shows it
    assert not storages_of(second)["lstm"].list_snapshots()


@pytest.mark.slow
def test_hub_that_is_down_is_not_needed_for_what_is_here(market: SimulatorMarket, world: World, tmp_path: Path) -> None:
    second = machine(market, tmp_path, "http://127.0.0.1:9")  # nobody listens there
    for family in MODELS.values():
        shutil.copytree(storages_of(world.resources)[family].folder, storages_of(second)[family].folder)
    for year in YEARS:
        result = run_year(year, second)
        for asset in MODELS:
            shown = metadata_of(result, asset)
            assert (shown["reused"], shown["hub"]) == (True, "failed")
        for name in TABLES:
            pd.testing.assert_frame_equal(second["table_io"].store.read_year(name, year), world.table(name, year))


def test_forecasts_fail_rather_than_pass_momentum_for_a_model_that_cannot_be_seen(
    market: SimulatorMarket, tmp_path: Path
) -> None:
    with WatchedHub() as hub:
        for target, words in (
            (hub, "expected a model repo that HF_TOKEN lets us read, got none of this name"),
            ("http://127.0.0.1:9", "expected the Hub (http://127.0.0.1:9) to list its branches"),
        ):
            resources = machine(market, tmp_path, target)
            run_year(2019, resources, names=(*RAW, "walkforward_forecasts"))  # the bootstrap asks for none
            result = run_year(2020, resources, names=(*RAW, "walkforward_forecasts"), raise_on_error=False)
            [failure] = [event for event in result.all_events if event.is_step_failure]
            assert words in str(failure.step_failure_data.error)
