"""Prices, news and fundamentals from the user's own files.

Layout: in one folder, any split into files, CSV or Parquet as `brain_assets.market.table_files` reads them, each with
the columns named here (others are ignored):

- ``prices*``: date, symbol, open, high, low, close, volume. A row with none of its four prices says that the bar is not
  known, and is left out; everything else that is not a sound bar is refused.
- ``news_sentiment*`` or ``headlines*``: see `brain_assets.market.news`; may be absent.
- ``fundamentals*``: filed, period_end, symbol, and the ratios, empty where one is not known; may be absent.

Dates are days in New York. What is refused is named by file, line and column, before anything is returned.

Rerun behaviour: an instance reads the files once and keeps the tables; later changes are seen by the next process.
"""

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.errors import EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.base import FileState, Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import utc_now
from brain_assets.market.file_columns import ADJUSTED
from brain_assets.market.file_table import FileTable
from brain_assets.market.findings import Finding, attach, findings_of
from brain_assets.market.news import NewsFiles
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import (
    FUNDAMENTAL_TABLE,
    MARGINS,
    OHLC_RULES,
    ON_SESSION,
    ONE_SYMBOL,
    PRICE_TABLE,
    Rule,
)
from brain_assets.market.table_files import SPARE, OptionalFiles, read_files
from brain_assets.market.text_files import find_files, listed
from brain_assets.settings import Settings
from brain_assets.user_files.watch import complete_year, observe_files

MIN_HISTORY_SESSIONS = 66
"""Fewest bars of a symbol, in all files together: 60 sessions of returns need 61 closes, and a week to predict."""


PRICE_LAYOUT = PRICE_TABLE.types | dict.fromkeys((*ADJUSTED.values(), "split"), SPARE)
"""What is looked for in files of prices."""


def read_price_files(paths: Sequence[Path], symbols: Sequence[str] = ()) -> FileTable:
    """Read every file, judge every row, and adjust the prices of those that say how; bars that are not known are left.

    `symbols`: how they shall be written, whatever their case in the files.
    """
    _, _, *values = (column.rule for column in PRICE_TABLE.columns)
    table = read_files(paths, PRICE_LAYOUT).judged(ONE_SYMBOL).joined(symbols)
    table = table.only(table.frame["symbol"].isin(symbols)) if symbols else table
    table = table.without_repeats(PRICE_TABLE.order)
    frame = table.frame
    if "split" in frame:
        frame = frame.assign(volume=frame["volume"] * later_splits(frame))
    table = replace(table, frame=frame.drop(columns="split", errors="ignore")).only(_is_known(frame))
    table = table.without(~ON_SESSION.holds(table.frame), "rows on days when the exchange was closed")
    by_close = np.array(["adj_close" in file.titles for file in table.files])
    high, *inside = OHLC_RULES
    for rules in ((*_adjusted(by_close), *values), [high], inside):
        table = table.judged(rules)
    return replace(table, frame=_scaled(table.frame, by_close))


def later_splits(bars: pd.DataFrame) -> FloatArray:
    """Multiply, for each row, the splits of its symbol on later days: 4.0 is four shares for one."""
    splits = bars["split"].where(bars["split"] > 0, 1.0).to_numpy()
    codes, days = bars["symbol"].cat.codes.to_numpy(), bars["date"].to_numpy()
    factors = np.ones(len(bars))
    for code in np.unique(codes[splits != 1.0]):
        rows = np.flatnonzero(codes == code)
        rows = rows[np.argsort(days[rows], kind="stable")]
        factors[rows] = np.append(np.cumprod(splits[rows][:0:-1])[::-1], 1.0)
    return factors


def _adjusted(by_close: BoolArray) -> Iterator[Rule]:
    """Ask for an adjusted close of every bar in a file that has them: raw prices never pass for adjusted ones."""
    if by_close.any():
        yield Rule(
            "adj_close",
            "an adjusted close > 0 wherever there is a price",
            lambda bars: ~by_close[bars["file"]] | ((bars["adj_close"] > 0) & np.isfinite(bars["adj_close"])),
            "correct the values, or take the column out if the prices are adjusted",
        )


def _scaled(bars: pd.DataFrame, by_close: BoolArray) -> pd.DataFrame:
    """Multiply the prices of files with an adjusted close by adjusted over raw."""
    if not by_close.any():
        return bars
    scaled = by_close[bars["file"]]
    factor = np.where(scaled, bars["adj_close"] / bars["close"], 1.0)
    prices = {name: bars[name] * factor for name in ("open", "high", "low")}
    return bars.assign(**prices, close=bars["close"].where(~scaled, bars["adj_close"])).drop(columns="adj_close")


PERCENT = 1.0
"""Half of a file's margins farther from 0 than this are percent: a share of revenue hardly is."""


def read_fundamental_files(paths: Sequence[Path]) -> FileTable:
    """Read every file and judge every row."""
    rules = (*(column.rule for column in FUNDAMENTAL_TABLE.columns), *FUNDAMENTAL_TABLE.rules)
    table = read_files(paths, FUNDAMENTAL_TABLE.types).judged(ONE_SYMBOL).joined()
    return table.judged(map(_no_percent, MARGINS)).judged(rules).without_repeats(FUNDAMENTAL_TABLE.order)


def _no_percent(margin: str) -> Rule:
    """Refuse a file whose margins are percent; a gross margin above 1 is none in any row."""

    def holds(filings: pd.DataFrame) -> pd.Series:
        typical = filings[margin].abs().groupby(filings["file"]).transform("median")
        broken = (typical > PERCENT) & filings[margin].notna()
        return ~(broken | (filings[margin] > PERCENT)) if margin == "gross_margin" else ~broken

    return Rule(margin, "a share of revenue, as 0.384 for 38.4 percent", holds, "divide percent by 100")


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
    clock : callable, optional
        Gives the present moment with its time zone; a year that it has not completed is never complete.
    """

    name = "files"
    caveat = "Prices are the user's own files, taken as split- and dividend-adjusted; who is missing is not known."

    def __init__(
        self, folder: Path, symbols: tuple[str, ...] = (), *, clock: Callable[[], datetime.datetime] = utc_now
    ) -> None:
        self.folder, self.symbols, self.clock = folder, symbols, clock
        self._news = NewsFiles(folder, symbols, lambda: self._names)
        self._fundamentals = FundamentalFiles(folder, symbols, lambda: self._names)

    def last_complete_year(self) -> int | None:
        """Give the last year whose end the files reach, up to `MAX_LAG_SESSIONS`, and that is over in New York.

        Reads only dates, once; those of all symbols count. Raises as `prices`.
        """
        return complete_year(self._last_date, self.clock())

    @cached_property
    def _last_date(self) -> datetime.date:
        table = read_files(self._paths(), PRICE_LAYOUT, only=("date",))
        if table.days.empty:
            table.refuse(datetime.date.min, datetime.date.max)
            raise MarketError(f"{self.folder}: expected price files with bars, got only empty ones; add data.")
        last: datetime.date = table.days.max().date()
        return last

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars of a range; see `brain_assets.market.base.Market.prices`.

        Each is known at the close of its session, as far as the files' adjustment does not look ahead.

        Raises
        ------
        TableError
            For all that is wrong in the range, kind by kind: the file, the line (Parquet: the row) and the column of
            the first of each, and how many there are; or if no symbol has enough bars.
        MarketError
            No folder or no price file, no bar in the range, or none of the symbols in the files.
        """
        table = self._bars
        chosen, findings = table.between(start, end), [*table.findings(start, end), *self._symbols_found()]
        if chosen.empty:
            raise EmptyResponseError(
                f"{self.folder}: expected bars from {start} to {end} (exclusive), got none, since the files hold "
                f"{table.days.min():%Y-%m-%d} to {table.days.max():%Y-%m-%d}; add data or ask for another range."
            )
        bars = PRICE_TABLE.validate(chosen[list(PRICE_TABLE.names)], str(self.folder))
        return attach(bars, findings)

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores; see `brain_assets.market.news.NewsFiles.news_sentiment`."""
        return self._sourced(self._news, self._news.news_sentiment(start, end, score))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios filed in a range. Raises as `prices`."""
        return self._sourced(self._fundamentals, self._fundamentals.table(start, end))

    def observe(self, years: Sequence[int], files: Mapping[str, FileState], now: datetime.datetime) -> Observation:
        """Look for files that are new or have changed; see `brain_assets.market.base.ObservableMarket`."""
        return observe_files(self.folder, WATCHED, years, files, now)

    def _sourced(self, files: OptionalFiles, table: pd.DataFrame) -> SourcedTable:
        """Name the symbols of the universe that the files do not, and those of the files that have no prices."""
        if files.rows is None:
            return files.sourced(table, sorted(self.symbols))
        sourced = files.sourced(table, sorted(self.symbols or self._names))
        others = sorted(set(files.rows.frame["symbol"].cat.categories) - set(self._names))
        what = f"name{'s' * (len(others) > 1)} without prices: one that is written otherwise matches nothing"
        found = [Finding("symbols_found", listed(others), what, n_rows=len(others))] if others else []
        return sourced._replace(table=attach(sourced.table, (*findings_of(table), *found)))

    @cached_property
    def _bars(self) -> FileTable:
        """Every known bar of the chosen symbols."""
        return read_price_files(self._paths(), self.symbols)

    @cached_property
    def _names(self) -> Sequence[str]:
        """Every symbol of the files of prices, chosen or not."""
        table = read_files(self._paths(), PRICE_LAYOUT, only=("symbol",)).joined(self.symbols)
        return list(table.frame["symbol"].cat.categories)

    def _symbols_found(self) -> Iterator[Finding]:
        """Name symbols that no file has, and those with too few bars; raises `MarketError` if there are no others."""
        names = self._bars.frame["symbol"].cat.categories
        missing = [symbol for symbol in self.symbols if symbol not in names]
        if missing and len(missing) == len(self.symbols):
            raise UnknownSymbolError(
                f"{self.folder}: expected symbols that are in the files, got {listed(missing)}, none of which is: they "
                f"have {listed(names)}; correct BRAIN_SYMBOLS, or add data."
            )
        n_bars = self._bars.frame["symbol"].value_counts()
        n_bars = n_bars.reindex(self.symbols or names).dropna().astype(int)
        short = [f"{symbol} ({count})" for symbol, count in n_bars.items() if count < MIN_HISTORY_SESSIONS]
        if len(short) == len(n_bars):
            raise TableError(
                f"{self.folder}: expected at least {MIN_HISTORY_SESSIONS} bars of a symbol, got "
                f"{listed(short) or 'none'}; add data."
            )
        if missing:
            what = (
                "symbol that was asked for is in no file" if len(missing) == 1 else "symbols asked for are in no file"
            )
            yield Finding("symbols_found", listed(missing), what, n_rows=len(missing))
        if short:
            what = f"symbol{'s' * (len(short) > 1)} with fewer than {MIN_HISTORY_SESSIONS} bars in all files"
            yield Finding("symbols_found", listed(short), what, n_rows=len(short))

    def _paths(self) -> list[Path]:
        paths = find_files(self.folder, "prices", "price")
        if not paths:
            raise MarketError(
                f"{self.folder}: expected at least one file of prices (.csv, .txt, .tsv, also with .gz, or .parquet), "
                f"got none; add one with the columns {', '.join(PRICE_TABLE.names)}."
            )
        return paths


def open_market(settings: Settings) -> FilesMarket:
    """Open the market of some settings; nothing is read."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    return FilesMarket(settings.files_dir, settings.symbols)


def _is_known(rows: pd.DataFrame) -> pd.Series:
    return rows[list(PRICE_FIELDS[:-1])].notna().any(axis=1)
