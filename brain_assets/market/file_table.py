"""The rows of the user's files with all that is to be said of them: counted, and named by file, line and column.

Nothing is refused for what is wrong in one row until the row's day is asked for: a `FileTable` holds the sound rows,
and beside them those that are a `Fault`, for which a table is refused, or `Left`: left out or changed, with a word.

Layout of the rows: the columns of a kind of file, the first of which is a day or a moment, then ``file`` and ``row``,
which say where a row came from.
"""

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, IntArray
from brain_assets.check_result import listed
from brain_assets.errors import TableError
from brain_assets.market.findings import Finding
from brain_assets.market.schema import Rule, describe
from brain_assets.market.text_files import MOST, open_sheet

_DAY = 86_400_000_000  # microseconds


class TableFile(NamedTuple):
    """A file that was read."""

    path: Path
    name: str  # in messages
    shape: str  # which tool writes such files; ``table``: none that is known
    titles: Mapping[str, str]  # a column -> what the file calls it
    n_rows: int


@dataclass(frozen=True)
class Told:
    """Rows of one file of which the same can be said."""

    file: TableFile
    rows: IntArray  # from 0, as in the file
    days: DateArray  # NaT: not known

    def within(self, start: datetime.date, end: datetime.date) -> Self | None:
        """Give those of some days, or of unknown ones; None: there are none."""
        inside = np.isnat(self.days) | ((self.days >= np.datetime64(start)) & (self.days < np.datetime64(end)))
        return self._chosen(inside) if inside.any() else None

    def _chosen(self, inside: BoolArray) -> Self:
        return replace(self, rows=self.rows[inside], days=self.days[inside])

    def places(self) -> list[str]:
        """Name the rows."""
        return open_sheet(self.file.path, self.file.name).places(self.rows)


@dataclass(frozen=True)
class Fault(Told):
    """Rows for which a table is refused."""

    column: str
    expected: str
    got: Sequence[str] = field(repr=False)
    advice: str = ""

    def _chosen(self, inside: BoolArray) -> Self:
        got = [text for text, is_in in zip(self.got, inside, strict=True) if is_in]
        return replace(super()._chosen(inside), got=got)

    def sentence(self, others: Sequence["Fault"] = ()) -> str:
        """Say it; `others` are of the same kind, in other files."""
        places, n_rows = self.places(), len(self.rows)
        word, numbers = places[0].split()[0], [place.split()[1] for place in places]
        many = f"; {n_rows} rows are so ({word}s {listed(numbers, MOST)})" if n_rows > 1 else ""
        if others:
            names = listed([fault.file.name for fault in others], MOST)
            many += f"; {sum(len(fault.rows) for fault in others)} more in {names}"
        s = "s" if many else ""
        advice = self.advice or f"correct the value{s} or remove the row{s}"
        if n_rows > max(MOST, self.file.n_rows // 2):
            advice = self.advice or "correct the column"
        return (
            f"{self.file.name}, {places[0]}, column{'s' * (' and ' in self.column)} {self.column}: expected "
            f"{self.expected}, got {self.got[0]}{many}; {advice}."
        )


@dataclass(frozen=True)
class Left(Told):
    """Rows that were left out or changed, with a word."""

    what: str
    done: str = "left out"
    subject: str = ""


@dataclass(frozen=True)
class FileTable:
    """The sound rows of some files, and what is to be said of the others."""

    frame: pd.DataFrame
    files: tuple[TableFile, ...]
    refused: tuple[str, ...] = ()  # what is wrong with files that are no tables, a sentence each
    faults: tuple[Fault, ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def days(self) -> pd.Series:
        """The day of each row."""
        return self.frame.iloc[:, 0]

    def inside(self, start: datetime.date, end: datetime.date) -> pd.Series:
        """Tell which rows are from `start` up to but not including `end`."""
        return (self.days >= pd.Timestamp(start)) & (self.days < pd.Timestamp(end))

    def judged(self, rules: Iterable[Rule]) -> "FileTable":
        """Take out the rows that break one of some rules, all of which are asked of the same rows."""
        faults, good = list(self.faults), np.ones(len(self.frame), dtype=bool)
        for rule in rules:
            holds = np.asarray(rule.holds(self.frame), dtype=bool)
            if not holds.all():
                faults += self._faults(rule, ~holds)
                good &= holds
        return self if good.all() else replace(self.only(good), faults=tuple(faults))

    def _faults(self, rule: Rule, wrong: BoolArray) -> Iterator[Fault]:
        for told, rows in self._told(wrong):
            got = [rule.got] * len(rows) if rule.got else [describe(value) for value in rows[rule.column]]
            title = told.file.titles.get(rule.column, rule.column)
            advice = "" if rule.advice == Rule.advice else rule.advice
            yield Fault(told.file, told.rows, told.days, title, rule.expected, got, advice)

    def _told(self, chosen: BoolArray) -> Iterator[tuple[Told, pd.DataFrame]]:
        for number, rows in self.frame[chosen].groupby("file"):
            days = pd.to_datetime(rows.iloc[:, 0], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[D]")
            yield Told(self.files[number], rows["row"].to_numpy(), days), rows

    def only(self, chosen: BoolArray) -> "FileTable":
        """Give some of the rows, without a word of the others."""
        return self if np.all(chosen) else replace(self, frame=self.frame[chosen])

    def of(self, symbols: Sequence[str]) -> "FileTable":
        """Give the rows of some symbols, or of all if none is named, without a word of others that were joined."""
        if not symbols:
            return self
        left = tuple(each for each in self.left if each.subject in ("", *symbols))
        return replace(self.only(self.frame["symbol"].isin(symbols).to_numpy()), left=left)

    def without(self, chosen: BoolArray, what: str, done: str = "left out") -> "FileTable":
        """Leave out some rows, with a word."""
        if not chosen.any():
            return self
        said = [Left(told.file, told.rows, told.days, what, done) for told, _ in self._told(chosen)]
        return replace(self.only(~chosen), left=(*self.left, *said))

    def without_repeats(self, key: Sequence[str]) -> "FileTable":
        """Count rows once that are there more than once; those of one key that differ are a fault."""
        if self.frame.empty:
            return self
        number = np.zeros(len(self.frame), dtype=np.int64)
        for name in key:
            column = self.frame[name]
            values = column.cat.codes if column.dtype == "category" else column.astype("int64") // _DAY
            values = values.to_numpy() - values.min()
            number = number * (values.max(initial=0) + 1) + values
        if (np.diff(np.sort(number)) > 0).all():
            return self
        again = pd.Series(number).duplicated().to_numpy()
        same = self.frame.drop(columns=["file", "row"]).duplicated().to_numpy()
        table = self.without(same, "rows that are there twice, with the same values", "each counted once")
        differ = table.only(again[~same])
        names = f"{', '.join(key[:-1])} and {key[-1]}"
        faults = []
        for told, rows in differ._told(np.ones(len(differ.frame), dtype=bool)):
            got = [f"a second for {' '.join(map(describe, row))}" for row in rows[list(key)].itertuples(index=False)]
            first = self.frame[(self.frame[list(key)] == rows[list(key)].iloc[0]).all(axis=1)].iloc[0]
            there = self.files[first["file"]]
            place = open_sheet(there.path, there.name).places([first["row"]])[0]
            got[0] += f" (the first: {there.name}, {place})"
            expected, advice = f"one row a {names}", "remove one of them"
            faults.append(Fault(told.file, told.rows, told.days, names, expected, got, advice))
        return replace(table.only(~again[~same]), faults=(*table.faults, *faults))

    def joined(self, spelled: Iterable[str] = ()) -> "FileTable":
        """Write each symbol one way, if files differ in its case: as in `spelled`, or else in capitals."""
        found = self.frame["symbol"].cat
        ways: dict[str, list[str]] = {}
        for name in found.categories:
            ways.setdefault(name.casefold(), []).append(name)
        wanted = {name.casefold(): name for name in spelled}
        target = {name: wanted.get(key, min(names)) for key, names in ways.items() for name in names}
        if all(name == to for name, to in target.items()):
            return self
        left = list(self.left)
        for to in {to for key, names in ways.items() if len(names) > 1 for to in [target[names[0]]]}:
            others = [name for name, other in target.items() if other == to and name != to]
            what = f"rows that are written {' or '.join(others)}"
            chosen = self.frame["symbol"].isin(others).to_numpy()
            left += [Left(told.file, told.rows, told.days, what, "joined", to) for told, _ in self._told(chosen)]
        names = sorted(set(target.values()))
        codes = np.array([*(names.index(target[name]) for name in found.categories), -1])[found.codes]
        return replace(self, frame=self.frame.assign(symbol=pd.Categorical.from_codes(codes, names)), left=tuple(left))

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
        """Say all that is wrong with rows of some days, one sentence a kind."""
        kinds: dict[tuple[str, str], list[Fault]] = {}
        for fault in filter(None, (each.within(start, end) for each in self.faults)):
            kinds.setdefault((fault.column, fault.expected), []).append(fault)
        return [faults[0].sentence(faults[1:]) for faults in kinds.values()]

    def between(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the rows from `start` up to but not including `end`; raises `TableError` if something is wrong there."""
        self.refuse(start, end)
        kinds = self.frame.dtypes
        rows = self.frame[self.inside(start, end)]
        return rows.astype(dict.fromkeys(kinds.index[kinds == "category"], "str"))

    def findings(self, start: datetime.date, end: datetime.date) -> list[Finding]:
        """Say by year what was left out or changed in some days."""
        kinds: dict[tuple[str, str, str], list[Left]] = {}
        for each in filter(None, (each.within(start, end) for each in self.left)):
            kinds.setdefault((each.subject, each.what, each.done), []).append(each)
        return [finding for alike in kinds.values() for finding in _found(alike)]


def _found(alike: Sequence[Left]) -> Iterator[Finding]:
    """Add up the rows of some files by year; more than a few files are counted."""
    names = list(dict.fromkeys(each.file.name for each in alike))
    subject = alike[0].subject or (", ".join(names) if len(names) < 4 else f"{len(names)} files")
    years = np.concatenate([each.days.astype("datetime64[Y]") for each in alike])
    for year in np.unique(years):
        number = int(str(year))
        begin, end = datetime.date(number, 1, 1), datetime.date(number + 1, 1, 1)
        those = [part for each in alike if (part := each.within(begin, end))]
        first = min(those, key=lambda each: each.days.min())
        at = int(np.argmin(first.days))
        [place] = open_sheet(first.file.path, first.file.name).places([first.rows[at]])
        where = (
            f"{first.days[at]} ({place if len(names) == 1 and not first.subject else f'{first.file.name}, {place}'})"
        )
        n_rows = sum(len(each.rows) for each in those)
        yield Finding("rows_taken", subject, first.what, first.done, number, n_rows, where)
