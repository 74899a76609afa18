"""The sample market, against the data set that it is made from."""

import datetime

import numpy as np
import pytest
from skfolio.datasets import load_sp500_dataset

from brain_assets.errors import UnknownSymbolError
from brain_assets.market.sample import SampleMarket

FIRST, AFTER = datetime.date(1990, 1, 1), datetime.date(2023, 1, 1)


def test_bars_are_made_from_two_closes_each() -> None:
    # AAPL: 2019-12-31 71.712, 2020-01-02 73.348 (up), 2020-01-03 72.635 (down); WMT: 112.389, 112.484, 111.491
    frame = SampleMarket(("WMT", "AAPL")).prices(datetime.date(2020, 1, 1), datetime.date(2020, 1, 4))
    assert frame["date"].dt.strftime("%Y-%m-%d").tolist() == ["2020-01-02"] * 2 + ["2020-01-03"] * 2
    assert frame["symbol"].tolist() == ["AAPL", "WMT"] * 2
    assert frame[["open", "high", "low", "close"]].to_numpy().tolist() == [
        [71.712, 73.348, 71.712, 73.348],
        [112.389, 112.484, 112.389, 112.484],
        [73.348, 73.348, 72.635, 72.635],
        [112.484, 112.484, 111.491, 111.491],
    ]


def test_every_close_of_the_data_set_is_there_once() -> None:
    closes, everything = load_sp500_dataset(), SampleMarket().prices(FIRST, AFTER)
    assert closes.index[-1].date() == everything["date"].max().date() == datetime.date(2022, 12, 28)
    assert SampleMarket().last_complete_year() == 2022
    table = everything.pivot(index="date", columns="symbol", values="close")
    np.testing.assert_array_equal(table.to_numpy(), closes[table.columns].to_numpy())
    assert (table.index == closes.index).all()
    assert len(table.columns) == 20
    assert everything["volume"].unique().tolist() == [1_000_000.0]


def test_an_unknown_symbol_is_named_beside_those_to_choose_from() -> None:
    with pytest.raises(UnknownSymbolError) as caught:
        SampleMarket(("AAPL", "TSLA", "NVDA")).prices(FIRST, AFTER)
    message = str(caught.value)
    assert "got NVDA, TSLA;" in message
    assert message.startswith("BRAIN_SYMBOLS: expected symbols of the sample market (AAPL, AMD, ")
