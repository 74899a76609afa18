"""Rows since the last complete year: on the level of those before them, and what is wrong with them said."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.graph.year_to_date import fetch_year_to_date, join
from brain_assets.market.base import SourcedTable
from brain_assets.market.findings import Finding, attach
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


class Slipped(SimulatorMarket):
    """A market in which prices of 4 February 2021 are ten times too high, and whose filings are not all there."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        bars = super().prices(start, end)
        bars.loc[(bars["date"] == "2021-02-04") & (bars["symbol"] == "AAA"), ["open", "high", "low", "close"]] *= 10
        return bars

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        found = super().fundamentals(start, end)
        gone = Finding("rows_taken", "BBB", "facts without a value", "left out", 2021, 2)
        return found._replace(table=attach(found.table, [gone]))


def test_what_the_checks_of_a_year_would_find_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    fetch_year_to_date(SimulatorMarket(SYMBOLS), (NEXT_YEAR, MARCH), None)
    assert caplog.messages == []
    fetch_year_to_date(Slipped(SYMBOLS), (NEXT_YEAR, MARCH), None)
    slip = "1 jump looks like a decimal point that slipped: AAA 2021-02-04 1:10 until 2021-02-05; correct these bars."
    assert caplog.messages == [
        f"raw_prices since 2021-01-01, no_jumps: {slip}",
        "raw_fundamentals since 2021-01-01, rows_taken: BBB: 2 facts without a value; left out.",
    ]
