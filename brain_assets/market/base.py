"""What every market offers."""

import datetime
from typing import NamedTuple, Protocol

import pandas as pd


class Market(Protocol):
    """A source of prices.

    Attributes
    ----------
    name : str
        The word in ``BRAIN_MARKET`` that picks it.
    caveat : str
        What a reader of results must know about this source, one sentence; shown beside what is made from it.
    """

    name: str
    caveat: str

    def last_complete_year(self) -> int | None:
        """Give the last calendar year that this market has whole; None: whichever the clock has completed.

        Cheap: it is called whenever the definitions load, so it never reads a whole table or the network.
        """

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars from `start` up to but not including `end`.

        Returns
        -------
        DataFrame
            A validated price table (`brain_assets.market.prices.PRICE_COLUMNS`), in date and symbol order. A symbol
            that is not traded in the range has no rows.

        Raises
        ------
        MarketError
            Naming every symbol that cannot be had. Nothing partial is returned.
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
