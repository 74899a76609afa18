"""The command `brain-assets check-files`."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from brain_assets.settings import read_settings
from brain_assets.terminal import console, print_error, read_years
from brain_assets.user_files.market import FilesMarket


def check_files(
    folder: Annotated[Path, typer.Argument(help="Holds your files: what BRAIN_FILES_DIR shall name.")],
    years: Annotated[str | None, typer.Argument(help="Which to judge: 2021, 2019-2022. Default: all.")] = None,
) -> None:
    """Say what each of your files is taken for, and all that is wrong in them; nothing is run, nothing is written.

    Rows are judged of BRAIN_SYMBOLS if they are set, as a backfill of the years would. The exit code is 1 if it would
    refuse something. What is read, and how, is told in docs/your-own-data.md.
    """
    market = FilesMarket(folder, read_settings(market="files", files_dir=folder).symbols)
    judged = read_years(years) if years else market.years()
    found = market.check(datetime.date(judged[0], 1, 1), datetime.date(judged[-1] + 1, 1, 1))
    for line in found.lines:
        console.print(escape(line))
    for sentence in found.found:
        console.print(f"[yellow]warning:[/] {escape(sentence)}")
    for sentence in found.refused:
        print_error(sentence)
    if found.refused:
        raise typer.Exit(1)
    console.print(f"[green]nothing in {judged[0]}-{judged[-1]} would be refused[/]")
