"""What `brain-assets sync` does, as jobs: for those who ask Dagster from another machine, or by its UI."""

from collections.abc import Iterable
from dataclasses import astuple

import dagster as dg
import pandas as pd
import pydantic

from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.pictures import as_table
from brain_assets.store import sync
from brain_assets.store.sync import Transfer


class SyncConfig(dg.Config):
    """Which snapshots."""

    families: list[str] = pydantic.Field([], description="Some families, such as lstm, ppo; none named: all.")
    years: list[int] = pydantic.Field([], description="Years of snapshots; none named: all.")


class PushConfig(SyncConfig):
    """Run configuration of a push; without years, main versions are pushed too."""

    dry_run: bool = pydantic.Field(False, description="Say what would be done, and do nothing.")


class PullConfig(PushConfig):
    """Run configuration of a pull."""

    force: bool = pydantic.Field(False, description="Replace also what is here and differs.")


@dg.op(name="status")
def status_op(
    context: dg.OpExecutionContext, config: SyncConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """List every snapshot: here, on the Hub, equal or not."""
    rows = sync.compare(_chosen(config, snapshot_io), config.years)
    _show(context, [Transfer(row.family, row.name, row.relation.value) for row in rows])


@dg.op(name="push")
def push_op(
    context: dg.OpExecutionContext, config: PushConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise."""
    plan = sync.plan("push", _chosen(config, snapshot_io), config.years)
    _show(context, plan.preview() if config.dry_run else plan.run())


@dg.op(name="pull")
def pull_op(
    context: dg.OpExecutionContext, config: PullConfig, snapshot_io: dg.ResourceParam[SnapshotIOManager]
) -> None:
    """Have here what the Hub holds; the sensor `adopt` then tells Dagster of it."""
    plan = sync.plan("pull", _chosen(config, snapshot_io), config.years, config.force)
    _show(context, plan.preview() if config.dry_run else plan.run())


SYNC_JOBS = [
    dg.GraphDefinition(f"sync_{op.name}", description=op.description, node_defs=[op]).to_job()
    for op in (status_op, push_op, pull_op)
]
"""`brain-assets sync status`, `push` and `pull`."""


def _chosen(config: SyncConfig, snapshot_io: SnapshotIOManager) -> sync.Storages:
    chosen = sync.choose(snapshot_io.storages, config.families, "families: expected some of")
    return {family: snapshot_io.storages[family] for family in chosen}


def _show(context: dg.OpExecutionContext, transfers: Iterable[Transfer]) -> None:
    """Show what became of each; one that failed or was refused fails the run, once all are through."""
    rows = []
    for row in transfers:
        rows.append(row)
        context.log.info(f"{row.family} {row.name}: {row.result}{row.detail and f': {row.detail}'}")
    shown = as_table(pd.DataFrame(map(astuple, rows), columns=["family", "branch", "result", "detail"]))
    bad = [f"{row.family} {row.name}: {row.detail}" for row in rows if row.result in ("failed", "refused")]
    if bad:
        raise dg.Failure(
            f"{context.job_name}: expected {len(rows)} to get through, got {len(bad)} that did not: {'; '.join(bad)}",
            metadata={"snapshots": shown},
            allow_retries=False,
        )
    context.add_output_metadata({"snapshots": shown})
