"""A market whose future is another one: what it says up to a date stays, everything after it is changed.

What is changed: every bar (open and close by factors of their own, so that returns within and between sessions
change), every volume, score and filing; quarters that were known are restated; some symbols have nothing any more; two
appear that were never heard of, one that sorts before all others and one after. All of it follows from a seed, the
symbol and the date alone, so a row is the same however much is asked for at once.
"""

import datetime
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray
from brain_assets.errors import ProofError
from brain_assets.market.base import Market, ScoreHeadlines, SourcedTable
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, PRICE_TABLE, RATIOS

DAY = datetime.timedelta(days=1)

LOOK_BACK = datetime.timedelta(days=30)
"""Who had a bar so recently is one of those that may disappear."""

DROPPED_SHARE = 0.2

ADDED = ("!added", "~added")
"""Symbols that appear after the date; the characters sort before and after every letter and digit."""

PRICE_FACTORS = (0.7, 1.4)
"""Bounds of what opens and closes are multiplied by."""

# what is drawn; ratios take _RATIO and the numbers after it, so it comes last
_OPEN, _CLOSE, _HIGH, _LOW, _VOLUME, _SCORE, _ARTICLES, _DROP, _RATIO = range(9)


@dataclass(frozen=True)
class Corruption:
    """What happens to tables after a date."""

    after: datetime.date
    """The last day that stays as it is."""
    seed: int
    dropped: tuple[str, ...]
    """Symbols without anything after it."""
    donors: tuple[str, ...]
    """Symbols whose rows are the model for those of `ADDED`, in this order."""

    @classmethod
    def of(cls, symbols: Sequence[str], after: datetime.date, seed: int) -> "Corruption":
        """Choose who goes and who is copied among the symbols that are there on the date.

        Raises `ProofError` if nobody is.
        """
        ranked = sorted(set(symbols), key=lambda name: _hash(f"{seed}|{_DROP}|{name}"))
        if not ranked:
            raise ProofError(
                f"--after: expected a date with bars in the {LOOK_BACK.days} days up to it, got {after}, which has "
                "none; choose another date or market."
            )
        n_dropped = min(max(round(DROPPED_SHARE * len(ranked)), 1), len(ranked) - 1)
        staying = ranked[n_dropped:]
        return cls(after, seed, tuple(sorted(ranked[:n_dropped])), (staying[0], staying[-1]))

    def prices(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the bars after the date; rows of `brain_assets.market.schema.PRICE_TABLE` in any order."""
        early, late = self._split(frame, "date")
        days = late["date"]
        low, high = PRICE_FACTORS
        opening, close = (
            late[name] * (low + (high - low) * self._draw(late["symbol"], days, what))
            for name, what in (("open", _OPEN), ("close", _CLOSE))
        )
        changed = {
            "open": opening,
            "high": np.maximum(opening, close) * (1 + 0.02 * self._draw(late["symbol"], days, _HIGH)),
            "low": np.minimum(opening, close) * (1 - 0.02 * self._draw(late["symbol"], days, _LOW)),
            "close": close,
            "volume": (late["volume"] + 1) * (0.5 + 2 * self._draw(late["symbol"], days, _VOLUME)),
        }
        return pd.concat([early, late.assign(**changed)], ignore_index=True)

    def news(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the scores and the numbers of articles after the date; columns date, symbol and these two at least."""
        early, late = self._split(frame, "date")
        scores = 2 * self._draw(late["symbol"], late["date"], _SCORE) - 1
        more = 1 + np.floor(3 * self._draw(late["symbol"], late["date"], _ARTICLES))
        articles = (late["n_articles"] + more).astype(frame["n_articles"].dtype)
        return pd.concat([early, late.assign(sentiment_score=scores, n_articles=articles)], ignore_index=True)

    def fundamentals(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the ratios filed after the date, and restate with each filing the same quarter of the year before."""
        early, late = self._split(frame, "filed")
        before = (late["period_end"] - pd.DateOffset(years=1)).astype(late["period_end"].dtype)
        late = pd.concat([late, late.assign(period_end=before)], ignore_index=True)
        late = late.drop_duplicates(["filed", "symbol", "period_end"])
        version = late["filed"] + (late["filed"] - late["period_end"])  # tells versions and quarters apart
        changed = {
            name: 1.5 * self._draw(late["symbol"], version, _RATIO + position) - 0.5
            for position, name in enumerate(RATIOS)
        }
        return pd.concat([early, late.assign(**changed)], ignore_index=True)

    def _split(self, frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Give the rows up to the date, and those after it: less the dropped symbols', and with the added ones'."""
        early = frame[column] <= pd.Timestamp(self.after)
        late = frame[~early & ~frame["symbol"].isin(self.dropped)]
        copies = [
            late[late["symbol"] == donor].assign(symbol=pd.array([name] * int((late["symbol"] == donor).sum()), "str"))
            for name, donor in zip(ADDED, self.donors, strict=True)
        ]
        return frame[early], pd.concat([late, *copies], ignore_index=True)

    def _draw(self, symbols: pd.Series, days: pd.Series, what: int) -> FloatArray:
        """Draw a number from [0, 1) for each row, by seed, `what`, symbol and moment alone (SplitMix64)."""
        codes, names = pd.factorize(symbols)
        hashes = np.array([_hash(f"{self.seed}|{what}|{name}") for name in names], dtype=np.uint64)
        moments: DateArray = days.to_numpy().astype("datetime64[s]")
        mixed = hashes[codes] + moments.astype(np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        drawn: FloatArray = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
        return drawn


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


class CorruptedMarket:
    """A market with a `Corruption` of what it says after a date, which itself stays as it is."""

    def __init__(self, market: Market, after: datetime.date, seed: int = 0) -> None:
        self.name, self.caveat = market.name, market.caveat
        self._market = market
        bars = market.prices(after - LOOK_BACK, after + DAY)
        self.corruption = Corruption.of(list(bars["symbol"].unique()), after, seed)

    def last_complete_year(self) -> int | None:
        """Give that of the market."""
        return self._market.last_complete_year()

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the bars, changed after the date; see `brain_assets.market.base.Market.prices`."""
        return PRICE_TABLE.validate(self.corruption.prices(self._market.prices(start, end)), "changed bars")

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the scores, changed after the date; see `brain_assets.market.base.Market.news_sentiment`."""
        found = self._market.news_sentiment(start, end, score)
        return found._replace(table=NEWS_TABLE.validate(self.corruption.news(found.table), "changed scores"))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the filings, changed after the date; see `brain_assets.market.base.Market.fundamentals`."""
        found = self._market.fundamentals(start, end)
        changed = self.corruption.fundamentals(found.table)[list(FUNDAMENTAL_TABLE.names)]
        return found._replace(table=FUNDAMENTAL_TABLE.validate(changed, "changed filings"))


class FetchedOnce:
    """A market that is asked once for a whole range, so that two runs see the same answers of a source that changes.

    From `start` up to but not including `end`; filings from `filed_from` on.
    """

    def __init__(self, market: Market, start: datetime.date, end: datetime.date, filed_from: datetime.date) -> None:
        self.name, self.caveat = market.name, market.caveat
        self._market = market
        self._start, self._end, self._filed_from = start, end, filed_from
        self._prices: pd.DataFrame | None = None
        self._news: SourcedTable | None = None
        self._fundamentals: SourcedTable | None = None

    def last_complete_year(self) -> int | None:
        """Give that of the market."""
        return self._market.last_complete_year()

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give a part of what was fetched; see `brain_assets.market.base.Market.prices`."""
        if self._prices is None:
            self._prices = self._market.prices(self._start, self._end)
        return _between(self._prices, "date", start, end)

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give a part of what was fetched; see `brain_assets.market.base.Market.news_sentiment`."""
        if self._news is None:
            self._news = self._market.news_sentiment(self._start, self._end, score)
        return self._news._replace(table=_between(self._news.table, "date", start, end))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give a part of what was fetched; see `brain_assets.market.base.Market.fundamentals`."""
        if self._fundamentals is None:
            self._fundamentals = self._market.fundamentals(self._filed_from, self._end)
        return self._fundamentals._replace(table=_between(self._fundamentals.table, "filed", start, end))


def _between(frame: pd.DataFrame, column: str, start: datetime.date, end: datetime.date) -> pd.DataFrame:
    inside = (frame[column] >= pd.Timestamp(start)) & (frame[column] < pd.Timestamp(end))
    return frame[inside].reset_index(drop=True)
