"""Deleting old runs that nothing rests on.

What Dagster knows of a year is an event of the run that made it: with that run deleted, the year counts as missing. So
a run stays as long as it holds the newest materialization of any asset and year.
"""

import datetime
from collections.abc import Iterator

import dagster as dg

FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
N_AT_ONCE = 500
"""Materializations in a query."""


def prunable(instance: dg.DagsterInstance, before: datetime.datetime) -> list[dg.RunRecord]:
    """Give the runs that ended before a moment (with a time zone) and hold no newest materialization, oldest first."""
    needed = set(_newest(instance))
    finished = dg.RunsFilter(statuses=FINISHED, updated_before=before)
    records = instance.get_run_records(filters=finished, ascending=True)
    return [record for record in records if record.dagster_run.run_id not in needed]


def prune(instance: dg.DagsterInstance, record: dg.RunRecord) -> None:
    """Delete a run, its events and what its processes printed."""
    run_id = record.dagster_run.run_id
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _newest(instance: dg.DagsterInstance) -> Iterator[str]:
    """Give the run of the newest materialization of every asset and year, and of every asset without years."""
    storage, kind = instance.event_log_storage, dg.DagsterEventType.ASSET_MATERIALIZATION
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        if newest is not None:
            yield newest.run_id
        ids = list(storage.get_latest_storage_id_by_partition(key, kind).values())
        for start in range(0, len(ids), N_AT_ONCE):
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + N_AT_ONCE])
            yield from (record.run_id for record in instance.fetch_materializations(chosen, limit=N_AT_ONCE).records)
