"""The command `brain-assets report`."""

import webbrowser
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column

from brain_assets.cli_run import run_alone
from brain_assets.formatting import NO_BREAK
from brain_assets.graph.build import session
from brain_assets.graph.tasks import Task
from brain_assets.paths import is_remote, parse_place
from brain_assets.terminal import MarketOption, console, new_table, parse_years, print_error


def report(
    years: Annotated[
        str | None, typer.Option(help="A year or a range: 2021, 2019-2022. Default: all that were backtested.")
    ] = None,
    market: MarketOption = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of the backtests: what can be concluded, figures with intervals, charts; one HTML file.

    It is a Dagster run, so the UI has its figures too. The exit code is 1 if it failed.
    """
    with session(market) as (project, instance):
        chosen = parse_years(years, project.years)
        options = {"first_year": chosen[0], "last_year": chosen[-1]}
        made = run_alone((project, instance), chosen, Task("report", 0, options))
        if made.kind == "failed":
            print_error(made.detail)
            raise typer.Exit(1)
        metadata = made.metadata
        console.print(escape(metadata["can_be_concluded"]), "\n")
        console.print(escape(metadata["cannot_be_concluded"]), "\n")
        records = [record.data for record in metadata["figures"].records]
        first, *others = records[0]
        longest_word = max(len(word) for record in records for word in str(record[first]).split())
        columns = (Column(name, no_wrap=name == "active return") for name in others)
        table = new_table(Column(first, min_width=longest_word), *columns)
        for record in records:
            table.add_row(*(escape(str(cell).replace(" [", "\n[").replace(NO_BREAK, " ")) for cell in record.values()))
        console.print(table)
        console.print(f"Caveat: {escape(metadata['caveat'])}")
        path = parse_place(str(metadata["path"]))
        console.print(f"{escape(str(path))}, {metadata['bytes'] / 1e6:.1f} MB, in {made.seconds:.1f} s")
        if open_browser and (is_remote(path) or not webbrowser.open(path.resolve().as_uri())):
            print_error(f"--open: expected a file and a browser on this machine, got none; open {path} yourself.")
