"""Prices, news and fundamentals from the user's own files.

Layout: in one folder, any split into files, CSV or Parquet as `brain_assets.market.table_files` reads them, each with
the columns named here (others are ignored):

- ``prices*``: date, symbol, open, high, low, close, volume. A row with none of its four prices says that the bar is not
  known, and is left out; everything else that is not a sound bar is refused.
- ``news_sentiment*`` or ``headlines*``: see `brain_assets.market.headlines`; may be absent.
- ``fundamentals*``: filed, period_end, symbol, and the ratios, empty where one is not known; may be absent.

Dates are days in New York. What is refused is named by file, line and column, before anything is returned.

Rerun behaviour: an instance reads the files once and keeps the tables; later changes are seen by the next process.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pandas as pd

from brain_assets.errors import EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.base import FileState, Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import utc_now
from brain_assets.market.headlines import NewsFiles
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, OHLC_RULES, PRICE_TABLE, SYMBOL, Rule
from brain_assets.market.table_files import OptionalFiles, find_files, read_files, refuse_broken, refuse_duplicates
from brain_assets.settings import Settings
from brain_assets.user_files.watch import complete_year, observe_files

MIN_HISTORY_SESSIONS = 66
"""Fewest bars of a symbol, in all files together: 60 sessions of returns need 61 closes, and a week to predict."""

PATTERNS = ("prices*.csv", "prices*.parquet")
FUNDAMENTAL_PATTERNS = ("fundamentals*.csv", "fundamentals*.parquet")

_PRICES = list(PRICE_FIELDS[:-1])


def read_fundamental_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; columns `FUNDAMENTAL_TABLE`, source and position."""
    rows = read_files(paths, FUNDAMENTAL_TABLE.types)
    refuse_duplicates(rows, FUNDAMENTAL_TABLE.order)
    refuse_broken(rows, (*(column.rule for column in FUNDAMENTAL_TABLE.columns), *FUNDAMENTAL_TABLE.rules))
    return rows


class FundamentalFiles(OptionalFiles):
    """Quarterly ratios from CSV and Parquet files; see `OptionalFiles`."""

    schema = FUNDAMENTAL_TABLE
    sorts: ClassVar = {"ratios": (FUNDAMENTAL_PATTERNS, read_fundamental_files)}

    def fundamentals(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the ratios filed from `start` up to but not including `end`; without rows if there is no file.

        A row is known once its filing day is over. Raises as `FilesMarket.prices`.
        """
        return FUNDAMENTAL_TABLE.validate(self.select(start, end)[list(FUNDAMENTAL_TABLE.names)], str(self.folder))


class FilesMarket:
    """Daily bars, news scores and quarterly ratios from CSV and Parquet files.

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
        self, folder: Path, symbols: tuple[str, ...] = (), *, clock: Callable[[], datetime.datetime] = utc_now
    ) -> None:
        self.folder = folder
        self.symbols = symbols
        self.clock = clock
        self._last_date: datetime.date | None = None
        self._table: pd.DataFrame | None = None
        self._news = NewsFiles(folder, symbols)
        self._fundamentals = FundamentalFiles(folder, symbols)

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        Reads only dates, once; those of all symbols count. Raises as `prices`.
        """
        if self._last_date is None:
            days = read_files(self._paths(), PRICE_TABLE.types, only="date")["date"]
            if days.empty:
                raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
            self._last_date = days.max().date()
        return complete_year(self._last_date, self.clock())

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars of a range; see `brain_assets.market.base.Market.prices`.

        Each is known at the close of its session, as far as the files' adjustment does not look ahead.

        Raises
        ------
        TableError
            Naming the file, the line (Parquet: the row) and the column of the first thing wrong, or every symbol with
            no or too few bars.
        MarketError
            No folder or no price file, no bar in the range, or symbols (all named) that are in no file.
        """
        table = self._bars()
        dates = table["date"]
        chosen = table[(dates >= pd.Timestamp(start)) & (dates < pd.Timestamp(end))]
        if chosen.empty:
            raise EmptyResponseError(
                f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
                f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; add data or ask for another range."
            )
        return chosen.reset_index(drop=True)

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores; see `brain_assets.market.headlines.NewsFiles.news_sentiment`."""
        return self._news.sourced(self._news.news_sentiment(start, end, score), self._universe(self._news))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios filed in a range; see `FundamentalFiles.fundamentals`."""
        return self._fundamentals.sourced(
            self._fundamentals.fundamentals(start, end), self._universe(self._fundamentals)
        )

    def observe(self, years: Sequence[int], files: Mapping[str, FileState], now: datetime.datetime) -> Observation:
        """Look for files that are new or have changed; see `brain_assets.market.base.ObservableMarket`."""
        return observe_files(self.folder, WATCHED, years, files, now)

    def _universe(self, files: OptionalFiles) -> Sequence[str]:
        """Give the symbols that files may be silent on; without a choice, those with prices."""
        return sorted(self.symbols or (self._bars()["symbol"].unique() if files.found()[1] else ()))

    def _bars(self) -> pd.DataFrame:
        if self._table is None:
            self._table = _chosen(read_price_files(self._paths()), self.symbols, self.folder)
        return self._table

    def _paths(self) -> list[Path]:
        paths = find_files(self.folder, PATTERNS, "price")
        if not paths:
            raise MarketError(
                f"{self.folder}: expected at least one file named {' or '.join(PATTERNS)}, got none; add one with the "
                f"columns {', '.join(PRICE_TABLE.names)}."
            )
        return paths


def open_market(settings: Settings) -> FilesMarket:
    """Open the market of some settings; nothing is read."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    return FilesMarket(settings.files_dir, settings.symbols)


def read_price_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; columns `PRICE_TABLE`, source and position, NaN where not known."""
    rows = read_files(paths, PRICE_TABLE.types)
    refuse_broken(rows, [SYMBOL.rule])
    refuse_duplicates(rows, PRICE_TABLE.order)
    bars = rows[rows[_PRICES].notna().any(axis=1)]
    refuse_broken(bars, (*(column.rule for column in PRICE_TABLE.columns), *OHLC_RULES, *PRICE_TABLE.rules))
    return rows


class PriceFiles(OptionalFiles):
    """Daily bars from CSV and Parquet files; see `OptionalFiles`."""

    schema = PRICE_TABLE
    sorts: ClassVar = {"bars": (PATTERNS, read_price_files)}


WATCHED = {"raw_prices": PriceFiles, "raw_news_sentiment": NewsFiles, "raw_fundamentals": FundamentalFiles}
"""Raw table -> its files."""


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
    if blank.any():
        got = f"{rows['symbol'][blank].iloc[0]} as an all-NaN symbol"
        refuse_broken(rows, [Rule("close", "a price in some row of each symbol", lambda _: ~blank, got=got)])
    short = [f"{symbol} ({count})" for symbol, count in n_bars[n_bars < MIN_HISTORY_SESSIONS].items()]
    if short or rows.empty:
        raise TableError(
            f"{folder}: expected at least {MIN_HISTORY_SESSIONS} bars of every symbol, got "
            f"{', '.join(short) or 'none'}; remove the symbols from the files or from BRAIN_SYMBOLS, or add data."
        )
    return PRICE_TABLE.validate(rows.loc[known, list(PRICE_TABLE.names)], str(folder))
