"""Tables in the user's own CSV and Parquet files, read column by column, refused by file, line and column.

Layout of what is read: the columns of a `Layout`, then ``source`` and ``position``, which name a row in messages
("prices.csv, line" and 7; in Parquet "prices.parquet, row", counted from 1). Further columns of a file are ignored, as
is the order of columns. CSV is UTF-8 with commas and a header; lines with nothing in them are skipped, but counted; a
record of several lines, with a quoted text in it, has the number of its last line.
"""

import csv
import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from brain_assets.errors import MarketError, TableError
from brain_assets.market.base import SourcedTable
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT, Rule, TableSchema, describe

MOMENT = "datetime64[us, UTC]"
"""Kind of a column of times, in a file of any zone; rounded up: a moment never becomes an earlier one."""

NO_FOLDER = "none: BRAIN_FILES_DIR is not set"

Layout = Mapping[str, str]
"""The columns that files of one sort have, in the order of the result, and their kinds. One of counts may be absent:
then each row counts as one."""

_NOTHING = ("", "nan", "na", "n/a", "null", "none")  # how CSV files write that a number is not known; any case
_MOMENT = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"
_PARQUET_KINDS = {
    DAY: "days in New York, no zone",
    MOMENT: "timestamps with a zone",
    TEXT: "text",
    NUMBER: "numbers",
    COUNT: "numbers",
}


class OptionalFiles:
    """Files that a user may have; read once, when they are asked for.

    Parameters
    ----------
    folder : Path or None
        Holds the files; None: there are none.
    symbols : tuple of str
        The universe; empty: every symbol in the files.
    """

    schema: ClassVar[TableSchema]
    sorts: ClassVar[Mapping[str, tuple[str, Callable[[Sequence[Path]], pd.DataFrame]]]]
    """What files hold, in a word -> how their names begin, and what reads and checks them, the deciding day first."""

    def __init__(self, folder: Path | None, symbols: tuple[str, ...] = ()) -> None:
        self.folder, self.symbols = folder, symbols

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
    def rows(self) -> pd.DataFrame:
        """All rows of all files."""
        word, paths = self.found()
        return self.sorts[word][1](paths) if paths else self.schema.empty()

    def select(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the rows of the universe from `start` up to but not including `end`."""
        days = self.rows.iloc[:, 0]
        inside = (days >= pd.Timestamp(start)) & (days < pd.Timestamp(end))
        return self.rows[inside & self.rows["symbol"].isin(self.symbols)] if self.symbols else self.rows[inside]

    def table(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the same as a validated table."""
        return self.schema.validate(self.select(start, end)[list(self.schema.names)], str(self.folder))

    def sourced(self, table: pd.DataFrame, universe: Sequence[str]) -> SourcedTable:
        """Put the source beside a table, and name the symbols of a universe that no file names, if there are files."""
        found = set(self.rows["symbol"]) if self.found()[1] else set(universe)
        return SourcedTable(table, self.source, tuple(symbol for symbol in universe if symbol not in found))


def find_files(folder: Path, name: str, content: str) -> list[Path]:
    """Give the files whose names begin so, sorted; raises `MarketError` if there is no such folder."""
    if not folder.is_dir():
        raise MarketError(f"{folder}: expected a folder with {content} files, got no such folder; create it.")
    return sorted(path for suffix in ("csv", "parquet") for path in folder.glob(f"{name}*.{suffix}"))


def read_files(paths: Sequence[Path], layout: Layout, only: str | None = None) -> pd.DataFrame:
    """Read files into one table, in their order; `only` one column of them, if so asked.

    Raises
    ------
    TableError
        If a file is none of its kind or lacks a column, or a value is not of its column's kind.
    """
    wanted = layout if only is None else {only: layout[only]}
    readers = [_read_csv if path.suffix == ".csv" else _read_parquet for path in paths]
    return pd.concat([read(p, layout, wanted) for read, p in zip(readers, paths, strict=True)], ignore_index=True)


def refuse_broken(rows: pd.DataFrame, rules: Iterable[Rule]) -> None:
    """Raise `TableError` for the first row that breaks the first of some rules, naming its file, line and column."""
    for rule in rules:
        rule.refuse_broken(rows, lambda row: f"{_place(row)}, ", lambda _: "")


def refuse_duplicates(rows: pd.DataFrame, key: Sequence[str]) -> None:
    """Raise `TableError` for the first row that has the key of one before it, naming both."""
    again = np.flatnonzero(rows.duplicated(list(key)))
    if len(again) == 0:
        return
    second = rows.iloc[again[0]]
    first = rows[(rows[list(key)] == second[list(key)]).all(axis=1)].iloc[0]
    names = f"{', '.join(key[:-1])} and {key[-1]}"
    raise TableError(
        f"{_place(second)}, columns {names}: expected one row a {names}, got a second for "
        f"{' '.join(describe(second[name]) for name in key)} (the first: {_place(first)}); remove one of them."
    )


def _place(row: pd.Series) -> str:
    return f"{row['source']} {row['position']}"


def _read_csv(path: Path, layout: Layout, wanted: Layout) -> pd.DataFrame:
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    _refuse_missing_columns(path, layout, header)
    names = [name for name in wanted if name in header]
    places, positions, cells = [header.index(name) for name in names], [], []
    for position, line in lines:
        if len(line) != len(header):
            raise TableError(
                f"{path.name}, line {position}: expected {len(header)} values as in line 1, got {len(line)}; "
                "correct the line."
            )
        positions.append(position)
        cells.append([line[place] for place in places])
    rows = pd.DataFrame(cells, columns=names, dtype="str")
    rows = rows.assign(source=f"{path.name}, line", position=np.array(positions, dtype=np.int64))
    return _complete(rows.assign(**{name: _parse(rows, name, wanted[name]) for name in names}), wanted)


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for line in reader:
                if any(cell.strip() for cell in line):
                    yield reader.line_num, line
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path.name}: expected comma-separated text in UTF-8, got {error}; save it so.") from error


def _parse(rows: pd.DataFrame, name: str, kind: str) -> pd.Series:
    """Turn a column of text into its kind; refuses the first value that is none."""
    if kind == TEXT:
        return rows[name]
    text = rows[name].str.strip()
    if kind == DAY:
        values = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").dt.as_unit("us")
        known, expected = values.notna(), "a day as YYYY-MM-DD"
    elif kind == MOMENT:
        zoned = text.where(text.str.fullmatch(_MOMENT)).str.replace(r"\s*(Z|UTC|GMT)$", "+00:00", regex=True)
        values = _in_utc(pd.to_datetime(zoned, format="ISO8601", utc=True, errors="coerce"))
        known, expected = values.notna(), "a time with its zone, as 2024-06-10T16:00:00-04:00"
    else:
        nothing = text.str.lower().isin(_NOTHING)
        values = pd.to_numeric(rows[name].mask(nothing), errors="coerce").astype("float64")
        known, expected = values.notna() | nothing, "a number"
    refuse_broken(rows, [Rule(name, expected, lambda _: known)])
    return values


def _read_parquet(path: Path, layout: Layout, wanted: Layout) -> pd.DataFrame:
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            _refuse_missing_columns(path, layout, found.names)
            kinds = {name: kind for name, kind in wanted.items() if name in found.names}
            for name, kind in kinds.items():
                if not _is_of_kind(found.field(name).type, kind):
                    raise TableError(
                        f"{path.name}, column {name}: expected {_PARQUET_KINDS[kind]}, got {found.field(name).type}; "
                        "convert the column."
                    )
            table = file.read(columns=list(kinds))
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path.name}: expected a Parquet file, got {error}; write it again.") from error
    rows = pd.DataFrame({name: _from_parquet(table[name], kind) for name, kind in kinds.items()})
    rows = rows.assign(source=f"{path.name}, row", position=np.arange(1, len(rows) + 1))
    return _complete(rows, wanted)


def _is_of_kind(found: pa.DataType, kind: str) -> bool:
    if kind in (DAY, MOMENT):
        zoned = found.tz is not None if pat.is_timestamp(found) else None
        return zoned is (kind == MOMENT) or (kind == DAY and bool(pat.is_date(found)))
    if kind == TEXT:
        text = found.value_type if pat.is_dictionary(found) else found
        return bool(pat.is_string(text) or pat.is_large_string(text))
    return bool(pat.is_integer(found) or pat.is_floating(found) or pat.is_decimal(found))


def _from_parquet(column: pa.ChunkedArray, kind: str) -> pd.Series:
    if kind == MOMENT:
        return _in_utc(column.to_pandas())
    if kind == TEXT:
        return column.cast(pa.string()).to_pandas().astype("str")
    return column.cast(pa.timestamp("us") if kind == DAY else pa.float64(), safe=False).to_pandas()


def _in_utc(moments: pd.Series) -> pd.Series:
    """Bring moments of any zone and unit to one type, so that files can be joined."""
    return moments.dt.tz_convert("UTC").dt.ceil("us").dt.as_unit("us")


def _complete(rows: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Count one a row where a file has no counts, and put all columns into the layout's order."""
    absent = dict.fromkeys((name for name in layout if name not in rows), 1.0)
    return rows.assign(**absent)[[*layout, "source", "position"]]


def _refuse_missing_columns(path: Path, layout: Layout, got: Sequence[str]) -> None:
    required = [name for name, kind in layout.items() if kind != COUNT]
    missing = [name for name in required if name not in got]
    if missing:
        raise TableError(
            f"{path.name}: expected the columns {', '.join(required)}, got {', '.join(got) or 'none'} "
            f"(missing: {', '.join(missing)}); rename or add them."
        )
