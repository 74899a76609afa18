"""Future perturbation: what a market says up to a date stays, everything after it is changed.

What is changed: every bar (open and close by factors of their own, so that returns within and between sessions
change), every volume, score and filing; quarters that were known are restated; some symbols have nothing any more; two
appear that were never heard of, one that sorts before all others and one after.
"""

import datetime
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.errors import ProofError
from brain_assets.market.base import FILED_BEFORE, Market, ScoreHeadlines, SourcedTable
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, PRICE_TABLE, RATIOS

DAY = datetime.timedelta(days=1)

LOOK_BACK = datetime.timedelta(days=30)
"""Who had a bar so recently is one of those that may disappear."""

DROPPED_SHARE = 0.2

ADDED = ("!added", "~added")
"""Symbols that appear after the date; the characters sort before and after every letter and digit."""


class FuturePerturbation(NamedTuple):
    """What happens to tables after a date, the last day that stays as it is."""

    after: datetime.date
    seed: int
    dropped: tuple[str, ...]
    """Symbols without anything after it."""
    donors: tuple[str, ...]
    """Symbols whose rows are the model for those of `ADDED`, in this order."""

    @classmethod
    def of(cls, symbols: list[str], after: datetime.date, seed: int) -> "FuturePerturbation":
        """Choose who goes and who is copied among symbols that are there on the date; `ProofError` if there is none."""
        if not symbols:
            raise ProofError(
                f"--after: expected a date with bars in the {LOOK_BACK.days} days up to it, got {after}, which has "
                "none; choose another date or market."
            )
        shuffled = np.random.default_rng(seed).permutation(sorted(symbols)).tolist()
        n_dropped = min(max(round(DROPPED_SHARE * len(shuffled)), 1), len(shuffled) - 1)
        return cls(after, seed, tuple(sorted(shuffled[:n_dropped])), (shuffled[n_dropped], shuffled[-1]))

    def prices(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the bars after the date."""
        early, late, draw = self._split(frame, "date")
        opening, close = (late[name] * draw(0.7, 1.4) for name in ("open", "close"))
        changed = {
            "open": opening,
            "high": np.maximum(opening, close) * draw(1.0, 1.02),
            "low": np.minimum(opening, close) * draw(0.98, 1.0),
            "close": close,
            "volume": (late["volume"] + 1) * draw(0.5, 2.5),
        }
        return PRICE_TABLE.validate(pd.concat([early, late.assign(**changed)]), "changed bars")

    def news(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the scores and the numbers of articles after the date."""
        early, late, draw = self._split(frame, "date")
        articles = (late["n_articles"] + draw(1.0, 4.0).astype(np.int64)).astype(frame["n_articles"].dtype)
        changed = late.assign(sentiment_score=draw(-1.0, 1.0), n_articles=articles)
        return NEWS_TABLE.validate(pd.concat([early, changed]), "changed scores")

    def fundamentals(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Change the ratios filed after the date, and restate with each filing the same quarter of the year before."""
        restated = frame.assign(period_end=(frame["period_end"] - pd.DateOffset(years=1)).astype("datetime64[us]"))
        restated = restated[restated["filed"] > pd.Timestamp(self.after)]
        both = pd.concat([frame, restated]).drop_duplicates(["filed", "symbol", "period_end"])
        early, late, draw = self._split(both, "filed")
        changed = late.assign(**{name: draw(-0.5, 1.0) for name in RATIOS})
        return FUNDAMENTAL_TABLE.validate(pd.concat([early, changed])[list(FUNDAMENTAL_TABLE.names)], "changed filings")

    def _split(
        self, frame: pd.DataFrame, column: str
    ) -> tuple[pd.DataFrame, pd.DataFrame, Callable[[float, float], np.ndarray]]:
        """Give the rows up to the date, those after it of other symbols, and what draws a number for each."""
        early = frame[column] <= pd.Timestamp(self.after)
        late = frame[~early & ~frame["symbol"].isin(self.dropped)]
        copies = [late[late["symbol"] == donor] for donor in self.donors]
        named = [
            rows.assign(symbol=pd.array([name] * len(rows), "str")) for name, rows in zip(ADDED, copies, strict=True)
        ]
        late = pd.concat([late, *named], ignore_index=True)
        generator = np.random.default_rng(self.seed)
        return frame[early], late, lambda low, high: generator.uniform(low, high, len(late))


class RecordedMarket:
    """A market that is asked once, from `start` up to but not including `end`, so that two runs see the same answers.

    Its recording can be given another future after a date. Headlines are scored by `score`, if it is given.
    """

    def __init__(
        self, market: Market, start: datetime.date, end: datetime.date, score: ScoreHeadlines | None = None
    ) -> None:
        self.name, self.caveat, self.last_complete_year = market.name, market.caveat, market.last_complete_year
        self._market, self._start, self._end, self._score = market, start, end, score
        self._perturbation: FuturePerturbation | None = None
        self._tables: dict[str, SourcedTable] = {}

    def perturbed(self, after: datetime.date, seed: int = 0) -> "RecordedMarket":
        """Give the same recording with another future after a date; raises `ProofError` if no bar was before it."""
        bars = self.prices(after - LOOK_BACK, after + DAY)
        changed = RecordedMarket(self, self._start, self._end)
        changed._perturbation = FuturePerturbation.of(list(bars["symbol"].unique()), after, seed)
        return changed

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give a part of the recording; see `brain_assets.market.base.Market.prices`."""
        return self._part(
            "prices", start, end, lambda: SourcedTable(self._market.prices(self._start, self._end), "")
        ).table

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.news_sentiment`."""
        scorer = self._score or score
        return self._part("news", start, end, lambda: self._market.news_sentiment(self._start, self._end, scorer))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.fundamentals`."""
        filed_from = self._start - FILED_BEFORE
        return self._part("fundamentals", start, end, lambda: self._market.fundamentals(filed_from, self._end))

    def _part(
        self, name: str, start: datetime.date, end: datetime.date, fetch: Callable[[], SourcedTable]
    ) -> SourcedTable:
        if name not in self._tables:
            found = fetch()
            if self._perturbation is not None:
                found = found._replace(table=getattr(self._perturbation, name)(found.table))
            self._tables[name] = found
        found = self._tables[name]
        days = found.table.iloc[:, 0]  # the session, or the day of filing: when a row is known
        inside = (days >= pd.Timestamp(start)) & (days < pd.Timestamp(end))
        return found._replace(table=found.table[inside].reset_index(drop=True))
