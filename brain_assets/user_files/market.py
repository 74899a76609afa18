"""Prices, news and fundamentals from the user's own files.

Layout: in one folder, any split into files, CSV or Parquet as `brain_assets.market.table_files` reads them, each with
the columns named here (others are ignored):

- ``prices*``: date, symbol, open, high, low, close, volume. A row with none of its four prices says that the bar is not
  known, and is left out; everything else that is not a sound bar is refused.
- ``news_sentiment*`` or ``headlines*``: see `brain_assets.market.news`; may be absent.
- ``fundamentals*``: filed, period_end, symbol, and the ratios, empty where one is not known; may be absent.

Dates are days in New York. What is refused is named by file, line and column, before anything is returned.

Rerun behaviour: an instance reads the files once and keeps the tables until a look finds that a file has changed.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from brain_assets.errors import EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import utc_now
from brain_assets.market.news import NewsFiles
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, OHLC_RULES, PRICE_TABLE
from brain_assets.market.table_files import OptionalFiles, find_files, read_files, refuse_broken, refuse_duplicates
from brain_assets.paths import DataPath
from brain_assets.settings import Settings
from brain_assets.user_files.watch import FileMemory, FileState, complete_year, last_price_date, observe_files

MIN_HISTORY_SESSIONS = 66
"""Fewest bars of a symbol, in all files together: 60 sessions of returns need 61 closes, and a week to predict."""


def read_price_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; columns `PRICE_TABLE`, source and position, NaN where not known."""
    rows = read_files(paths, PRICE_TABLE.types)
    day, symbol, *values = (column.rule for column in PRICE_TABLE.columns)
    refuse_broken(rows, (day, symbol))
    refuse_duplicates(rows, PRICE_TABLE.order)
    rules = (*values, *OHLC_RULES, *PRICE_TABLE.rules)
    refuse_broken(rows[_is_known(rows)], rules)
    return rows


def read_fundamental_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; columns `FUNDAMENTAL_TABLE`, source and position."""
    rows = read_files(paths, FUNDAMENTAL_TABLE.types)
    refuse_broken(rows, (*(column.rule for column in FUNDAMENTAL_TABLE.columns), *FUNDAMENTAL_TABLE.rules))
    refuse_duplicates(rows, FUNDAMENTAL_TABLE.order)
    return rows


class PriceFiles(OptionalFiles):
    """Daily bars from CSV and Parquet files."""

    schema = PRICE_TABLE
    sorts: ClassVar = {"bars": ("prices", read_price_files)}


class FundamentalFiles(OptionalFiles):
    """Quarterly ratios from CSV and Parquet files; each is known once its filing day is over."""

    schema = FUNDAMENTAL_TABLE
    sorts: ClassVar = {"ratios": ("fundamentals", read_fundamental_files)}


WATCHED = {"raw_prices": PriceFiles, "raw_news_sentiment": NewsFiles, "raw_fundamentals": FundamentalFiles}
"""Raw table -> its files."""


class FilesMarket:
    """Daily bars, news scores and quarterly ratios from CSV and Parquet files.

    Parameters
    ----------
    folder : Path
        Holds the files; nothing is read until it is asked for.
    symbols : tuple of str
        The universe; empty: every symbol in the files.
    memory : Path or UPath, optional
        The file that keeps what looks at the files found; see `brain_assets.user_files.watch`.
    clock : callable, optional
        Gives the present moment with its time zone; a year that it has not completed is never complete.
    """

    name = "files"
    caveat = "Prices are the user's own files, taken as split- and dividend-adjusted; who is missing is not known."

    def __init__(
        self,
        folder: Path,
        symbols: tuple[str, ...] = (),
        memory: DataPath | None = None,
        *,
        clock: Callable[[], datetime.datetime] = utc_now,
    ) -> None:
        self.folder, self.symbols, self.clock = folder, symbols, clock
        self._memory = FileMemory(memory, symbols)
        self._looked_at: Mapping[str, FileState] | None = None
        self._forget_rows()

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        Reads only dates, and of files that have not changed nothing; those of all symbols count. Raises as `prices`.
        """
        last = last_price_date(self._paths(), self._memory)
        if last is None:
            raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
        return complete_year(last, self.clock())

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
        dates = self._bars["date"]
        chosen = self._bars[(dates >= pd.Timestamp(start)) & (dates < pd.Timestamp(end))]
        if chosen.empty:
            raise EmptyResponseError(
                f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
                f"{dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; add data or ask for another range."
            )
        return chosen.reset_index(drop=True)

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores; see `brain_assets.market.news.NewsFiles.news_sentiment`."""
        return self._sourced(self._news, self._news.news_sentiment(start, end, score))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios filed in a range. Raises as `prices`."""
        return self._sourced(self._fundamentals, self._fundamentals.table(start, end))

    def observe(self, years: Sequence[int], in_passing: bool = False) -> Observation:
        """Look for files that are new or have changed; see `brain_assets.market.base.ObservableMarket`."""
        tables = {table: kind(self.folder, self.symbols) for table, kind in WATCHED.items()}
        found = observe_files(self.folder, tables, years, self._memory, self.clock(), in_passing)
        if self._memory.states != self._looked_at:
            self._looked_at = self._memory.states
            self._forget_rows()
        return found

    def _forget_rows(self) -> None:
        self._news = NewsFiles(self.folder, self.symbols)
        self._fundamentals = FundamentalFiles(self.folder, self.symbols)
        vars(self).pop("_bars", None)

    def _sourced(self, files: OptionalFiles, table: pd.DataFrame) -> SourcedTable:
        """Name the symbols of the universe that the files do not; without a choice, of those with prices."""
        universe = self.symbols or (self._bars["symbol"].unique() if files.found()[1] else ())
        return files.sourced(table, sorted(universe))

    @cached_property
    def _bars(self) -> pd.DataFrame:
        """Every known bar of the chosen symbols, each of which must have enough of them."""
        rows = read_price_files(self._paths())
        unknown = sorted(set(self.symbols) - set(rows["symbol"]))
        if unknown:
            raise UnknownSymbolError(
                f"{self.folder}: expected symbols that are in the files, got {', '.join(unknown)}, which are not; "
                "correct or remove them, or add their data."
            )
        rows = rows[rows["symbol"].isin(self.symbols)] if self.symbols else rows
        known = _is_known(rows)
        n_bars = known.groupby(rows["symbol"]).sum()
        short = [f"{symbol} ({count})" for symbol, count in n_bars[n_bars < MIN_HISTORY_SESSIONS].items()]
        if short or rows.empty:
            raise TableError(
                f"{self.folder}: expected at least {MIN_HISTORY_SESSIONS} bars of every symbol, got "
                f"{', '.join(short) or 'none'}; remove the symbols from the files or from BRAIN_SYMBOLS, or add data."
            )
        return PRICE_TABLE.validate(rows.loc[known, list(PRICE_TABLE.names)], str(self.folder))

    def _paths(self) -> list[Path]:
        paths = find_files(self.folder, "prices", "price")
        if not paths:
            raise MarketError(
                f"{self.folder}: expected at least one file named prices*.csv or prices*.parquet, got none; add one "
                f"with the columns {', '.join(PRICE_TABLE.names)}."
            )
        return paths


def open_market(settings: Settings) -> FilesMarket:
    """Open the market of some settings; nothing is read."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    return FilesMarket(settings.files_dir, settings.symbols, settings.data_dir / "cache" / "files.json")


def _is_known(rows: pd.DataFrame) -> pd.Series:
    return rows[list(PRICE_FIELDS[:-1])].notna().any(axis=1)
