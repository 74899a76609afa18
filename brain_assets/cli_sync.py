"""The commands `brain-assets sync`: snapshots between this machine and the Hub, without Dagster."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from brain_assets.errors import SettingsError
from brain_assets.settings import read_settings
from brain_assets.store.storage import HUB_ONLY, RESULTS, SnapshotLocalStorage, Storages, compare, transfer
from brain_assets.terminal import console, read_years

sync = typer.Typer(
    help="Compare, push and pull snapshots: this machine and the Hugging Face Hub.", no_args_is_help=True
)

FamilyOption = Annotated[
    str | None, typer.Option("--family", help="Such as lstm; several separated by commas. Default: all.")
]
YearOption = Annotated[str | None, typer.Option("--year", help="A year or a range: 2021, 2019-2022. Default: all.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
COLORS = dict.fromkeys(("equal", "pushed", "pulled", "unchanged"), "green")
COLORS |= {"different": "yellow", "kept": "yellow", "failed": "red", "refused": "red"}
"""Of a state; any other is cyan."""


@sync.command()
def status(family: FamilyOption = None, year: YearOption = None) -> None:
    """Show every snapshot: here, on the Hub, equal or not."""
    table = Table("family", "snapshot", "here", "Hub", "")
    for row in compare(_storages(family), _years(year)):
        here = "-" if row.state == HUB_ONLY else "yes"
        table.add_row(row.family, row.name, here, row.detail[:8] or "-", _colored(row.state))
    console.print(table)


@sync.command()
def push(family: FamilyOption = None, year: YearOption = None, dry_run: DryRunOption = False) -> None:
    """Make the Hub hold what is here: push the snapshots and main versions that it lacks or holds otherwise.

    Repos and branches are made if they are missing; a new repo is private. The exit code is 1 if anything failed.
    """
    _run("push", family, year, dry_run)


@sync.command()
def pull(
    family: FamilyOption = None,
    year: YearOption = None,
    dry_run: DryRunOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace also what is here and differs.")] = False,
) -> None:
    """Have here what the Hub holds: pull the snapshots that are missing here.

    What a branch holds is checked before it is used; a snapshot that is here and differs is kept.
    The exit code is 1 if anything failed or was refused.
    """
    _run("pull", family, year, dry_run, force)


def _run(verb: str, family: str | None, year: str | None, dry_run: bool, force: bool = False) -> None:
    """Transfer what differs, and say what became of it."""
    storages, years, counts = _storages(family), _years(year), Counter[str]()
    rows = compare(storages, years, versions=verb == "push" and not years)
    for each in transfer(verb, storages, rows, force, dry_run):
        detail = f": {escape(each.detail)}" if each.detail else ""
        console.print(f"{each.family:<8} {each.name} {_colored(each.state)}{detail}")
        counts[each.state] += 1
    if dry_run:
        console.print(f"would {verb} {counts[f'would {verb}']} of {len(rows)} snapshots; nothing was done")
        return
    words = ", ".join(f"{counts[name]} {name}" for name in RESULTS if counts[name])
    console.print(f"{words or f'nothing to {verb}'}; {len(rows) - counts.total()} equal or only on the other side")
    if counts["failed"] or counts["refused"]:
        raise typer.Exit(1)


def _colored(word: str) -> str:
    return f"[{COLORS.get(word, 'cyan')}]{word}[/]"


def _storages(family: str | None) -> Storages:
    known = read_settings().families.by_name
    names = [name.strip() for name in (family or "").split(",") if name.strip()]
    if unknown := sorted(set(names) - set(known)):
        raise SettingsError(f"--family: expected one of {', '.join(known)}, got {', '.join(unknown)}; correct it.")
    return {name: SnapshotLocalStorage(name) for name in known if not names or name in names}


def _years(year: str | None) -> Sequence[int]:
    return () if year is None else read_years(year)
