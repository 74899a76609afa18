"""What `brain-assets sync` does, as jobs: for those who ask Dagster from another machine, or by its UI."""

from collections.abc import Sequence

import dagster as dg
import pydantic

from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.store import sync

Row = dict[str, str]
"""What is said of one branch: family, branch, result, detail."""


class SyncConfig(dg.Config):
    """Which snapshots."""

    families: list[str] = pydantic.Field([], description="Some families, such as lstm, ppo; none named: all.")
    years: list[int] = pydantic.Field([], description="Years of snapshots; none named: all.")


class PushConfig(SyncConfig):
    """Run configuration of a push; without years, main versions are pushed too."""

    dry_run: bool = pydantic.Field(False, description="Say what would be done, and do nothing.")


class PullConfig(PushConfig):
    """Run configuration of a pull."""

    force: bool = pydantic.Field(False, description="Replace also what was made here and never pushed.")


@dg.op(name="status")
def status_op(
    context: dg.OpExecutionContext, config: SyncConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """List every snapshot: here, on the Hub, equal or not."""
    rows = sync.compare(_chosen(config, snapshot_io), sync.cutoffs_of(config.years))
    shown = [_row(row.family, row.name, row.relation.value, row.pending) for row in rows]
    context.add_output_metadata({"snapshots": _table(shown)})


@dg.op(name="push")
def push_op(
    context: dg.OpExecutionContext, config: PushConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise."""
    _run(context, config, sync.plan_push(_chosen(config, snapshot_io), sync.cutoffs_of(config.years)))


@dg.op(name="pull")
def pull_op(
    context: dg.OpExecutionContext, config: PullConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """Have here what the Hub holds; the sensor `adopt` then tells Dagster of it."""
    _run(context, config, sync.plan_pull(_chosen(config, snapshot_io), sync.cutoffs_of(config.years), config.force))


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


def _chosen(config: SyncConfig, snapshot_io: SnapshotIOManager) -> sync.Storages:
    storages = snapshot_io.storages
    chosen = sync.choose(storages, config.families, "families: expected some of")
    return {family: storages[family] for family in chosen}


def _run(context: dg.OpExecutionContext, config: PushConfig, plan: sync.Plan) -> None:
    """Run a plan and show what became of each; one that failed or was refused fails the run, once all are through."""
    if config.dry_run:
        rows = [_row(row.family, row.name, f"would {plan.verb}", row.relation.value) for row in plan.chosen]
        rows += [_row(versions.family, branch, f"would {plan.verb}") for versions, branch in plan.versions]
    else:
        rows = [_row(one.family, one.name, one.result, one.detail) for one in plan.run()]
    bad = [row for row in rows if row["result"] in ("failed", "refused")]
    if bad:
        words = "; ".join(f"{row['family']} {row['branch']}: {row['detail'] or 'see the log'}" for row in bad)
        raise dg.Failure(
            f"sync {plan.verb}: expected {len(rows)} to get through, got {len(bad)} that did not: {words}",
            metadata={"snapshots": _table(rows)},
            allow_retries=False,
        )
    context.add_output_metadata({"snapshots": _table(rows)})


def _row(family: str, branch: str, result: str, detail: str = "") -> Row:
    return {"family": family, "branch": branch, "result": result, "detail": detail}


def _table(rows: Sequence[Row]) -> dg.TableMetadataValue:
    columns = [dg.TableColumn(name) for name in ("family", "branch", "result", "detail")]
    return dg.MetadataValue.table([dg.TableRecord(row) for row in rows], dg.TableSchema(columns))
