"""Market `live`: prices by yfinance, which asks Yahoo; fundamentals from SEC EDGAR; news from the user's own files.

Layout: each symbol is asked for by itself, some at a time; `long_bars` turns an answer into rows (date, symbol, open,
high, low, close, volume). Dates are the exchange's, never the machine's.

Failures: yfinance raises, and only Yahoo's own word decides: rate limited (wait, then ask for what is missing), unknown
(an error), no prices in the range (no rows), or anything else (an error). `yfinance.download` is of no use here: it
logs failures and returns the rest, so a symbol that was rate limited looks like one that was never listed.

Rerun behaviour: nothing is kept here. yfinance caches time zones and cookies in the user's cache folder
(``py-yfinance``), and goes without where that is not writable. Not covered: a share that Yahoo dropped or renamed is
unknown to it.
"""

import datetime
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from brain_assets.errors import EmptyResponseError, MarketError, RateLimitedError, SettingsError, UnknownSymbolError
from brain_assets.live.edgar import EdgarFundamentals
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import (
    finished_after_year,
    first_unfinished_day,
    sessions_between,
    utc_now,
)
from brain_assets.market.news import NewsFiles
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import FUNDAMENTAL_TABLE, PRICE_TABLE, RAW
from brain_assets.retry import RetryPolicy, TransientError, retry
from brain_assets.settings import Settings

# fmt: off
DEFAULT_SYMBOLS = (
    "AAPL", "AMZN", "BAC", "CVX", "GOOGL", "HD", "JNJ", "JPM", "KO", "MA",
    "META", "MRK", "MSFT", "NVDA", "PEP", "PG", "UNH", "V", "WMT", "XOM",
)
# fmt: on
"""Large, liquid US shares, in Yahoo's spelling. Picked today: that they did well is known."""

NO_IDENTITY = "none"
"""What ``BRAIN_EDGAR_IDENTITY`` says if there shall be no fundamentals."""

MAX_ATTEMPTS = 6
"""How often Yahoo is asked before a rate limit becomes an error."""

GRACE_SESSIONS = 5
"""Sessions from the end of a year until it counts as final: Yahoo corrects closes and volumes for some days, and a year
is fetched once."""

PATIENCE = RetryPolicy(attempts=MAX_ATTEMPTS, first_wait=5.0, longest_wait=120.0)
PATIENCE_WITH_CACHE = RetryPolicy(first_wait=0.1, longest_wait=2.0)

N_THREADS = 4
"""Requests under way at once; more gain little and are rate limited sooner."""

_YAHOO_FIELDS = [name.capitalize() for name in PRICE_FIELDS]
_NO_SUCH_SYMBOL = "No data found"  # Yahoo's words for a symbol that it does not know
_NO_SUCH_RANGE = ("Data doesn't exist", "no price data found")  # Yahoo's, and yfinance's for an answer without bars


class LiveMarket:
    """Daily bars from Yahoo, split- and dividend-adjusted as of today.

    Parameters
    ----------
    symbols : tuple of str
        In Yahoo's spelling (``BRK-B``, not ``BRK.B``); upper and lower case are the same.
    files_dir : Path, optional
        Holds news scores or headlines; None: there are none.
    edgar_identity : str, optional
        Who asks SEC EDGAR for fundamentals; ``none``: nobody does.
    clock, sleep : callable, optional
        Give the present moment, which decides what sessions are finished; wait for so many seconds.
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
        depends on later splits and dividends. A bar with NaN in any field is not known and has no row.

        Raises
        ------
        RateLimitedError
            Yahoo still limited the rate after `MAX_ATTEMPTS`.
        UnknownSymbolError
            Naming every symbol that Yahoo does not know.
        EmptyResponseError
            No symbol has a bar in the range, or no session of it is finished.
        MarketError
            Yahoo could not be reached, or answered with something else.
        """
        known_end = min(end, first_unfinished_day(self._clock()))
        asked = f"live market, {start} to {end} (exclusive)"
        if start >= end or len(sessions_between(start, known_end)) == 0:
            raise EmptyResponseError(
                f"{asked}: expected at least one finished session, got none before {known_end}; ask for earlier days."
            )
        batch = _Batch(start, end, asked, list(self.symbols))
        try:
            retry(batch.ask, PATIENCE, asked, self._sleep)
        except TransientError as error:
            raise RateLimitedError(
                f"{asked}: expected bars of {_some(batch.pending)}, got 'too many requests' from Yahoo "
                f"{MAX_ATTEMPTS} times in a row; wait an hour and run again, or ask for fewer symbols."
            ) from error
        batch.refuse_failures()
        bars = pd.concat([PRICE_TABLE.empty(), *batch.bars], ignore_index=True)
        bars = bars[(bars["date"] >= pd.Timestamp(start)) & (bars["date"] < pd.Timestamp(known_end))]
        if bars.empty:
            raise EmptyResponseError(
                f"{asked}: expected bars of {_some(self.symbols)}, got none, though Yahoo knows the symbols; "
                "check that they were listed then."
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
    symbols = settings.symbols or DEFAULT_SYMBOLS
    return LiveMarket(symbols, files_dir=settings.files_dir, edgar_identity=settings.edgar_identity)


@dataclass
class _Batch:
    """One question to Yahoo, `asked` in words, and what it has answered so far.

    Each symbol that is `pending` ends with rows in `bars`, without any since it was not listed in the range, as
    `unknown` to Yahoo, or as `failed` for the reason beside it.
    """

    start: datetime.date
    end: datetime.date
    asked: str
    pending: list[str]
    bars: list[pd.DataFrame] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def ask(self) -> None:
        """Ask for all pending symbols; raises `TransientError` if some are still pending. May be called again."""
        _open_caches()
        with _exceptions_alone():
            limited = self._ask_each(self.pending)
            again, self.failed = list(self.failed), {}  # a connection may break once
            self.pending = limited + self._ask_each(again)
        if self.pending:
            raise TransientError(f"too many requests, {len(self.pending)} symbols left")

    def _ask_each(self, symbols: Sequence[str]) -> list[str]:
        """Ask for each symbol, some at a time; gives those that are not settled."""
        with ThreadPoolExecutor(N_THREADS) as threads:
            answered = list(threads.map(self._ask_one, symbols))
        return [symbol for symbol, done in zip(symbols, answered, strict=True) if not done]

    def _ask_one(self, symbol: str) -> bool:
        """Ask for a symbol, and say whether that is settled: it is not at a rate limit."""
        import yfinance
        from peewee import OperationalError
        from yfinance.exceptions import YFException, YFRateLimitError, YFTickerMissingError, YFTzMissingError

        days = {"start": self.start.isoformat(), "end": self.end.isoformat(), "interval": "1d"}
        try:
            frame = yfinance.Ticker(symbol).history(**days, auto_adjust=True, actions=False)
        except YFRateLimitError:
            return False
        except YFTzMissingError:  # yfinance first asks for a symbol's exchange; this one has none
            self.unknown.append(symbol)
        except YFTickerMissingError as error:
            if _NO_SUCH_SYMBOL in str(error):
                self.unknown.append(symbol)
            elif not any(words in str(error) for words in _NO_SUCH_RANGE):
                self.failed[symbol] = str(error)
        except (YFException, OSError, ValueError, LookupError, TypeError, OperationalError) as error:
            # the network, or no chart in it, or a cache that is locked
            if getattr(getattr(error, "response", None), "status_code", None) == 404:
                self.unknown.append(symbol)
            else:
                self.failed[symbol] = f"{type(error).__name__}: {error}"
        else:
            self.bars.append(long_bars(frame, symbol))
        return True

    def refuse_failures(self) -> None:
        """Raise for what is unknown or failed, all of it by name."""
        if self.unknown:
            names = ", ".join(sorted(self.unknown))
            raise UnknownSymbolError(
                f"{self.asked}: expected symbols that Yahoo knows, got {names}, which it does not; "
                "correct or remove them (Yahoo writes BRK-B, not BRK.B)."
            )
        if self.failed:
            first = min(self.failed)
            raise MarketError(
                f"{self.asked}: expected bars of {', '.join(sorted(self.failed))}, got no usable answer ({first}: "
                f"{self.failed[first]}); check the connection and whether Yahoo is up, then run again."
            )


def long_bars(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """Turn yfinance's table of a symbol into rows; a bar with NaN in a field has none.

    Raises `MarketError` if its columns are not those of adjusted prices.
    """
    if not set(_YAHOO_FIELDS) <= set(frame) or "Adj Close" in frame:
        raise MarketError(
            f"live market: expected adjusted {', '.join(_YAHOO_FIELDS)} of {symbol}, got "
            f"{', '.join(map(str, frame))}; install a release of yfinance that this package was tested with."
        )
    dates = pd.DatetimeIndex(frame.index).tz_localize(None).normalize()
    rows = frame[_YAHOO_FIELDS].set_axis(list(PRICE_FIELDS), axis=1).assign(date=dates, symbol=symbol)
    return rows.dropna()[list(PRICE_TABLE.names)].astype(PRICE_TABLE.types)


def _open_caches() -> None:
    """Open yfinance's caches of time zones and cookies here, before its threads do it at once.

    SQLite lets one switch a new file to WAL, and tells others "database is locked"; so another process is waited for.
    """
    from peewee import OperationalError
    from yfinance.cache import get_cookie_cache, get_tz_cache

    def open_both() -> None:
        try:
            get_tz_cache().initialise()
            get_cookie_cache().initialise()
        except OperationalError as error:
            raise TransientError(str(error)) from error

    with suppress(TransientError):  # then asking tells
        retry(open_both, PATIENCE_WITH_CACHE, "yfinance's cache: open it")


def _some(symbols: Sequence[str], limit: int = 5) -> str:
    """Name the first symbols and count the rest."""
    rest = len(symbols) - limit
    return ", ".join(symbols[:limit]) + (f" and {rest} more" if rest > 0 else "")


@contextmanager
def _exceptions_alone() -> Iterator[None]:
    """Let yfinance raise what it otherwise logs and forgets, and print nothing; its switches are global, so put back.

    We say it in one sentence; and its own use of pandas is no matter of its users.
    """
    import yfinance

    logger, switches = logging.getLogger("yfinance"), yfinance.config.debug
    before = logger.level, switches.hide_exceptions
    logger.setLevel(logging.CRITICAL + 1)
    switches.hide_exceptions = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"yfinance\.")
            yield
    finally:
        logger.setLevel(before[0])
        switches.hide_exceptions = before[1]
