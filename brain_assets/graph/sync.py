"""What `brain-assets sync` does, as jobs: for those who ask Dagster from another machine, or by its UI."""

from collections.abc import Iterable
from dataclasses import astuple

import dagster as dg
import pandas as pd
import pydantic

from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.graph.pictures import as_table
from brain_assets.store.storage import ModelCopy, choose, compare, transfer


class SyncConfig(dg.Config):
    """Which snapshots, and what to do with them; a push without years brings main versions too."""

    families: list[str] = pydantic.Field([], description="Some families, such as lstm, ppo; none named: all.")
    years: list[int] = pydantic.Field([], description="Years of snapshots; none named: all.")


class PushConfig(SyncConfig):
    """Besides, whether anything is done."""

    dry_run: bool = pydantic.Field(False, description="Say what would be done, and do nothing.")


class PullConfig(PushConfig):
    """Besides, what becomes of what differs."""

    force: bool = pydantic.Field(False, description="Replace also what is here and differs.")


def _sync_job(verb: str, kind: type[SyncConfig], description: str) -> dg.JobDefinition:
    @dg.op(name=verb, description=description)
    def act(
        context: dg.OpExecutionContext,
        config: kind,  # type: ignore[valid-type]
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
    ) -> None:
        given = config.model_dump()  # type: ignore[attr-defined]
        families, years = given.pop("families"), given.pop("years")
        chosen = choose(snapshot_io.storages, families, "families: expected some of")
        storages = {family: snapshot_io.storages[family] for family in chosen}
        rows = compare(storages, years, versions=verb == "push" and not years)
        _show(context, rows if verb == "status" else transfer(verb, storages, rows, **given))

    return dg.GraphDefinition(f"sync_{verb}", description=description, node_defs=[act]).to_job()


def _show(context: dg.OpExecutionContext, copies: Iterable[ModelCopy]) -> None:
    """Show what became of each; one that failed or was refused fails the run, once all are through."""
    rows = []
    for row in copies:
        rows.append(row)
        context.log.info(f"{row.family} {row.name}: {row.state}{row.detail and f': {row.detail}'}")
    shown = as_table(pd.DataFrame(map(astuple, rows), columns=["family", "branch", "result", "detail"]))
    bad = [f"{row.family} {row.name}: {row.detail}" for row in rows if row.state in ("failed", "refused")]
    if bad:
        raise dg.Failure(
            f"{context.job_name}: expected {len(rows)} to get through, got {len(bad)} that did not: {'; '.join(bad)}",
            metadata={"snapshots": shown},
            allow_retries=False,
        )
    context.add_output_metadata({"snapshots": shown})


SYNC_JOBS = [
    _sync_job("status", SyncConfig, "List every snapshot: here, on the Hub, equal or not."),
    _sync_job(
        "push",
        PushConfig,
        "Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise.",
    ),
    _sync_job("pull", PullConfig, "Have here what the Hub holds; the sensor `adopt` then tells Dagster of it."),
]
"""`brain-assets sync status`, `push` and `pull`."""
