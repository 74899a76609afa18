"""What the user's files were taken for, and what is wrong in them, in sentences; nothing is run, nothing stored."""

import datetime
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from brain_assets.errors import BrainAssetsError
from brain_assets.market.findings import Finding, added_up
from brain_assets.market.price_checks import price_verdicts
from brain_assets.market.schema import PRICE_TABLE
from brain_assets.market.sheets import canonical
from brain_assets.market.table_files import FileTable, TableFile


@dataclass
class Checked:
    """What a look at all files found."""

    lines: list[str] = field(default_factory=list)  # a line a file: what it was taken for
    refused: list[str] = field(default_factory=list)  # for which a run would fail
    found: list[str] = field(default_factory=list)  # which a run would warn of

    def refuse(self, *sentences: str) -> None:
        """Take in why a run would fail; what is said twice is said once."""
        self.refused += [sentence for sentence in sentences if sentence not in self.refused]

    def warn(self, findings: Iterable[Finding]) -> None:
        """Take in findings, those of several years once."""
        self.found += [finding.sentence for finding in added_up(findings)]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Take in an error, and go on behind what it ended."""
        try:
            yield
        except BrainAssetsError as error:
            self.refuse(str(error))

    def check_table(self, word: str, table: FileTable, start: datetime.date, end: datetime.date) -> None:
        """Tell all that is to be told of the files of one kind, rows of other days than these being left alone."""
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
        self.refuse(*table.refused, *table.refusals(start, end))
        self.warn(table.findings(start, end))

    def check_bars(self, table: FileTable, start: datetime.date, end: datetime.date) -> None:
        """Tell what the checks of prices would warn of."""
        bars = table.frame.loc[table.inside(start, end), list(PRICE_TABLE.names)].astype({"symbol": "str"})
        verdicts = price_verdicts(bars, np.unique(bars["date"].to_numpy().astype("datetime64[D]")))
        self.found += [verdict.words for verdict in verdicts.values() if not verdict.passed]


def _adjusted(file: TableFile) -> str:
    if "adj_close" in file.titles:
        return f"adjusted by {file.titles['adj_close']}"
    close = file.titles.get("close", "")
    return f"adjusted ({close} and the like)" if canonical(close) != "close" else "taken as adjusted"
