"""The rows of the user's files with all that is to be said of them: counted, and named by file, line and column.

Nothing is refused for what is wrong in one row until the row's day is asked for: a `FileTable` holds the sound rows,
and beside them those that are a fault, for which a table is refused, or that were left out or changed, with a word.

Layout of the rows: the columns of a kind of file, the first of which is a day or a moment, then ``file`` and ``row``:
which of the files a row is from, and where it stands there, its line or in Parquet its number.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray
from brain_assets.check_result import listed
from brain_assets.errors import TableError
from brain_assets.market.findings import Finding
from brain_assets.market.schema import DAY, Rule, describe
from brain_assets.market.text_files import MOST

PLACES = {"file": "int64", "row": "int64", "day": DAY}
FAULTS = PLACES | dict.fromkeys(("column", "expected", "got", "advice"), "str")
"""Rows for which a table is refused; their column as the layout calls it, or several."""
LEFT = PLACES | dict.fromkeys(("what", "done", "subject"), "str")
"""Rows that were left out or changed; an empty subject is their file."""


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """Give a table without rows."""
    return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in columns.items()})


class TableFile(NamedTuple):
    """A file that was read."""

    name: str  # in messages
    shape: str  # which tool writes such files; ``table``: none that is known
    titles: Mapping[str, str]  # a column -> what the file calls it
    n_rows: int
    place: str  # ``line``, or ``row`` in Parquet


@dataclass(frozen=True)
class FileTable:
    """The sound rows of some files, and what is to be said of the others."""

    frame: pd.DataFrame
    files: tuple[TableFile, ...]
    refused: tuple[str, ...]  # what is wrong with files that are no tables, a sentence each
    faults: pd.DataFrame  # of `FAULTS`; a row of no known day has none
    left: pd.DataFrame  # of `LEFT`
    last_day: pd.Timestamp  # of all rows, whatever else they hold; NaT: there are none

    @property
    def days(self) -> pd.Series:
        """The day of each row."""
        return self.frame.iloc[:, 0]

    @property
    def names(self) -> list[str]:
        """All symbols of the files, those included whose rows were taken out."""
        return list(self.frame["symbol"].cat.categories)

    def inside(self, start: datetime.date, end: datetime.date) -> pd.Series:
        """Tell which rows are from `start` up to but not including `end`."""
        return (self.days >= pd.Timestamp(start)) & (self.days < pd.Timestamp(end))

    def judged(self, rules: Iterable[Rule]) -> "FileTable":
        """Take out the rows that break one of some rules, all of which are asked of the same rows."""
        faults, good = [self.faults], np.ones(len(self.frame), dtype=bool)
        for rule in rules:
            wrong = ~np.asarray(rule.holds(self.frame), dtype=bool)
            if wrong.any():
                got = rule.got or [describe(value) for value in self.frame.loc[wrong, rule.column]]
                advice = "" if rule.advice == Rule.advice else rule.advice
                told = self._told(wrong, column=rule.column, expected=rule.expected, got=got, advice=advice)
                faults.append(told)
                good &= ~wrong
        return replace(self.only(good), faults=pd.concat(faults, ignore_index=True))

    def _told(self, chosen: BoolArray, **words: object) -> pd.DataFrame:
        rows = self.frame[chosen]
        days = pd.to_datetime(rows.iloc[:, 0], utc=True).dt.tz_localize(None).dt.normalize().astype(DAY)
        return rows[["file", "row"]].assign(day=days, **words)

    def only(self, chosen: BoolArray) -> "FileTable":
        """Give some of the rows, without a word of the others."""
        return self if np.all(chosen) else replace(self, frame=self.frame[chosen])

    def of(self, symbols: Sequence[str]) -> "FileTable":
        """Give the rows of some symbols, or of all if none is named, without a word of others that were joined."""
        if not symbols:
            return self
        left = self.left[self.left["subject"].isin(["", *symbols])]
        return replace(self.only(self.frame["symbol"].isin(symbols).to_numpy()), left=left)

    def without(self, chosen: BoolArray, what: str, done: str = "left out") -> "FileTable":
        """Leave out some rows, with a word."""
        left = pd.concat([self.left, self._told(chosen, what=what, done=done, subject="")], ignore_index=True)
        return replace(self.only(~chosen), left=left)

    def without_repeats(self, key: Sequence[str]) -> "FileTable":
        """Count rows once that are there more than once; those of one key that differ are a fault."""
        again = self.frame.duplicated(list(key)).to_numpy()
        if not again.any():
            return self
        same = self.frame.drop(columns=["file", "row"]).duplicated().to_numpy()
        table = self.without(same, "rows that are there twice, with the same values", "each counted once")
        differ = again[~same]
        names = f"{', '.join(key[:-1])} and {key[-1]}"
        firsts = self.frame.loc[~again, [*key, "file", "row"]]
        got = []
        for row in table.frame[differ].merge(firsts, "left", list(key), suffixes=("", "_first")).itertuples():
            there = self.files[row.file_first]
            values = " ".join(describe(getattr(row, name)) for name in key)
            got.append(f"a second for {values} (the first: {there.name}, {there.place} {row.row_first})")
        told = table._told(differ, column=names, expected=f"one row a {names}", got=got, advice="remove one of them")
        return replace(table.only(~differ), faults=pd.concat([table.faults, told], ignore_index=True))

    def joined(self, spelled: Iterable[str] = ()) -> "FileTable":
        """Write each symbol one way, if files differ in its case: as in `spelled`, or else in capitals."""
        ways: dict[str, list[str]] = {}
        for name in self.names:
            ways.setdefault(name.casefold(), []).append(name)
        wanted = {name.casefold(): name for name in spelled}
        target = {name: wanted.get(key, min(names)) for key, names in ways.items() for name in names}
        left = [self.left]
        for names in ways.values():
            others = [name for name in names if name != target[name]]
            if len(names) > 1:
                chosen = self.frame["symbol"].isin(others).to_numpy()
                what = f"rows that are written {' or '.join(others)}"
                left.append(self._told(chosen, what=what, done="joined", subject=target[names[0]]))
        symbols = sorted(set(target.values()))
        codes = np.array([*(symbols.index(target[name]) for name in self.names), -1])[self.frame["symbol"].cat.codes]
        frame = self.frame.assign(symbol=pd.Categorical.from_codes(codes, pd.Index(symbols, dtype="str")))
        return replace(self, frame=frame, left=pd.concat(left, ignore_index=True))

    def refuse_files(self) -> None:
        """Raise `TableError` if some files are no tables."""
        if self.refused:
            n_more = len(self.refused) - MOST
            more = f" {n_more} more files are refused." if n_more > 0 else ""
            raise TableError(" ".join(self.refused[:MOST]) + more)

    def refuse(self, start: datetime.date, end: datetime.date) -> None:
        """Raise `TableError` for all that is wrong in some days, kind by kind, or for files that are no tables."""
        self.refuse_files()
        if sentences := self.refusals(start, end):
            raise TableError(" ".join(sentences))

    def refusals(self, start: datetime.date, end: datetime.date) -> list[str]:
        """Say all that is wrong with rows of some days, or of unknown ones; one sentence a kind."""
        faults = _within(self.faults, start, end)
        return [self._refusal(alike) for _, alike in faults.groupby(["column", "expected"], sort=False)]

    def _refusal(self, faults: pd.DataFrame) -> str:
        first = faults.iloc[0]
        file, rows = self.files[first["file"]], faults.loc[faults["file"] == first["file"], "row"]
        others = faults[faults["file"] != first["file"]]
        many = ""
        if len(rows) > 1:
            many = f"; {len(rows)} rows are so ({file.place}s {listed(list(map(str, rows)), MOST)})"
        if len(others):
            names = [self.files[number].name for number in others["file"].unique()]
            many += f"; {len(others)} more in {listed(names, MOST)}"
        s = "s" if many else ""
        advice = f"correct the value{s} or remove the row{s}"
        if len(rows) > max(MOST, file.n_rows // 2):
            advice = "correct the column"
        column = first["column"]
        return (
            f"{file.name}, {file.place} {first['row']}, column{'s' * (' and ' in column)} "
            f"{file.titles.get(column, column)}: expected {first['expected']}, got {first['got']}{many}; "
            f"{first['advice'] or advice}."
        )

    def between(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the rows from `start` up to but not including `end`; raises `TableError` if something is wrong there."""
        self.refuse(start, end)
        kinds = self.frame.dtypes
        rows = self.frame[self.inside(start, end)]
        return rows.astype(dict.fromkeys(kinds.index[kinds == "category"], "str"))

    def findings(self, start: datetime.date, end: datetime.date) -> list[Finding]:
        """Say by year what was left out or changed in some days."""
        left = _within(self.left, start, end)
        kinds = left.groupby(["subject", "what", "done"], sort=False)
        return [finding for _, alike in kinds for finding in self._found(alike)]

    def _found(self, alike: pd.DataFrame) -> Iterator[Finding]:
        """Add up the rows of some files by year; more than a few files are counted."""
        names = [self.files[number].name for number in alike["file"].unique()]
        subject, what, done = alike.iloc[0][["subject", "what", "done"]]
        about = subject or (", ".join(names) if len(names) < 4 else f"{len(names)} files")
        for year, rows in alike.groupby(alike["day"].dt.year):
            first = rows.loc[rows["day"].idxmin()]
            file = self.files[first["file"]]
            place = f"{file.place} {first['row']}"
            place = place if len(names) == 1 and not subject else f"{file.name}, {place}"
            where = f"{first['day']:%Y-%m-%d} ({place})"
            yield Finding("rows_taken", about, what, done, int(year), len(rows), where)


def _within(told: pd.DataFrame, start: datetime.date, end: datetime.date) -> pd.DataFrame:
    days = told["day"]
    return told[days.isna() | ((days >= pd.Timestamp(start)) & (days < pd.Timestamp(end)))]
