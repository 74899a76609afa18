"""Tables in the user's own files, read column by column, with all that is to be said of their rows.

A file that is no table, or lacks a column, is refused whatever is asked for. Nothing is refused for what is wrong in
one row until the row's day is asked for: a `FileTable` holds the sound rows, and beside them those that are a fault,
for which a table is refused, or that were left out or changed, with a word; counted, and named by file, line and
column. ``docs/your-own-data.md`` has the rules.

Layout of the rows: the columns of a kind of file, the first of which is a day or a moment, then ``file`` and ``row``:
which of the files a row is from, and where it stands there, its line or in Parquet its number.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import union_categoricals

from brain_assets.arrays import BoolArray, IntArray
from brain_assets.errors import MarketError, TableError
from brain_assets.formatting import listed
from brain_assets.market.base import SourcedTable
from brain_assets.market.file_values import SPARE, Key, Parsed, is_blank, parse_cells, text_at
from brain_assets.market.schema import (
    COUNT,
    DAY,
    NUMBER,
    TEXT,
    Finding,
    Rule,
    TableSchema,
    attach,
    describe,
    empty_table,
)
from brain_assets.market.sheets import MOST, Roles, Sheet, find_files, find_roles, open_sheet, symbols_of_names

Layout = Mapping[str, str]
"""The columns that files of one sort have, in the order of the result, and their kinds; the first is a day or a moment.
One of counts may be absent: then each row counts as one."""

_PLACES = {"file": "int64", "row": "int64", "day": DAY}
FAULTS = _PLACES | dict.fromkeys(("column", "expected", "got", "advice"), "str")
"""Rows for which a table is refused; their column as the layout calls it, or several."""
LEFT = _PLACES | dict.fromkeys(("what", "done", "subject"), "str")
"""Rows that were left out or changed; an empty subject is their file."""


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

    def judged(self, rules: Iterable[Rule]) -> "FileTable":
        """Take out the rows that break one of some rules, all of which are asked of the same rows."""
        faults, good = [self.faults], np.ones(len(self.frame), dtype=bool)
        for rule in rules:
            wrong = ~np.asarray(rule.holds(self.frame), dtype=bool)
            if wrong.any():
                got = [describe(value) for value in self.frame.loc[wrong, rule.column]]
                advice = "" if rule.advice == Rule.advice else rule.advice
                faults.append(self._told(wrong, column=rule.column, expected=rule.expected, got=got, advice=advice))
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
            if len(names) > 1:
                others = [name for name in names if name != target[name]]
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
        days = self.faults["day"]
        faults = self.faults[days.isna() | inside(days, start, end)]
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

    def findings(self, start: datetime.date, end: datetime.date) -> list[Finding]:
        """Say by year what was left out or changed in some days, that of several files together."""
        left, found = self.left[inside(self.left["day"], start, end)], []
        for (subject, what, done), alike in left.groupby(["subject", "what", "done"], sort=False):
            names = [self.files[number].name for number in alike["file"].unique()]
            about = subject or (", ".join(names) if len(names) < 4 else f"{len(names)} files")
            for year, rows in alike.groupby(alike["day"].dt.year):
                first = rows.loc[rows["day"].idxmin()]
                file = self.files[first["file"]]
                place = "" if len(names) == 1 and not subject else f"{file.name}, "
                where = f"{first['day']:%Y-%m-%d} ({place}{file.place} {first['row']})"
                found.append(Finding("rows_taken", about, what, done, int(year), len(rows), where))
        return found


def inside(days: pd.Series, start: datetime.date, end: datetime.date) -> pd.Series:
    """Tell which days are from `start` up to but not including `end`."""
    return days.between(pd.Timestamp(start), pd.Timestamp(end), inclusive="left")


def read_files(paths: Sequence[Path], layout: Layout) -> FileTable:
    """Read files into one table, in their order.

    Nothing is raised: what is refused is kept in the table.
    """
    names = [path.name for path in paths]
    symbols = symbols_of_names(names)
    names = [f"{path.parent.name}/{path.name}" if names.count(path.name) > 1 else path.name for path in paths]
    kinds = {name: NUMBER if kind == COUNT else kind for name, kind in layout.items() if kind not in (SPARE, TEXT)}
    frames = [empty_table(kinds | dict.fromkeys(("file", "row"), "int64"))]
    texts = {name: [pd.Categorical([], pd.Index([], dtype="str"))] for name, kind in layout.items() if kind == TEXT}
    files: list[TableFile] = []
    refused, faults = [], [empty_table(FAULTS)]
    for path, name, symbol in zip(paths, names, symbols, strict=True):
        try:
            file, rows, wrong = _read(open_sheet(path, name), layout, symbol)
        except TableError as error:
            refused.append(str(error))
        else:
            for column in texts:
                texts[column].append(rows.pop(column).array)
            frames.append(rows.assign(file=len(files)))
            faults.append(wrong.assign(file=len(files)))
            files.append(file)
    frame = pd.concat(frames, ignore_index=True)
    for column, parts in texts.items():
        frame[column] = union_categoricals(parts, sort_categories=True)
    frame = frame[[*(column for column in layout if column in frame), "file", "row"]]
    told = pd.concat(faults, ignore_index=True)
    last_day = max([frame.iloc[:, 0].max(), told["day"].max()], key=lambda day: (pd.notna(day), day))
    return FileTable(frame, tuple(files), tuple(refused), told, empty_table(LEFT), last_day)


def _read(sheet: Sheet, layout: Layout, symbol: str) -> tuple[TableFile, pd.DataFrame, pd.DataFrame]:
    """Give the sound rows of a file, and those with a value that is none of its column's kind."""
    blocks = _blocks(sheet, layout, symbol)
    roles = next(iter(blocks.values()))
    wanted = sorted({place for block in blocks.values() for at in block.values() for place in at})
    columns, places = sheet.read(wanted)
    read = dict(zip(wanted, columns, strict=True))
    cells = {
        (name, twin): _below_each_other([read[block[name][twin]] for block in blocks.values()], sheet.name, name)
        for name, at in roles.items()
        for twin in range(len(at))
    }
    rows = np.tile(places, len(blocks))
    titles = {name: sheet.header.names[at[0]] for name, at in roles.items()}
    parsed = parse_cells(sheet, titles, cells, layout, rows)
    _refuse_twins(sheet, roles, parsed, rows)
    frame = pd.DataFrame({name: parsed[name, 0].values for name in roles}).assign(row=rows)
    if "symbol" in layout and "symbol" not in roles:
        symbols = pd.Index(list(blocks), dtype="str")
        frame["symbol"] = pd.Categorical.from_codes(np.repeat(np.arange(len(blocks)), len(places)), symbols)
    for name in [name for name, kind in layout.items() if kind == COUNT and name not in roles]:
        frame[name] = 1.0
    faults = [empty_table(FAULTS)]
    bad = np.logical_or.reduce([parsed[name, 0].wrong for name in roles])
    if bad.any():
        blank = np.logical_and.reduce([is_blank(cells[name, 0]) for name in roles])
        days = frame[next(iter(layout))].dt.tz_localize(None).dt.normalize()
        for name in roles:
            wrong = np.flatnonzero(parsed[name, 0].wrong & ~blank)
            got = [text_at(cells[name, 0], row) for row in wrong.tolist()]
            told = pd.DataFrame({"row": rows[wrong], "day": days.to_numpy()[wrong], "got": pd.Series(got, dtype="str")})
            faults.append(told.assign(column=name, expected=parsed[name, 0].expected, advice=""))
    file = TableFile(sheet.name, sheet.header.shape, titles, len(places), sheet.place)
    return file, frame[~bad], pd.concat(faults)


def _below_each_other(columns: Sequence[pa.ChunkedArray], file: str, name: str) -> pa.ChunkedArray:
    """Join the columns of the symbols of a wide table, whole numbers and others among them."""
    try:
        return pa.concat_tables([pa.table({name: each}) for each in columns], promote_options="permissive").column(0)
    except pa.ArrowException as error:
        what = f"{file}, columns {name}: expected one type for all symbols, got several; convert them."
        raise TableError(what) from error


def _blocks(sheet: Sheet, layout: Layout, symbol: str) -> dict[str, Roles]:
    """Find the columns of a table by the symbol that has them: of a wide one several, else `symbol` or a column's."""
    names, tickers = sheet.header.names, sheet.header.tickers
    required = [name for name, kind in layout.items() if kind not in (COUNT, SPARE)]
    blocks: dict[str, Roles] = {}
    for ticker in dict.fromkeys(filter(None, tickers)) if tickers else ("",):
        its = [(place, name) for place, name in enumerate(names) if not tickers or tickers[place] in ("", ticker)]
        roles = find_roles(its, layout)
        of = ticker or ("" if "symbol" in roles else symbol)
        if missing := [name for name in required if name not in roles and not (name == "symbol" and of)]:
            raise TableError(
                f"{sheet.name}: expected the columns {', '.join(required)}, got {', '.join(names) or 'none'} "
                f"(missing{f' of {ticker}' if ticker else ''}: {', '.join(missing)}); rename or add them."
            )
        blocks[of] = roles
        first, others = next(iter(blocks.items()))
        if {name: len(at) for name, at in roles.items()} != {name: len(at) for name, at in others.items()}:
            raise TableError(
                f"{sheet.name}: expected the same columns of each symbol, got {', '.join(others)} of {first} and "
                f"{', '.join(roles)} of {ticker}; correct the file."
            )
    return blocks


def _refuse_twins(sheet: Sheet, roles: Roles, parsed: Mapping[Key, Parsed], rows: IntArray) -> None:
    """Refuse two columns of one name whose values differ."""
    for name, twin in [(name, twin) for name, at in roles.items() for twin in range(1, len(at))]:
        one, two = (parsed[name, which].values for which in (0, twin))
        if one.dtype == "category":
            one, two = one.astype("str"), two.astype("str")
        differ = np.flatnonzero((one != two) & ~(one.isna() & two.isna()))
        if len(differ):
            first, titles = int(differ[0]), [sheet.header.names[place] for place in roles[name]]
            raise TableError(
                f"{sheet.name}, {sheet.place} {rows[first]}, columns {titles[0]} and {titles[twin]}: expected one "
                f"column {name}, got two that differ, {one[first]} and {two[first]}; {len(differ)} rows are so; remove "
                "one of the columns."
            )


class OptionalFiles:
    """Files that a user may have, in a folder; read once, when they are asked for. Without a folder there are none.

    `symbols` are the universe, empty: every symbol in the files; `names` gives them as they shall be written, whatever
    their case in the files, otherwise they are written as in `symbols`.
    """

    schema: ClassVar[TableSchema]
    sorts: ClassVar[Mapping[str, tuple[str, Callable[[Sequence[Path], Sequence[str], Sequence[str]], FileTable]]]]
    """What files hold, in a word -> how their names begin, and what makes a table of their paths, of symbols as they
    shall be written, and of the universe; the deciding day first."""

    def __init__(
        self, folder: Path | None, symbols: tuple[str, ...] = (), names: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self.folder, self.symbols, self._names = folder, symbols, names

    def found(self) -> tuple[str, list[Path]]:
        """Give the word for what the files hold, and the files; raises `MarketError` if they are of two sorts."""
        if self.folder is None:
            return "", []
        every = {word: find_files(self.folder, name) for word, (name, _) in self.sorts.items()}
        there = {word: paths for word, paths in every.items() if paths}
        if len(there) > 1:
            raise MarketError(
                f"{self.folder}: expected news as {' or as '.join(there)}, got both "
                f"({' and '.join(paths[0].name for paths in there.values())}), and news that is in both would count "
                "twice; keep one sort."
            )
        return next(iter(there.items()), ("", []))

    @property
    def source(self) -> str:
        """Where the rows come from, in a few words; begins with ``none`` if there is no file."""
        if self.folder is None:
            return "none: BRAIN_FILES_DIR is not set"
        word, paths = self.found()
        if not paths:
            return f"none: no {' or '.join(f'{name}*' for name, _ in self.sorts.values())} file in BRAIN_FILES_DIR"
        return f"{word} from {len(paths)} file{'s' if len(paths) > 1 else ''}"

    @cached_property
    def rows(self) -> FileTable | None:
        """All rows of the universe in all files; None: there are no files."""
        word, paths = self.found()
        return self.sorts[word][1](paths, self._names() or self.symbols, self.symbols) if paths else None

    def select(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the rows from `start` up to but not including `end`, with what was found of them.

        Raises `TableError` for all that is wrong there.
        """
        if self.rows is None:
            return self.schema.empty()
        self.rows.refuse(start, end)
        rows = self.rows.frame[inside(self.rows.days, start, end)].drop(columns=["file", "row"])
        texts = rows.columns[rows.dtypes == "category"]
        return attach(rows.astype(dict.fromkeys(texts, "str")), self.rows.findings(start, end))

    def table(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the same as a validated table."""
        return self.schema.validate(self.select(start, end)[list(self.schema.names)], str(self.folder))

    def sourced(self, table: pd.DataFrame, universe: Sequence[str]) -> SourcedTable:
        """Put the source beside a table, and name the symbols of a universe that no file names, if there are files."""
        found = set(universe) if self.rows is None else set(self.rows.names)
        return SourcedTable(table, self.source, tuple(symbol for symbol in universe if symbol not in found))
