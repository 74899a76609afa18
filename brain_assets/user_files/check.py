"""The command `brain-assets check-files`: what the user's files are taken for, and what is wrong in them."""

import datetime
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.markup import escape

from brain_assets.errors import BrainAssetsError
from brain_assets.formatting import listed
from brain_assets.market.price_checks import price_verdicts
from brain_assets.market.schema import PRICE_TABLE, RAW, added_up
from brain_assets.market.sheets import MOST, canonical, is_table
from brain_assets.market.table_files import FileTable, TableFile, inside
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
    judged = read_years(years) if years else _years(market)
    found = _Check(market, datetime.date(judged[0], 1, 1), datetime.date(judged[-1] + 1, 1, 1))
    found.look()
    for line in found.lines:
        console.print(escape(line))
    for sentence in found.doubts:
        console.print(f"[yellow]warning:[/] {escape(sentence)}")
    for sentence in found.refused:
        print_error(sentence)
    if found.refused:
        raise typer.Exit(1)
    console.print(f"[green]nothing in {judged[0]}-{judged[-1]} would be refused[/]")


def _years(market: FilesMarket) -> range:
    """Give the years from the first bar to the last; this one alone where there is none, or no file can be read."""
    with suppress(BrainAssetsError):
        if len(days := market.bars.days):
            return range(days.min().year, days.max().year + 1)
    return range(market.clock().year, market.clock().year + 1)


class _Check:
    """What a fetch of some days would refuse, or warn of."""

    def __init__(self, market: FilesMarket, start: datetime.date, end: datetime.date) -> None:
        self.market, self.start, self.end = market, start, end
        self.lines: list[str] = []  # a line a file: what it was taken for
        self.refused: list[str] = []  # for which a run would fail
        self.doubts: list[str] = []  # which a run would warn of

    def look(self) -> None:
        """Look at all files."""
        market, folder = self.market, self.market.folder
        with self._going_on():
            self._tell("bars", market.bars)
        if not folder.is_dir():
            return
        if not self.refused:
            with self._going_on():
                self.doubts += [finding.sentence for finding in market.symbols_found()]
            bars = market.bars.frame[inside(market.bars.days, self.start, self.end)]
            if bars.empty:
                self._refuse(str(market.nothing_in(self.start, self.end)))
                return
            bars = bars[list(PRICE_TABLE.names)].astype({"symbol": "str"})
            verdicts = price_verdicts(bars, np.unique(bars["date"].to_numpy().astype("datetime64[D]")))
            self.doubts += [verdict.words for verdict in verdicts.values() if not verdict.passed]
        for files in (market.files[raw] for raw in RAW[1:]):
            with self._going_on():
                word, is_sound = files.found()[0], not self.refused
                if files.rows is not None:
                    self._tell(word, files.rows)
                    others = market.without_prices(files.rows.names) if is_sound else []
                    self.doubts += [finding.sentence for finding in others]
        with self._going_on():
            if (universe := market.universe(market.names())) is not None:
                names, rows = ", ".join(file.name for file in universe.files), universe.frame["symbol"]
                self.lines.append(f"{names}: who could be chosen when, {len(rows):,} spans, {rows.nunique():,} symbols")
        unread = sorted(path.name for path in folder.iterdir() if path.is_file() and not is_table(path))
        if shown := listed([name for name in unread if not name.startswith((".", "~"))], MOST):
            self.doubts.append(f"not read, since a table's name ends in .csv, .txt, .tsv or .parquet: {shown}.")

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Take in an error, and go on behind what it ended."""
        try:
            yield
        except BrainAssetsError as error:
            self._refuse(str(error))

    def _refuse(self, *sentences: str) -> None:
        """Take in why a run would fail; what is said twice is said once."""
        self.refused += [sentence for sentence in sentences if sentence not in self.refused]

    def _tell(self, word: str, table: FileTable) -> None:
        """Tell all that is to be told of the files of one kind, rows of other days being left alone."""
        rows = table.frame.groupby("file")["symbol"]
        counts, symbols = rows.size(), rows.unique()
        for number, file in enumerate(table.files):
            names, count = list(symbols.get(number, ())), int(counts.get(number, 0))
            of = f"1 symbol ({names[0]})" if len(names) == 1 else f"{len(names):,} symbols"
            s = "s" * (count != 1)
            told = f" of {word}, {of}, {count:,} row{s}"
            if word == "bars":
                told = f", {of}, {count:,} bar{s}, {_adjusted(file)}"
            self.lines.append(f"{file.name}: {file.shape}{told}")
        self._refuse(*table.refused, *table.refusals(self.start, self.end))
        self.doubts += [finding.sentence for finding in added_up(table.findings(self.start, self.end))]


def _adjusted(file: TableFile) -> str:
    if "adj_close" in file.titles:
        return f"adjusted by {file.titles['adj_close']}"
    close = file.titles.get("close", "")
    return f"adjusted ({close} and the like)" if canonical(close) != "close" else "taken as adjusted"
