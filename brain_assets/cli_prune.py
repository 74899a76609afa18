"""The command `brain-assets prune`: old runs that nothing rests on."""

import datetime
from typing import Annotated

import typer
from rich.markup import escape

from brain_assets.graph import prune as runs
from brain_assets.graph.instance import session
from brain_assets.market.calendar import utc_now
from brain_assets.terminal import console


def prune(
    days: Annotated[int, typer.Option(help="Runs that ended more days ago than that.", min=1)] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
) -> None:
    """Delete old runs from Dagster's record, with their logs; data and models are not touched.

    A run that made what is there now stays, however old: without it Dagster would call that missing.
    """
    with session(None) as (_, instance):
        records = runs.prunable(instance, utc_now() - datetime.timedelta(days=days))
        for record in records:
            run = record.dagster_run
            if not dry_run:
                runs.prune(instance, record)
            said = "would delete" if dry_run else "deleted"
            console.print(f"{run.run_id} {escape(run.job_name)} of {record.create_timestamp:%Y-%m-%d} {said}")
        console.print(f"{len(records)} runs {'would be ' if dry_run else ''}deleted, {instance.get_runs_count()} there")
