"""Telling Dagster of snapshots that it has never seen: copied here, pulled, or pushed by another machine.

Each becomes a materialization of its asset and year without a run, with its data version (the fingerprint): the UI
shows the year as done, and nothing trains it again. The sensor also tries again the pushes that did not get through.
"""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG

from brain_assets import registry
from brain_assets.errors import HubError, SnapshotError
from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.runs import PROCESS_TAG, is_gone
from brain_assets.graph.snapshots import HubState, Snapshots, location_metadata, snapshot_metadata
from brain_assets.progress import warn
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage


@dataclass(frozen=True)
class Adopted:
    """A snapshot that Dagster had not seen, and what to tell it."""

    asset: str
    year: int
    place: str
    event: dg.AssetMaterialization


def adoptable(instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], snapshots: Snapshots) -> Iterator[Adopted]:
    """Find the snapshots, on this machine and on the Hub, that an instance has not seen; the oldest of a family first.

    One on this machine is new to it if its fingerprint is another than that of the last materialization; one that is
    on the Hub alone, if there is no materialization. A Hub that fails is said so, and passed over.
    """
    for family, storage in snapshots.items():
        commits, asset = _commits(storage), registry.get(family).asset
        node = graph.get(dg.AssetKey(asset))
        for year in map(int, node.partitions_def.get_partition_keys() if node.partitions_def else ()):
            if _is_under_way(instance, year):  # it reports for itself
                continue
            try:
                found = _find(node, year, storage, commits, _data_version(instance, asset, year))
            except (HubError, SnapshotError) as error:
                warn(f"not adopted: {error}")
                continue
            if found is not None:
                yield found


def complete_pushes(instance: dg.DagsterInstance, snapshots: Snapshots) -> Iterator[dg.AssetObservation]:
    """Push what did not get through, or whose run died before it; each that is complete gets an observation.

    Main versions that the Hub lacks are pushed too, and its ``main`` follows the current one.
    """
    for family, storage in snapshots.items():
        if storage.hub is None:
            continue
        asset = registry.get(family).asset
        try:
            for row in storage.compare():
                if row.to_complete and not _is_under_way(instance, row.cutoff_date.year):
                    copy = storage.upload_snapshot_to_hf(row.cutoff_date)
                    metadata = HubState.of(copy).metadata
                    yield dg.AssetObservation(asset, partition=str(row.cutoff_date.year), metadata=metadata)
        except HubError as error:
            warn(f"hub: still pending: {error}")
    for family, storage in snapshots.items():
        if registry.get(family).role == "forecaster":
            for branch, copy in MainVersions(storage).complete():
                metadata = {"branch": branch, **HubState.of(copy).metadata}
                yield dg.AssetObservation(f"{family}_model", metadata=metadata)


def _is_under_way(instance: dg.DagsterInstance, year: int) -> bool:
    """Tell whether a run of the year, whose process is not dead, has begun and not ended."""
    unfinished = dg.RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES), tags={PARTITION_NAME_TAG: str(year)})
    tags = [run.tags.get(PROCESS_TAG) for run in instance.get_runs(filters=unfinished)]
    return any(process is None or not is_gone(process) for process in tags)


def _commits(storage: SnapshotLocalStorage) -> dict[datetime.date, str]:
    if storage.hub is None:
        return {}
    try:
        return storage.hf_commits()
    except HubError as error:
        warn(f"snapshots on the Hub are passed over: {error}")
        return {}


def _find(
    node: BaseAssetNode,
    year: int,
    storage: SnapshotLocalStorage,
    commits: Mapping[datetime.date, str],
    seen: str | None,
) -> Adopted | None:
    """Give a year's snapshot, if it is one that was not seen; one on this machine must load."""
    cutoff_date = cutoff_of_year(year)
    local = storage.read_metadata(cutoff_date)
    if local is not None and local["fingerprint"]["value"] != seen:
        snapshot = storage.load_snapshot(cutoff_date)
        location = location_metadata(storage.path(cutoff_date), _hub_state(storage, cutoff_date))
        metadata = {**location, **snapshot_metadata(snapshot)}
        return _adopted(node, year, "this machine", snapshot.metadata["fingerprint"], metadata)
    if local is None and seen is None and cutoff_date in commits:
        fingerprint = storage.read_hf_manifest(cutoff_date, commits[cutoff_date])["fingerprint"]
        branch = storage.repo.url(snapshot_name(cutoff_date))
        metadata = {
            "cutoff_date": cutoff_date.isoformat(),
            "fingerprint": fingerprint["value"],
            **HubState("on the Hub only", branch, commits[cutoff_date]).metadata,
        }
        return _adopted(node, year, "the Hub", fingerprint, metadata)
    return None


def _hub_state(storage: SnapshotLocalStorage, cutoff_date: datetime.date) -> HubState | None:
    """Give what this machine knows of the copy, without asking."""
    record = storage.hub_record(cutoff_date)
    if storage.hub is None:
        return None
    if record.pending:
        return HubState("pending", reason=record.pending)
    return HubState("copied", "", record.commit) if not storage.changed_here(cutoff_date) else None


def _data_version(instance: dg.DagsterInstance, asset: str, year: int) -> str | None:
    record = instance.get_latest_data_version_record(dg.AssetKey(asset), partition_key=str(year))
    version = extract_data_version_from_entry(record.event_log_entry) if record else None
    return version.value if version else None


def _adopted(
    node: BaseAssetNode, year: int, place: str, fingerprint: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Adopted:
    asset = node.key.to_user_string()
    if fingerprint.get("code") != node.code_version:
        raise SnapshotError(
            f"{asset}[{year}]: expected one made by code version {node.code_version}, got one by "
            f"{fingerprint.get('code')!r} on {place}; run the year."
        )
    tags = {DATA_VERSION_TAG: str(fingerprint["value"]), CODE_VERSION_TAG: str(node.code_version)}
    for key in sorted(
        node.parent_keys
    ):  # not seen either: without these tags Dagster calls it stale, whatever there is
        tags |= {
            get_input_data_version_tag(key): UNKNOWN_DATA_VERSION.value,
            get_input_event_pointer_tag(key): NULL_EVENT_POINTER,
        }
    event = dg.AssetMaterialization(
        asset_key=asset,
        partition=str(year),
        description=f"adopted from {place}, not made by a run",
        metadata={"adopted_from": place, **metadata},
        tags=tags,
    )
    return Adopted(asset, year, place, event)


@dg.sensor(
    name="adopt",
    description=(
        "Snapshots that this instance has never seen (copied, pulled, or pushed by another machine) become "
        "materializations without a run, and pushes that did not get through are tried again."
    ),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def adopt(
    context: dg.SensorEvaluationContext, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> dg.SensorResult | dg.SkipReason:
    """Adopt what is new; a tick trains and downloads no model, and asks a Hub in trouble once."""
    graph = context.repository_def.asset_graph  # type: ignore[union-attr]  # there is one in every tick
    quick = {family: storage.no_retry() for family, storage in snapshot_io.storages.items()}
    adopted = [found.event for found in adoptable(context.instance, graph, quick)]
    pushed = list(complete_pushes(context.instance, quick))
    if not adopted and not pushed:
        places = ", ".join(f"{storage.folder}" for storage in quick.values())
        return dg.SkipReason(f"no snapshot that this instance has not seen, and no push pending, in {places}")
    return dg.SensorResult(asset_events=[*adopted, *pushed])
