"""The commands `brain-assets sync`: snapshots between this machine and the Hub, without Dagster."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brain_assets.settings import read_settings
from brain_assets.store import sync as transfers
from brain_assets.store.copies import Comparison, Relation, Transfer
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.terminal import console, read_years, warnings_shown

sync = typer.Typer(
    help="Compare, push and pull snapshots: this machine and the Hugging Face Hub.", no_args_is_help=True
)

FamilyOption = Annotated[
    str | None, typer.Option("--family", help="Such as lstm; several separated by commas. Default: all.")
]
YearOption = Annotated[str | None, typer.Option("--year", help="A year or a range: 2021, 2019-2022. Default: all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
COLORS = {"failed": "red", "refused": "red", "kept": "yellow"}
"""Of a result; any other is green."""


@sync.command()
def status(family: FamilyOption = None, year: YearOption = None) -> None:
    """Show every snapshot: here, on the Hub, equal or not."""
    with warnings_shown():
        rows = transfers.compare(_storages(family), _cutoffs(year))
    console.print(_table(rows))
    for row in rows:
        if row.pending:
            console.print(f"{row.family} {row.name}: hub: pending: {escape(row.pending)}")


@sync.command()
def push(family: FamilyOption = None, year: YearOption = None, dry_run: DryRunOption = False) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise.

    Repos and branches are made if they are missing; a new repo is private. The exit code is 1 if anything failed.
    """
    with warnings_shown():
        _run(transfers.plan_push(_storages(family), _cutoffs(year)), dry_run)


@sync.command()
def pull(
    family: FamilyOption = None,
    year: YearOption = None,
    dry_run: DryRunOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace also what was made here and never pushed.")] = False,
) -> None:
    """Have here what the Hub holds: pull the snapshots that are missing here or differ.

    What a branch holds is checked before it is used; a snapshot that was made here since the last push or pull is kept.
    The exit code is 1 if anything failed or was refused.
    """
    with warnings_shown():
        _run(transfers.plan_pull(_storages(family), _cutoffs(year), force), dry_run)


def _run(plan: transfers.Plan, dry_run: bool) -> None:
    """Transfer what differs, and say what became of it."""
    if dry_run:
        console.print(_table(plan.chosen))
        console.print(f"would {plan.verb} {len(plan.chosen)} of {len(plan.rows)} snapshots; nothing was done")
        for versions, branch in plan.versions:
            console.print(f"would {plan.verb} {versions.family} {branch}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(plan.verb, total=len(plan.chosen) + len(plan.versions))

        def show(transfer: Transfer) -> None:
            detail = f": {escape(transfer.detail)}" if transfer.detail else ""
            progress.console.print(
                f"{transfer.family:<8} {transfer.name} [{COLORS.get(transfer.result, 'green')}]{transfer.result}[/]"
                f"{detail}",
                soft_wrap=True,
            )
            progress.advance(task)

        counts = Counter(transfer.result for transfer in plan.run(show))
    words = ", ".join(f"{counts[name]} {name}" for name in transfers.RESULTS if counts[name])
    rest = len(plan.rows) - len(plan.chosen)
    console.print(f"{words or f'nothing to {plan.verb}'}; {rest} equal or only on the other side")
    if counts["failed"] or counts["refused"]:
        raise typer.Exit(1)


def _storages(family: str | None) -> transfers.Storages:
    names = [name.strip() for name in (family or "").split(",") if name.strip()]
    families = read_settings().families.by_name
    return {name: SnapshotLocalStorage(name) for name in transfers.choose(families, names, "--family: expected one of")}


def _cutoffs(year: str | None) -> transfers.Cutoffs:
    return transfers.cutoffs_of(() if year is None else read_years(year))


def _table(rows: Sequence[Comparison]) -> Table:
    colors = {
        Relation.EQUAL: "green",
        Relation.DIFFERENT: "yellow",
        Relation.LOCAL_ONLY: "cyan",
        Relation.HUB_ONLY: "cyan",
    }
    table = Table("family", "snapshot", "here", "Hub", "")
    for row in rows:
        here = "-" if row.relation is Relation.HUB_ONLY else "yes"
        note = " (push pending)" if row.pending else ""
        table.add_row(
            row.family,
            row.name,
            here,
            row.commit[:8] or "-",
            f"[{colors[row.relation]}]{row.relation.value}[/]{note}",
        )
    return table
