"""What Dagster is told of snapshots that it has never seen, and the sensor that tells it."""

import datetime
from collections.abc import Iterator, Mapping
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
from brain_assets.errors import HubError, SnapshotError
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.project import Project
from brain_assets.graph.runs import UNFINISHED, close_dead_runs
from brain_assets.graph.snapshots import Metadata, Snapshots, hub_metadata, location_metadata, snapshot_metadata
from brain_assets.progress import warn
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage


def find_external(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], snapshots: Snapshots
) -> Iterator[dg.AssetMaterialization]:
    """Give what to tell an instance of snapshots, here and on the Hub, that it has not seen; a family's oldest first.

    One on this machine is new to it if its fingerprint is another than that of the last materialization; one that is
    on the Hub alone, if there is no materialization. A Hub that fails is said so, and passed over.
    """
    close_dead_runs(instance)
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    under_way = {run.tags.get(PARTITION_NAME_TAG) for run in runs}  # they report for themselves
    for family, storage in snapshots.items():
        commits, node = _commits(storage), graph.get(dg.AssetKey(registry.get(family).asset))
        keys = node.partitions_def.get_partition_keys() if node.partitions_def else ()
        for year in (key for key in keys if key not in under_way):
            record = instance.get_latest_data_version_record(node.key, partition_key=year)
            version = extract_data_version_from_entry(record.event_log_entry) if record else None
            try:
                yield from _find(node, year, storage, commits, version.value if version else None)
            except (HubError, SnapshotError) as error:
                warn(f"not adopted: {error}")


def _commits(storage: SnapshotLocalStorage) -> Mapping[datetime.date, str]:
    try:
        return storage.hf_commits() if storage.hub is not None else {}
    except HubError as error:
        warn(f"snapshots on the Hub are passed over: {error}")
        return {}


def _find(
    node: BaseAssetNode,
    year: str,
    storage: SnapshotLocalStorage,
    commits: Mapping[datetime.date, str],
    seen: str | None,
) -> Iterator[dg.AssetMaterialization]:
    """Give a year's snapshot, if it is one that was not seen; one on this machine must load."""
    cutoff_date = cutoff_of_year(int(year))
    local = storage.read_metadata(cutoff_date)
    if local is not None and local["fingerprint"]["value"] != seen:
        snapshot, record = storage.load_snapshot(cutoff_date), storage.record(snapshot_name(cutoff_date))
        is_copied = storage.hub is not None and not storage.changed_here(snapshot_name(cutoff_date))
        hub = hub_metadata("copied", commit=record.commit) if is_copied else {}
        metadata = {**location_metadata(storage.path(cutoff_date), hub), **snapshot_metadata(snapshot)}
        yield _materialization(node, year, "this machine", snapshot.metadata["fingerprint"], metadata)
    elif local is None and seen is None and cutoff_date in commits:
        commit = commits[cutoff_date]
        fingerprint = storage.read_hf_manifest(cutoff_date, commit)["fingerprint"]
        hub = hub_metadata("on the Hub only", storage.repo.url(snapshot_name(cutoff_date)), commit)
        metadata = {"cutoff_date": cutoff_date.isoformat(), "fingerprint": fingerprint["value"], **hub}
        yield _materialization(node, year, "the Hub", fingerprint, metadata)


def _materialization(
    node: BaseAssetNode, year: str, place: str, fingerprint: Mapping[str, Any], metadata: Metadata
) -> dg.AssetMaterialization:
    """Give what Dagster is told; raises `SnapshotError` if it was made by another code version."""
    asset, code = node.key.to_user_string(), fingerprint.get("code")
    if code != node.code_version:
        raise SnapshotError(
            f"{asset}[{year}]: expected one made by code version {node.code_version}, got one by {code!r} on {place}; "
            f"run brain-assets backfill {year} --assets {asset}."
        )
    tags = {DATA_VERSION_TAG: str(fingerprint["value"]), CODE_VERSION_TAG: str(code)}
    for key in node.parent_keys:  # not seen either; without these tags Dagster calls it stale, whatever there is
        tags[get_input_data_version_tag(key)] = UNKNOWN_DATA_VERSION.value
        tags[get_input_event_pointer_tag(key)] = NULL_EVENT_POINTER
    said = f"adopted from {place}, not made by a run"
    return dg.AssetMaterialization(asset, said, {"adopted_from": place, **metadata}, year, tags)


@dg.sensor(
    name="adopt",
    description=(
        "Snapshots that this instance has never seen (copied, pulled, or pushed by another machine) become "
        "materializations without a run."
    ),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def adopt(
    context: dg.SensorEvaluationContext, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> dg.SensorResult | dg.SkipReason:
    """Tell of what is new; a tick trains and downloads no model, and asks a Hub in trouble once."""
    graph = context.repository_def.asset_graph  # type: ignore[union-attr]  # there is one in every tick
    quick = {family: storage.no_retry() for family, storage in snapshot_io.storages.items()}
    found = list(find_external(context.instance, graph, quick))
    if not found:
        places = ", ".join(f"{storage.folder}" for storage in quick.values())
        return dg.SkipReason(f"no snapshot that this instance has not seen in {places}")
    return dg.SensorResult(asset_events=found)


def definitions(_: Project) -> dg.Definitions:
    """Define the sensor."""
    return dg.Definitions(sensors=[adopt])
