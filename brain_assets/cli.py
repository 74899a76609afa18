"""The command `brain-assets`."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from brain_assets.cli_results import print_results
from brain_assets.errors import BrainAssetsError, StorageError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import session
from brain_assets.graph.instance import prepare_ui
from brain_assets.graph.options import read_options
from brain_assets.graph.status import State, StatusReader, asset_names, needs_of
from brain_assets.graph.tasks import BAD, Event, Pool, Task
from brain_assets.graph.workers import open_pool
from brain_assets.plugins import resolve
from brain_assets.registry import label
from brain_assets.settings import Settings, brought_commands, read_settings
from brain_assets.terminal import (
    ConfigOption,
    EngineOption,
    JobsOption,
    MarketOption,
    YearsArgument,
    check_family,
    console,
    parse_years,
    print_error,
    progress_shown,
    read_config,
    shown_live,
    warnings_shown,
)

app = typer.Typer(
    help="Walk-forward price forecasters and portfolio policies, a year at a time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def command_line() -> typer.Typer:
    """Give all commands: those below and what plug-ins bring. Raises `PluginError`."""
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for name, text in brought_commands().items():
        if name in known:
            continue
        command = resolve(text)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


@app.callback()
def _main() -> None:
    """Walk-forward price forecasters and portfolio policies, a year at a time."""


@app.command()
def backfill(
    years: Annotated[str, typer.Argument(help="A year or a range: 2021, 2019-2022.")],
    market: MarketOption = None,
    assets: Annotated[
        str | None, typer.Option(help="Which to run, separated by commas: lstm_snapshot,ppo_policy. Default: all.")
    ] = None,
    config: ConfigOption = None,
    force: Annotated[bool, typer.Option("--force", help="Do again what is done already.")] = False,
    jobs: JobsOption = None,
    engine: EngineOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Train each policy so many times; the report shows the spread. Default: 1."),
    ] = None,
    ui_command: Annotated[str | None, typer.Option(hidden=True, help="How the caller opens the UI.")] = None,
) -> None:
    """Run years of assets, each as a Dagster run on your instance, as soon as what they are made from is there.

    What is done is skipped. A failed year does not stop what does not depend on it. The exit code is 1 if anything
    failed. Ctrl-C stops at once; run it again to go on.
    """
    with session(market, engine) as (project, instance), warnings_shown():
        chosen = parse_years(years, project.years)
        names = [name.strip() for name in (assets or "").split(",") if name.strip()]
        options = read_options(project.definitions, read_config(config))
        for family in project.settings.families.policies.values() if seeds else ():
            options[family.asset] = {**options.get(family.asset, {}), "n_seeds": seeds}
        job = Backfill(project.definitions, instance, names, options, force)
        outcomes = _run(job, chosen, open_pool(project, instance, jobs))
        print_results(project.settings.data_dir, chosen, project.settings.families)
        _print_summary(outcomes)
        _print_ui_hint(ui_command, project.settings)
    if any(outcome.kind in BAD for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
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

    A main version becomes current if it beats predicting zero and the one that is current, on weeks that neither has
    learned from. The same version is not trained twice. The exit code is 1 if anything failed.
    """
    for family in families:
        check_family(family)
    with session(market) as (project, instance), warnings_shown():
        defs = project.definitions
        inputs = {name for family in families for name in needs_of(defs, f"{family}_model")}
        snapshots = [] if skip_snapshots else [f"{family}_snapshot" for family in families]
        options = read_options(defs, read_config(config))
        job = Backfill(defs, instance, [*inputs, *snapshots], options)
        last = [_main_version(family, options, force) for family in families]
        outcomes = _run(job, parse_years(None, project.years), open_pool(project, instance, jobs), last)
        _print_summary([outcome for outcome in outcomes if outcome.year])
    if any(outcome.kind in BAD for outcome in outcomes):
        raise typer.Exit(1)


def _main_version(family: str, options: Mapping[str, Mapping[str, Any]], force: bool) -> Task:
    """Give the training of a main version; without options of its own it takes those of the yearly snapshots."""
    own = options.get(f"{family}_model") or options.get(f"{family}_snapshot", {})
    return Task(f"{family}_model", 0, {**own, "force": force})


def _main_version_line(made: Event) -> str:
    said = {
        "made": f"[green]trained[/] in {made.seconds:.1f} s",
        "reused": "[green]there already, not trained again[/]",
        "failed": "[red]failed[/]",
        "blocked": "[yellow]not trained[/]",
    }
    head = f"{made.asset} {made.metadata.get('version', '')}".strip()
    detail = str(made.metadata.get("verdict", made.detail))
    return f"{head} {said[made.kind]}: {escape(detail)}{_hub_words(made.metadata)}"


@app.command()
def status(years: YearsArgument = None, market: MarketOption = None, config: ConfigOption = None) -> None:
    """Show years by asset: done, missing, damaged, or stale with the reason."""
    with session(market) as (project, instance), warnings_shown():
        defs, chosen = project.definitions, parse_years(years, project.years)
        options = read_options(defs, read_config(config))
        reader = StatusReader(defs, instance, options)
        heads = [Column(name.replace("_", "\n"), overflow="fold") for name in asset_names(defs)]
        title = f"{project.settings.data_dir}"
        table = Table("year", *heads, title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        reasons = []
        colors = {State.DONE: "green", State.MISSING: "dim", State.DAMAGED: "red", State.STALE: "yellow"}
        for year in chosen:
            cells = []
            for name in asset_names(defs):
                found = reader.read(name, year)
                cells.append(f"[{colors[found.state]}]{found.state.value}[/]")
                if found.reason and found.reason != "not materialized":
                    reasons.append(f"{year} {name}: {found.state.value}, {found.reason}")
            table.add_row(str(year), *cells)
        console.print(table)
        for reason in reasons + reader.pending(chosen):
            console.print(escape(reason), soft_wrap=True)


@app.command()
def ui(
    market: MarketOption = None,
    port: Annotated[int, typer.Option(help="Port of the web server on this machine.")] = 3000,
) -> None:
    """Open Dagster's UI (`dagster dev`) on the same results; stop it with Ctrl-C."""
    settings = read_settings(market=market)
    # several runs side by side: a core each
    environment = {"OMP_NUM_THREADS": "1", **settings.environment(), "DAGSTER_HOME": str(prepare_ui(settings))}
    command = [sys.executable, "-m", "dagster", "dev", "-m", "brain_assets.definitions", "--port", str(port)]
    console.print(f"Dagster's UI: http://127.0.0.1:{port}")
    os.execve(sys.executable, command, environment)  # noqa: S606 - takes over this process, so that Ctrl-C and signals reach it


def main() -> None:
    """Run the command line; an error that a user can act on is one sentence and exit code 2."""
    try:
        command_line()()
    except BrainAssetsError as error:
        _fail(str(error))
    except OSError as error:
        _fail(str(StorageError.unwritable(error.filename or read_settings().data_dir, error.strerror or error)))


def _fail(message: str) -> None:
    print_error(message)
    sys.exit(2)


def _run(job: Backfill, years: list[int], pool: Pool, last: Sequence[Task] = ()) -> list[Event]:
    """Run the years, with a live line of what is under way, and print a line for whatever ends.

    With `last`, that of what was done before is left out.
    """
    outcomes: list[Event] = []
    console.print(f"[dim]{pool.words}[/]", soft_wrap=True)
    try:
        with progress_shown() as live, closing(job.run(years, pool, last)) as events:
            for event in shown_live(events, live):
                outcomes.append(event)
                if not (last and event.kind == "done"):
                    console.print(_line(event) if event.year else _main_version_line(event), soft_wrap=True)
    except KeyboardInterrupt:
        console.print(f"stopped; {job.unfinished} unfinished; run again to go on")
        raise typer.Exit(130) from None
    return outcomes


def _line(outcome: Event) -> str:
    colors = {"done": "dim", "made": "green", "reused": "green", "failed": "red", "blocked": "yellow"}
    said = {"done": "done already, skipped", "made": "made", "reused": "run, nothing had changed"}
    color = colors[outcome.kind]
    head = f"{outcome.year} {outcome.asset:<22} [{color}]{said.get(outcome.kind, outcome.kind)}[/]"
    took = f" in {outcome.seconds:.1f} s" if outcome.seconds else ""
    metadata = outcome.metadata
    if outcome.kind in ("failed", "blocked"):
        detail = f": {outcome.detail}"
    elif "validation/loss" in metadata:
        epochs = f", {metadata['epochs']} epochs" if "epochs" in metadata else ""
        detail = (
            f"{epochs}, validation loss {metadata['validation/loss']:.4f} "
            f"(of zero: {metadata['validation/loss_of_zero']:.4f})"
        )
    elif words := _rank_correlations(metadata):
        detail = f", rank correlation {words}"
    elif "neutral" in metadata:
        detail = f", empty (source {metadata['source']})" if "source" in metadata else ", empty"
    else:
        detail = ""
    return head + escape(took + detail) + _hub_words(metadata)


def _rank_correlations(metadata: Mapping[str, Any]) -> str:
    """Name the forecasters with the rank correlation of their forecasts, if these are forecasts and it is known."""
    found = {re.fullmatch("eval/(.+)_rank_correlation", key): value for key, value in metadata.items()}
    families = {match[1]: value for match, value in found.items() if match and isinstance(value, float)}
    families.pop("momentum", None)
    return ", ".join(f"{label(family)} {value:+.3f}" for family, value in families.items())


def _hub_words(metadata: Mapping[str, Any]) -> str:
    """Say how a model's copy on the Hub stands, if it has one."""
    if "hub" not in metadata:
        return ""
    reason = f": {metadata['hub_reason']}" if "hub_reason" in metadata else ""
    color = "yellow" if metadata["hub"] == "pending" else "default"
    return f", [{color}]hub: {escape(metadata['hub'] + reason)}[/]"


def _print_summary(outcomes: list[Event]) -> None:
    counts = {name: sum(outcome.kind == name for outcome in outcomes) for name in ("made", "reused", "done")}
    bad = [outcome for outcome in outcomes if outcome.kind in BAD]
    console.print(
        f"{counts['made']} made, {counts['reused']} run without change, {counts['done']} done before, "
        f"{len(bad)} not done"
    )
    years_by_cause: dict[str, dict[str, list[str]]] = {}
    for outcome in bad:
        if outcome.kind == "failed":  # what is blocked has its cause in its own line
            years_by_cause.setdefault(outcome.detail, {}).setdefault(outcome.asset, []).append(str(outcome.year))
    for cause, failed in years_by_cause.items():
        places = "; ".join(f"{asset} {', '.join(years)}" for asset, years in failed.items())
        print_error(f"{places}: {cause}")


def _print_ui_hint(command: str | None, settings: Settings) -> None:
    """Say how to open the UI on these very results."""
    if command is None:
        variables = settings.differing_variables()
        command = " ".join([*(f"{name}={value}" for name, value in variables.items()), "brain-assets ui"])
    console.print(f"Look at them in Dagster's UI: {escape(command)}", soft_wrap=True)
