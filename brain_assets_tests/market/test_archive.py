"""A year's fetch and its comparison with a later one, on bars typed by hand."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import EmptyResponseError, MarketError
from brain_assets.market.archive import PREVIOUS_BARS, changed_returns, changed_shapes, fetch_prices

START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)


def bars(closes: dict[str, dict[str, float]], previous: dict[str, list] | None = None) -> pd.DataFrame:
    """A price table from symbol -> date -> close."""
    rows = sorted((date, symbol, close) for symbol, series in closes.items() for date, close in series.items())
    close = np.array([row[2] for row in rows], dtype=np.float64)
    frame = pd.DataFrame(
        {
            "date": np.array([row[0] for row in rows], dtype="datetime64[us]"),
            "symbol": pd.Series([row[1] for row in rows], dtype="str"),
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume": 1000.0,
        }
    )
    if previous is not None:
        frame.attrs[PREVIOUS_BARS] = previous
    return frame


class BarsMarket:
    """Hands out what is in the range asked for, and remembers the range."""

    name = "toy"
    caveat = "Typed by hand."

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self.asked: list[tuple[datetime.date, datetime.date]] = []

    def last_complete_year(self) -> int:
        return 2020

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        self.asked.append((start, end))
        inside = (self._frame["date"] >= pd.Timestamp(start)) & (self._frame["date"] < pd.Timestamp(end))
        return self._frame[inside].reset_index(drop=True)


def toy_market() -> BarsMarket:
    return BarsMarket(
        bars(
            {
                "AAA": {
                    "2019-12-20": 7.0,
                    "2019-12-30": 9.0,
                    "2019-12-31": 10.0,
                    "2020-01-02": 11.0,
                    "2020-01-03": 12.0,
                },
                "BBB": {"2019-12-27": 20.0, "2020-01-02": 21.0, "2021-01-04": 99.0},  # a hole on two sessions
                "CCC": {"2020-01-03": 30.0},  # lists in January
                "DDD": {"2019-12-23": 40.0},  # stops in December
                "EEE": {"2019-12-20": 50.0, "2020-01-03": 51.0},  # its last bar is 12 days before the year
            }
        )
    )


# fetch_prices


def test_overlap_reaches_back_over_long_halts_and_leaves_the_last_bars_before_the_year_in_the_attributes() -> None:
    market = toy_market()
    frame = fetch_prices(market, START, END, overlap=True)
    assert market.asked == [(datetime.date(2018, 11, 27), END)]  # 400 days before
    rows = list(zip(frame["date"].dt.strftime("%Y-%m-%d"), frame["symbol"], frame["close"], strict=True))
    assert rows == [
        ("2020-01-02", "AAA", 11.0),
        ("2020-01-02", "BBB", 21.0),
        ("2020-01-03", "AAA", 12.0),
        ("2020-01-03", "CCC", 30.0),
        ("2020-01-03", "EEE", 51.0),
    ]
    assert frame.index.tolist() == [0, 1, 2, 3, 4]
    assert frame.attrs == {
        PREVIOUS_BARS: {
            "EEE": ["2019-12-20", 50.0, 1000.0],
            "DDD": ["2019-12-23", 40.0, 1000.0],
            "BBB": ["2019-12-27", 20.0, 1000.0],
            "AAA": ["2019-12-31", 10.0, 1000.0],
        }
    }


def test_without_overlap_nothing_before_the_start_is_asked_for_or_kept() -> None:
    market = toy_market()
    frame = fetch_prices(market, START, END, overlap=False)
    assert market.asked == [(START, END)]
    assert frame["date"].min() == pd.Timestamp("2020-01-02")
    assert frame.attrs == {PREVIOUS_BARS: {}}


@pytest.mark.parametrize("overlap", [True, False])
def test_a_year_without_bars_is_refused_even_if_there_are_bars_before_it(overlap: bool) -> None:
    market = BarsMarket(bars({"AAA": {"2019-12-30": 9.0, "2019-12-31": 10.0}}))
    message = "market toy: expected bars from 2020-01-01 to 2021-01-01, got none; check the symbols and the years"
    with pytest.raises(EmptyResponseError, match=message):
        fetch_prices(market, START, END, overlap)


def test_an_error_of_the_market_is_passed_on() -> None:
    class Broken(BarsMarket):
        def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
            raise MarketError("the source is down")

    with pytest.raises(MarketError, match="the source is down"):
        fetch_prices(Broken(bars({"AAA": {"2020-01-02": 1.0}})), START, END, overlap=True)


# changed_returns

DAYS = ("2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07")


def year(aaa: tuple[float, ...] = (100, 110, 121, 133.1), previous: float | None = None) -> pd.DataFrame:
    """AAA as given, BBB always 50, 51, 52, 53; the previous close of AAA if given."""
    closes = {"AAA": dict(zip(DAYS, aaa, strict=True)), "BBB": dict(zip(DAYS, (50, 51, 52, 53), strict=True))}
    return bars(closes, {} if previous is None else {"AAA": ["2019-12-31", previous, 1000.0]})


def rows(changed: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(changed["date"].dt.strftime("%Y-%m-%d"), changed["symbol"], strict=True))


def test_the_same_fetch_twice_changes_nothing() -> None:
    assert len(changed_returns(year(previous=90.0), year(previous=90.0))) == 0


def test_a_split_rescales_the_level_and_changes_nothing() -> None:
    # 4:1: every close of AAA, the one before the year too, is a quarter
    old, new = year(previous=80.0), year((25, 27.5, 30.25, 33.275), previous=20.0)
    assert len(changed_returns(old, new)) == 0


def test_a_split_inside_the_year_that_one_fetch_missed_is_one_changed_return() -> None:
    # halves from the 6th on: 60.5 / 110 - 1 = -0.45 instead of 121 / 110 - 1 = 0.1
    changed = changed_returns(year(), year((100, 110, 60.5, 66.55)))
    assert rows(changed) == [("2020-01-06", "AAA")]
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.1, -0.45]], rtol=1e-12)


def test_one_changed_close_is_listed_in_two_rows_the_larger_change_first() -> None:
    changed = changed_returns(year(), year((100, 112, 121, 133.1)))
    assert list(changed.columns) == ["date", "symbol", "old_return", "new_return"]
    assert rows(changed) == [("2020-01-03", "AAA"), ("2020-01-06", "AAA")]
    # into it: 110 / 100 - 1 and 112 / 100 - 1, apart by 0.02; out of it: 121 / 110 - 1 and 121 / 112 - 1, by 0.0196
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.1, 0.12], [0.1, 9 / 112]], rtol=1e-12)
    assert changed.index.tolist() == [0, 1]


def test_the_largest_change_comes_first_whatever_its_date() -> None:
    # into the 6th: 0.1 -> 126 / 110 - 1 = 0.145 (by 0.045); out of it: 0.1 -> 133.1 / 126 - 1 = 0.056 (by 0.044);
    # the 3rd: 0.1 stays. The last close: 0.056 -> 150 / 126 - 1 = 0.190, by 0.090 from the old 0.1.
    changed = changed_returns(year(), year((100, 110, 126, 150)))
    assert rows(changed) == [("2020-01-07", "AAA"), ("2020-01-06", "AAA")]


def test_the_first_return_of_the_year_is_compared_through_the_previous_close() -> None:
    # 100 / 80 - 1 = 0.25; 100 / 50 - 1 = 1
    changed = changed_returns(year(previous=80.0), year(previous=50.0))
    assert rows(changed) == [("2020-01-02", "AAA")]
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.25, 1.0]], rtol=1e-12)


@pytest.mark.parametrize(("last", "n_changed"), [(133.1 + 0.00605, 0), (133.1 + 0.0242, 1)])
def test_rounding_below_a_basis_point_is_the_same_return(last: float, n_changed: int) -> None:
    # 0.00605 / 121 = half a basis point; 0.0242 / 121 = two
    assert len(changed_returns(year(), year((100, 110, 121, last)))) == n_changed


def test_a_vanished_symbol_is_listed_before_any_changed_one() -> None:
    old, new = year(), year((100, 110, 121, 150))
    new = new[new["symbol"] == "AAA"].reset_index(drop=True)
    changed = changed_returns(old, new)
    # every row of BBB, its first too, which has no return on either side; then AAA's last: 150 / 121 - 1
    assert rows(changed) == [*((day, "BBB") for day in DAYS), ("2020-01-07", "AAA")]
    assert changed["new_return"].isna().tolist() == [True, True, True, True, False]
    np.testing.assert_allclose(changed["old_return"], [np.nan, 1 / 50, 1 / 51, 1 / 52, 0.1], rtol=1e-12)


def test_a_symbol_that_came_to_be_is_listed_with_nothing_on_the_old_side() -> None:
    old = year()
    changed = changed_returns(old[old["symbol"] == "AAA"].reset_index(drop=True), year())
    assert rows(changed) == [(day, "BBB") for day in DAYS]
    assert changed["old_return"].isna().all()
    np.testing.assert_allclose(changed["new_return"], [np.nan, 1 / 50, 1 / 51, 1 / 52], rtol=1e-12)


def without(frame: pd.DataFrame, date: str) -> pd.DataFrame:
    """The table less AAA's bar on `date`."""
    attrs = frame.attrs
    frame = frame[(frame["symbol"] != "AAA") | (frame["date"] != pd.Timestamp(date))].reset_index(drop=True)
    frame.attrs = attrs
    return frame


def test_a_row_that_vanished_is_listed_with_the_return_that_now_spans_it() -> None:
    changed = changed_returns(year(), without(year(), "2020-01-03"))
    assert rows(changed) == [("2020-01-03", "AAA"), ("2020-01-06", "AAA")]
    # 110 / 100 - 1 is gone; instead of 121 / 110 - 1, 121 / 100 - 1
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.1, np.nan], [0.1, 0.21]], rtol=1e-12)


def test_a_changed_close_beside_a_hole_is_listed() -> None:
    # no bar on the 6th; the last close, after the hole, was 133.1 and is 140: the returns are over two sessions
    old, new = (without(year((100, 110, 121, last)), "2020-01-06") for last in (133.1, 140))
    changed = changed_returns(old, new)
    assert rows(changed) == [("2020-01-07", "AAA")]
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.21, 140 / 110 - 1]], rtol=1e-12)


def test_the_previous_close_goes_with_the_symbols_first_bar_even_a_late_one() -> None:
    # AAA trades from the 3rd only: 110 / 80 - 1 = 0.375, 110 / 88 - 1 = 0.25
    old, new = (without(year(previous=previous), "2020-01-02") for previous in (80.0, 88.0))
    changed = changed_returns(old, new)
    assert rows(changed) == [("2020-01-03", "AAA")]
    np.testing.assert_allclose(changed[["old_return", "new_return"]], [[0.375, 0.25]], rtol=1e-12)


@pytest.mark.parametrize("previous", [None, 80.0])
def test_inputs_are_left_as_they_are(previous: float | None) -> None:
    old, new = year(previous=previous), year((100, 112, 121, 133.1), previous=previous)
    changed_returns(old, new)
    pd.testing.assert_frame_equal(old, year(previous=previous))
    pd.testing.assert_frame_equal(new, year((100, 112, 121, 133.1), previous=previous))


# changed_shapes


def test_open_high_low_and_volume_count_but_not_the_level() -> None:
    old = bars({symbol: {f"2020-01-{day:02}": 10.0 for day in (2, 3, 6, 7)} for symbol in ("AAA", "BBB")})
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
