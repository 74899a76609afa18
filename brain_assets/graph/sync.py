"""What `brain-assets sync` does, as jobs: for those who ask Dagster from another machine, or by its UI."""

import datetime
from collections.abc import Callable, Sequence

import dagster as dg
import pydantic

from brain_assets.errors import SettingsError
from brain_assets.graph.snapshots import Snapshots
from brain_assets.store import sync
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.names import FAMILIES, FORECASTER_FAMILIES, cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage

Row = dict[str, str]
"""What is said of one branch: family, branch, result, detail."""


class SyncConfig(dg.Config):
    """Which snapshots."""

    families: list[str] = pydantic.Field([], description="Some of lstm, patchtst, ppo, sac; none named: all.")
    years: list[int] = pydantic.Field([], description="Years of snapshots; none named: all.")


class PushConfig(SyncConfig):
    """Run configuration of a push; without years, main versions are pushed too."""

    dry_run: bool = pydantic.Field(False, description="Say what would be done, and do nothing.")


class PullConfig(PushConfig):
    """Run configuration of a pull."""

    force: bool = pydantic.Field(False, description="Replace also what was made here and never pushed.")


@dg.op(name="status")
def status_op(context: dg.OpExecutionContext, config: SyncConfig, snapshots: dg.ResourceParam[Snapshots]) -> None:
    """List every snapshot: here, on the Hub, equal or not."""
    rows = [
        _row(row.family, row.cutoff_date, row.relation.value, row.pending)
        for storage in _chosen(config, snapshots)
        for row in sync.compare(storage, _cutoffs(config))
    ]
    context.add_output_metadata({"snapshots": _table(rows)})


@dg.op(name="push")
def push_op(context: dg.OpExecutionContext, config: PushConfig, snapshots: dg.ResourceParam[Snapshots]) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise."""
    storages = _chosen(config, snapshots)
    rows = _transfer("push", config, storages, sync.to_push, sync.push)
    if not config.years:
        rows += [row for storage in storages for row in _push_versions(storage, config.dry_run)]
    _conclude(context, "push", rows)


@dg.op(name="pull")
def pull_op(context: dg.OpExecutionContext, config: PullConfig, snapshots: dg.ResourceParam[Snapshots]) -> None:
    """Have here what the Hub holds; the sensor `adopt` then tells Dagster of it."""

    def act(storage: SnapshotLocalStorage, rows: Sequence[sync.Comparison]) -> list[sync.Transfer]:
        return sync.pull(storage, rows, force=config.force)

    _conclude(context, "pull", _transfer("pull", config, _chosen(config, snapshots), sync.to_pull, act))


@dg.job(description="Compares the snapshots on this machine with those on the Hub; the run's output lists them.")
def sync_status() -> None:
    """`brain-assets sync status`."""
    status_op()


@dg.job(description="Pushes the snapshots and main versions that the Hub lacks or holds otherwise.")
def sync_push() -> None:
    """`brain-assets sync push`."""
    push_op()


@dg.job(description="Pulls the snapshots that are missing on this machine or differ from those on the Hub.")
def sync_pull() -> None:
    """`brain-assets sync pull`."""
    pull_op()


SYNC_JOBS = [sync_status, sync_push, sync_pull]


def _chosen(config: SyncConfig, snapshots: Snapshots) -> list[SnapshotLocalStorage]:
    unknown = sorted(set(config.families) - set(FAMILIES))
    if unknown:
        raise SettingsError(f"families: expected some of {', '.join(FAMILIES)}, got {', '.join(unknown)}; correct it.")
    return [snapshots[family] for family in FAMILIES if not config.families or family in config.families]


def _cutoffs(config: SyncConfig) -> set[datetime.date] | None:
    return {cutoff_of_year(year) for year in config.years} or None


def _transfer(
    verb: str,
    config: PushConfig,
    storages: Sequence[SnapshotLocalStorage],
    choose: Callable[[Sequence[sync.Comparison]], list[sync.Comparison]],
    act: Callable[[SnapshotLocalStorage, Sequence[sync.Comparison]], list[sync.Transfer]],
) -> list[Row]:
    """Transfer what differs, or say what would be."""
    plans = [(storage, sync.compare(storage, _cutoffs(config))) for storage in storages]
    if config.dry_run:
        return [
            _row(row.family, row.cutoff_date, f"would {verb}", row.relation.value)
            for _, found in plans
            for row in choose(found)
        ]
    return [
        _row(transfer.family, transfer.cutoff_date, transfer.result, transfer.detail)
        for storage, found in plans
        for transfer in act(storage, found)
    ]


def _push_versions(storage: SnapshotLocalStorage, dry_run: bool) -> list[Row]:
    """Push the main versions that the Hub is not known to hold; ``main`` follows."""
    if storage.family not in FORECASTER_FAMILIES:
        return []
    versions = MainVersions(storage)
    planned = versions.unpublished()
    if dry_run:
        return [_row(storage.family, branch, "would push") for branch in planned]
    done = {branch: "pushed" if copy.changed else "unchanged" for branch, copy in versions.complete()}
    return [_row(storage.family, branch, done.get(branch, "failed"), "") for branch in planned]


def _row(family: str, branch: datetime.date | str, result: str, detail: str = "") -> Row:
    name = branch if isinstance(branch, str) else snapshot_name(branch)
    return {"family": family, "branch": name, "result": result, "detail": detail}


def _table(rows: Sequence[Row]) -> dg.TableMetadataValue:
    columns = [dg.TableColumn(name) for name in ("family", "branch", "result", "detail")]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], dg.TableSchema(columns))


def _conclude(context: dg.OpExecutionContext, verb: str, rows: Sequence[Row]) -> None:
    """Show what became of each; one that failed or was refused fails the run, once all others are through."""
    bad = [row for row in rows if row["result"] in ("failed", "refused")]
    if bad:
        words = "; ".join(f"{row['family']} {row['branch']}: {row['detail'] or 'see the log'}" for row in bad)
        raise dg.Failure(
            f"sync {verb}: expected {len(rows)} to get through, got {len(bad)} that did not: {words}",
            metadata={"snapshots": _table(rows)},
            allow_retries=False,
        )
    context.add_output_metadata({"snapshots": _table(rows)})
