"""The commands `brain-assets models` and `promote`."""

from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from brain_assets.errors import HubError, SnapshotError
from brain_assets.settings import read_settings
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.terminal import check_family, console, warnings_shown

HEADS = ("family", Column("version", no_wrap=True), "", "loss", "of zero", "of the one\nbefore", "weeks,\nthe last")


def models() -> None:
    """List the main versions of all forecasters with their scores; the current one is marked."""
    title = "Main versions, scored on weeks that none had learned from"
    table = Table(*HEADS, "when made", title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    problems = []
    for family in read_settings().families.forecasters:
        versions, current = MainVersions(SnapshotLocalStorage(family)), None
        try:
            current = versions.current()
        except SnapshotError as error:
            problems.append(str(error))
        for name in versions.list_versions():
            scores = versions.read_metadata(name)["scores"]
            before = scores["previous_loss"]
            table.add_row(
                family,
                name,
                "[green]current[/]" if name == current else "",
                f"{scores['loss']:.4f}",
                f"{scores['zero_loss']:.4f}",
                "-" if before is None else f"{before:.4f}",
                f"{scores['n_weeks']}, {scores['last_week']}",
                "promoted" if scores["promoted"] else "not promoted",
            )
    console.print(table if table.row_count else "no main version yet: brain-assets train lstm")
    for problem in problems:
        console.print(f"[yellow]{escape(problem)}[/]", soft_wrap=True)


def promote(
    family: Annotated[str, typer.Argument(help="A forecaster: lstm, patchtst or one of your own.")],
    version: Annotated[str, typer.Argument(help="As `brain-assets models` names it.")],
) -> None:
    """Make a main version the current one by hand, forward or back; on the Hub, `main` follows."""
    check_family(family)
    versions = MainVersions(SnapshotLocalStorage(family))
    before = versions.current()
    versions.promote(version)
    console.print(f"{family}: current is {version} (before: {before or 'none'})")
    if versions.storage.hub is None:
        return
    with warnings_shown():
        try:
            versions.publish(version)
            versions.publish_current()
        except HubError as error:
            console.print(f"[yellow]hub: pending: {escape(str(error))}[/]", soft_wrap=True)
        else:
            console.print(f"hub: main of {versions.storage.repo.repo} holds it")
