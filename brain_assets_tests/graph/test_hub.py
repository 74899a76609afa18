"""The graph with a Hub: real runs, a real instance, the real client against a Hub on this machine."""

import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG
from huggingface_hub import HfApi
from pydantic import SecretStr

from brain_assets.adopt.definitions import adopt, complete_pushes, find_external
from brain_assets.errors import RefusedSnapshotError
from brain_assets.graph.assets import forecasters
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.resources import build_resources
from brain_assets.graph.runs import PROCESS_TAG, this_process
from brain_assets.graph.status import State, StatusReader
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.places import read_files
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.worlds import DEFS, EVERY, MODELS, RAW, RUN_CONFIG, TABLES, metadata_of, run_year
from brain_assets_tests.graph.worlds import world as plain_world
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import TOKEN, WatchedHub, bind, fault

OPTIONS = {name: entry["config"] for name, entry in RUN_CONFIG["ops"].items()}
YEARS = (2019, 2020, 2021)
GRAPH = DEFS.resolve_asset_graph()


def machine(market: SimulatorMarket, root: Path, hub: LoopbackHub | str, attempts: int = 5) -> dict[str, Any]:
    """Give the resources of a machine of its own, whose snapshots go to the Hub."""
    storages = {family: bind(root / "models", hub, TOKEN, attempts, family) for family in FAMILIES}
    return {**plain_world(market, root / "models"), "snapshot_io": SnapshotIOManager(storages)}


def storages_of(resources: Mapping[str, Any]) -> Mapping[str, SnapshotLocalStorage]:
    return resources["snapshot_io"].storages


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
    """A Hub with the same branches, to do with as one likes."""
    with WatchedHub() as hub:
        for family in MODELS.values():
            hub.add_repo(f"user/{family}")
            for year in YEARS:
                branch = f"snapshot-{year}-12-31"
                hub.put(f"user/{family}", branch, world.hub.files(f"user/{family}", branch), "copied")
        yield hub


def drop(hub: WatchedHub, branch: str) -> None:
    """Remove a branch of the LSTM's repo, as its owner may."""
    HfApi(hub.endpoint, token=TOKEN).delete_branch("user/lstm", branch=branch)


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
    commit = copied_hub.branches("user/lstm")["snapshot-2020-12-31"][:8]
    places = metadata_of(result, "walkforward_forecasts")["lstm_places"]
    assert places == {"snapshot-2020-12-31": f"Hub user/lstm, commit {commit}"}
    again = run_year(2021, second, names=("walkforward_forecasts",))
    assert metadata_of(again, "walkforward_forecasts")["lstm_places"] == {"snapshot-2020-12-31": "this machine"}


def test_each_policy_is_said_to_be_where_it_was(
    market: SimulatorMarket, world: World, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    second = {**machine(market, tmp_path, copied_hub), "table_io": world.resources["table_io"]}
    shutil.copytree(storages_of(world.resources)["ppo"].folder, storages_of(second)["ppo"].folder)
    before = world.table("backtest", 2021)
    shown = metadata_of(run_year(2021, second, names=("backtest",)), "backtest")
    commit = copied_hub.branches("user/sac")["snapshot-2020-12-31"][:8]
    assert shown["ppo_places"] == {"snapshot-2020-12-31": "this machine"}
    assert shown["sac_places"] == {"snapshot-2020-12-31": f"Hub user/sac, commit {commit}"}
    pd.testing.assert_frame_equal(world.table("backtest", 2021), before)


def test_absent_branch_gives_way_to_the_closest_earlier_one(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    drop(copied_hub, "snapshot-2020-12-31")
    second = machine(market, tmp_path, copied_hub)
    results = [run_year(year, second, names=(*RAW, "walkforward_forecasts")) for year in YEARS]
    sources = second["table_io"].store.read_year("walkforward_forecasts", 2021)["lstm_source"]
    assert set(sources) == {"snapshot-2019-12-31"}
    commit = copied_hub.branches("user/lstm")["snapshot-2019-12-31"][:8]
    none, pulled, here = [metadata_of(result, "walkforward_forecasts")["lstm_places"] for result in results]
    assert none == {}
    assert pulled == {"snapshot-2019-12-31": f"Hub user/lstm, commit {commit}"}
    assert here == {"snapshot-2019-12-31": "this machine"}


def test_refused_branch_gives_way_too_and_the_materialization_says_so(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    second = machine(market, tmp_path, copied_hub)
    for year in (2019, 2020, 2021):
        run_year(year, second, names=RAW)
    for year in (2020, 2019):
        branch = f"snapshot-{year}-12-31"
        files = copied_hub.files("user/lstm", branch)
        copied_hub.put("user/lstm", branch, {**files, "extra.py": b"import os"}, "a present")
    result = run_year(2021, second, names=("walkforward_forecasts",))
    table = second["table_io"].store.read_year("walkforward_forecasts", 2021)
    assert set(table["lstm_source"]) == {"momentum"}
    pd.testing.assert_series_equal(table["lstm"], table["momentum"], check_names=False)
    refused = metadata_of(result, "walkforward_forecasts")["refused_snapshots"]
    branches = ("user/lstm@snapshot-2020-12-31", "user/lstm@snapshot-2019-12-31")
    assert [sentence.split(":")[0] for sentence in refused] == [f"{branch}/'extra.py'" for branch in branches]
    assert not storages_of(second)["lstm"].list_snapshots()


def test_model_that_the_hub_has_is_pulled_not_trained(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = machine(market, tmp_path, copied_hub)
    monkeypatch.setattr(forecasters, "train_snapshot", lambda *_: pytest.fail("trained"))
    result = run_year(2019, second, names=("raw_prices", "lstm_snapshot"))
    shown = metadata_of(result, "lstm_snapshot")
    assert (shown["reused"], shown["hub"]) == (True, "unchanged")
    other = {"ops": {"lstm_snapshot": {"config": {**OPTIONS["lstm_snapshot"], "seed": 7}}}}
    failed = run_year(2019, second, names=("lstm_snapshot",), run_config=other, raise_on_error=False)
    assert not failed.success  # another configuration is another model


class Elsewhere(SimulatorMarket):
    name = "elsewhere"


def test_models_of_another_market_are_not_taken(copied_hub: WatchedHub, tmp_path: Path) -> None:
    hubs = {"lstm": HubAddress("user/lstm", SecretStr(TOKEN), copied_hub.endpoint)}
    resources = build_resources(Elsewhere(), MemoryTableStore(), tmp_path / "models", hubs)
    with pytest.raises(RefusedSnapshotError, match=r"metadata\.json: expected market elsewhere, got 'simulator'"):
        storages_of(resources)["lstm"].download_snapshot_from_hf(cutoff_of_year(2020))


def test_push_that_fails_is_pending_and_the_sensor_completes_it_without_training(
    market: SimulatorMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WatchedHub() as hub, dg.DagsterInstance.ephemeral() as instance:
        resources = machine(market, tmp_path, hub, attempts=2)
        hub.fail(fault("503", times=None))
        result = run_year(2019, resources, instance, names=("raw_prices", "lstm_snapshot"))
        assert result.success
        shown = metadata_of(result, "lstm_snapshot")
        assert shown["hub"] == "pending"
        assert shown["hub_reason"].startswith("user/lstm: expected the Hub")
        assert "503" in shown["hub_reason"]
        assert len(hub.requests) == 3  # it was asked twice for the model, and once to take it
        storage: SnapshotLocalStorage = storages_of(resources)["lstm"]
        assert storage.list_snapshots() == storage.list_pending() == [cutoff_of_year(2019)]
        reader = StatusReader(_definitions(resources), instance, OPTIONS)
        [line] = reader.pending([2019])
        assert line.startswith("2019 lstm_snapshot: hub: pending, user/lstm: expected the Hub")

        assert list(complete_pushes(instance, storages_of(resources))) == []  # the Hub is still in trouble
        hub.clear_faults()
        monkeypatch.setattr(forecasters, "train_snapshot", lambda *_: pytest.fail("trained"))
        [observation] = list(complete_pushes(instance, storages_of(resources)))
        assert (observation.asset_key.to_user_string(), observation.partition) == ("lstm_snapshot", "2019")
        assert observation.metadata["hub"].value == "pushed"
        assert hub.files("user/lstm", "snapshot-2019-12-31") == read_files(storage.path(cutoff_of_year(2019)))
        assert storage.list_pending() == []


def _definitions(resources: Mapping[str, Any]) -> dg.Definitions:
    return dg.Definitions(EVERY, resources=dict(resources))


def _pulled(world: World, market: SimulatorMarket, root: Path, hub: LoopbackHub) -> dict[str, Any]:
    """Give a machine that has pulled everything, as after a fresh clone."""
    resources = machine(market, root, hub)
    for family in MODELS.values():
        assert storages_of(resources)[family].sync_all_hf_to_local() == [cutoff_of_year(year) for year in YEARS]
    return resources


def key_of(event: dg.AssetMaterialization) -> tuple[str, int]:
    return event.asset_key.to_user_string(), int(event.partition or 0)


def test_pulled_snapshots_become_materializations_that_are_done(
    world: World, market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = _pulled(world, market, tmp_path, copied_hub)
    with dg.DagsterInstance.ephemeral() as instance:
        for found in find_external(instance, GRAPH, storages_of(resources)):
            instance.report_runless_asset_event(found)
        for asset, family in MODELS.items():
            key = dg.AssetKey(asset)
            assert instance.get_materialized_partitions(key) == {str(year) for year in YEARS}
            reader = StatusReader(_definitions(resources), instance, OPTIONS)
            for year in YEARS:
                assert reader.read(asset, year).state is State.DONE
                record = instance.get_latest_data_version_record(key, partition_key=str(year))
                event = record.event_log_entry
                assert not event.run_id or instance.get_run_by_id(event.run_id) is None
                fingerprint = storages_of(resources)[family].read_metadata(cutoff_of_year(year))["fingerprint"]
                assert event.tags[DATA_VERSION_TAG] == fingerprint["value"]
                shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
                assert shown["adopted_from"] == "this machine"
                assert shown["learning_curve"].startswith("![")
        assert list(find_external(instance, GRAPH, storages_of(resources))) == []  # each once


@pytest.mark.slow
def test_backfill_after_a_pull_trains_nothing(
    world: World,
    market: SimulatorMarket,
    copied_hub: WatchedHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resources = _pulled(world, market, tmp_path, copied_hub)
    monkeypatch.setattr(forecasters, "train_snapshot", lambda *_: pytest.fail("trained"))
    with dg.DagsterInstance.ephemeral() as instance:
        for found in find_external(instance, GRAPH, storages_of(resources)):
            instance.report_runless_asset_event(found)
        for year in YEARS:
            result = run_year(year, resources, instance)
            for asset in MODELS:
                assert metadata_of(result, asset)["reused"] is True


def test_what_is_on_the_hub_alone_is_adopted_and_counts_as_done(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = machine(market, tmp_path, copied_hub)
    with dg.DagsterInstance.ephemeral() as instance:
        found = list(find_external(instance, GRAPH, storages_of(resources)))
        assert list(map(key_of, found)) == [(asset, year) for asset in MODELS for year in YEARS]
        for one in found:
            assert one.metadata["adopted_from"].value == "the Hub"
            instance.report_runless_asset_event(one)
        reader = StatusReader(_definitions(resources), instance, OPTIONS)
        assert {reader.read(asset, year).state for asset in MODELS for year in YEARS} == {State.DONE}
        copied_hub.forget()
        assert list(find_external(instance, GRAPH, storages_of(resources))) == []
        assert len(copied_hub.requests) == len(MODELS)  # one list of branches a family
        drop(copied_hub, "snapshot-2020-12-31")
        reader = StatusReader(_definitions(resources), instance, OPTIONS)
        assert reader.read("lstm_snapshot", 2020).state is State.MISSING


def test_snapshot_that_is_not_believed_is_not_adopted(
    world: World, market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = _pulled(world, market, tmp_path, copied_hub)
    lstm: SnapshotLocalStorage = storages_of(resources)["lstm"]
    (lstm.path(cutoff_of_year(2020)) / "weights.pt").write_bytes(b"half")
    drop(copied_hub, "snapshot-2020-12-31")
    shutil.rmtree(lstm.path(cutoff_of_year(2021)))
    files = copied_hub.files("user/lstm", "snapshot-2021-12-31")
    copied_hub.put("user/lstm", "snapshot-2021-12-31", {**files, "metadata.json": b"{}"}, "a present")
    with dg.DagsterInstance.ephemeral() as instance:
        found = set(map(key_of, find_external(instance, GRAPH, storages_of(resources))))
    others = {(asset, year) for asset in MODELS if asset != "lstm_snapshot" for year in YEARS}
    assert found == {("lstm_snapshot", 2019), *others}


def test_sensor_adopts_once_and_then_says_what_it_looked_at(
    world: World, market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = _pulled(world, market, tmp_path, copied_hub)
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> dg.SensorResult | dg.SkipReason:
            context = dg.build_sensor_context(
                instance, resources={"snapshot_io": resources["snapshot_io"]}, definitions=DEFS
            )
            return adopt(context)

        first = tick()
        assert isinstance(first, dg.SensorResult)
        assert len(first.asset_events) == len(MODELS) * len(YEARS)
        for event in first.asset_events:
            instance.report_runless_asset_event(event)
        second = tick()
        assert isinstance(second, dg.SkipReason)
        assert str(tmp_path) in second.skip_message


@pytest.mark.slow
def test_hub_that_is_down_is_not_needed_for_what_is_here(market: SimulatorMarket, world: World, tmp_path: Path) -> None:
    second = machine(market, tmp_path, "http://127.0.0.1:9", attempts=1)  # nobody listens there
    for family in MODELS.values():
        shutil.copytree(storages_of(world.resources)[family].folder, storages_of(second)[family].folder)
    for year in YEARS:
        result = run_year(year, second)
        for asset in MODELS:
            shown = metadata_of(result, asset)
            assert (shown["reused"], shown["hub"]) == (True, "pending")
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
            resources = machine(market, tmp_path, target, attempts=1)
            run_year(2019, resources, names=(*RAW, "walkforward_forecasts"))  # the bootstrap asks for none
            result = run_year(2020, resources, names=(*RAW, "walkforward_forecasts"), raise_on_error=False)
            [failure] = [event for event in result.all_events if event.is_step_failure]
            assert words in str(failure.step_failure_data.error)


@pytest.mark.slow
def test_refused_policy_gives_way_to_the_one_before_and_the_backtest_says_so(
    market: SimulatorMarket, world: World, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    second = machine(market, tmp_path, copied_hub)
    for year in YEARS:
        run_year(year, second, names=(*RAW, "walkforward_forecasts"))
    files = copied_hub.files("user/ppo", "snapshot-2020-12-31")
    copied_hub.put("user/ppo", "snapshot-2020-12-31", {**files, "extra.py": b"!"}, "a present")
    shown = metadata_of(run_year(2021, second, names=("backtest",)), "backtest")
    commit = copied_hub.branches("user/ppo")["snapshot-2019-12-31"][:8]
    assert shown["ppo_places"] == {"snapshot-2019-12-31": f"Hub user/ppo, commit {commit}"}
    [sentence] = shown["refused_snapshots"]
    assert sentence.startswith("user/ppo@snapshot-2020-12-31/'extra.py': expected no files but model.safetensors")
    copied_hub.put("user/ppo", "snapshot-2019-12-31", {"extra.py": b"!"}, "another")
    shutil.rmtree(storages_of(second)["ppo"].folder)
    result = run_year(2021, second, names=("backtest",), raise_on_error=False)
    [failure] = [event for event in result.all_events if event.is_step_failure]
    assert "expected a policy of each family that was finished before the year, here or on the Hub" in str(
        failure.step_failure_data.error
    )


def test_push_whose_run_died_before_it_is_completed_too(world: World, market: SimulatorMarket, tmp_path: Path) -> None:
    with WatchedHub() as hub, dg.DagsterInstance.ephemeral() as instance:
        resources = machine(market, tmp_path, hub)
        storage: SnapshotLocalStorage = storages_of(resources)["lstm"]
        shutil.copytree(
            storages_of(world.resources)["lstm"].path(cutoff_of_year(2019)),
            storage.path(cutoff_of_year(2019)),
        )
        assert storage.list_pending() == []  # nobody has written down that it should be pushed
        [observation] = complete_pushes(instance, storages_of(resources))
        assert observation.metadata["hub"].value == "pushed"
        assert hub.files("user/lstm", "snapshot-2019-12-31") == read_files(storage.path(cutoff_of_year(2019)))
        assert list(complete_pushes(instance, storages_of(resources))) == []


def test_year_whose_run_is_under_way_is_left_to_it(
    world: World, market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = _pulled(world, market, tmp_path, copied_hub)
    with dg.DagsterInstance.ephemeral() as instance:
        job = DEFS.resolve_job_def("walkforward")
        for year, process in (
            (2020, this_process()),
            (2021, f"999999999@{socket.gethostname()}"),
        ):  # the second is dead
            run = instance.create_run_for_job(
                job, tags={"dagster/partition": str(year), PROCESS_TAG: process}, status=dg.DagsterRunStatus.STARTED
            )
            assert instance.get_run_by_id(run.run_id)
        found = set(map(key_of, find_external(instance, GRAPH, storages_of(resources))))
    assert found == {(asset, year) for asset in MODELS for year in (2019, 2021)}
