"""What a file of the user's holds, year by year, in a few numbers: equal numbers, equal rows.

Layout: under the year of a partition stands the sum of its rows' hashes, 64 bits each; for prices, under ``"2019 eve"``
also that of the closes and volumes on the last session of 2019, since the table of 2020 remembers them. Sums of several
files add up to that of a table, so neither the order of rows, nor how they are split into files, nor their format
matters, and a file is read only when its bytes changed.

Not covered: a symbol that has no bar on a year's last session, but one before and one after. If its last bar is
corrected, the year after is not fetched again.
"""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, IntArray
from brain_assets.market.archive import PREVIOUS_BARS
from brain_assets.market.base import FILED_BEFORE
from brain_assets.market.calendar import FIRST_DATE, sessions_between
from brain_assets.market.files import (
    FUNDAMENTAL_PATTERNS,
    PATTERNS,
    read_fundamental_files,
    read_price_files,
)
from brain_assets.market.headlines import (
    HEADLINE_PATTERNS,
    SCORE_PATTERNS,
    is_headlines,
    read_headline_files,
    read_score_files,
)
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, PRICE_TABLE

TABLE_PATTERNS: Mapping[str, tuple[str, ...]] = {
    "raw_prices": PATTERNS,
    "raw_news_sentiment": (*SCORE_PATTERNS, *HEADLINE_PATTERNS),
    "raw_fundamentals": FUNDAMENTAL_PATTERNS,
}
"""Table -> the names of its files."""

_MASK = 2**64 - 1
_REMEMBERED = {"symbol": "str", "close": "float64", "volume": "float64"}


@dataclass(frozen=True)
class Partitions:
    """Which rows count, and for which year."""

    first_year: int
    """Of data."""
    first_partition: int
    """The year whose partition holds all before it, too."""
    symbols: tuple[str, ...] = ()
    """The universe; empty: all."""

    def counted(self, table: str, rows: pd.DataFrame) -> pd.DataFrame:
        """Keep the rows that count; their first column is the day that decides."""
        start = pd.Timestamp(self.first_year, 1, 1) - (FILED_BEFORE if table == "raw_fundamentals" else pd.Timedelta(0))
        counts = rows.iloc[:, 0] >= start
        return rows[counts & rows["symbol"].isin(self.symbols)] if self.symbols else rows[counts]

    def years(self, rows: pd.DataFrame) -> IntArray:
        """Give the partition of each row; (n_rows,)."""
        years: IntArray = np.maximum(rows.iloc[:, 0].dt.year.to_numpy(), self.first_partition)
        return years


def sums_of_file(table: str, path: Path, partitions: Partitions) -> tuple[dict[str, int], datetime.date | None]:
    """Read a file, and give its sums and the last day that it has a row of; raises `TableError` if it is no table."""
    rows = partitions.counted(table, _READERS[table](path))
    found = {str(year): row_sum(part) for year, part in rows.groupby(partitions.years(rows))}
    if table == "raw_prices":
        eves = rows[rows["date"].isin(_last_sessions())]
        found |= {f"{year} eve": row_sum(part[list(_REMEMBERED)]) for year, part in eves.groupby(eves["date"].dt.year)}
    return found, None if rows.empty else rows.iloc[:, 0].max().date()


def sums_of_table(table: str, year: int, frame: pd.DataFrame) -> dict[str, int]:
    """Give the same of a stored table: its rows, and for prices the bars that it remembers of the year before."""
    if table != "raw_prices":
        return {str(year): row_sum(frame.astype({"n_articles": "float64"}) if "n_articles" in frame else frame)}
    eve = str(sessions_between(datetime.date(year - 1, 1, 1), datetime.date(year, 1, 1))[-1])
    remembered = frame.attrs.get(PREVIOUS_BARS, {})
    bars = [(symbol, close, volume) for symbol, (date, close, volume) in remembered.items() if date == eve]
    return {
        str(year): row_sum(frame),
        f"{year - 1} eve": row_sum(pd.DataFrame(bars, columns=list(_REMEMBERED)).astype(_REMEMBERED)),
    }


def row_sum(rows: pd.DataFrame) -> int:
    """Add up the hashes of rows, whatever their order; 0 without rows."""
    return int(pd.util.hash_pandas_object(rows, index=False).to_numpy().sum(dtype=np.uint64))


def add_sums(*sums: int) -> int:
    """Add up sums of parts to that of the whole."""
    return sum(sums) & _MASK


@lru_cache(maxsize=1)
def _last_sessions() -> DateArray:
    """Give the last session of every year that the calendar knows."""
    sessions = sessions_between(FIRST_DATE, datetime.date.max)
    years = sessions.astype("datetime64[Y]").astype(np.int64)
    return sessions[np.flatnonzero(np.diff(years, append=years[-1] + 1))].astype("datetime64[us]")


def _price_rows(path: Path) -> pd.DataFrame:
    rows = read_price_files([path])
    return rows.loc[rows[list(PRICE_FIELDS[:-1])].notna().any(axis=1), list(PRICE_TABLE.names)]


def _news_rows(path: Path) -> pd.DataFrame:
    """Scores as a stored table has them; of headlines, the titles that a score stands for."""
    if is_headlines(path):
        return read_headline_files([path])[["date", "symbol", "title"]]
    return read_score_files([path])


_READERS: Mapping[str, Callable[[Path], pd.DataFrame]] = {
    "raw_prices": _price_rows,
    "raw_news_sentiment": _news_rows,
    "raw_fundamentals": lambda path: read_fundamental_files([path])[list(FUNDAMENTAL_TABLE.names)],
}
