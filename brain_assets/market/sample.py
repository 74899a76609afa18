"""Market `sample`: real daily closes of 20 S&P 500 stocks that come inside the skfolio package; no network."""

import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brain_assets.errors import UnknownSymbolError
from brain_assets.market.base import SourcedTable
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, PRICE_TABLE

if TYPE_CHECKING:
    from brain_assets.settings import Settings

LAST_YEAR = 2022  # the closes end on 2022-12-28, two sessions before the year does
NOTHING_ELSE = "none: the data set has closes only"

CONSTANT_VOLUME = 1_000_000.0
"""The data set has no volume; a constant has a log return of 0, which no model can learn from."""


class SampleMarket:
    """Closes from `skfolio.datasets.load_sp500_dataset`, 1990-01-02 to 2022-12-28, adjusted, laid out as bars.

    `symbols` are a choice among the 20; empty: all of them.
    """

    name = "sample"
    caveat = (
        "Closes only: open is the previous close, high and low the larger and smaller of both, volume is constant, no "
        "news, no fundamentals. "
        "The 20 stocks are known to have survived to 2022, so absolute returns are too good."
    )

    def __init__(self, symbols: tuple[str, ...] = ()) -> None:
        self._symbols = symbols

    def last_complete_year(self) -> int:
        """Give 2022: the last sessions of that year (29 and 30 December) are absent from the data set."""
        return LAST_YEAR

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        """Give bars made from closes; see `brain_assets.market.base.Market.prices`.

        The first session of the data set has no previous close: its open is its close.
        """
        from skfolio.datasets import load_sp500_dataset  # pulls in scikit-learn: a second

        closes = load_sp500_dataset()
        symbols = list(self._symbols or closes.columns)
        unknown = sorted(set(symbols) - set(closes.columns))
        if unknown:
            raise UnknownSymbolError(
                f"BRAIN_SYMBOLS: expected symbols of the sample market ({', '.join(closes.columns)}), got "
                f"{', '.join(unknown)}; remove them or choose another market."
            )
        close = closes[symbols]
        opening = close.shift(1).fillna(close)
        inside = (close.index >= pd.Timestamp(start)) & (close.index < pd.Timestamp(end))
        bars = {"open": opening, "high": np.maximum(opening, close), "low": np.minimum(opening, close), "close": close}
        frame = pd.DataFrame({name: prices[inside].stack() for name, prices in bars.items()})
        frame = frame.assign(volume=CONSTANT_VOLUME).rename_axis(["date", "symbol"]).reset_index()
        return PRICE_TABLE.validate(frame.astype(PRICE_TABLE.types), f"sample market from {start} to {end}")

    def news_sentiment(self, *_: object) -> SourcedTable:
        """Give no news: the data set has closes only."""
        return SourcedTable(NEWS_TABLE.empty(), NOTHING_ELSE)

    def fundamentals(self, *_: object) -> SourcedTable:
        """Give no fundamentals: the data set has closes only."""
        return SourcedTable(FUNDAMENTAL_TABLE.empty(), NOTHING_ELSE)


def open_market(settings: "Settings") -> SampleMarket:
    """Open the market of some settings."""
    return SampleMarket(settings.symbols)
