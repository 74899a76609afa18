"""Future perturbation: what a market says up to a date stays, everything after it is changed.

What is changed: every bar (open and close by factors of their own, so that returns within and between sessions
change), every volume, score and filing; quarters that were known are restated; some symbols have nothing any more; two
appear that were never heard of, one that sorts before all others and one after.
"""

import datetime
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from brain_assets.errors import SettingsError
from brain_assets.market.base import FILED_BEFORE, Market, ScoreHeadlines, SourcedTable
from brain_assets.market.schema import RATIOS, SCHEMAS

DAY = datetime.timedelta(days=1)

LOOK_BACK = datetime.timedelta(days=30)  # who had a bar so recently is one of those that may disappear

DROPPED_SHARE = 0.2

ADDED = ("!added", "~added")
"""Symbols that appear after the date; the characters sort before and after every letter and digit."""


def other_future(
    name: str, frame: pd.DataFrame, after: datetime.date, dropped: Sequence[str], donors: Sequence[str], seed: int
) -> pd.DataFrame:
    """Change the rows of a raw table after a date, the last day that stays as it is.

    Symbols that are dropped have none; those of `ADDED` have rows modelled on their donors', in this order.
    """
    day = "filed" if "filed" in frame else "date"
    if day == "filed":  # with each filing the same quarter of the year before is restated
        restated = frame.assign(period_end=(frame["period_end"] - pd.DateOffset(years=1)).astype("datetime64[us]"))
        restated = restated[restated["filed"] > pd.Timestamp(after)]
        frame = pd.concat([frame, restated]).drop_duplicates(["filed", "symbol", "period_end"])
    early = frame[day] <= pd.Timestamp(after)
    late = frame[~early & ~frame["symbol"].isin(dropped)]
    copies = [late[late["symbol"] == donor] for donor in donors]
    added = [rows.assign(symbol=pd.array([new] * len(rows), "str")) for new, rows in zip(ADDED, copies, strict=True)]
    late = pd.concat([late, *added], ignore_index=True)
    random = np.random.default_rng(seed)

    def draw(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, len(late))

    if name == "raw_prices":
        opening, close = (late[price] * draw(0.7, 1.4) for price in ("open", "close"))
        high, low = np.maximum(opening, close) * draw(1.0, 1.02), np.minimum(opening, close) * draw(0.98, 1.0)
        volume = (late["volume"] + 1) * draw(0.5, 2.5)
        late = late.assign(open=opening, high=high, low=low, close=close, volume=volume)
    elif name == "raw_news_sentiment":
        articles = (late["n_articles"] + draw(1.0, 4.0).astype(np.int64)).astype(late["n_articles"].dtype)
        late = late.assign(sentiment_score=draw(-1.0, 1.0), n_articles=articles)
    else:
        late = late.assign(**{ratio: draw(-0.5, 1.0) for ratio in RATIOS})
    return SCHEMAS[name].validate(pd.concat([frame[early], late]), f"changed {name}")


class RecordedMarket:
    """A market that is asked once, from `start` up to but not including `end`, so that two runs see the same answers.

    Its recording can be given another future after a date. Headlines are scored by `score`, if it is given.
    """

    def __init__(
        self, market: Market, start: datetime.date, end: datetime.date, score: ScoreHeadlines | None = None
    ) -> None:
        self.name, self.caveat, self.last_complete_year = market.name, market.caveat, market.last_complete_year
        self._market, self._start, self._end, self._score = market, start, end, score
        self._change: Callable[[str, pd.DataFrame], pd.DataFrame] = lambda _, table: table
        self._tables: dict[str, SourcedTable] = {}

    def perturbed(self, after: datetime.date, seed: int = 0) -> "RecordedMarket":
        """Give the same recording with another future after a date; raises `SettingsError` if no bar was before it."""
        symbols = sorted(self.prices(after - LOOK_BACK, after + DAY)["symbol"].unique())
        if not symbols:
            raise SettingsError(
                f"--after: expected a date with bars in the {LOOK_BACK.days} days up to it, got {after}, which has "
                "none; choose another date or market."
            )
        shuffled = np.random.default_rng(seed).permutation(symbols).tolist()
        n_dropped = min(max(round(DROPPED_SHARE * len(shuffled)), 1), len(shuffled) - 1)
        dropped, donors = shuffled[:n_dropped], (shuffled[n_dropped], shuffled[-1])
        changed = RecordedMarket(self, self._start, self._end)
        changed._change = lambda name, table: other_future(name, table, after, dropped, donors, seed)
        return changed

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give a part of the recording; see `brain_assets.market.base.Market.prices`."""
        fetch = self._market.prices
        return self._part("raw_prices", start, end, lambda: SourcedTable(fetch(self._start, self._end), "")).table

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.news_sentiment`."""
        fetch, scorer = self._market.news_sentiment, self._score or score
        return self._part("raw_news_sentiment", start, end, lambda: fetch(self._start, self._end, scorer))

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give a part of the recording; see `brain_assets.market.base.Market.fundamentals`."""
        fetch, filed_from = self._market.fundamentals, self._start - FILED_BEFORE
        return self._part("raw_fundamentals", start, end, lambda: fetch(filed_from, self._end))

    def _part(
        self, name: str, start: datetime.date, end: datetime.date, fetch: Callable[[], SourcedTable]
    ) -> SourcedTable:
        if name not in self._tables:
            found = fetch()
            self._tables[name] = found._replace(table=self._change(name, found.table))
        found = self._tables[name]
        days = found.table.iloc[:, 0]  # the session, or the day of filing: when a row is known
        inside = (days >= pd.Timestamp(start)) & (days < pd.Timestamp(end))
        return found._replace(table=found.table[inside].reset_index(drop=True))
