"""Snapshots that came from elsewhere are told to Dagster."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from brain_assets.adopt.definitions import adopt, find_external
from brain_assets.graph.assets import forecasters
from brain_assets.graph.runs import PROCESS_TAG, this_process
from brain_assets.graph.status import State, StatusReader
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket, open_market
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.backfills import Finished
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.machines import YEARS, hub_of, machine, storages_of
from brain_assets_tests.graph.worlds import DEFS, EVERY, MODELS, RUN_CONFIG, metadata_of, run_year
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import WatchedHub

OPTIONS = {name: entry["config"] for name, entry in RUN_CONFIG["ops"].items()}
GRAPH = DEFS.resolve_asset_graph()


@pytest.fixture
def copied_hub(finished: Finished) -> Iterator[WatchedHub]:
    """A Hub with what the backfill has made."""
    with hub_of(finished.data_dir / "models") as hub:
        yield hub


def definitions(resources: Mapping[str, Any]) -> dg.Definitions:
    return dg.Definitions(EVERY, resources=dict(resources))


def pulled(market: SimulatorMarket, root: Path, hub: LoopbackHub) -> dict[str, Any]:
    """Give a machine that has pulled everything, as after a fresh clone."""
    resources = machine(market, root, hub)
    for family in MODELS.values():
        assert storages_of(resources)[family].sync_all_hf_to_local() == [cutoff_of_year(year) for year in YEARS]
    return resources


def key_of(event: dg.AssetMaterialization) -> tuple[str, int]:
    return event.asset_key.to_user_string(), int(event.partition or 0)


def test_pulled_snapshots_become_materializations_that_are_done(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = pulled(market, tmp_path, copied_hub)
    with dg.DagsterInstance.ephemeral() as instance:
        for found in find_external(instance, GRAPH, storages_of(resources)):
            instance.report_runless_asset_event(found)
        for asset, family in MODELS.items():
            key = dg.AssetKey(asset)
            assert instance.get_materialized_partitions(key) == {str(year) for year in YEARS}
            reader = StatusReader(definitions(resources), instance, OPTIONS)
            for year in YEARS:
                assert reader.read(asset, year).state is State.DONE
                record = instance.get_latest_data_version_record(key, partition_key=str(year))
                event = record.event_log_entry
                assert not event.run_id or instance.get_run_by_id(event.run_id) is None
                fingerprint = storages_of(resources)[family].read_metadata(cutoff_of_year(year))["fingerprint"]
                assert event.tags[DATA_VERSION_TAG] == fingerprint["value"]
                shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
                assert shown["adopted"] is True
                assert ("learning_curve" in shown) is (family not in ("ridge", "boosting"))  # they have no epochs
        assert list(find_external(instance, GRAPH, storages_of(resources))) == []  # each once


@pytest.mark.slow
def test_backfill_after_a_pull_trains_nothing(
    copied_hub: WatchedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = open_market(read_settings(market="simulator", symbols=SYMBOLS))  # on which the models were trained
    resources = pulled(market, tmp_path, copied_hub)
    monkeypatch.setattr(forecasters, "train_snapshot", lambda *_, **__: pytest.fail("trained"))
    with dg.DagsterInstance.ephemeral() as instance:
        for found in find_external(instance, GRAPH, storages_of(resources)):
            instance.report_runless_asset_event(found)
        for year in YEARS:
            result = run_year(year, resources, instance)
            for asset in MODELS:
                assert metadata_of(result, asset)["reused"] is True


def test_snapshot_that_is_not_believed_is_not_adopted(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = pulled(market, tmp_path, copied_hub)
    lstm: SnapshotLocalStorage = storages_of(resources)["lstm"]
    (lstm.path(cutoff_of_year(2020)) / "weights.pt").write_bytes(b"half")
    other = lstm.load_snapshot(cutoff_of_year(2021))
    lstm.write_snapshot(replace(other, config={**other.config, "hidden_size": 8}))  # of another network
    with dg.DagsterInstance.ephemeral() as instance:
        found = set(map(key_of, find_external(instance, GRAPH, storages_of(resources))))
    others = {(asset, year) for asset in MODELS if asset != "lstm_snapshot" for year in YEARS}
    assert found == {("lstm_snapshot", 2019), *others}


def test_sensor_adopts_once_and_then_says_what_it_looked_at(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = pulled(market, tmp_path, copied_hub)
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


def test_year_whose_run_is_under_way_is_left_to_it(
    market: SimulatorMarket, copied_hub: WatchedHub, tmp_path: Path
) -> None:
    resources = pulled(market, tmp_path, copied_hub)
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
