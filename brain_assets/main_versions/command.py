"""The commands `brain-assets train`, `models` and `promote`."""

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column

from brain_assets.cli_run import print_summary, run_years
from brain_assets.errors import SettingsError, SnapshotError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import session
from brain_assets.graph.io_managers import publish
from brain_assets.graph.options import read_options
from brain_assets.graph.status import needs_of
from brain_assets.graph.tasks import BAD, Task
from brain_assets.graph.workers import open_pool
from brain_assets.settings import read_settings
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.terminal import (
    ConfigOption,
    JobsOption,
    MarketOption,
    console,
    new_table,
    parse_years,
    read_config,
)

HEADS = ("loss", "of\nzero", "of the\none\nbefore", "weeks,\nthe last", "when made")


def models() -> None:
    """List the main versions of all forecasters with their scores; the current one is marked."""
    title = "Main versions, scored by trainings without the last year"
    table = new_table(Column("version", no_wrap=True), *HEADS, title=title)  # a column keeps the cells of its table
    problems = []
    for family in read_settings().families.forecasters:
        storage, current = SnapshotLocalStorage(family), None
        try:
            current = storage.current()
        except SnapshotError as error:
            problems.append(f"[yellow]{escape(str(error))}[/]")
        for name in storage.list_versions():
            scores = storage.store.read_manifest(name)["scores"]
            before = scores["previous_loss"]
            table.add_row(
                f"{family}{', [green]current[/]' if name == current else ''}\n{name}",
                f"{scores['loss']:.4f}",
                f"{scores['zero_loss']:.4f}",
                "-" if before is None else f"{before:.4f}",
                f"{scores['n_weeks']},\n{scores['last_week']}",
                "promoted" if scores["promoted"] else "not promoted",
            )
    console.print(table if table.row_count else "no main version yet: brain-assets train lstm")
    for problem in problems:
        console.print(problem)


def promote(
    family: Annotated[str, typer.Argument(help="A forecaster: lstm, patchtst or one of your own.")],
    version: Annotated[str, typer.Argument(help="As `brain-assets models` names it.")],
) -> None:
    """Make a main version the current one by hand, forward or back; on the Hub, `main` follows."""
    _check_family(family)
    storage = SnapshotLocalStorage(family)
    storage.promote(version)
    console.print(f"{family}: current is {version}")
    pushed = publish(storage, lambda: storage.upload_version(version))
    if "hub_commit" in pushed:
        reason = pushed.get("hub_reason", "")
        console.print(f"hub: main of {storage.repo.repo} holds it{reason and f', {reason}'}")


def train(
    families: Annotated[list[str], typer.Argument(help="lstm, patchtst, or your own.", metavar="FORECASTER...")],
    market: MarketOption = None,
    skip_snapshots: Annotated[
        bool, typer.Option("--skip-snapshots", help="Train the main version only, and fetch the data that it needs.")
    ] = False,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Train the main version again even if it is there.")] = False,
    jobs: JobsOption = None,
) -> None:
    """Train forecasters on all data until the last finished session, and every yearly snapshot that is missing.

    A main version becomes current if its configuration, trained without the last year, beats predicting zero there and
    does no worse than that of the current one. The same version is not trained twice. The exit code is 1 if anything
    failed.
    """
    for family in families:
        _check_family(family)
    with session(market) as (project, instance):
        defs = project.definitions
        inputs = {name for family in families for name in needs_of(defs, f"{family}_model")}
        snapshots = [] if skip_snapshots else [f"{family}_snapshot" for family in families]
        options = read_options(defs, read_config(config))
        job = Backfill(defs, instance, [*inputs, *snapshots], options)
        # without options of its own it takes those of the yearly snapshots
        own = {name: options.get(f"{name}_model") or options.get(f"{name}_snapshot", {}) for name in families}
        last = [Task(f"{name}_model", 0, {**given, "force": force}) for name, given in own.items()]
        outcomes = run_years(job, parse_years(None, project.years), open_pool(project, instance, jobs), last)
        print_summary(outcomes)
    if any(outcome.kind in BAD for outcome in outcomes):
        raise typer.Exit(1)


def _check_family(family: str) -> None:
    """Refuse what has no main versions; raises `SettingsError`."""
    known = read_settings().families.forecasters
    if family not in known:
        raise SettingsError(f"family: expected {' or '.join(known)}, got {family}; correct it.")
