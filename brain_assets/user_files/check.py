"""What the user's files were taken for, and what is wrong in them, in sentences; nothing is run, nothing stored."""

import datetime
from collections.abc import Iterator, Sequence
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

SYMBOLS_AT_A_TIME = 50


class Checked(NamedTuple):
    """What a look at all files found."""

    lines: Sequence[str]  # A line a file: what it was taken for
    refused: Sequence[str]  # for which a run would fail
    found: Sequence[str]  # which a run would warn of

    @classmethod
    def of(cls, error: BrainAssetsError) -> "Checked":
        """Give what is refused alone."""
        return cls([], [str(error)], [])

    def with_others(self, others: "Checked") -> "Checked":
        """Join two; what both say is said once."""
        return Checked(*(list(dict.fromkeys([*mine, *theirs])) for mine, theirs in zip(self, others, strict=True)))


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


def check_table(word: str, table: FileTable, start: datetime.date, end: datetime.date) -> Checked:
    """Tell all that is to be told of the files of one kind, rows of other days than these being left alone."""
    lines = [line.words() for line in _lines(word, table)]
    findings = sentences(table.findings(start, end))
    return Checked(lines, [*table.refused, *table.refusals(start, end)], findings)


def check_bars(table: FileTable, start: datetime.date, end: datetime.date) -> Checked:
    """Tell what the checks of prices would warn of, some symbols at a time, so that memory stays small."""
    days = table.days.to_numpy()
    inside = (days >= np.datetime64(start)) & (days < np.datetime64(end))
    codes, names = table.frame["symbol"].cat.codes.to_numpy(), table.frame["symbol"].cat.categories
    doubts = []
    for first in range(0, len(names), SYMBOLS_AT_A_TIME):
        chosen = inside & (codes >= first) & (codes < first + SYMBOLS_AT_A_TIME)
        bars = table.frame.loc[chosen, list(PRICE_TABLE.names)].astype({"symbol": "str"})
        if len(bars):
            verdicts = price_verdicts(bars, np.unique(bars["date"].to_numpy().astype("datetime64[D]")))
            doubts += [verdict.words for verdict in verdicts.values() if not verdict.passed]
    return Checked([], [], doubts)


def sentences(findings: Sequence[Finding]) -> list[str]:
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
    names = [name for name in names if not name.startswith((".", "~"))]
    return (
        [f"not read, since a table's name ends in .csv, .txt, .tsv or .parquet: {listed(names, MOST)}."]
        if names
        else []
    )


def _lines(word: str, table: FileTable) -> list[_Line]:
    symbols = table.frame["symbol"].cat
    pairs = table.frame["file"].to_numpy().astype(np.int64) * len(symbols.categories) + symbols.codes.to_numpy()
    found: dict[int, dict[str, int]] = {}
    for pair, n_rows in zip(*np.unique(pairs, return_counts=True), strict=True):
        number, code = divmod(int(pair), len(symbols.categories))
        found.setdefault(number, {})[symbols.categories[code]] = int(n_rows)
    return [
        _Line(
            file.name,
            file.shape if word == "bars" else f"{file.shape} of {word}",
            frozenset(found.get(number, {})),
            sum(found.get(number, {}).values()),
            "bars" if word == "bars" else "rows",
            _adjusted(file) if word == "bars" else "",
        )
        for number, file in enumerate(table.files)
    ]


def _adjusted(file: TableFile) -> str:
    if "adj_close" in file.titles:
        return f", adjusted by {file.titles['adj_close']}"
    close = file.titles.get("close", "")
    return f", adjusted ({close} and the like)" if canonical(close) != "close" else ", taken as adjusted"
