"""A year's fetch, its comparison with a later one, and years on one level, on bars typed by hand."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import EmptyResponseError, TableError
from brain_assets.market.archive import PREVIOUS_BARS, chain_prices, changed_returns, changed_shapes, fetch_prices
from brain_assets_tests.store.test_tables import bars, prices_2019, prices_2020

START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)


class BarsMarket:
    """Hands out what is in the range asked for, and remembers the range."""

    name = "toy"
    caveat = "Typed by hand."

    def __init__(self, *rows: tuple[str, str, float]) -> None:
        self._frame, self.asked = bars(*sorted(rows)), list[tuple[datetime.date, datetime.date]]()
        self._frame.attrs = {}

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        self.asked.append((start, end))
        inside = (self._frame["date"] >= pd.Timestamp(start)) & (self._frame["date"] < pd.Timestamp(end))
        return self._frame[inside].reset_index(drop=True)


BEFORE = [
    *(("2019-12-20", "EEE", 50.0), ("2019-12-23", "DDD", 40.0), ("2019-12-27", "BBB", 20.0)),  # DDD stops in December
    *(("2019-12-30", "AAA", 9.0), ("2019-12-31", "AAA", 10.0)),
]
INSIDE = [("2020-01-02", "AAA", 11.0), ("2020-01-02", "BBB", 21.0), ("2020-01-03", "AAA", 12.0)]
INSIDE += [("2020-01-03", "CCC", 30.0), ("2020-01-03", "EEE", 51.0)]


def test_overlap_reaches_back_over_long_halts_and_leaves_the_last_bars_before_the_year_in_the_attributes() -> None:
    market = BarsMarket(*BEFORE, *INSIDE, ("2021-01-04", "BBB", 99.0))
    frame = fetch_prices(market, START, END, overlap=True)
    assert market.asked == [(datetime.date(2018, 11, 27), END)]  # 400 days before
    rows = list(zip(frame["date"].dt.strftime("%Y-%m-%d"), frame["symbol"], frame["close"], strict=True))
    assert rows == INSIDE
    last = {symbol: [date, close, 1000.0] for date, symbol, close in BEFORE}
    assert frame.attrs == {PREVIOUS_BARS: last}
    assert fetch_prices(market, START, END, overlap=False).attrs == {PREVIOUS_BARS: {}}
    assert market.asked[1:] == [(START, END)]
    message = "market toy: expected bars from 2020-01-01 to 2021-01-01, got none; check the symbols and the years"
    with pytest.raises(EmptyResponseError, match=message):
        fetch_prices(BarsMarket(*BEFORE), START, END, overlap=True)


# changed_returns

DAYS = ("2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07")


def year(aaa: tuple[float, ...] = (100, 110, 121, 133.1), previous: float | None = None) -> pd.DataFrame:
    """AAA as given, BBB always 50, 51, 52, 53; the previous close of AAA if given."""
    rows = [
        row
        for day, one, other in zip(DAYS, aaa, (50, 51, 52, 53), strict=True)
        for row in ((day, "AAA", one), (day, "BBB", other))
    ]
    return bars(*rows, previous=None if previous is None else {"AAA": ["2019-12-31", previous, 1000.0]})


NAN = np.nan
CHANGES = {
    "a split: every close of AAA, the one before the year too, is a quarter": (
        year(previous=80.0),
        year((25, 27.5, 30.25, 33.275), previous=20.0),
        [],
    ),
    "the first return through the previous close: 100 / 80 - 1 and 100 / 50 - 1": (
        year(previous=80.0),
        year(previous=50.0),
        [("2020-01-02", "AAA", 0.25, 1.0)],
    ),
    "a row that vanished: 121 / 100 - 1 spans it": (
        year(),
        year().drop(index=2),
        [("2020-01-03", "AAA", 0.1, NAN), ("2020-01-06", "AAA", 0.1, 0.21)],
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_returns_that_changed_are_listed_the_largest_change_first(case: str) -> None:
    old, new, expected = CHANGES[case]
    changed = changed_returns(old, new)
    assert list(changed.columns) == ["date", "symbol", "old_return", "new_return"]
    assert changed.index.tolist() == [*range(len(expected))]
    named = list(zip(changed["date"].dt.strftime("%Y-%m-%d"), changed["symbol"], strict=True))
    assert named == [row[:2] for row in expected]
    returns = changed[["old_return", "new_return"]].to_numpy()
    np.testing.assert_allclose(returns, np.array([row[2:] for row in expected]).reshape(-1, 2), rtol=1e-9)


# changed_shapes


def test_open_high_low_and_volume_count_but_not_the_level() -> None:
    old = bars(*((day, symbol, 10.0) for day in DAYS for symbol in ("AAA", "BBB")))
    assert changed_shapes(old, old.copy()) == 0
    split = old.copy()
    halved = split["symbol"] == "AAA"
    split.loc[halved, ["open", "high", "low", "close"]] /= 2
    split.loc[halved, "volume"] *= 2
    assert changed_shapes(old, split) == 0
    for column, factor in (("open", 1.001), ("high", 1.001), ("low", 0.999), ("volume", 1.001), ("volume", 0.0)):
        new = split.copy()
        new.loc[3, column] *= factor
        assert changed_shapes(old, new) == 1, column
    within = split.copy()
    within.loc[3, "high"] *= 1.00005
    assert changed_shapes(old, within) == 0


# chain_prices


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


def test_a_dividend_between_two_files_moves_prices_but_not_volume() -> None:
    # 4 of 104 dollars were paid out after the file of 2019 was fetched: 104 is 100 in that of 2020, its volume the same
    later = bars(("2020-01-02", "AAA", 101.0), volume=900.0, previous={"AAA": ["2019-12-31", 100.0, 1000.0]})
    chained = chain_prices([prices_2019(), later])
    assert chained["close"].iloc[-1] == pytest.approx(101.0 * 1.04)
    assert chained["volume"].iloc[-1] == 900.0  # else a dividend of the future would show in the volume of the past
    # a bar without volume tells the level of volumes by its price: 26 for 104, as after a split of 4:1
    later = bars(("2020-01-02", "AAA", 27.0), volume=900.0, previous={"AAA": ["2019-12-31", 26.0, 0.0]})
    assert chain_prices([prices_2019(), later])["volume"].iloc[-1] == 225.0


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
