"""What Dagster is told of snapshots that it has never seen, and the sensor that tells it."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph, BaseAssetNode
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    UNKNOWN_DATA_VERSION,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG

from brain_assets import registry
from brain_assets.errors import SnapshotError
from brain_assets.graph.instance import UNFINISHED, close_dead_runs
from brain_assets.graph.io_managers import SnapshotIOManager, Snapshots, snapshot_metadata
from brain_assets.graph.project import Project
from brain_assets.progress import warn
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage


def find_external(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], snapshots: Snapshots
) -> Iterator[dg.AssetMaterialization]:
    """Give what to tell an instance of snapshots on this machine that it has not seen; a family's oldest first.

    One is new to it if its fingerprint is another than that of the last materialization. One that does not load, or
    was made by another code version, is said so, and passed over.
    """
    close_dead_runs(instance)
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    under_way = {run.tags.get(PARTITION_NAME_TAG) for run in runs}  # they report for themselves
    for family, storage in snapshots.items():
        node = graph.get(dg.AssetKey(registry.get(family).asset))
        keys = node.partitions_def.get_partition_keys() if node.partitions_def else ()
        for year in (key for key in keys if key not in under_way):
            found = storage.read_metadata(cutoff_of_year(int(year)))
            record = instance.get_latest_data_version_record(node.key, partition_key=year)
            seen = extract_data_version_from_entry(record.event_log_entry) if record else None
            if found is None or (seen is not None and seen.value == found["fingerprint"]["value"]):
                continue
            try:
                yield _materialization(node, year, storage)
            except SnapshotError as error:
                warn(f"not adopted: {error}")


def _materialization(node: BaseAssetNode, year: str, storage: SnapshotLocalStorage) -> dg.AssetMaterialization:
    """Give what Dagster is told of a snapshot, which must load, and be made by the code version that is asked for."""
    snapshot = storage.load_snapshot(cutoff_of_year(int(year)))
    asset, code = node.key.to_user_string(), snapshot.metadata["fingerprint"].get("code")
    if code != node.code_version:
        raise SnapshotError(
            f"{asset}[{year}]: expected one made by code version {node.code_version}, got one by {code!r}; run "
            f"brain-assets backfill {year} --assets {asset}."
        )
    tags = {DATA_VERSION_TAG: snapshot.fingerprint, CODE_VERSION_TAG: str(code)}
    for key in node.parent_keys:  # not seen either; without these tags Dagster calls it stale, whatever there is
        tags[get_input_data_version_tag(key)] = UNKNOWN_DATA_VERSION.value
        tags[get_input_event_pointer_tag(key)] = NULL_EVENT_POINTER
    place = dg.MetadataValue.path(str(storage.folder / snapshot.name))
    metadata = {"adopted": True, "snapshot": place, **snapshot_metadata(snapshot)}
    return dg.AssetMaterialization(asset, "adopted, not made by a run", metadata, year, tags)


@dg.sensor(
    name="adopt",
    description="Snapshots that this instance has never seen (copied or pulled) become materializations without a run.",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def adopt(
    context: dg.SensorEvaluationContext, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> dg.SensorResult | dg.SkipReason:
    """Tell of what is new; a tick trains and downloads no model."""
    graph = context.repository_def.asset_graph  # type: ignore[union-attr]  # there is one in every tick
    found = list(find_external(context.instance, graph, snapshot_io.storages))
    if not found:
        places = ", ".join(f"{storage.folder}" for storage in snapshot_io.storages.values())
        return dg.SkipReason(f"no snapshot that this instance has not seen in {places}")
    return dg.SensorResult(asset_events=found)


def definitions(_: Project) -> dg.Definitions:
    """Define the sensor."""
    return dg.Definitions(sensors=[adopt])
