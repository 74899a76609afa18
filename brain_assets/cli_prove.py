"""The commands that put the product to the test: `brain-assets prove …`."""

import datetime
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Column, Table

from brain_assets.errors import SettingsError
from brain_assets.graph.build import open_project
from brain_assets.graph.prove import GraphRuns, checked_options, frozen, quick_options, with_another_future
from brain_assets.proofs.no_lookahead import GUARDED, LEAK, PASSED, VOID, Verdict, default_dates, prove_no_lookahead
from brain_assets.proofs.pipeline import Span
from brain_assets.proofs.skill import prove_skill
from brain_assets.settings import read_settings
from brain_assets.terminal import (
    ConfigOption,
    MarketOption,
    console,
    parse_years,
    progress_shown,
    read_config,
    warnings_shown,
)

prove = typer.Typer(help="Put the product, and your own changes of it, to the test.", no_args_is_help=True)

N_YEARS = 3
"""Partitions that are run if nothing else is said: one to learn from, one to forecast, one to trade."""


@prove.callback()
def _prove() -> None:
    """Put the product, and your own changes of it, to the test."""


@prove.command("no-lookahead")
def no_lookahead(
    market: MarketOption = None,
    years: Annotated[
        str | None,
        typer.Option(help="The last of a range is tested, those before it run too. Default: the first 3."),
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
    dates = [_read_date(text) for text in after or []]
    with warnings_shown():
        project = open_project(read_settings(market=market))
        chosen = parse_years(years, project.years)[: None if years else N_YEARS]
        span = Span(project.settings.first_year, project.years.first, chosen[-1])
        families = project.settings.families
        options = checked_options(project.definitions, read_config(config)) if config else quick_options(families)
        dates = dates or default_dates(span.years)
        console.print(_opening(project.settings.market, span, options if not config else None))
        with _folder(keep) as folder, progress_shown() as live:
            source = frozen(project.market, span)
            runs = GraphRuns(project, span, options, _step_printer(live))
            verdicts = prove_no_lookahead(
                source, span, dates, folder, runs, seed, with_another_future, _print_verdict, console.print
            )
    _print_compared(verdicts)
    raise typer.Exit(_exit_code(verdicts))


def _read_date(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise SettingsError(f"--after: expected a day as 2020-12-31, got {text}; correct it.") from error


def _opening(market: str, span: Any, quick: Any) -> str:
    trained = (
        "models are trained for a moment ("
        + "; ".join(f"{asset}: {', '.join(f'{k} {v}' for k, v in each.items())}" for asset, each in quick.items())
        + ")"
        if quick
        else "models are trained as --config says"
    )
    return escape(
        f"market {market}, {span.first_year} to {span.last_year}, partitions from {span.first_partition}; {trained}"
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Give a folder to work in: the one that is to be kept, or one that is gone afterwards."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="brain-assets-prove-") as temporary:
            yield Path(temporary)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise SettingsError(f"--keep: expected a folder that is empty or not there yet, got {keep}; choose another.")
    yield keep.resolve()


def _step_printer(live: Any) -> Any:
    """Print a line for every run of the graph."""

    def printed(words: str, seconds: float) -> None:
        console.print(f"  {words} [green]made[/] in {seconds:.1f} s")
        live.update("")

    return printed


def _print_verdict(verdict: Verdict) -> None:
    color = {PASSED: "green", VOID: "yellow"}.get(verdict.result, "red")
    console.print(f"[{color}]{escape(verdict.words)}[/]", soft_wrap=True)


def _print_compared(verdicts: Sequence[Verdict]) -> None:
    """Print how much of each stage was compared, and that what came after the date is another."""
    compared = [verdict for verdict in verdicts if verdict.comparison]
    if not compared:
        return
    heads = [
        head for verdict in compared for head in (f"known by\n{verdict.after}", "that\ndiffer", "changed\nafter it")
    ]
    table = Table(
        "made",
        *heads,
        title="What was compared",
        caption="Values, files and keys. What was known by the date must be the same; after it, something must differ.",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for stage in compared[0].comparison.upstream:  # type: ignore[union-attr]
        cells = []
        for verdict in compared:
            found: Any = verdict.comparison
            known = sum(count for (name, _), count in found.compared.items() if name == stage)
            unlike = sum(difference.count for difference in found.differences if difference.stage == stage)
            cells += [f"{known:,}", f"[red]{unlike:,}[/]" if unlike else "0", f"{found.later_changed[stage]:,}"]
        table.add_row(stage, *cells)
    console.print(table)


def _exit_code(verdicts: Sequence[Verdict]) -> int:
    results = {verdict.result for verdict in verdicts}
    return 1 if results & {LEAK, GUARDED} else 2 if VOID in results else 0


@prove.command()
def skill(
    families: Annotated[
        list[str] | None, typer.Argument(help="Such as lstm, ppo. Default: all.", metavar="[FAMILY]...")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One seed and a shorter history each: a minute or two, and less certain.")
    ] = False,
) -> None:
    """Put models to made-up markets: they must find what is planted there, and nothing where nothing is.

    Each claim is tried on 5 to 20 markets; a line is printed after each. All of them take an hour or more on one core.
    The exit code is 1 if a claim fails.
    """
    with progress_shown() as live, warnings_shown():
        known = read_settings().families.by_name
        findings = prove_skill(families or list(known), quick, lambda line: _say(live, line))
    table = Table("claim", Column("got", justify="right"), "", Column("seconds", justify="right"), box=box.SIMPLE_HEAD)
    for found in findings:
        verdict = "[green]holds[/]" if found.passed else "[red]FAILS[/]"
        table.add_row(escape(found.claim.words), found.got, verdict, f"{found.seconds:.0f}")
    console.print(table)
    if not all(found.passed for found in findings):
        raise typer.Exit(1)


def _say(live: Any, line: str) -> None:
    live.update(escape(line))
    console.print(escape(line), soft_wrap=True)
