"""Daily bars from Yahoo Finance, by way of yfinance.

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
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from brain_assets.errors import MarketError, UnknownSymbolError
from brain_assets.live.filings import shorten
from brain_assets.market.findings import Finding, attach
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import OHLC_RULES, ON_SESSION, PRICE_TABLE
from brain_assets.retry import TransientError

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
            names = ", ".join(sorted(self.unknown))
            raise UnknownSymbolError(
                f"{self.asked}: expected symbols that Yahoo knows, got {names}, which it does not; "
                "correct or remove them (Yahoo writes BRK-B, not BRK.B)."
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
