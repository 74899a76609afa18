"""Tables in the user's own files, read column by column into a `FileTable`; ``docs/your-own-data.md`` has the rules.

A file that is no table, or lacks a column, is refused whatever is asked for; what is wrong in a row, with its day.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import union_categoricals

from brain_assets.arrays import IntArray
from brain_assets.errors import MarketError, TableError
from brain_assets.market.base import SourcedTable
from brain_assets.market.file_columns import Roles, find_roles, shape, symbols_of_names
from brain_assets.market.file_table import FAULTS, LEFT, FileTable, TableFile, empty
from brain_assets.market.file_values import (
    Key,
    Parsed,
    TwoWays,
    is_blank,
    parse_days,
    parse_moments,
    parse_numbers,
    parse_texts,
    text_at,
)
from brain_assets.market.findings import attach
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT, TableSchema
from brain_assets.market.text_files import Sheet, find_files, open_sheet

MOMENT = "datetime64[us, UTC]"
"""Kind of a column of times, in a file of any zone; rounded up: a moment never becomes an earlier one."""

SPARE = "float64, if it is there"  # kind of a column of numbers that a file need not have

Layout = Mapping[str, str]
"""The columns that files of one sort have, in the order of the result, and their kinds; the first is a day or a moment.
One of counts may be absent: then each row counts as one."""


def read_files(paths: Sequence[Path], layout: Layout) -> FileTable:
    """Read files into one table, in their order.

    Nothing is raised: what is refused is kept in the table.
    """
    names = [path.name for path in paths]
    symbols = symbols_of_names(names)
    names = [f"{path.parent.name}/{path.name}" if names.count(path.name) > 1 else path.name for path in paths]
    kinds = {name: NUMBER if kind == COUNT else kind for name, kind in layout.items() if kind not in (SPARE, TEXT)}
    frames = [empty(kinds | dict.fromkeys(("file", "row"), "int64"))]
    texts = {name: [pd.Categorical([], pd.Index([], dtype="str"))] for name, kind in layout.items() if kind == TEXT}
    files: list[TableFile] = []
    refused, faults = [], [empty(FAULTS)]
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
    return FileTable(frame, tuple(files), tuple(refused), told, empty(LEFT), last_day)


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
    parsed = _parsed(sheet, titles, cells, layout, rows)
    _refuse_twins(sheet, roles, parsed, rows)
    frame = pd.DataFrame({name: parsed[name, 0].values for name in roles}).assign(row=rows)
    if "symbol" in layout and "symbol" not in roles:
        frame["symbol"] = pd.Categorical.from_codes(
            np.repeat(np.arange(len(blocks)), len(places)), pd.Index(list(blocks), dtype="str")
        )
    for name, kind in layout.items():
        if kind == COUNT and name not in roles:
            frame[name] = 1.0
    file = TableFile(sheet.name, shape(sheet.header), titles, len(places), sheet.place)
    faults = [empty(FAULTS)]
    bad = np.logical_or.reduce([parsed[name, 0].wrong for name in roles])
    if bad.any():
        blank = np.logical_and.reduce([is_blank(cells[name, 0]) for name in roles])
        days = frame[next(iter(layout))].dt.tz_localize(None).dt.normalize()
        for name in roles:
            wrong = np.flatnonzero(parsed[name, 0].wrong & ~blank)
            got = [text_at(cells[name, 0], row) for row in wrong.tolist()]
            told = pd.DataFrame({"row": rows[wrong], "day": days.to_numpy()[wrong], "got": pd.Series(got, dtype="str")})
            faults.append(told.assign(column=name, expected=parsed[name, 0].expected, advice=""))
    return file, frame[~bad], pd.concat(faults)


def _below_each_other(columns: Sequence[pa.ChunkedArray], file: str, name: str) -> pa.ChunkedArray:
    """Join the columns of the symbols of a wide table, whole numbers and others among them."""
    try:
        tables = [pa.table({name: column}) for column in columns]
        return pa.concat_tables(tables, promote_options="permissive").column(0)
    except pa.ArrowException as error:
        expected = f"{file}, columns {name}: expected one type for all symbols"
        raise TableError(f"{expected}, got several; convert them.") from error


def _blocks(sheet: Sheet, layout: Layout, symbol: str) -> dict[str, Roles]:
    """Find the columns of a table by the symbol that has them: of a wide one several, else `symbol` or a column's."""
    names, tickers = sheet.header.names, sheet.header.tickers
    required = [name for name, kind in layout.items() if kind not in (COUNT, SPARE)]
    blocks: dict[str, Roles] = {}
    for ticker in dict.fromkeys(filter(None, tickers)) if tickers else ("",):
        places = [place for place in range(len(names)) if not tickers or tickers[place] in ("", ticker)]
        found = find_roles([names[place] for place in places], list(layout))
        roles = {name: [places[place] for place in at] for name, at in found.items()}
        of = ticker or ("" if "symbol" in roles else symbol)
        if missing := [name for name in required if name not in roles and not (name == "symbol" and of)]:
            raise TableError(
                f"{sheet.name}: expected the columns {', '.join(required)}, got {', '.join(names) or 'none'} "
                f"(missing{f' of {ticker}' if ticker else ''}: {', '.join(missing)}); rename or add them."
            )
        blocks[of] = roles
        first = next(iter(blocks))
        if {name: len(at) for name, at in roles.items()} != {name: len(at) for name, at in blocks[first].items()}:
            raise TableError(
                f"{sheet.name}: expected the same columns of each symbol, got {', '.join(blocks[first])} of {first} "
                f"and {', '.join(roles)} of {ticker}; correct the file."
            )
    return blocks


def _parsed(
    sheet: Sheet, titles: Mapping[str, str], cells: Mapping[Key, pa.ChunkedArray], layout: Layout, rows: IntArray
) -> dict[Key, Parsed]:
    """Read cells as what the layout says that they are."""
    readers = {DAY: parse_days, MOMENT: parse_moments, TEXT: parse_texts}
    numbers = {key: column for key, column in cells.items() if layout[key[0]] not in readers}
    parsed = {}
    for key in [key for key in cells if key not in numbers]:
        try:
            parsed[key] = readers[layout[key[0]]](cells[key])
        except pa.ArrowException as error:
            what = f"{sheet.name}, column {titles[key[0]]}: expected texts, got {cells[key].type}"
            raise TableError(f"{what}; write it as text.") from error
    try:
        return parsed | parse_numbers(numbers, decimal_comma=sheet.separator in (";", "\t"))
    except TwoWays as error:
        (name, _), found = error.args
        both = " and ".join(f"{text} ({sheet.place} {rows[row]})" for row, text in found)
        raise TableError(
            f"{sheet.name}, column {titles[name]}: expected one way to write numbers, got two, {both}; write all of "
            "them with a decimal point, or all with a decimal comma."
        ) from None


def _refuse_twins(sheet: Sheet, roles: Roles, parsed: Mapping[Key, Parsed], rows: IntArray) -> None:
    """Refuse two columns of one name whose values differ."""
    for name, at in roles.items():
        for twin in range(1, len(at)):
            one, two = (parsed[name, which].values for which in (0, twin))
            if one.dtype == "category":
                one, two = one.astype("str"), two.astype("str")
            differ = np.flatnonzero((one != two) & ~(one.isna() & two.isna()))
            if len(differ):
                first, titles = int(differ[0]), sheet.header.names
                raise TableError(
                    f"{sheet.name}, {sheet.place} {rows[first]}, columns {titles[at[0]]} and {titles[at[twin]]}: "
                    f"expected one column {name}, got two that differ, {one[first]} and {two[first]}; {len(differ)} "
                    "rows are so; remove one of the columns."
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
        return attach(self.rows.between(start, end).drop(columns=["file", "row"]), self.rows.findings(start, end))

    def table(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the same as a validated table."""
        return self.schema.validate(self.select(start, end)[list(self.schema.names)], str(self.folder))

    def sourced(self, table: pd.DataFrame, universe: Sequence[str]) -> SourcedTable:
        """Put the source beside a table, and name the symbols of a universe that no file names, if there are files."""
        found = set(universe) if self.rows is None else set(self.rows.names)
        return SourcedTable(table, self.source, tuple(symbol for symbol in universe if symbol not in found))
