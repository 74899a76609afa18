"""What every market offers."""

import datetime
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import pandas as pd

from brain_assets.arrays import FloatArray

FILED_BEFORE = datetime.timedelta(days=366)
"""Filings are asked for from so long before the first day, so that the first week knows the last one of each symbol."""

ScoreHeadlines = Callable[[Sequence[str]], FloatArray]
"""From titles to scores in [-1, 1], in their order."""


class SourcedTable(NamedTuple):
    """A table that a market may not have, or not for every symbol, and where it comes from."""

    table: pd.DataFrame
    """Validated; may be empty."""

    source: str
    """In a few words; begins with ``none`` if the market has no such data."""

    silent: tuple[str, ...] = ()
    """Symbols that the source has nothing of, whatever the range: neutral, and said so."""


class Market(Protocol):
    """A source of prices, news and fundamentals."""

    name: str
    """The word in ``BRAIN_MARKET`` that picks it."""
    caveat: str
    """What a reader of results must know about this source, one sentence; shown beside what is made from it."""

    def last_complete_year(self) -> int | None:
        """Give the last calendar year that this market has whole; None: whichever the clock has completed.

        Cheap: it is called whenever the definitions load, so it never reads a whole table or the network.
        """

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars from `start` up to but not including `end`.

        Returns
        -------
        DataFrame
            A validated price table (`brain_assets.market.schema.PRICE_TABLE`), in date and symbol order. A symbol
            that is not traded in the range has no rows.

        Raises
        ------
        MarketError
            Naming every symbol that cannot be had. Nothing partial is returned.
        """

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores of sessions from `start` up to but not including `end`.

        A market that has headlines has `score` score them; another does not call it.

        Returns
        -------
        SourcedTable
            Of `brain_assets.market.schema.NEWS_TABLE`; a day without news has no row.
        """

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios *filed* from `start` up to but not including `end`.

        Returns
        -------
        SourcedTable
            Of `brain_assets.market.schema.FUNDAMENTAL_TABLE`.
        """


class MarketNote(NamedTuple):
    """What a reader of a model must know about the market that it learned from; goes into its metadata and card."""

    name: str
    """The word in ``BRAIN_MARKET`` that picks it."""

    caveat: str
    """One sentence."""

    @classmethod
    def of(cls, market: Market) -> "MarketNote":
        """Take it from a market."""
        return cls(market.name, market.caveat)
