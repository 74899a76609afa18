"""What the user's files were taken for, and what is wrong in them, in sentences; nothing is run, nothing stored."""

import datetime
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brain_assets.check_result import listed
from brain_assets.errors import BrainAssetsError
from brain_assets.market.file_columns import canonical, is_table
from brain_assets.market.file_table import FileTable, TableFile
from brain_assets.market.findings import Finding, added_up
from brain_assets.market.price_checks import price_verdicts
from brain_assets.market.schema import PRICE_TABLE
from brain_assets.market.text_files import MOST


@dataclass
class Checked:
    """What a look at all files found."""

    lines: list[str] = field(default_factory=list)  # a line a file: what it was taken for
    refused: list[str] = field(default_factory=list)  # for which a run would fail
    found: list[str] = field(default_factory=list)  # which a run would warn of

    def refuse(self, *sentences: str) -> None:
        """Take in why a run would fail; what is said twice is said once."""
        self.refused += [sentence for sentence in sentences if sentence not in self.refused]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Take in an error, and go on behind what it ended."""
        try:
            yield
        except BrainAssetsError as error:
            self.refuse(str(error))

    def check_table(self, word: str, table: FileTable, start: datetime.date, end: datetime.date) -> None:
        """Tell all that is to be told of the files of one kind, rows of other days than these being left alone."""
        self.lines += [line.words() for line in _lines(word, table)]
        self.refuse(*table.refused, *table.refusals(start, end))
        self.found += sentences(table.findings(start, end))

    def check_bars(self, table: FileTable, start: datetime.date, end: datetime.date) -> None:
        """Tell what the checks of prices would warn of."""
        bars = table.frame.loc[table.inside(start, end), list(PRICE_TABLE.names)].astype({"symbol": "str"})
        verdicts = price_verdicts(bars, np.unique(bars["date"].to_numpy().astype("datetime64[D]")))
        self.found += [verdict.words for verdict in verdicts.values() if not verdict.passed]


class _Line(NamedTuple):
    name: str
    taken_for: str
    symbols: frozenset[str]
    n_rows: int
    unit: str
    adjusted: str

    def words(self) -> str:
        symbols = f"1 symbol ({min(self.symbols)})" if len(self.symbols) == 1 else f"{len(self.symbols):,} symbols"
        unit = self.unit.removesuffix("s") if self.n_rows == 1 else self.unit
        return f"{self.name}: {self.taken_for}, {symbols}, {self.n_rows:,} {unit}{self.adjusted}"


def sentences(findings: Iterable[Finding]) -> list[str]:
    """Say findings, those of several years once."""
    return [finding.sentence for finding in added_up(findings)]


def summary(word: str, table: FileTable) -> Iterator[str]:
    """Tell the same in a line for each kind of file."""
    alike: dict[tuple[str, str], list[_Line]] = {}
    for line in _lines(word, table):
        alike.setdefault((line.taken_for, line.adjusted), []).append(line)
    for lines in alike.values():
        name = lines[0].name if len(lines) == 1 else f"{len(lines)} files like {lines[0].name}"
        symbols = frozenset().union(*(line.symbols for line in lines))
        yield lines[0]._replace(name=name, symbols=symbols, n_rows=sum(line.n_rows for line in lines)).words()


def not_read(folder: Path) -> list[str]:
    """Name the files that are not looked at, in one sentence if there are any."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not is_table(path))
    shown = listed([name for name in names if not name.startswith((".", "~"))], MOST)
    return [f"not read, since a table's name ends in .csv, .txt, .tsv or .parquet: {shown}."] if shown else []


def _lines(word: str, table: FileTable) -> list[_Line]:
    rows = table.frame.groupby("file")["symbol"]
    n_rows, symbols = rows.size(), rows.unique()
    are_bars = word == "bars"
    return [
        _Line(
            file.name,
            file.shape if are_bars else f"{file.shape} of {word}",
            frozenset(symbols.get(number, ())),
            int(n_rows.get(number, 0)),
            "bars" if are_bars else "rows",
            _adjusted(file) if are_bars else "",
        )
        for number, file in enumerate(table.files)
    ]


def _adjusted(file: TableFile) -> str:
    if "adj_close" in file.titles:
        return f", adjusted by {file.titles['adj_close']}"
    close = file.titles.get("close", "")
    return f", adjusted ({close} and the like)" if canonical(close) != "close" else ", taken as adjusted"
