"""Tables in the user's own files, read column by column into a `FileTable`; ``docs/your-own-data.md`` has the rules.

A file that is no table, or lacks a column, is refused whatever is asked for; what is wrong in a row, with its day.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import union_categoricals

from brain_assets.arrays import FloatArray, IntArray, MomentArray
from brain_assets.errors import MarketError, TableError
from brain_assets.market import file_values
from brain_assets.market.base import SourcedTable
from brain_assets.market.file_columns import Roles, find_roles, shape, symbol_of_name
from brain_assets.market.file_table import Fault, FileTable, TableFile
from brain_assets.market.file_values import Parsed, TwoWays, text_at
from brain_assets.market.findings import attach
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT, TableSchema
from brain_assets.market.text_files import Sheet, find_files, open_sheet

MOMENT = "datetime64[us, UTC]"
"""Kind of a column of times, in a file of any zone; rounded up: a moment never becomes an earlier one."""

SPARE = "float64, if it is there"  # kind of a column of numbers that a file need not have
NO_FOLDER = "none: BRAIN_FILES_DIR is not set"

Layout = Mapping[str, str]
"""The columns that files of one sort have, in the order of the result, and their kinds; the first is a day or a moment.
One of counts may be absent: then each row counts as one."""

_NUMBERS = (NUMBER, COUNT, SPARE)
AnyArray = FloatArray | IntArray | MomentArray


class _Block(NamedTuple):
    """Columns of a file that are one table: all of them, or those of one symbol of a wide file."""

    symbol: str  # empty: a column has it
    roles: Roles


class _Part(NamedTuple):
    """The sound rows of one file."""

    file: TableFile
    columns: dict[str, AnyArray]  # those of the layout, and ``row``; symbols and other texts are codes
    texts: Mapping[str, list[str]]  # what the codes of a column stand for
    faults: list[Fault]


def read_files(paths: Sequence[Path], layout: Layout, only: Sequence[str] = ()) -> FileTable:
    """Read files into one table, in their order; `only` some columns of them, if so asked.

    Nothing is raised: what is refused is kept in the table.
    """
    names = [path.name for path in paths]
    names = [f"{path.parent.name}/{path.name}" if names.count(path.name) > 1 else path.name for path in paths]
    wanted = {name: kind for name, kind in layout.items() if not only or name in only}
    parts, refused = [], []
    for path, name in zip(paths, names, strict=True):
        try:
            parts.append(_read(open_sheet(path, name), layout, wanted))
        except TableError as error:
            refused.append(str(error))
    faults = tuple(fault for part in parts for fault in part.faults)
    return FileTable(_joined(parts, wanted), tuple(part.file for part in parts), tuple(refused), faults)


def _joined(parts: Sequence[_Part], layout: Layout) -> pd.DataFrame:
    """Put the columns of files below each other; one that no file has is left out, if it is spare.

    Each is taken out of the parts, so that the whole is not in memory twice.
    """
    lengths = [len(part.columns["row"]) for part in parts]
    columns: dict[str, object] = {}
    for name, kind in layout.items():
        if kind == SPARE and not any(name in part.columns for part in parts):
            continue
        absent = 1.0 if kind == COUNT else np.nan
        each = [part.columns.pop(name, np.full(n_rows, absent)) for part, n_rows in zip(parts, lengths, strict=True)]
        if kind == TEXT:
            texts = [pd.Index(part.texts[name], dtype="str") for part in parts]
            found = [pd.Categorical.from_codes(codes, of) for codes, of in zip(each, texts, strict=True)]
            none = pd.Categorical([], pd.Index([], dtype="str"))
            columns[name] = union_categoricals([*found, none], sort_categories=True)
        elif kind in (DAY, MOMENT):
            moments = pd.Series(np.concatenate([*each, np.empty(0, "datetime64[us]")]))
            columns[name] = moments.dt.tz_localize("UTC") if kind == MOMENT else moments
        else:
            columns[name] = np.concatenate([*each, np.empty(0)])
    columns["file"] = np.repeat(np.arange(len(parts), dtype=np.int32), lengths)
    columns["row"] = np.concatenate([*(part.columns.pop("row") for part in parts), np.empty(0, np.int32)])
    return pd.DataFrame(columns, copy=False)


def _read(sheet: Sheet, layout: Layout, wanted: Layout) -> _Part:
    blocks = _blocks(sheet, layout)
    first, roles = next(iter(layout)), blocks[0].roles
    asked = {name: kind for name, kind in layout.items() if name in wanted or name == first}
    places = sorted({place for block in blocks for name in asked for place in block.roles.get(name, ())})
    cells = dict(zip(places, sheet.read(places), strict=True))
    for block in blocks:
        _refuse_twins(sheet, block, cells, asked)
    n_rows = len(cells[places[0]])
    titles = {name: sheet.header.names[at[0]] for name, at in roles.items()}
    file = TableFile(sheet.path, sheet.name, shape(sheet.header), titles, n_rows)
    texts = {name: _texts(sheet, name, blocks, cells) for name, kind in asked.items() if kind == TEXT}
    others = {name: [block.roles[name][0] for block in blocks] for name in asked if name in roles and name not in texts}
    kinds = {place: asked[name] for name, at in others.items() for place in at}
    parsed = {place: file_values.parse_days(cells[place]) for place, kind in kinds.items() if kind == DAY}
    parsed |= {place: file_values.parse_moments(cells[place]) for place, kind in kinds.items() if kind == MOMENT}
    parsed |= _numbers(sheet, {place: cells[place] for place, kind in kinds.items() if kind in _NUMBERS})
    columns = {name: np.concatenate([parsed[place].values for place in at]) for name, at in others.items()}
    columns |= {name: codes for name, (codes, _) in texts.items()}
    columns["row"] = np.tile(np.arange(n_rows, dtype=np.int32), len(blocks))
    wrong = {name: np.concatenate([parsed[place].wrong for place in at]) for name, at in others.items()}
    bad = np.logical_or.reduce(list(wrong.values()))
    blank = np.zeros(n_rows, bool)
    if bad.any():
        blank = np.logical_and.reduce([file_values.is_blank(column) for column in cells.values()])
    faults = []
    for name, at in others.items():
        chosen = np.flatnonzero(wrong[name] & ~np.tile(blank, len(blocks)))
        if len(chosen):
            got = [text_at(cells[at[i // n_rows]], i % n_rows) for i in chosen.tolist()]
            days = columns[first][chosen].astype("datetime64[D]")
            faults.append(Fault(file, columns["row"][chosen], days, titles[name], parsed[at[0]].expected, got))
    kept = {name: column[~bad] for name, column in columns.items()} if bad.any() else columns
    return _Part(file, kept, {name: found for name, (_, found) in texts.items()}, faults)


def _blocks(sheet: Sheet, layout: Layout) -> list[_Block]:
    """Find the columns of a table, of each symbol in a wide one; without a column of symbols, the name has it."""
    names, tickers = sheet.header.names, sheet.header.tickers
    blocks = []
    for ticker in dict.fromkeys(filter(None, tickers)) if tickers else ("",):
        places = [place for place in range(len(names)) if not tickers or tickers[place] in ("", ticker)]
        found = find_roles([names[place] for place in places], list(layout))
        roles = {name: [places[place] for place in at] for name, at in found.items()}
        block = _Block(ticker or ("" if "symbol" in roles else symbol_of_name(sheet.path)), roles)
        required = [name for name, kind in layout.items() if kind not in (COUNT, SPARE)]
        missing = [name for name in required if name not in roles and not (name == "symbol" and block.symbol)]
        if missing:
            raise TableError(
                f"{sheet.name}: expected the columns {', '.join(required)}, got {', '.join(names) or 'none'} "
                f"(missing{f' of {ticker}' if ticker else ''}: {', '.join(missing)}); rename or add them."
            )
        blocks.append(block)
        if roles.keys() != blocks[0].roles.keys():
            raise TableError(
                f"{sheet.name}: expected the same columns of each symbol, got {', '.join(blocks[0].roles)} of "
                f"{blocks[0].symbol} and {', '.join(roles)} of {ticker}; correct the file."
            )
    return blocks


def _refuse_twins(sheet: Sheet, block: _Block, cells: Mapping[int, pa.ChunkedArray], asked: Layout) -> None:
    for name, at in block.roles.items():
        for other in at[1:] if name in asked else ():
            if asked[name] in _NUMBERS:
                one, two = (each.values for each in _numbers(sheet, {i: cells[i] for i in (at[0], other)}).values())
                differ = np.flatnonzero((one != two) & ~(np.isnan(one) & np.isnan(two)))
            else:
                one, two = (cells[i].cast(pa.string()).to_numpy() for i in (at[0], other))
                differ = np.flatnonzero(one != two)
            if len(differ):
                first = int(differ[0])
                raise TableError(
                    f"{sheet.name}, {sheet.places([first])[0]}, columns {sheet.header.names[at[0]]} and "
                    f"{sheet.header.names[other]}: expected one column {name}, got two that differ, {one[first]} and "
                    f"{two[first]}; {len(differ)} rows are so; remove one of the columns."
                )


def _numbers(sheet: Sheet, cells: Mapping[int, pa.ChunkedArray]) -> dict[int, Parsed]:
    try:
        return file_values.parse_numbers(cells, decimal_comma=sheet.separator in (";", "\t"))
    except TwoWays as error:
        places = sheet.places([row for row, _ in error.found])
        both = " and ".join(f"{text} ({place})" for (_, text), place in zip(error.found, places, strict=True))
        raise TableError(
            f"{sheet.name}, column {sheet.header.names[error.column]}: expected one way to write numbers, got two, "
            f"{both}; write all of them with a decimal point, or all with a decimal comma."
        ) from None


def _texts(
    sheet: Sheet, name: str, blocks: Sequence[_Block], cells: Mapping[int, pa.ChunkedArray]
) -> tuple[AnyArray, list[str]]:
    if name not in blocks[0].roles:
        n_rows = len(next(iter(cells.values())))
        return np.repeat(np.arange(len(blocks)), n_rows), [block.symbol for block in blocks]
    place = blocks[0].roles[name][0]
    try:
        return file_values.parse_texts(cells[place])
    except pa.ArrowException as error:
        title, kind = sheet.header.names[place], cells[place].type
        raise TableError(f"{sheet.name}, column {title}: expected texts, got {kind}; write it as text.") from error


class OptionalFiles:
    """Files that a user may have; read once, when they are asked for.

    Parameters
    ----------
    folder : Path or None
        Holds the files; None: there are none.
    symbols : tuple of str
        The universe; empty: every symbol in the files.
    names : callable, optional
        Gives symbols as they shall be written, whatever their case in the files.
    """

    schema: ClassVar[TableSchema]
    sorts: ClassVar[Mapping[str, tuple[str, Callable[[Sequence[Path]], FileTable]]]]
    """What files hold, in a word -> how their names begin, and what reads and judges them, the deciding day first."""

    def __init__(
        self, folder: Path | None, symbols: tuple[str, ...] = (), names: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self.folder, self.symbols, self._names = folder, symbols, names

    def found(self) -> tuple[str, list[Path]]:
        """Give the word for what the files hold, and the files; raises `MarketError` if they are of two sorts."""
        if self.folder is None:
            return "", []
        every = {word: find_files(self.folder, name, "data") for word, (name, _) in self.sorts.items()}
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
            return NO_FOLDER
        word, paths = self.found()
        if not paths:
            return f"none: no {' or '.join(f'{name}*' for name, _ in self.sorts.values())} file in BRAIN_FILES_DIR"
        return f"{word} from {len(paths)} file{'s' if len(paths) > 1 else ''}"

    @cached_property
    def rows(self) -> FileTable | None:
        """All rows of all files; None: there are no files."""
        word, paths = self.found()
        return self.read(word, paths) if paths else None

    def read(self, word: str, paths: Sequence[Path]) -> FileTable:
        """Read some of the files."""
        return self.sorts[word][1](paths).joined(self._names() or self.symbols)

    def select(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the rows of the universe from `start` up to but not including `end`, with what was found of them.

        Raises `TableError` for all that is wrong there.
        """
        if self.rows is None:
            return self.schema.empty()
        rows = self.rows.of(self.symbols)
        return attach(rows.between(start, end).drop(columns=["file", "row"]), rows.findings(start, end))

    def table(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the same as a validated table."""
        return self.schema.validate(self.select(start, end)[list(self.schema.names)], str(self.folder))

    def sourced(self, table: pd.DataFrame, universe: Sequence[str]) -> SourcedTable:
        """Put the source beside a table, and name the symbols of a universe that no file names, if there are files."""
        found = set(universe) if self.rows is None else set(self.rows.frame["symbol"].cat.categories)
        return SourcedTable(table, self.source, tuple(symbol for symbol in universe if symbol not in found))
