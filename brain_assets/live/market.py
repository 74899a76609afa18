"""Market `live`: prices from Yahoo Finance by way of yfinance, fundamentals from SEC EDGAR, news from the user's files.

Layout: each symbol is asked for by itself, some at a time; `adjusted_bars` turns an answer into rows (date, symbol,
open, high, low, close, volume), and `possible_bars` leaves out what no session can have been, counted. Dates are the
exchange's, never the machine's.

Failures: yfinance raises, and only Yahoo's own word decides: rate limited (wait, then ask for what is missing), unknown
(an error), no prices in the range (no rows), or anything else that brings no bars (an error). `yfinance.download` is of
no use here: it logs failures and returns the rest, so a symbol that was rate limited looks like one that was never
listed. Nor is its own adjustment, which makes bars without an adjusted close look as if there were none.

Rerun behaviour: nothing is kept here. yfinance caches time zones and cookies in the user's cache folder
(``py-yfinance``), and goes without where that is not writable. Not covered: a share that Yahoo dropped or renamed is
unknown to it; a bar without a volume, which yfinance gives as one of 0.
"""

import datetime
import json
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.errors import EmptyResponseError, MarketError, RateLimitedError, SettingsError, UnknownSymbolError
from brain_assets.formatting import listed
from brain_assets.live.edgar import EdgarFundamentals
from brain_assets.live.filings import shorten
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import finished_after_year, first_unfinished_day, sessions_between, utc_now
from brain_assets.market.news import NewsFiles
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import (
    FUNDAMENTAL_TABLE,
    OHLC_RULES,
    ON_SESSION,
    PRICE_TABLE,
    RAW,
    Finding,
    added_up,
    attach,
    findings_of,
)
from brain_assets.plugins import require_extra
from brain_assets.retry import RetryPolicy, TransientError, retry
from brain_assets.settings import Settings

DEFAULT_SYMBOLS = tuple(
    "AAPL AMZN BAC CVX GOOGL HD JNJ JPM KO MA META MRK MSFT NVDA PEP PG UNH V WMT XOM".split()  # noqa: SIM905
)
"""Large, liquid US shares, in Yahoo's spelling. Picked today: that they did well is known."""

NO_IDENTITY = "none"  # what ``BRAIN_EDGAR_IDENTITY`` says if there shall be no fundamentals
MAX_ATTEMPTS = 6  # how often Yahoo is asked before a rate limit becomes an error

GRACE_SESSIONS = 5
"""Sessions from the end of a year until it counts as final: Yahoo corrects closes and volumes for some days, and a year
is fetched once."""

PATIENCE = RetryPolicy(attempts=MAX_ATTEMPTS, first_wait=5.0, longest_wait=120.0)
N_THREADS = 4  # requests under way at once; more gain little and are rate limited sooner
CURRENCY = "USD"  # what all quotes are in, in Yahoo's spelling; it calls pence ``GBp``

IMPOSSIBLE_BARS = {
    "bars on days when the exchange was closed": [ON_SESSION],
    "bars with a price that is not known, infinite or not above 0": PRICE_TABLE.value_rules,
    "bars whose open or close lies outside low and high": OHLC_RULES,
}
"""Kind of bar that is left out, and what the others hold to; a bar is of the first kind that fits."""

_YAHOO_FIELDS = [name.capitalize() for name in PRICE_FIELDS]
_NO_SUCH_RANGE = re.compile("data doesn't exist", re.IGNORECASE)  # Yahoo's words
_NOT_FOUND = re.compile("no data found|not found|delisted", re.IGNORECASE)  # it does not know it, or not in the range


class LiveMarket:
    """Daily bars from Yahoo, split- and dividend-adjusted as of today.

    Symbols are in Yahoo's spelling (``BRK-B``, not ``BRK.B``), in any case; `files_dir` may hold news scores or
    headlines; `edgar_identity` asks SEC EDGAR for fundamentals, unless it is ``none``.
    """

    name = "live"
    caveat = (
        "The symbols were chosen today, so they are survivors, and Yahoo adjusts past prices for every later split and "
        "dividend, so a later download can differ."
    )

    def __init__(
        self,
        symbols: tuple[str, ...] = DEFAULT_SYMBOLS,
        *,
        files_dir: Path | None = None,
        edgar_identity: str | None = None,
        clock: Callable[[], datetime.datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.symbols = tuple(dict.fromkeys(symbol.strip().upper() for symbol in symbols))
        if not all(self.symbols) or not self.symbols:
            raise MarketError(f"live market: expected at least one symbol and none empty, got {symbols}; name some.")
        self._news = NewsFiles(files_dir, self.symbols)
        self._edgar_identity = edgar_identity
        self._edgar: EdgarFundamentals | None = None
        self._clock, self._sleep = clock, sleep

    def last_complete_year(self) -> int | None:
        """Give None: Yahoo has every year that the clock has completed."""
        return None

    def observe(self, years: Sequence[int], in_passing: bool = False) -> Observation:  # noqa: ARG002
        """Tell which years are final, by the calendar alone; see `brain_assets.market.base.ObservableMarket`."""
        final_since = {year: finished_after_year(year, GRACE_SESSIONS) for year in years}
        due = [year for year in years if final_since[year] <= self._clock()]
        span = f"{due[0]} to {due[-1]}" if due else "no year"
        return Observation(
            {table: dict.fromkeys(due, "final") for table in RAW},
            sentences=[f"market live: {span} over for {GRACE_SESSIONS} sessions; each is there, or was asked for."],
            final_since=final_since,
        )

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars of a range; see `brain_assets.market.base.Market.prices`.

        Each is known at the close of its session, and here once it is final, at 16:30 in New York; but its *level*
        depends on later splits and dividends. A bar that cannot be is not known and has no row: such are counted by
        symbol and year among the table's findings. Raises `MarketError` for an answer of no use, another currency than
        dollars, a rate limit that lasts, unknown symbols, and a range without a bar.
        """
        known_end = min(end, first_unfinished_day(self._clock()))
        asked = f"live market, {start} to {end} (exclusive)"
        if start >= end or len(sessions_between(start, known_end)) == 0:
            raise EmptyResponseError(
                f"{asked}: expected at least one finished session, got none before {known_end}; ask for earlier days."
            )
        batch = Batch(start, end, asked, list(self.symbols))
        try:
            retry(batch.ask, PATIENCE, asked, self._sleep)
        except TransientError as error:
            raise RateLimitedError(
                f"{asked}: expected bars of {listed(batch.pending)}, got 'too many requests' from Yahoo "
                f"{MAX_ATTEMPTS} times in a row; wait an hour and run again, or ask for fewer symbols."
            ) from error
        batch.refuse_failures()
        bars = pd.concat([PRICE_TABLE.empty(), *batch.bars], ignore_index=True)
        bars = possible_bars(bars[(bars["date"] >= pd.Timestamp(start)) & (bars["date"] < pd.Timestamp(known_end))])
        if bars.empty:
            left_out = " ".join(["", *(found.sentence for found in added_up(findings_of(bars)))])
            raise EmptyResponseError(
                f"{asked}: expected bars of {listed(list(self.symbols))}, got none, though Yahoo knows the symbols; "
                f"check that they were listed then.{left_out}"
            )
        return PRICE_TABLE.validate(bars, asked)

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the scores of the user's own files."""
        return self._news.sourced(self._news.news_sentiment(start, end, score), self.symbols)

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give what was filed with SEC EDGAR; raises `SettingsError` if nobody is named who asks."""
        if self._edgar_identity is None:
            raise SettingsError(
                "BRAIN_EDGAR_IDENTITY: expected who asks SEC EDGAR for fundamentals, as its rules want, such as 'Ada "
                "Lovelace ada@example.org', got nothing; set it, or set it to none to go without fundamentals."
            )
        if self._edgar_identity == NO_IDENTITY:
            return SourcedTable(FUNDAMENTAL_TABLE.empty(), "none: BRAIN_EDGAR_IDENTITY is none")
        if self._edgar is None:
            self._edgar = EdgarFundamentals(self._edgar_identity)
        return self._edgar.fundamentals(self.symbols, start, end)


def open_market(settings: Settings) -> LiveMarket:
    """Open the market of some settings; without the network."""
    require_extra("live", "BRAIN_MARKET=live", "yfinance")
    symbols = settings.symbols or DEFAULT_SYMBOLS
    return LiveMarket(symbols, files_dir=settings.files_dir, edgar_identity=settings.edgar_identity)


@dataclass
class Batch:
    """One question to Yahoo, `asked` in words, and what it has answered so far.

    Each symbol that is `pending` ends with rows in `bars`, without any since it was not listed in the range, as
    `unknown` to Yahoo, as `foreign` with the currency of its quotes, or as `failed` for the reason beside it.
    """

    start: datetime.date
    end: datetime.date
    asked: str
    pending: list[str]
    bars: list[pd.DataFrame] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def ask(self) -> None:
        """Ask for all pending symbols; raises `TransientError` if some are still pending. May be called again."""
        with _exceptions_alone(), ThreadPoolExecutor(N_THREADS) as threads:
            limited = list(threads.map(self._ask_one, self.pending))
            again, self.failed = list(self.failed), {}  # a connection may break once, a fresh cache be locked
            self.pending = [*filter(None, limited), *filter(None, threads.map(self._ask_one, again))]
        if self.pending:
            raise TransientError(f"too many requests, {len(self.pending)} symbols left")

    def _ask_one(self, symbol: str) -> str:
        """Ask for a symbol, and give it back at a rate limit; empty: that is settled."""
        from peewee import OperationalError
        from yfinance.exceptions import YFException, YFRateLimitError

        try:
            self._take(symbol)
        except YFRateLimitError:
            return symbol
        except (YFException, OSError, ValueError, LookupError, TypeError, AttributeError, OperationalError) as error:
            # the network, or no chart in the answer, or a cache that is locked
            status = getattr(getattr(error, "response", None), "status_code", None)
            if status == 404 or _NOT_FOUND.search(_yahoo_words(error)):
                self.unknown.append(symbol)
            else:
                self.failed[symbol] = _reason(error)
        return ""

    def _take(self, symbol: str) -> None:
        """Take in the bars of a symbol, or that it was not listed in the range; raises what yfinance does otherwise."""
        import yfinance
        from yfinance.exceptions import YFTickerMissingError, YFTzMissingError

        days = {"start": self.start.isoformat(), "end": self.end.isoformat(), "interval": "1d"}
        ticker = yfinance.Ticker(symbol)
        try:
            frame = ticker.history(**days, auto_adjust=False, keepna=True)
        except YFTickerMissingError as error:
            if _NO_SUCH_RANGE.search(_yahoo_words(error)):
                return
            no_zone = isinstance(error, YFTzMissingError)  # yfinance asks for that first, and keeps the reason
            if not no_zone and not _NOT_FOUND.search(_yahoo_words(error)):
                raise
            latest = ticker.history(period="1d")  # raises in Yahoo's words if it knows no bar at all
            if no_zone or latest.empty:
                raise
            return
        currency = ticker.history_metadata.get("currency") or "one that is not named"
        bars, known = adjusted_bars(frame, symbol), frame.dropna()
        if currency != CURRENCY:
            self.foreign[symbol] = currency
        elif bars.empty:
            self.failed[symbol] = "an answer without a bar"
        elif (known["Dividends"].iloc[1:] > 0).any() and known["Adj Close"].equals(known["Close"]):
            self.failed[symbol] = "closes that are not adjusted for the dividends beside them"
        else:
            self.bars.append(bars)

    def refuse_failures(self) -> None:
        """Raise for what is unknown or failed, all of it by name."""
        if self.unknown:
            raise UnknownSymbolError(
                f"{self.asked}: expected symbols that Yahoo knows, got {', '.join(sorted(self.unknown))}, which it "
                "does not; correct or remove them (Yahoo writes BRK-B, not BRK.B)."
            )
        if self.foreign:
            names = ", ".join(f"{symbol} in {self.foreign[symbol]}" for symbol in sorted(self.foreign))
            raise MarketError(
                f"{self.asked}: expected quotes in {CURRENCY}, got {names}; ask for shares that are quoted in dollars."
            )
        if self.failed:
            first = min(self.failed)
            raise MarketError(
                f"{self.asked}: expected bars of {', '.join(sorted(self.failed))}, got no usable answer ({first}: "
                f"{self.failed[first]}); check the connection and whether Yahoo is up, then run again."
            )


def adjusted_bars(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """Turn yfinance's table of a symbol, not adjusted by it, into rows adjusted for dividends; NaN: not known.

    A day of which nothing is known has no row. Raises `MarketError` if there is no column of adjusted closes.
    """
    given = [*_YAHOO_FIELDS, "Adj Close"]
    if not set(given) <= set(frame):
        raise MarketError(
            f"live market: expected {', '.join(given)} of {symbol}, got {', '.join(map(str, frame))}; install a "
            "release of yfinance that this package was tested with."
        )
    rows = frame[_YAHOO_FIELDS].set_axis(list(PRICE_FIELDS), axis=1)
    some = frame[given].drop(columns="Volume").notna().any(axis=1) | (frame["Volume"] > 0)
    ratio = frame["Adj Close"] / frame["Close"]
    adjusted = {name: rows[name] * ratio for name in ("open", "high", "low")} | {"close": frame["Adj Close"]}
    dates = pd.DatetimeIndex(frame.index).tz_localize(None).normalize()
    rows = rows.assign(**adjusted, date=dates, symbol=symbol)[some]
    return rows[list(PRICE_TABLE.names)].astype(PRICE_TABLE.types)


def possible_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """Leave out the `IMPOSSIBLE_BARS`, counted by symbol and year among the findings of what is left."""
    findings = []
    for what, rules in IMPOSSIBLE_BARS.items():
        good = np.logical_and.reduce([rule.holds(bars) for rule in rules])
        for (symbol, year), days in bars["date"][~good].groupby([bars["symbol"], bars["date"].dt.year]):
            first = f"{days.min():%Y-%m-%d}"
            findings.append(Finding("rows_taken", str(symbol), what, "left out", int(year), len(days), first))
        bars = bars[good]
    return attach(bars, findings)


def _yahoo_words(error: Exception) -> str:
    """Give why there are no bars in Yahoo's words; empty: it did not say."""
    return str(getattr(error, "yahoo_reason", None) or "")


def _reason(error: Exception) -> str:
    """Say why an answer is of no use, to somebody who knows neither yfinance nor Python."""
    from yfinance.exceptions import YFPricesMissingError

    if isinstance(error, json.JSONDecodeError):
        return f"an answer that is no JSON: {shorten(' '.join(error.doc.split()))!r}"
    if isinstance(error, YFPricesMissingError):
        said = _yahoo_words(error)
        return f"Yahoo says {said!r}" if said else "an answer with neither bars nor a reason"
    if isinstance(error, LookupError | TypeError | AttributeError | UnicodeDecodeError):
        return f"an answer that is no chart of prices; {type(error).__name__}: {error}"
    return f"{type(error).__name__}: {error}"


@contextmanager
def _exceptions_alone() -> Iterator[None]:
    """Let yfinance raise what it otherwise logs and forgets, and print nothing; its switches are global, so put back.

    We say it in one sentence; and its own use of pandas is no matter of its users.
    """
    import yfinance

    logger, switches = logging.getLogger("yfinance"), yfinance.config.debug
    level, hidden = logger.level, switches.hide_exceptions
    logger.setLevel(logging.CRITICAL + 1)
    switches.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"yfinance\.")
            yield
    finally:
        logger.setLevel(level)
        switches.hide_exceptions = hidden
