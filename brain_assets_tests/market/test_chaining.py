"""Years of prices on one level: a split or a dividend between two fetches, by hand."""

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.market.archive import PREVIOUS_BARS, chain_prices
from brain_assets_tests.store.test_tables import bars, prices_2019, prices_2020


def test_a_split_between_two_files_by_hand() -> None:
    chained = chain_prices([prices_2019(), prices_2020()])
    # AAA: 26 in the file of 2020 is 104 in that of 2019, a factor of 4: 27 and 28 become 108 and 112. BBB: 51 is 51.
    # CCC has no close before.
    rows = list(zip(chained["date"].dt.strftime("%Y-%m-%d"), chained["symbol"], chained["close"], strict=True))
    assert rows == [
        ("2019-12-30", "AAA", 100.0),
        ("2019-12-30", "BBB", 50.0),
        ("2019-12-31", "AAA", 104.0),
        ("2019-12-31", "BBB", 51.0),
        ("2020-01-02", "AAA", 108.0),
        ("2020-01-02", "BBB", 52.0),
        ("2020-01-03", "AAA", 112.0),
        ("2020-01-03", "CCC", 7.0),
    ]
    assert chained.index.tolist() == list(range(8))
    # open 27 - 1, high 27 + 2, low 27 - 2, each times 4; of the 4000 shares after the split a quarter before it
    first = chained.loc[4, ["open", "high", "low", "close", "volume"]].tolist()
    assert first == [26.0 * 4, 29.0 * 4, 25.0 * 4, 27.0 * 4, 1000.0]
    assert chained["volume"].tolist() == [1000, 1000, 1000, 1000, 1000, 4000, 1000, 4000]


def test_the_return_across_the_boundary_is_that_of_the_later_file() -> None:
    chained = chain_prices([prices_2019(), prices_2020()])
    returns = chained.pivot(index="date", columns="symbol", values="close").pct_change(fill_method=None)
    # AAA: 27 / 26 - 1 into 2 January and 28 / 27 - 1 into the 3rd, as in the file of 2020; BBB: 52 / 51 - 1
    np.testing.assert_allclose(returns["AAA"].iloc[1:], [104 / 100 - 1, 27 / 26 - 1, 28 / 27 - 1], rtol=1e-12)
    assert returns.loc["2020-01-02", "BBB"] == pytest.approx(52 / 51 - 1, rel=1e-12)


def test_the_earlier_file_and_the_inputs_are_never_touched() -> None:
    earlier, later = prices_2019(), prices_2020()
    chained = chain_prices([earlier, later])
    pd.testing.assert_frame_equal(chained.iloc[:4], prices_2019(), check_exact=True)
    pd.testing.assert_frame_equal(earlier, prices_2019(), check_exact=True)
    pd.testing.assert_frame_equal(later, prices_2020(), check_exact=True)
    assert chained.attrs == {PREVIOUS_BARS: {}}


def test_a_third_file_stands_on_the_level_of_the_chain() -> None:
    # AAA closed at 28 in the file of 2020, 112 on the chain; after another split, 2:1, it is 14: a factor of 8
    third = bars(("2021-01-04", "AAA", 15.0), volume=800.0, previous={"AAA": ["2020-01-03", 14.0, 8000.0]})
    chained = chain_prices([prices_2019(), prices_2020(), third])
    assert chained["close"].iloc[-1] == 15.0 * 8
    assert chained["volume"].iloc[-1] == 100.0


def test_a_dividend_between_two_files_moves_prices_but_not_volume() -> None:
    # 4 of 104 dollars were paid out after the file of 2019 was fetched: 104 is 100 in that of 2020, its volume the same
    later = bars(("2020-01-02", "AAA", 101.0), volume=900.0, previous={"AAA": ["2019-12-31", 100.0, 1000.0]})
    chained = chain_prices([prices_2019(), later])
    assert chained["close"].iloc[-1] == pytest.approx(101.0 * 1.04)
    assert chained["volume"].iloc[-1] == 900.0  # else a dividend of the future would show in the volume of the past


def test_a_symbol_that_paused_for_a_year_is_chained_to_its_last_bar() -> None:
    between = bars(("2020-01-02", "BBB", 52.0), previous={"BBB": ["2019-12-31", 51.0, 1000.0]})
    third = bars(("2021-01-04", "AAA", 15.0), volume=800.0, previous={"AAA": ["2019-12-31", 13.0, 8000.0]})
    chained = chain_prices([prices_2019(), between, third])
    assert chained["close"].iloc[-1] == 15.0 * 8  # 104 / 13
    assert chained["volume"].iloc[-1] == 100.0


def test_a_year_that_came_after_the_one_behind_it_is_chained_by_the_bar_that_both_know() -> None:
    # 2021 was fetched while 2020 was missing, so it remembers the 104 of 2019 as 13: a factor of 8
    third = bars(("2021-01-04", "AAA", 15.0), volume=800.0, previous={"AAA": ["2019-12-31", 13.0, 8000.0]})
    chained = chain_prices([prices_2019(), prices_2020(), third])
    assert chained["close"].iloc[-1] == 15.0 * 8
    assert chained["volume"].iloc[-1] == 100.0
    # but not by one that the history does not have
    stranger = bars(("2021-01-04", "AAA", 15.0), previous={"AAA": ["2019-12-28", 13.0, 8000.0]})
    with pytest.raises(TableError, match="to be that of 2019-12-28, got 2020-01-03"):
        chain_prices([prices_2019(), prices_2020(), stranger])


def test_files_on_one_level_are_joined_bit_for_bit() -> None:
    later = bars(("2020-01-02", "AAA", 105.3), previous={"AAA": ["2019-12-31", 104.0, 1000.0]})
    chained = chain_prices([prices_2019(), later])
    pd.testing.assert_frame_equal(chained, pd.concat([prices_2019(), later], ignore_index=True), check_exact=True)


def test_the_chain_starts_at_the_symbols_own_last_bar() -> None:
    # BBB last traded on the 30th: its last close is 50, not the 51 of nobody
    earlier = prices_2019().iloc[:3]
    later = bars(("2020-01-02", "BBB", 26.0), previous={"BBB": ["2019-12-30", 25.0, 1000.0]})
    assert chain_prices([earlier, later])["close"].tolist() == [100, 50, 104, 52]


def test_closes_of_different_dates_are_never_compared() -> None:
    # the file of 2020 says 26 for the 31st, that of 2019 ends on the 30th: 100 / 26 would mix a split and a move
    earlier = prices_2019().iloc[:2]
    with pytest.raises(
        TableError, match="expected the last bar of AAA before 2020-01-02 to be that of 2019-12-31, got"
    ):
        chain_prices([earlier, prices_2020()])
