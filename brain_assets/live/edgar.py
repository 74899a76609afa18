"""Fundamentals from SEC EDGAR, over HTTP.

Layout: EDGAR's own table leads from tickers to company numbers (CIK), and one answer a company holds every figure that
it ever stated; `quarterly_ratios` makes rows of it, and only those are kept.

EDGAR's rules: it wants to know who asks (name and e-mail address in the User-Agent), and answers 403 where it does not;
it allows 10 requests a second, and shuts out for ten minutes who asks more often, saying 429 or a 403 with other words.
Each request waits its turn, those of every instance in a process together; processes do not know of each other, but
each is far slower than the limit, as an answer takes a few tenths of a second to come and be read.

Rerun behaviour: an instance asks once for each symbol and keeps its rows in memory; nothing is kept on disk.
"""

import datetime
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from brain_assets.errors import MarketError, RateLimitedError, SettingsError
from brain_assets.live.company_facts import quarterly_ratios
from brain_assets.live.filings import shorten
from brain_assets.market.base import SourcedTable
from brain_assets.market.schema import FUNDAMENTAL_TABLE, attach, findings_of
from brain_assets.progress import report
from brain_assets.retry import RetryPolicy, TransientError, parse_retry_after, retry

if TYPE_CHECKING:
    import httpx2

TICKERS_URL = "https://www.sec.gov/files/company_tickers.json"
FACTS_URL = "https://data.sec.gov/api/xbrl/companyfacts/CIK{cik:010d}.json"

SECONDS_BETWEEN = 0.125
"""Between two requests: 8 a second. The SEC allows 10, and has been seen to shut out who asks 9.9 times."""

TIMEOUT_SECONDS = 30.0  # without a byte
MAX_ATTEMPTS = 6  # how often an address is asked before a failure that may pass becomes an error
PATIENCE = RetryPolicy(attempts=MAX_ATTEMPTS, first_wait=1.0, longest_wait=60.0)
PASSING_STATUS = frozenset({408, 500, 502, 503, 504})  # what may be over at the next attempt
_IDENTITY = re.compile(r"[!-~]+( [!-~]+)* [^\s@]+@[^\s@]+\.[^\s@]+", re.ASCII)
_NOT_DECLARED = "undeclared"  # the SEC's word, in the page that says that it wants to know who asks
_TOO_OFTEN = ("rate threshold", "maximum allowable")  # its words in the page on too many requests
NO_FACTS: Mapping[str, Any] = {"facts": {}}  # of who files nothing
_TURN = threading.Lock()  # whoever is about to ask holds it for `SECONDS_BETWEEN`


class EdgarFundamentals:
    """Quarterly ratios of companies that file with the SEC.

    `identity`, who asks, goes to the SEC and nowhere else; `SettingsError` if it is no name and e-mail address.
    """

    def __init__(self, identity: str, sleep: Callable[[float], None] = time.sleep) -> None:
        if not _IDENTITY.fullmatch(identity):
            raise SettingsError(
                "BRAIN_EDGAR_IDENTITY: expected your name and e-mail address, as in 'Jane Doe jane@example.org', in "
                f"plain ASCII, since the SEC wants to know who asks, got {identity!r}; set it."
            )
        self._identity, self._sleep = identity, sleep
        self._ciks: dict[str, int] | None = None
        self._rows: dict[str, pd.DataFrame] = {}

    def fundamentals(self, symbols: Sequence[str], start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the ratios that were filed from `start` up to but not including `end`.

        Symbols may be written as exchanges, Yahoo or EDGAR do: ``BRK.B`` and ``BRK-B`` are the same. Rows keep the
        spelling asked for.

        Each row is known once its filing day is over. Missing are symbols that file nothing that ratios could be made
        of, at any time: funds, foreign companies, and who is not in EDGAR's table of tickers (today's only). Raises
        `RateLimitedError` if the SEC still limited the rate after `MAX_ATTEMPTS`, or asks to wait for longer than a
        minute, and `MarketError`, naming symbol and address, if it gives no answer or another. Nothing partial is
        returned.
        """
        symbols = tuple(dict.fromkeys(symbols))
        if any(symbol not in self._rows for symbol in symbols):
            self._ask_for(symbols)
        table = pd.concat([FUNDAMENTAL_TABLE.empty(), *(self._rows[symbol] for symbol in symbols)], ignore_index=True)
        table = table[(table["filed"] >= pd.Timestamp(start)) & (table["filed"] < pd.Timestamp(end))]
        table = FUNDAMENTAL_TABLE.validate(table, f"EDGAR, filings from {start} to {end} (exclusive)")
        missing = tuple(symbol for symbol in symbols if self._rows[symbol].empty)
        years = range(start.year, (end - datetime.timedelta(days=1)).year + 1)
        attach(table, [found for symbol in symbols for found in findings_of(self._rows[symbol], years)])
        return SourcedTable(table, "SEC EDGAR company facts", missing)

    def _ask_for(self, symbols: Sequence[str]) -> None:
        import httpx2  # slow to import; definitions load without it

        failed = []
        headers = {"User-Agent": self._identity, "Accept-Encoding": "gzip, deflate"}
        with httpx2.Client(headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=False) as client:
            if self._ciks is None:
                place = f"EDGAR, ticker table ({TICKERS_URL})"
                self._ciks = _company_numbers(self._get(client, TICKERS_URL, place, must_exist=True), place)
            for position, symbol in enumerate(symbols, start=1):
                if symbol in self._rows:
                    continue
                report(f"fundamentals: {position} of {len(symbols)} symbols, {symbol}")
                cik = self._ciks.get(_as_edgar_writes(symbol))
                url = FACTS_URL.format(cik=cik or 0)
                facts = NO_FACTS if cik is None else self._get(client, url, f"EDGAR, {symbol} ({url})")
                try:
                    self._rows[symbol] = quarterly_ratios(facts, symbol)
                except MarketError as error:
                    failed.append(str(error))
        if failed:
            raise MarketError(" ".join(failed))

    def _get(self, client: "httpx2.Client", url: str, place: str, must_exist: bool = False) -> Mapping[str, Any]:
        """Ask until there is an answer, and parse it; of what there is not (404), facts without any."""
        try:
            response = retry(lambda: self._ask(client, url), PATIENCE, f"fundamentals: {place}", self._sleep)
        except _LimitedError as error:
            raise RateLimitedError(
                f"{place}: expected an answer, got told to ask less often ({error}); wait ten minutes and run "
                "again, with nothing else at this network's address asking the SEC."
            ) from error
        except TransientError as error:
            raise MarketError(
                f"{place}: expected an answer, got none ({error}) in {MAX_ATTEMPTS} attempts; check the connection and "
                "whether the SEC's site is up, then run again."
            ) from error
        if response.status_code == 404 and not must_exist:
            return NO_FACTS
        if response.status_code == 403:
            raise MarketError(
                f"{place}: expected an answer, got {_status(response)}, which is what the SEC says to those whose "
                "identity it does not accept; set BRAIN_EDGAR_IDENTITY to your real name and e-mail address."
            )
        if response.status_code != 200:
            got = _status(response)
            raise MarketError(f"{place}: expected an answer, got {got}; check that EDGAR still has this address.")
        try:
            parsed = response.json()
        except ValueError:
            raise _unlike(place, "JSON", response.text) from None
        if not isinstance(parsed, Mapping):
            raise _unlike(place, "a JSON object", parsed)
        return parsed

    def _ask(self, client: "httpx2.Client", url: str) -> "httpx2.Response":
        """Ask once, when it is time; raises for what may pass."""
        import httpx2

        with _TURN:
            self._sleep(SECONDS_BETWEEN)
        try:
            response = client.get(url)
        except httpx2.RequestError as error:  # the network, silence, or half an answer
            raise TransientError(f"the connection failed: {error or type(error).__name__}") from error
        page = response.text.lower() if response.status_code == 403 else ""
        too_often = _NOT_DECLARED not in page and any(words in page for words in _TOO_OFTEN)
        is_limited = response.status_code == 429 or too_often
        if is_limited or response.status_code in PASSING_STATUS:
            wait = parse_retry_after(response.headers.get("Retry-After"))
            shown = _status(response) if wait is None else f"{_status(response)}, Retry-After {wait:.0f} s"
            raise (_LimitedError if is_limited else TransientError)(shown, wait)
        return response


def _status(response: "httpx2.Response") -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


class _LimitedError(TransientError):
    """The SEC limits the rate."""


def _company_numbers(table: Mapping[str, Any], place: str) -> dict[str, int]:
    """Read EDGAR's table of tickers: ``{"0": {"cik_str": 320193, "ticker": "AAPL", "title": "Apple Inc."}, …}``."""
    numbers: dict[str, int] = {}
    for row in table.values():
        ticker, cik = (row.get("ticker"), row.get("cik_str")) if isinstance(row, Mapping) else (None, None)
        if not isinstance(ticker, str) or type(cik) is not int:
            raise _unlike(place, "rows with a ticker and a cik_str", row)
        numbers.setdefault(_as_edgar_writes(ticker), cik)
    return numbers


def _as_edgar_writes(symbol: str) -> str:
    """Spell a symbol as EDGAR does: capitals, and a dash before the class of a share."""
    return symbol.strip().upper().replace(".", "-").replace("/", "-")


def _unlike(place: str, expected: str, got: object) -> MarketError:
    shown = shorten(" ".join((got if isinstance(got, str) else repr(got)).split()))
    return MarketError(
        f"{place}: expected {expected}, got {shown!r}; check in a browser what this address answers, then run again."
    )
