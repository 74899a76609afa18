"""Tables in the user's own CSV and Parquet files, read column by column, refused by file, line and column.

Layout of what is read: the columns of a `TableLayout`, then ``source`` and ``position``, which name a row in messages
("prices.csv, line" and 7; in Parquet "prices.parquet, row", counted from 1). Further columns of a file are ignored, as
is the order of columns. CSV is UTF-8 with commas and a header; lines with nothing in them are skipped, but counted; a
record of several lines, with a quoted text in it, has the number of its last line.
"""

import csv
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from brain_assets.errors import MarketError, TableError
from brain_assets.market.schema import COUNT, DAY, NUMBER, TEXT, Column, TableSchema

_NOTHING = ("", "nan", "na", "n/a", "null", "none")  # how CSV files write that a number is not known; any case
_MOMENT = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?\s*(Z|UTC|GMT|[+-]\d{2}(:?\d{2})?)"


class Kind(enum.Enum):
    """What a column holds, and how it is read."""

    DAY = "days in New York, no zone"
    """ISO (``2024-06-10``) in CSV, a date or a timestamp without zone and time in Parquet; datetime64[us]."""

    MOMENT = "timestamps with a zone"
    """ISO with its zone (``2024-06-10T16:00:00-04:00``, ``2024-06-10 20:00:00 UTC``) in CSV; datetime64[us] in UTC,
    rounded up: a moment never becomes an earlier one."""

    TEXT = "text"
    """As it stands; str."""

    NUMBER = "numbers"
    """float64, NaN where a CSV file says that nothing is known (empty, ``nan``, ``null``, …)."""


_KINDS = {DAY: Kind.DAY, TEXT: Kind.TEXT, NUMBER: Kind.NUMBER, COUNT: Kind.NUMBER}


@dataclass(frozen=True)
class TableLayout:
    """The columns that files of one sort have.

    Attributes
    ----------
    columns : mapping of str to Kind
        In the order of the result; every file must have them all, but for the `optional`.
    optional : mapping of str to float
        Numbers that a file may lack as a column, and what stands for them then.
    """

    columns: Mapping[str, Kind]
    optional: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: TableSchema, optional: Mapping[str, float] = MappingProxyType({})) -> "TableLayout":
        """Give the layout of files that hold a raw table."""
        return cls({column.name: _KINDS[column.kind] for column in schema.columns}, optional)

    @property
    def required(self) -> tuple[str, ...]:
        """The columns that no file may lack."""
        return tuple(name for name in self.columns if name not in self.optional)


def find_files(folder: Path, patterns: Sequence[str], content: str) -> list[Path]:
    """Give the files whose names match, sorted; raises `MarketError` if there is no such folder of `content` files."""
    if not folder.is_dir():
        raise MarketError(f"{folder}: expected a folder with {content} files, got no such folder; create it.")
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def read_files(paths: Sequence[Path], layout: TableLayout) -> pd.DataFrame:
    """Read files into one table, in their order.

    Raises
    ------
    TableError
        If a file is none of its kind or lacks a column, or a value is not of its column's kind.
    """
    return pd.concat(
        [_read_csv(p, layout) if p.suffix == ".csv" else _read_parquet(p, layout) for p in paths], ignore_index=True
    )


def last_day(path: Path, layout: TableLayout, name: str) -> pd.Timestamp | None:
    """Give the last day in a column of days, reading as little as the file's format allows; None: it has no rows."""
    if path.suffix == ".csv":
        rows = _csv_rows(path, layout, [name])
        days = _csv_days(rows, name)
        return None if days.empty else days.max()
    with _open_parquet(path, layout, [name]) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        columns = [group.column(j) for group in groups for j in range(group.num_columns)]
        statistics = [column.statistics for column in columns if column.path_in_schema == name]
        if statistics and all(known is not None and known.has_min_max for known in statistics):
            days = pd.Series([pd.Timestamp(known.max) for known in statistics])
        else:
            days = file.read(columns=[name])[name].to_pandas().dropna()
    return None if days.empty else pd.Timestamp(days.max())


def refuse_first(
    rows: pd.DataFrame, wrong: npt.ArrayLike, column: str, expected: str, got: pd.Series | None = None
) -> None:
    """Raise `TableError` for the first row that is wrong, naming its file, line and column."""
    places = np.flatnonzero(wrong)
    if len(places) == 0:
        return
    row = rows.iloc[places[0]]
    value = (rows[column] if got is None else got).iloc[places[0]]
    words = "nothing" if pd.isna(value) or value == "" else value
    raise TableError(
        f"{row['source']} {row['position']}, column {column}: expected {expected}, got {words}; "
        "correct the value or remove the row."
    )


def refuse_unnamed(rows: pd.DataFrame) -> None:
    """Raise `TableError` for the first row whose symbol is empty or has blanks around it."""
    symbols = rows["symbol"]
    refuse_first(rows, symbols.isna() | (symbols == "") | (symbols != symbols.str.strip()), "symbol", "a bare symbol")


def refuse_values(rows: pd.DataFrame, columns: Sequence[Column]) -> None:
    """Raise `TableError` for the first row of the first column whose value is not what the schema says."""
    for column in columns:
        refuse_first(rows, ~column.holds(rows[column.name]), column.name, column.rule)


def refuse_duplicates(rows: pd.DataFrame, key: Sequence[str]) -> None:
    """Raise `TableError` for the first row that has the key of one before it, naming both."""
    again = np.flatnonzero(rows.duplicated(list(key)))
    if len(again) == 0:
        return
    second = rows.iloc[again[0]]
    first = rows[(rows[list(key)] == second[list(key)]).all(axis=1)].iloc[0]
    names = f"{', '.join(key[:-1])} and {key[-1]}"
    values = (f"{second[name]:%Y-%m-%d}" if isinstance(second[name], pd.Timestamp) else second[name] for name in key)
    raise TableError(
        f"{second['source']} {second['position']}, columns {names}: expected one row a {names}, got a second for "
        f"{' '.join(map(str, values))} (the first: {first['source']} {first['position']}); remove one of them."
    )


def _read_csv(path: Path, layout: TableLayout) -> pd.DataFrame:
    rows = _csv_rows(path, layout, list(layout.columns))
    readers = {Kind.DAY: _csv_days, Kind.MOMENT: _csv_moments, Kind.NUMBER: _csv_numbers}
    parsed = {
        name: readers[kind](rows, name) for name, kind in layout.columns.items() if kind in readers and name in rows
    }
    return _complete(rows.assign(**parsed), layout)


def _csv_rows(path: Path, layout: TableLayout, names: Sequence[str]) -> pd.DataFrame:
    """Read columns of a CSV file as text; those that are optional and absent are left out."""
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    _refuse_missing_columns(path, layout, header)
    names = [name for name in names if name in header]
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
    return rows.assign(source=f"{path.name}, line", position=np.array(positions, dtype=np.int64))


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for line in reader:
                if any(cell.strip() for cell in line):
                    yield reader.line_num, line
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path.name}: expected comma-separated text in UTF-8, got {error}; save it so.") from error


def _csv_days(rows: pd.DataFrame, name: str) -> pd.Series:
    days = pd.to_datetime(rows[name].str.strip(), format="%Y-%m-%d", errors="coerce").dt.as_unit("us")
    refuse_first(rows, days.isna(), name, "a day as YYYY-MM-DD")
    return days


def _csv_moments(rows: pd.DataFrame, name: str) -> pd.Series:
    text = rows[name].str.strip()
    zoned = text.where(text.str.fullmatch(_MOMENT)).str.replace(r"\s*(Z|UTC|GMT)$", "+00:00", regex=True)
    moments = pd.to_datetime(zoned, format="ISO8601", utc=True, errors="coerce")
    refuse_first(rows, moments.isna(), name, "a time with its zone, as 2024-06-10T16:00:00-04:00")
    return _in_utc(moments)


def _csv_numbers(rows: pd.DataFrame, name: str) -> pd.Series:
    nothing = rows[name].str.strip().str.lower().isin(_NOTHING)
    numbers = pd.to_numeric(rows[name].mask(nothing), errors="coerce").astype("float64")
    refuse_first(rows, numbers.isna() & ~nothing, name, "a number")
    return numbers


def _read_parquet(path: Path, layout: TableLayout) -> pd.DataFrame:
    with _open_parquet(path, layout, list(layout.columns)) as file:
        present = [name for name in layout.columns if name in file.schema_arrow.names]
        table = file.read(columns=present)
    rows = pd.DataFrame({name: _PARQUET_READERS[layout.columns[name]](table[name]) for name in present})
    rows = rows.assign(source=f"{path.name}, row", position=np.arange(1, len(rows) + 1))
    for name in present:
        if layout.columns[name] is Kind.DAY:
            refuse_first(rows, rows[name] != rows[name].dt.normalize(), name, "a day without a time")
        elif layout.columns[name] is Kind.MOMENT:
            refuse_first(rows, rows[name].isna(), name, "a time with its zone")
    return _complete(rows, layout)


def _open_parquet(path: Path, layout: TableLayout, names: Sequence[str]) -> pq.ParquetFile:
    """Open a Parquet file whose named columns, as far as it has them, have types that can be read."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path.name}: expected a Parquet file, got {error}; write it again.") from error
    _refuse_missing_columns(path, layout, file.schema_arrow.names)
    for name in names:
        if name not in file.schema_arrow.names:
            continue
        kind, found = layout.columns[name], file.schema_arrow.field(name).type
        if not _is_of_kind(found, kind):
            raise TableError(f"{path.name}, column {name}: expected {kind.value}, got {found}; convert the column.")
    return file


def _is_of_kind(found: pa.DataType, kind: Kind) -> bool:
    if kind is Kind.DAY:
        return bool(pat.is_date(found) or (pat.is_timestamp(found) and found.tz is None))
    if kind is Kind.MOMENT:
        return bool(pat.is_timestamp(found) and found.tz is not None)
    if kind is Kind.TEXT:
        text = found.value_type if pat.is_dictionary(found) else found
        return bool(pat.is_string(text) or pat.is_large_string(text))
    return bool(pat.is_integer(found) or pat.is_floating(found) or pat.is_decimal(found))


def _in_utc(moments: pd.Series) -> pd.Series:
    """Bring moments of any zone and unit to one type, so that files can be joined."""
    return moments.dt.tz_convert("UTC").dt.ceil("us").dt.as_unit("us")


_PARQUET_READERS = {
    Kind.DAY: lambda column: column.cast(pa.timestamp("us"), safe=False).to_pandas(),
    Kind.MOMENT: lambda column: _in_utc(column.to_pandas()),
    Kind.TEXT: lambda column: column.cast(pa.string()).to_pandas().astype("str"),
    Kind.NUMBER: lambda column: column.cast(pa.float64(), safe=False).to_pandas(),
}


def _complete(rows: pd.DataFrame, layout: TableLayout) -> pd.DataFrame:
    """Fill in the optional columns that a file lacks, and put all into the layout's order."""
    absent = {name: value for name, value in layout.optional.items() if name not in rows}
    return rows.assign(**absent)[[*layout.columns, "source", "position"]]


def _refuse_missing_columns(path: Path, layout: TableLayout, got: Sequence[str]) -> None:
    missing = [name for name in layout.required if name not in got]
    if missing:
        raise TableError(
            f"{path.name}: expected the columns {', '.join(layout.required)}, got {', '.join(got) or 'none'} "
            f"(missing: {', '.join(missing)}); rename or add them."
        )
