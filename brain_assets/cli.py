"""The command `brain-assets`."""

import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from brain_assets.errors import BrainAssetsError, StorageError
from brain_assets.graph.backfill import Backfill, Outcome, main_version_inputs, open_backfill
from brain_assets.graph.build import session
from brain_assets.graph.instance import prepare_ui
from brain_assets.graph.status import State, StatusReader, asset_names
from brain_assets.plugins import resolve
from brain_assets.registry import Families, label
from brain_assets.results import YearResult, read_results
from brain_assets.settings import Settings, brought_commands, read_settings
from brain_assets.terminal import (
    ConfigOption,
    EngineOption,
    MarketOption,
    YearsArgument,
    check_family,
    console,
    parse_years,
    print_error,
    progress_shown,
    read_config,
    warnings_shown,
    with_seeds,
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
    engine: EngineOption = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Train each policy so many times; the report shows the spread. Default: 1."),
    ] = None,
    ui_command: Annotated[str | None, typer.Option(hidden=True, help="How the caller opens the UI.")] = None,
) -> None:
    """Run years, each as a Dagster run on your instance; what is done is skipped.

    A failed year does not stop what does not depend on it. The exit code is 1 if anything failed.
    """
    with session(market, engine) as (project, instance), warnings_shown():
        chosen = parse_years(years, project.years)
        names = [name.strip() for name in (assets or "").split(",") if name.strip()]
        options = with_seeds(read_config(config), seeds, project.settings.families.policies)
        job = open_backfill(project.settings, project.definitions, instance, names, options, force)
        outcomes = _run(job, chosen)
        families = project.settings.families
        _print_results(read_results(project.settings.data_dir, chosen, families), families)
        _print_summary(outcomes)
        _print_ui_hint(ui_command, project.settings)
    if any(outcome.result in ("failed", "blocked") for outcome in outcomes):
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
) -> None:
    """Train forecasters on all data until the last finished session, and every yearly snapshot that is missing.

    A main version becomes current if it beats predicting zero and the one that is current, on weeks that neither has
    learned from. The same version is not trained twice. The exit code is 1 if anything failed.
    """
    for family in families:
        check_family(family)
    with session(market) as (project, instance), warnings_shown():
        defs = project.definitions
        inputs = sorted({name for family in families for name in main_version_inputs(defs, family)})
        snapshots = [] if skip_snapshots else [f"{family}_snapshot" for family in families]
        job = Backfill(defs, instance, [*inputs, *snapshots], read_config(config))
        outcomes = _run(job, parse_years(None, project.years), quiet=True)
        _print_summary(outcomes)
        failed = [outcome for outcome in outcomes if outcome.result in ("failed", "blocked")]
        for family in families:
            lacking = {outcome.asset for outcome in failed} & set(main_version_inputs(defs, family))
            if lacking:
                print_error(f"{family}_model: not trained, since {', '.join(sorted(lacking))} failed")
                continue
            with progress_shown() as live:
                live.update(f"{family} main version")
                made = job.run_main_version(family, force)
            console.print(_main_version_line(made), soft_wrap=True)
            failed += [made] if made.result == "failed" else []
    if failed:
        raise typer.Exit(1)


def _main_version_line(made: Outcome) -> str:
    said = {
        "made": f"[green]trained[/] in {made.seconds:.1f} s",
        "reused": "[green]there already, not trained again[/]",
        "failed": "[red]failed[/]",
    }
    head = f"{made.asset} {made.metadata.get('version', '')}".strip()
    detail = str(made.metadata.get("verdict", made.detail))
    return f"{head} {said[made.result]}: {escape(detail)}{_hub_words(made.metadata)}"


@app.command()
def status(years: YearsArgument = None, market: MarketOption = None, config: ConfigOption = None) -> None:
    """Show years by asset: done, missing, damaged, or stale with the reason."""
    with session(market) as (project, instance), warnings_shown():
        defs, chosen = project.definitions, parse_years(years, project.years)
        options = Backfill(defs, instance, run_config=read_config(config)).options
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


def _run(job: Any, years: list[int], quiet: bool = False) -> list[Outcome]:
    """Run the years with a live status line, and print a line for every year and asset; quiet: not for what is done."""
    outcomes = []
    with progress_shown() as live:
        for outcome in job.run(years, lambda year, names: live.update(f"{year}: {', '.join(names)}")):
            if not (quiet and outcome.result == "done"):
                console.print(_line(outcome), soft_wrap=True)
            outcomes.append(outcome)
    return outcomes


def _line(outcome: Outcome) -> str:
    colors = {"done": "dim", "made": "green", "reused": "green", "failed": "red", "blocked": "yellow"}
    said = {"done": "done already, skipped", "made": "made", "reused": "run, nothing had changed"}
    color = colors[outcome.result]
    head = f"{outcome.year} {outcome.asset:<22} [{color}]{said.get(outcome.result, outcome.result)}[/]"
    took = f" in {outcome.seconds:.1f} s" if outcome.seconds else ""
    metadata = outcome.metadata
    if outcome.result in ("failed", "blocked"):
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


def _print_results(results: list[YearResult], families: Families) -> None:
    style: dict[str, Any] = {"box": box.SIMPLE_HEAD, "collapse_padding": True, "pad_edge": False}
    forecasters = Table(
        "year",
        "snapshot",
        "model",
        "train\nloss",
        "valid.\nloss",
        "loss\nof zero",
        "rank\ncorrelation",
        "that of\nmomentum",
        title="Forecasters, by year",
        caption=(
            "Losses: mean squared error over the targets' variance. Rank correlation: out of sample, forecasts of the "
            "year by the snapshot of the year before (momentum itself in the bootstrap window)."
        ),
        **style,
    )
    policies = Table(
        "year",
        *(family.label for family in families.policies.values()),
        "equal weight",
        title="Portfolios, out of sample",
        caption="Return of the policies of the year before, after costs, beside equal weight on the same weeks.",
        **style,
    )
    for row in results:
        for found in row.forecasters:
            losses = [_figure(value, ".4f") for value in (found.train_loss, found.validation_loss, found.zero_loss)]
            ranks = [_figure(value, "+.3f") for value in (found.rank_correlation, row.momentum_rank_correlation)]
            forecasters.add_row(str(row.year), found.snapshot or "-", label(found.family), *losses, *ranks)
        policies.add_row(str(row.year), *(_figure(value, "+.1%") for value in row.returns.values()))
    console.print(forecasters)
    console.print(policies)


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_summary(outcomes: list[Outcome]) -> None:
    counts = {name: sum(outcome.result == name for outcome in outcomes) for name in ("made", "reused", "done")}
    bad = [outcome for outcome in outcomes if outcome.result in ("failed", "blocked")]
    console.print(
        f"{counts['made']} made, {counts['reused']} run without change, {counts['done']} done before, "
        f"{len(bad)} not done"
    )
    years_by_cause: dict[str, dict[str, list[str]]] = {}
    for outcome in bad:
        if outcome.result == "failed":  # what is blocked has its cause in its own line
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
