import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.price_checks import price_verdicts

SESSIONS = sessions_between(datetime.date(2020, 1, 2), datetime.date(2020, 1, 9))  # 2, 3, 6, 7, 8 January


def bars() -> pd.DataFrame:
    """A at 10 dollars, B at 100."""
    dates = SESSIONS.astype("datetime64[us]")
    levels = (("A", 10.0), ("B", 100.0))
    rows = [(date, symbol, p, 1.1 * p, 0.9 * p, 1.05 * p, 10 * p) for date in dates for symbol, p in levels]
    return pd.DataFrame(rows, columns=["date", "symbol", "open", "high", "low", "close", "volume"])


def failing(prices: pd.DataFrame, **previous: float) -> dict[str, str]:
    return {name: found.words for name, found in price_verdicts(prices, SESSIONS, previous).items() if not found.passed}


def test_good_bars_pass_every_check() -> None:
    assert failing(bars(), A=10.0, B=100.0) == {}


def test_a_session_without_a_bar_of_any_symbol_is_named() -> None:
    without = bars()[bars()["date"] != "2020-01-06"]
    assert list(failing(without)) == ["calendar_complete"]
    assert "1 of 5 sessions of the exchange have no bar: 2020-01-06" in failing(without)["calendar_complete"]
    one_symbol = bars()[(bars()["date"] != "2020-01-06") | (bars()["symbol"] != "A")]
    assert failing(one_symbol) == {}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("close", 0.0, {"positive", "ohlc_in_order", "no_jumps"}),
        ("open", -1.0, {"positive", "ohlc_in_order"}),
        ("low", np.nan, {"positive", "ohlc_in_order"}),
        ("volume", -1.0, {"positive"}),
        ("volume", 0.0, set()),
        ("high", 10.4, {"ohlc_in_order"}),  # below the close
        ("low", 10.1, {"ohlc_in_order"}),  # above the open
        ("high", 10.495, set()),  # a rounding of 0.05 %
        ("low", 11.2, {"ohlc_in_order"}),  # above the high
    ],
)
def test_what_a_bar_cannot_be_is_named_with_its_date_and_symbol(column: str, value: float, expected: set[str]) -> None:
    prices = bars()
    prices.loc[4, column] = value
    found = failing(prices)
    assert set(found) == expected
    for words in found.values():
        assert "2020-01-06 A" in words


def test_duplicates_are_named() -> None:
    found = failing(pd.concat([bars(), bars().tail(1)]))
    assert list(found) == ["no_duplicates"]
    assert "2020-01-08 B" in found["no_duplicates"]


def test_jumps_are_named_also_from_the_last_close_of_the_year_before() -> None:
    prices = bars()
    prices.loc[prices["date"] >= "2020-01-07", ["open", "high", "low", "close"]] *= 1.5
    words = failing(prices)["no_jumps"]
    assert words == "2 closes lie more than 40% from the one before: 2020-01-07 A +50%, 2020-01-07 B +50%."
    assert failing(bars(), A=7.0)["no_jumps"].endswith("2020-01-02 A +50%.")
    assert failing(bars(), A=8.0, B=80.0) == {}  # +31 %
