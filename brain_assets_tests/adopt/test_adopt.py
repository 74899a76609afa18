"""Snapshots that came from elsewhere are told to Dagster; see `cli.test_sync` for those of all families."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from brain_assets.adopt.definitions import adopt, find_external
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.graph.instance import PROCESS_TAG, this_process
from brain_assets.graph.status import State, StatusReader
from brain_assets.market.prices import PricePanel
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.graph.worlds import DEFS, EVERY, RUN_CONFIG, world
from brain_assets_tests.store.hubs import dated

ASSET, YEARS = "lstm_snapshot", (2019, 2020, 2021)
OPTIONS = {name: entry["config"] for name, entry in RUN_CONFIG["ops"].items()}
GRAPH = DEFS.resolve_asset_graph()


@pytest.fixture(scope="module")
def trained(panel: PricePanel, tiny_lstm: LstmConfig) -> ModelSnapshot:
    return train_snapshot("lstm", panel, cutoff_of_year(2021), tiny_lstm, MADE_UP)


@pytest.fixture
def resources(market: SimulatorMarket, trained: ModelSnapshot, tmp_path: Path) -> Mapping[str, Any]:
    """A machine that holds an LSTM snapshot of every year, as after a pull."""
    resources = world(market, tmp_path / "models")
    for year in YEARS:
        resources["snapshot_io"].storages["lstm"].write_snapshot(dated(trained, cutoff_of_year(year)))
    return resources


def years_of(found: Iterable[dg.AssetMaterialization]) -> list[int]:
    events = list(found)
    assert {event.asset_key.to_user_string() for event in events} <= {ASSET}
    return [int(event.partition or 0) for event in events]


def test_the_sensor_tells_of_pulled_snapshots_once_and_they_are_done(
    resources: Mapping[str, Any], trained: ModelSnapshot, tmp_path: Path
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def tick() -> dg.SensorResult | dg.SkipReason:
            given = {"snapshot_io": resources["snapshot_io"]}
            return adopt(dg.build_sensor_context(instance, resources=given, definitions=DEFS))

        first = tick()
        assert isinstance(first, dg.SensorResult)
        assert years_of(first.asset_events) == list(YEARS)
        for event in first.asset_events:
            instance.report_runless_asset_event(event)
        assert instance.get_materialized_partitions(dg.AssetKey(ASSET)) == {str(year) for year in YEARS}
        reader = StatusReader(dg.Definitions(EVERY, resources=dict(resources)), instance, OPTIONS)
        for year in YEARS:
            assert reader.read(ASSET, year).state is State.DONE
            record = instance.get_latest_data_version_record(dg.AssetKey(ASSET), partition_key=str(year))
            event = record.event_log_entry
            assert not event.run_id or instance.get_run_by_id(event.run_id) is None
            assert event.tags[DATA_VERSION_TAG] == trained.fingerprint
            shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
            assert shown["adopted"] is True
            assert "learning_curve" in shown
        second = tick()
        assert isinstance(second, dg.SkipReason)
        assert str(tmp_path) in second.skip_message


def test_snapshot_that_is_not_believed_or_of_other_code_is_not_adopted(
    resources: Mapping[str, Any], trained: ModelSnapshot, caplog: pytest.LogCaptureFixture
) -> None:
    storage = resources["snapshot_io"].storages["lstm"]
    (storage.path(cutoff_of_year(2019)) / "weights.pt").write_bytes(b"half")
    storage.write_snapshot(replace(trained, config={**trained.config, "hidden_size": 8}))  # of another network
    old = {**trained.metadata, "fingerprint": {**trained.metadata["fingerprint"], "code": "0"}}
    storage.write_snapshot(dated(replace(trained, metadata=old), cutoff_of_year(2020)))
    with dg.DagsterInstance.ephemeral() as instance:
        assert years_of(find_external(instance, GRAPH, resources["snapshot_io"].storages)) == []
    assert "snapshot-2021-12-31/model.safetensors: expected " in caplog.text
    assert f"not adopted: {ASSET}[2020]: expected one made by code version" in caplog.text


def test_year_whose_run_is_under_way_is_left_to_it(resources: Mapping[str, Any]) -> None:
    dead = f"999999999@{socket.gethostname()}"
    with dg.DagsterInstance.ephemeral() as instance:
        for year, process in ((2020, this_process()), (2021, dead)):
            instance.create_run_for_job(
                DEFS.resolve_job_def("walkforward"),
                tags={"dagster/partition": str(year), PROCESS_TAG: process},
                status=dg.DagsterRunStatus.STARTED,
            )
        assert years_of(find_external(instance, GRAPH, resources["snapshot_io"].storages)) == [2019, 2021]
