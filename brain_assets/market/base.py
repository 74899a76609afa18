"""What every market offers."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import pandas as pd

from brain_assets.arrays import DateArray, FloatArray

FILED_BEFORE = datetime.timedelta(days=366)
"""Filings are asked for from so long before the first day, so that the first week knows the last one of each symbol."""

ScoreHeadlines = Callable[[Sequence[str]], FloatArray]  # from titles to scores in [-1, 1], in their order


class SourcedTable(NamedTuple):
    """A table that a market may not have, or not for every symbol, and where it comes from."""

    table: pd.DataFrame  # validated; may be empty
    source: str  # in a few words; begins with ``none`` if the market has no such data

    missing_symbols: tuple[str, ...] = ()
    """Symbols that the source has nothing of, whatever the range: neutral, and said so."""


@runtime_checkable
class Market(Protocol):
    """A source of prices, news and fundamentals."""

    name: str  # the word in ``BRAIN_MARKET`` that picks it
    caveat: str  # what a reader of results must know about this source, one sentence; shown beside what is made from it

    def last_complete_year(self) -> int | None:
        """Give the last calendar year that this market has whole; None: whichever the clock has completed.

        Cheap: it is called whenever the definitions load, so it never asks the network, and reads
        files only where they have changed.
        """

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give the daily bars from `start` up to but not including `end`, as `brain_assets.market.schema.PRICE_TABLE`.

        A symbol that is not traded in the range has no rows. Raises `MarketError`, naming every symbol that cannot be
        had; nothing partial is returned.
        """

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> SourcedTable:
        """Give the daily news scores of sessions from `start` up to but not including `end`, as `NEWS_TABLE`.

        A day without news has no row. A market that has headlines has `score` score them; another does not call it.
        """

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        """Give the quarterly ratios *filed* from `start` up to but not including `end`, as `FUNDAMENTAL_TABLE`."""


class KnownMarket(Market, Protocol):
    """A market made up around a signal, so that the best possible forecast is known: what proofs are made on."""

    def with_signal(self, seed: int, signal: float, channel: str = "reversal") -> "KnownMarket":
        """Give another market of the same symbols.

        `signal` is the weekly rank correlation that a perfect forecaster reaches, in [0, 1); 0: nothing can be known.
        `channel` is where it can be seen: ``reversal`` (past returns), ``news``, or a ratio.
        """

    def expected_return(self, week_starts: DateArray) -> FloatArray:
        """Give the expectation of each week's log return, known at the close before it; (n_weeks, n_assets)."""


class Observation(NamedTuple):
    """What a look at a market tells of its closed years, without fetching them."""

    versions: Mapping[str, Mapping[int, str]] = {}
    """Raw table -> partition year -> data version: with another, the rows are others. What nothing can be said of yet
    is left out."""
    files: Mapping[str, Mapping[int, Mapping[str, str]]] = {}
    """The same, but by the name of each file with rows of the year; empty: the market has no files."""
    sentences: Sequence[str] = ()  # what was looked at, then what could not be told, and why
    final_since: Mapping[int, datetime.datetime] = {}
    """Year -> what was fetched later has the rows of this version; a year without an entry: that is not known."""


@runtime_checkable
class ObservableMarket(Market, Protocol):
    """A market whose closed years may come to be, or have other rows than before."""

    def observe(self, years: Sequence[int], in_passing: bool = False) -> Observation:
        """Look at what there is of some partition years, the first of which holds all before it.

        Cheap: it reads only what has changed since the last look, and never the network. What is fetched after it has
        the rows that it saw, or later ones. `in_passing`: it is asked every minute, so what takes long, or may still be
        written, is left for the next look. Raises `MarketError` if there is nothing to look at.
        """


class MarketNote(NamedTuple):
    """What a reader of a model must know about the market that it learned from; goes into its metadata and card."""

    name: str  # the word in ``BRAIN_MARKET`` that picks it
    caveat: str  # one sentence

    @classmethod
    def of(cls, market: Market) -> "MarketNote":
        """Take it from a market."""
        return cls(market.name, market.caveat)
