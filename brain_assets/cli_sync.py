"""The commands `brain-assets sync`: snapshots between this machine and the Hub, without Dagster."""

import datetime
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from brain_assets.errors import SettingsError
from brain_assets.store.names import FAMILIES, FORECASTER_FAMILIES, cutoff_of_year, snapshot_name
from brain_assets.terminal import console, read_years, warnings_shown

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage
    from brain_assets.store.sync import Comparison, OnTransfer, Transfer

sync = typer.Typer(
    help="Compare, push and pull snapshots: this machine and the Hugging Face Hub.", no_args_is_help=True
)

FamilyOption = Annotated[
    str | None, typer.Option("--family", help="lstm, patchtst, ppo, sac; several separated by commas. Default: all.")
]
YearOption = Annotated[str | None, typer.Option("--year", help="A year or a range: 2021, 2019-2022. Default: all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]


@sync.command()
def status(family: FamilyOption = None, year: YearOption = None) -> None:
    """Show every snapshot: here, on the Hub, equal or not."""
    with warnings_shown():
        rows = [row for storage in _storages(family) for row in _compare(storage, year)]
    console.print(_table(rows))
    for row in rows:
        if row.pending:
            console.print(f"{row.family} {snapshot_name(row.cutoff_date)}: hub: pending: {escape(row.pending)}")


@sync.command()
def push(family: FamilyOption = None, year: YearOption = None, dry_run: DryRunOption = False) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise.

    Repos and branches are made if they are missing; a new repo is private. The exit code is 1 if anything failed.
    """
    from brain_assets.store import sync as actions

    failed = _run("push", family, year, dry_run, actions.to_push, actions.push)
    if year is None:
        failed |= _push_versions(family, dry_run)
    if failed:
        raise typer.Exit(1)


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
    from brain_assets.store import sync as actions

    if _run("pull", family, year, dry_run, actions.to_pull, partial(actions.pull, force=force)):
        raise typer.Exit(1)


def _push_versions(family: str | None, dry_run: bool) -> bool:
    """Push the main versions that the Hub is not known to hold; `main` follows. Tells whether one is left."""
    from brain_assets.store.main_versions import MainVersions

    failed = False
    for storage in _storages(family):
        if storage.family not in FORECASTER_FAMILIES:
            continue
        versions = MainVersions(storage)
        planned = versions.unpublished()
        if dry_run:
            for branch in planned:
                console.print(f"would push {storage.family} {branch}")
            continue
        with warnings_shown():
            for branch, copy in versions.complete():
                console.print(f"{storage.family:<8} {branch} [green]{'pushed' if copy.changed else 'unchanged'}[/]")
        failed |= bool(versions.unpublished())
    return failed


def _run(
    verb: str,
    family: str | None,
    year: str | None,
    dry_run: bool,
    choose: "Callable[[Sequence[Comparison]], list[Comparison]]",
    act: "Callable[[SnapshotLocalStorage, Sequence[Comparison], OnTransfer | None], list[Transfer]]",
) -> bool:
    """Transfer what differs, and say what became of it; tells whether anything failed or was refused."""
    with warnings_shown():
        plans = [(storage, _compare(storage, year)) for storage in _storages(family)]
        chosen = [row for _, rows in plans for row in choose(rows)]
        n_rows = sum(len(rows) for _, rows in plans)
        if dry_run:
            console.print(_table(chosen))
            console.print(f"would {verb} {len(chosen)} of {n_rows} snapshots; nothing was done")
            return False
        transfers: list[Transfer] = []
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(verb, total=len(chosen))

            def show(transfer: "Transfer") -> None:
                color = {"failed": "red", "refused": "red", "kept": "yellow"}.get(transfer.result, "green")
                detail = f": {escape(transfer.detail)}" if transfer.detail else ""
                name = snapshot_name(transfer.cutoff_date)
                progress.console.print(
                    f"{transfer.family:<8} {name} [{color}]{transfer.result}[/]{detail}", soft_wrap=True
                )
                progress.advance(task)

            for storage, rows in plans:
                transfers += act(storage, rows, show)
    counts = {name: sum(transfer.result == name for transfer in transfers) for name in RESULTS}
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or f"nothing to {verb}"
    console.print(f"{words}; {n_rows - len(chosen)} equal or only on the other side")
    return bool(counts["failed"] or counts["refused"])


RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


def _storages(family: str | None) -> "list[SnapshotLocalStorage]":
    names = [name.strip() for name in (family or "").split(",") if name.strip()]
    unknown = sorted(set(names) - set(FAMILIES))
    if unknown:
        raise SettingsError(f"--family: expected one of {', '.join(FAMILIES)}, got {', '.join(unknown)}; correct it.")
    from brain_assets.store.storage import SnapshotLocalStorage

    return [SnapshotLocalStorage(name) for name in FAMILIES if not names or name in names]


def _compare(storage: "SnapshotLocalStorage", year: str | None) -> "list[Comparison]":
    from brain_assets.store.sync import compare

    cutoffs: set[datetime.date] | None = None if year is None else {cutoff_of_year(one) for one in read_years(year)}
    return compare(storage, cutoffs)


def _table(rows: "Sequence[Comparison]") -> Table:
    from brain_assets.store.sync import Relation

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
            snapshot_name(row.cutoff_date),
            here,
            row.commit[:8] or "-",
            f"[{colors[row.relation]}]{row.relation.value}[/]{note}",
        )
    return table
