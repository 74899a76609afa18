"""Prices from the user's own files.

Layout: every ``prices*.csv`` and ``prices*.parquet`` in one folder, any split into files, each with the columns date,
symbol, open, high, low, close, volume (others are ignored). Dates are days in New York: ISO (``2024-06-10``) in CSV,
a date or a timestamp without a zone in Parquet. A row with none of its four prices says that the bar is not known, and
is left out; everything else that is not a sound bar is refused, by file, line and column, before anything is returned.

Rerun behaviour: an instance reads the files once and keeps the table; files changed later are seen by the next process.
"""

import csv
import datetime
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from brain_assets.errors import EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PRICE_COLUMNS, PRICE_FIELDS, validate_prices

MIN_HISTORY_SESSIONS = 66
"""Fewest bars of a symbol, in all files together: 60 sessions of returns need 61 closes, and a week to predict."""

MAX_LAG_SESSIONS = 5
"""A year is complete when at most so many of its sessions follow the last date found: data often end at Christmas."""

ROUNDING = 1e-3
"""How far outside [low, high] an open or close may lie, relative to it: adjusted prices are rounded one by one."""

PATTERNS = ("prices*.csv", "prices*.parquet")

_NOTHING = ("", "nan", "na", "n/a", "null", "none")  # how CSV files write that a number is not known; any case
_PRICES = list(PRICE_FIELDS[:-1])


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class FilesMarket:
    """Daily bars from CSV and Parquet files.

    Parameters
    ----------
    folder : Path
        Holds the files; nothing is read until it is asked for.
    symbols : tuple of str
        The universe; empty: every symbol in the files.
    clock : callable, optional
        Gives the present moment with its time zone; a year that it has not completed is never complete.
    """

    name = "files"
    caveat = "Prices are the user's own files, taken as split- and dividend-adjusted; who is missing is not known."

    def __init__(
        self, folder: Path, symbols: tuple[str, ...] = (), *, clock: Callable[[], datetime.datetime] = _utc_now
    ) -> None:
        self.folder = folder
        self.symbols = symbols
        self._clock = clock
        self._last_date: datetime.date | None = None
        self._table: pd.DataFrame | None = None

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        Reads only dates (of Parquet files only their statistics), once. Dates of all symbols count.

        Raises
        ------
        MarketError
            No folder, no price file, or no row in any.
        TableError
            A file has no readable dates.
        """
        if self._last_date is None:
            found = [last for path in self._paths() if (last := _last_date(path)) is not None]
            if not found:
                raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
            self._last_date = max(found)
        after, next_year = self._last_date + datetime.timedelta(days=1), self._last_date.year + 1
        lag = len(sessions_between(after, datetime.date(next_year, 1, 1)))
        reached = self._last_date.year if lag <= MAX_LAG_SESSIONS else self._last_date.year - 1
        return min(reached, self._clock().astimezone(ZoneInfo("America/New_York")).year - 1)

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars from `start` up to but not including `end`.

        Parameters
        ----------
        start, end : datetime.date
            Days in New York; `end` is exclusive.

        Returns
        -------
        DataFrame
            A validated price table, in date and symbol order. Each bar is known at the close of its session, as far as
            the files' adjustment does not look ahead. A bar that is not known has no row; nothing is filled.

        Raises
        ------
        MarketError
            No folder, or no price file in it.
        TableError
            Naming the file, the line (Parquet: the row) and the column of the first thing wrong, or every symbol with
            no or too few bars.
        UnknownSymbolError
            Naming every symbol that was asked for and is in no file.
        EmptyResponseError
            No symbol has a bar in the range.
        """
        if self._table is None:
            self._table = _chosen(_read_all(self._paths()), self.symbols, self.folder)
        dates = self._table["date"]
        chosen = self._table[(dates >= pd.Timestamp(start)) & (dates < pd.Timestamp(end))]
        if chosen.empty:
            raise EmptyResponseError(
                f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
                f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; add data or ask for another range."
            )
        return chosen.reset_index(drop=True)

    def _paths(self) -> list[Path]:
        if not self.folder.is_dir():
            raise MarketError(f"{self.folder}: expected a folder with price files, got no such folder; create it.")
        paths = sorted(path for pattern in PATTERNS for path in self.folder.glob(pattern))
        if not paths:
            raise MarketError(
                f"{self.folder}: expected at least one file named {' or '.join(PATTERNS)}, got none; add one with the "
                f"columns {', '.join(PRICE_COLUMNS)}."
            )
        return paths


def _last_date(path: Path) -> datetime.date | None:
    """Give the last date in a file, reading as little of it as its format allows; None: it has no rows."""
    if path.suffix == ".csv":
        dates = _csv_dates(_csv_rows(path, ["date"]))
        return None if dates.empty else dates.max().date()
    with _open_parquet(path, ["date"]) as file:
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        columns = [group.column(j) for group in groups for j in range(group.num_columns)]
        statistics = [column.statistics for column in columns if column.path_in_schema == "date"]
        if statistics and all(known is not None and known.has_min_max for known in statistics):
            dates = pd.Series([pd.Timestamp(known.max) for known in statistics])
        else:
            dates = file.read(columns=["date"])["date"].to_pandas().dropna()
    return None if dates.empty else pd.Timestamp(dates.max()).date()


def _read_all(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; columns `PRICE_COLUMNS`, source and position, NaN where not known."""
    rows = pd.concat([_read_csv(p) if p.suffix == ".csv" else _read_parquet(p) for p in paths], ignore_index=True)
    symbols = rows["symbol"]
    _refuse_first(rows, symbols.isna() | (symbols == "") | (symbols != symbols.str.strip()), "symbol", "a bare symbol")
    _refuse_duplicates(rows)
    bars = rows[rows[_PRICES].notna().any(axis=1)]
    for name in PRICE_FIELDS:
        _refuse_first(bars, ~np.isfinite(bars[name]), name, "a number, since the row has a price")
        smallest, words = (0, "a number >= 0") if name == "volume" else (np.nextafter(0, 1), "a price > 0")
        _refuse_first(bars, bars[name] < smallest, name, words)
    _refuse_first(bars, bars["high"] < bars["low"], "high", "at least the row's low")
    for name in ("open", "close"):
        outside = (bars[name] < bars["low"] * (1 - ROUNDING)) | (bars[name] > bars["high"] * (1 + ROUNDING))
        _refuse_first(bars, outside, name, "a price between the row's low and high")
    if not bars.empty:
        days = bars["date"].to_numpy().astype("datetime64[D]")
        open_days = sessions_between(days.min().item(), days.max().item() + datetime.timedelta(days=1))
        _refuse_first(bars, ~np.isin(days, open_days), "date", "a day on which the NYSE was open")
    return rows


def _chosen(rows: pd.DataFrame, symbols: tuple[str, ...], folder: Path) -> pd.DataFrame:
    """Keep the known bars of the chosen symbols, each of which must have enough of them."""
    unknown = sorted(set(symbols) - set(rows["symbol"]))
    if unknown:
        raise UnknownSymbolError(
            f"{folder}: expected symbols that are in the files, got {', '.join(unknown)}, which are not; "
            "correct or remove them, or add their data."
        )
    rows = rows[rows["symbol"].isin(symbols)] if symbols else rows
    known = rows[_PRICES].notna().any(axis=1)
    n_bars = known.groupby(rows["symbol"]).sum()
    blank = rows["symbol"].isin(n_bars.index[n_bars == 0])
    _refuse_first(rows, blank, "close", "a price in some row of each symbol", rows["symbol"] + " as an all-NaN symbol")
    short = [f"{symbol} ({count})" for symbol, count in n_bars[n_bars < MIN_HISTORY_SESSIONS].items()]
    if short or rows.empty:
        raise TableError(
            f"{folder}: expected at least {MIN_HISTORY_SESSIONS} bars of every symbol, got "
            f"{', '.join(short) or 'none'}; remove the symbols from the files or from BRAIN_SYMBOLS, or add data."
        )
    return validate_prices(rows.loc[known, list(PRICE_COLUMNS)], str(folder))


def _read_csv(path: Path) -> pd.DataFrame:
    rows = _csv_rows(path, PRICE_COLUMNS)
    parsed: dict[str, pd.Series] = {"date": _csv_dates(rows)}
    for name in PRICE_FIELDS:
        nothing = rows[name].str.strip().str.lower().isin(_NOTHING)
        parsed[name] = pd.to_numeric(rows[name].mask(nothing), errors="coerce").astype("float64")
        _refuse_first(rows, parsed[name].isna() & ~nothing, name, "a number")
    return rows.assign(**parsed)


def _csv_rows(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Read columns of a CSV file as text; lines with nothing in them are skipped, but counted."""
    lines = _csv_lines(path)
    _, header = next(lines, (1, []))
    header = [name.strip() for name in header]
    _refuse_missing_columns(path, header)
    places, positions, cells = [header.index(name) for name in names], [], []
    for position, line in lines:
        if len(line) != len(header):
            raise TableError(
                f"{path.name}, line {position}: expected {len(header)} values as in line 1, got {len(line)}; "
                "correct the line."
            )
        positions.append(position)
        cells.append([line[place] for place in places])
    rows = pd.DataFrame(cells, columns=list(names), dtype="str")
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


def _csv_dates(rows: pd.DataFrame) -> pd.Series:
    dates = pd.to_datetime(rows["date"].str.strip(), format="%Y-%m-%d", errors="coerce").dt.as_unit("us")
    _refuse_first(rows, dates.isna(), "date", "a day as YYYY-MM-DD")
    return dates


def _read_parquet(path: Path) -> pd.DataFrame:
    with _open_parquet(path, PRICE_COLUMNS) as file:
        table = file.read(columns=list(PRICE_COLUMNS))
    rows = pd.DataFrame({"date": table["date"].cast(pa.timestamp("us"), safe=False).to_pandas()})
    rows["symbol"] = table["symbol"].cast(pa.string()).to_pandas().astype("str")
    for name in PRICE_FIELDS:
        rows[name] = table[name].cast(pa.float64(), safe=False).to_pandas()
    rows = rows.assign(source=f"{path.name}, row", position=np.arange(1, len(rows) + 1))
    _refuse_first(rows, rows["date"] != rows["date"].dt.normalize(), "date", "a day without a time")
    return rows


def _open_parquet(path: Path, names: Sequence[str]) -> pq.ParquetFile:
    """Open a Parquet file whose named columns have types that can be read."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path.name}: expected a Parquet file, got {error}; write it again.") from error
    _refuse_missing_columns(path, file.schema_arrow.names)
    for name in names:
        kind = file.schema_arrow.field(name).type
        if name == "date":
            fine, expected = (
                pat.is_date(kind) or (pat.is_timestamp(kind) and kind.tz is None),
                "days in New York, no zone",
            )
        elif name == "symbol":
            text = kind.value_type if pat.is_dictionary(kind) else kind
            fine, expected = pat.is_string(text) or pat.is_large_string(text), "text"
        else:
            fine, expected = pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind), "numbers"
        if not fine:
            raise TableError(f"{path.name}, column {name}: expected {expected}, got {kind}; convert the column.")
    return file


def _refuse_missing_columns(path: Path, got: Sequence[str]) -> None:
    missing = [name for name in PRICE_COLUMNS if name not in got]
    if missing:
        raise TableError(
            f"{path.name}: expected the columns {', '.join(PRICE_COLUMNS)}, got {', '.join(got) or 'none'} "
            f"(missing: {', '.join(missing)}); rename or add them."
        )


def _refuse_duplicates(rows: pd.DataFrame) -> None:
    again = np.flatnonzero(rows.duplicated(["date", "symbol"]))
    if len(again) == 0:
        return
    second = rows.iloc[again[0]]
    first = rows[(rows["date"] == second["date"]) & (rows["symbol"] == second["symbol"])].iloc[0]
    raise TableError(
        f"{second['source']} {second['position']}, columns date and symbol: expected one row a date and symbol, got a "
        f"second for {second['date']:%Y-%m-%d} {second['symbol']} (the first: {first['source']} {first['position']}); "
        "remove one of them."
    )


def _refuse_first(
    rows: pd.DataFrame, wrong: npt.ArrayLike, column: str, expected: str, got: pd.Series | None = None
) -> None:
    """Raise for the first row that is wrong, naming its file, line and column."""
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
