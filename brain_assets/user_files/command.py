"""The command `brain-assets check-files`."""

import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from brain_assets.market.calendar import utc_now
from brain_assets.settings import read_settings
from brain_assets.terminal import console, print_error
from brain_assets.user_files.market import FilesMarket


def check_files(
    folder: Annotated[Path, typer.Argument(help="Holds your files: what BRAIN_FILES_DIR shall name.")],
) -> None:
    """Say what each of your files is taken for, and all that is wrong in them; nothing is run, nothing is written.

    Rows are judged from BRAIN_FIRST_YEAR to BRAIN_LAST_YEAR, of BRAIN_SYMBOLS if they are set, as a backfill would. The
    exit code is 1 if a backfill would refuse something. What is read, and how, is told in docs/your-own-data.md.
    """
    settings = read_settings(market="files", files_dir=folder)
    last = settings.last_year or utc_now().year
    market = FilesMarket(folder, settings.symbols)
    found = market.check(datetime.date(settings.first_year, 1, 1), datetime.date(last + 1, 1, 1))
    for line in found.lines:
        console.print(escape(line), soft_wrap=True)
    for sentence in found.found:
        console.print(f"[yellow]warning:[/] {escape(sentence)}", soft_wrap=True)
    for sentence in found.refused:
        print_error(sentence)
    if found.refused:
        raise typer.Exit(1)
    console.print(f"[green]nothing in {settings.first_year}-{last} would be refused[/]")
