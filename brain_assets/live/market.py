"""Market `live`: prices from Yahoo Finance; fundamentals from SEC EDGAR; news from the user's own files."""

import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from brain_assets.errors import EmptyResponseError, MarketError, RateLimitedError, SettingsError
from brain_assets.formatting import listed
from brain_assets.live.edgar import EdgarFundamentals
from brain_assets.live.yahoo import Batch, possible_bars
from brain_assets.market.base import Observation, ScoreHeadlines, SourcedTable
from brain_assets.market.calendar import finished_after_year, first_unfinished_day, sessions_between, utc_now
from brain_assets.market.findings import added_up, findings_of
from brain_assets.market.news import NewsFiles
from brain_assets.market.schema import FUNDAMENTAL_TABLE, PRICE_TABLE, RAW
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
        symbol and year among the table's findings (`brain_assets.market.findings`). Raises `MarketError` for an answer
        of no use, another currency than dollars, a rate limit that lasts, unknown symbols, and a range without a bar.
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
