"""The commands that put the product to the test: `brain-assets prove …`."""

import datetime
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column

from brain_assets.errors import SettingsError
from brain_assets.graph.build import open_project
from brain_assets.graph.options import read_options
from brain_assets.graph.years import Years
from brain_assets.prove.no_lookahead import GUARDED, LEAK, PASSED, VOID, prove_no_lookahead
from brain_assets.prove.runs import GraphRuns, RecordedMarket, quick_options
from brain_assets.prove.skill import prove_skill
from brain_assets.settings import read_settings
from brain_assets.terminal import (
    ConfigOption,
    MarketOption,
    console,
    new_table,
    parse_years,
    progress_shown,
    read_config,
)

prove = typer.Typer(help="Put the product, and your own changes of it, to the test.", no_args_is_help=True)

N_YEARS = 3  # partitions that are run if nothing else is said: one to learn from, one to forecast, one to trade


@prove.command("no-lookahead")
def no_lookahead(
    market: MarketOption = None,
    years: Annotated[
        str | None, typer.Option(help="The last of a range is tested, those before it run too. Default: the first 3.")
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            help="Change everything after this day (2020-12-31); may be given again. Default: 31 December of the year "
            "before the last, and the end of a week early in July of the last."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is changed, and who disappears.")] = 0,
    config: ConfigOption = None,
    keep: Annotated[
        Path | None, typer.Option(help="An empty folder for everything that is made; default: a temporary one.")
    ] = None,
) -> None:
    """Show that no number saw the future, or name the first one that did.

    Runs the graph, then runs it again in a fresh folder on a market in which everything after a date is another: bars,
    scores and filings are changed, old quarters restated, symbols gone and symbols new. Whatever was known by the date
    (tables, weights, scalers, metrics, metadata) must be the same byte for byte. Your data folder is not touched.

    Without --config, models train for a moment only: leaks do not depend on how long they learn. The exit code is 1 if
    something looked ahead, and 2 if there is no verdict.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise SettingsError(f"--keep: expected a folder that is empty or not there yet, got {keep}; choose another.")
    dates, verdicts = [_read_date(text) for text in after or []], set()
    project = open_project(read_settings(market=market))
    chosen = parse_years(years, project.years)[: None if years else N_YEARS]
    settings = project.settings.model_copy(update={"last_year": chosen[-1]})
    families = settings.families
    options = read_options(project.definitions, read_config(config)) if config else quick_options(families)
    console.print(
        f"market {settings.market}, {settings.first_year} to {settings.last_year}, partitions from "
        f"{settings.first_partition_year}; models are trained {'as --config says' if config else 'for a moment'}"
    )
    with tempfile.TemporaryDirectory(prefix="brain-assets-prove-") as temporary, progress_shown() as live:

        def say(line: str) -> None:
            console.print(escape(line))
            live.say("")

        runs = GraphRuns(project.yearly, Years.of(settings, project.market), families, options, say)
        source = RecordedMarket(project.market, *runs.span)
        folder = keep.resolve() if keep else Path(temporary)
        for found in prove_no_lookahead(source, runs, folder, dates, seed):
            verdicts.add(found.result)
            color = {PASSED: "green", VOID: "yellow"}.get(found.result, "red")
            console.print(f"[{color}]{escape(found.message)}[/]")
    raise typer.Exit(1 if verdicts & {LEAK, GUARDED} else 2 if VOID in verdicts else 0)


def _read_date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"--after: expected a day as 2020-12-31, got {text}; correct it.") from error


@prove.command()
def skill(
    families: Annotated[
        list[str] | None, typer.Argument(help="Such as lstm, ppo. Default: all.", metavar="[FAMILY]...")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed and a shorter history each: a minute or two, and less certain.")
    ] = False,
) -> None:
    """Put models to made-up markets: they must find the signal that is injected, and nothing where nothing is.

    Each test is made on 5 to 20 markets; a line is printed after each. All of them take an hour or more on one core.
    The exit code is 1 if a test fails.
    """
    with progress_shown() as live:

        def say(line: str) -> None:
            live.say(line)
            console.print(escape(line))

        results = prove_skill(families or list(read_settings().families.by_name), quick, say)
    table = new_table("test", Column("got", justify="right"), "", Column("seconds", justify="right"))
    for found in results:
        verdict = "[green]holds[/]" if found.passed else "[red]FAILS[/]"
        table.add_row(escape(found.test.message), found.got, verdict, f"{found.seconds:.0f}")
    console.print(table)
    if not all(found.passed for found in results):
        raise typer.Exit(1)
