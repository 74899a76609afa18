"""Rows since the last complete year: on the level of those before them."""

import datetime

import numpy as np
import pandas as pd

from brain_assets.graph.year_to_date import fetch_year_to_date, join
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import SYMBOLS

YEAR, NEXT_YEAR, MARCH = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), datetime.date(2021, 3, 1)


class Split(SimulatorMarket):
    """Has split every symbol in two since the year was fetched, and adjusts all that it gives."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        bars = super().prices(start, end)
        bars[["open", "high", "low", "close"]] /= 2
        return bars.assign(volume=2 * bars["volume"])


def test_they_are_put_on_the_level_of_the_year_before(market: SimulatorMarket) -> None:
    before, expected = market.prices(YEAR, NEXT_YEAR), market.prices(YEAR, MARCH)
    later = fetch_year_to_date(Split(SYMBOLS, seed=1, signal=0.15), (NEXT_YEAR, MARCH), None, ["raw_prices"])
    joined = join("raw_prices", before, later["raw_prices"])
    assert joined[["date", "symbol"]].equals(expected[["date", "symbol"]])
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(joined[name], expected[name])
