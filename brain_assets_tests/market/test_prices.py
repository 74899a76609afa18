"""Price tables at the border, and the panel laid out of them."""

import datetime
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.market.prices import CLOSE, PRICE_COLUMNS, PRICE_FIELDS, VOLUME, PricePanel, validate_prices


def bars(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Sound bars: (date, symbol, close); open, high and low follow from the close."""
    close = np.array([row[2] for row in rows], dtype=np.float64)
    return pd.DataFrame(
        {
            "date": np.array([row[0] for row in rows], dtype="datetime64[us]"),
            "symbol": pd.Series([row[1] for row in rows], dtype="str"),
            "open": close - 0.25,
            "high": close + 0.5,
            "low": close - 0.5,
            "close": close,
            "volume": close * 100,
        }
    )


def sound() -> pd.DataFrame:
    return bars(
        ("2020-01-02", "AAA", 10.0),
        ("2020-01-02", "BBB", 20.0),
        ("2020-01-03", "AAA", 11.0),
        ("2020-01-03", "BBB", 21.0),
    )


def refusal(frame: pd.DataFrame) -> str:
    with pytest.raises(TableError) as caught:
        validate_prices(frame, "my table")
    message = str(caught.value)
    assert message.startswith("my table: ")
    assert "\n" not in message
    return message


# The schema


def test_a_sound_table_comes_back_in_date_and_symbol_order_with_a_new_index() -> None:
    shuffled = sound().iloc[[3, 0, 2, 1]].reset_index(drop=True)
    before = shuffled.copy()
    pd.testing.assert_frame_equal(validate_prices(shuffled, "my table"), sound(), check_exact=True)
    pd.testing.assert_frame_equal(shuffled, before)


def test_attributes_of_a_table_survive_the_check() -> None:
    frame = sound()
    frame.attrs["previous_closes"] = {"AAA": ["2019-12-31", 9.5]}
    assert validate_prices(frame, "my table").attrs == {"previous_closes": {"AAA": ["2019-12-31", 9.5]}}


def test_a_volume_of_zero_is_sound() -> None:
    assert validate_prices(sound().assign(volume=0.0), "my table")["volume"].tolist() == [0.0] * 4


@pytest.mark.parametrize("column", PRICE_FIELDS)
@pytest.mark.parametrize("value", [-1.5, np.nan])
def test_a_negative_or_unknown_number_is_named_with_its_column_date_and_symbol(column: str, value: float) -> None:
    frame = sound()
    frame.loc[2, column] = value
    rule = "a finite number >= 0" if column == "volume" else "a finite price > 0"
    place = f"column {column}: expected {rule}, got {value} for 2020-01-03 AAA; correct the value or remove the row."
    assert refusal(frame) == f"my table: {place}"


@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
def test_a_price_of_zero_is_refused(column: str) -> None:
    frame = sound()
    frame.loc[1, column] = 0.0
    assert f"column {column}: expected a finite price > 0, got 0.0 for 2020-01-02 BBB" in refusal(frame)


def test_the_offending_row_is_found_in_a_table_that_was_not_in_order() -> None:
    frame = sound().iloc[[3, 0, 2, 1]].reset_index(drop=True)
    frame.loc[1, "close"] = -7.0  # the row that comes first in date and symbol order
    assert "column close: expected a finite price > 0, got -7.0 for 2020-01-02 AAA" in refusal(frame)


def test_one_text_among_prices_is_named() -> None:
    frame = sound().astype({"close": object})
    frame.loc[1, "close"] = "n.a."
    assert "column close: expected a finite price > 0, got n.a. for 2020-01-02 BBB" in refusal(frame)


@pytest.mark.parametrize(("column", "kind"), [("close", "str"), ("volume", "int64"), ("date", "str")])
def test_a_column_of_another_type_is_named_with_both_types(column: str, kind: str) -> None:
    message = refusal(sound().astype({column: kind}))
    assert f"expected the columns {', '.join(PRICE_COLUMNS)} with their types" in message
    assert f"expected series '{column}' to have type" in message
    assert message.endswith(f"got {kind}")


def test_a_missing_column_is_named() -> None:
    message = refusal(sound().drop(columns="volume"))
    assert f"expected the columns {', '.join(PRICE_COLUMNS)} in this order" in message
    assert "got date, symbol, open, high, low, close; rename, add or remove columns." in message


def test_a_duplicate_row_is_named() -> None:
    frame = pd.concat([sound(), bars(("2020-01-03", "BBB", 99.0))])
    assert "expected one row a date and symbol, got several for 2020-01-03 BBB; remove the duplicates." in refusal(
        frame
    )


@pytest.mark.parametrize(
    "closed",
    [
        "2020-01-04",  # Saturday
        "2020-01-01",  # New Year
        "2019-11-28",  # Thanksgiving
        "2001-09-12",
        "1965-01-04",  # a Monday, before the first date that is known
    ],
)
def test_a_bar_on_a_day_when_the_exchange_was_closed_is_named(closed: str) -> None:
    frame = pd.concat([sound(), bars((closed, "AAA", 10.0))])
    expected = f"expected trading days of the NYSE, got a bar on {closed}, when it was closed"
    assert expected in refusal(frame)


def test_an_empty_table_passes_the_check_but_is_no_panel() -> None:
    empty = validate_prices(sound().iloc[:0], "my table")
    assert len(empty) == 0
    with pytest.raises(TableError, match="expected at least one bar, got an empty price table"):
        PricePanel.from_frame(empty)


# The panel


def test_the_panel_has_every_session_and_leaves_absent_bars_unknown() -> None:
    frame = validate_prices(
        bars(
            ("2020-01-02", "ZZZ", 10.0),
            ("2020-01-03", "AAA", 20.0),
            ("2020-01-07", "AAA", 22.0),
            ("2020-01-07", "ZZZ", 12.0),
        ),
        "my table",
    )
    panel = PricePanel.from_frame(frame)
    # 1 January is a holiday, 4 and 5 January a weekend, and nobody traded on Monday the 6th
    assert list(map(str, panel.sessions)) == ["2020-01-02", "2020-01-03", "2020-01-06", "2020-01-07"]
    assert panel.symbols == ("AAA", "ZZZ")
    assert panel.values.shape == (2, 4, 5)
    nan = np.nan
    np.testing.assert_array_equal(panel.values[:, :, CLOSE], [[nan, 20.0, nan, 22.0], [10.0, nan, nan, 12.0]])
    known = np.isfinite(panel.values[:, :, CLOSE])
    np.testing.assert_array_equal(known, [[False, True, False, True], [True, False, False, True]])
    # open, high, low, close, volume of ZZZ's first bar: 10 - 0.25, 10 + 0.5, 10 - 0.5, 10, 10 * 100
    np.testing.assert_array_equal(panel.values[1, 0], [9.75, 10.5, 9.5, 10.0, 1000.0])
    assert np.isnan(panel.values[1, 1]).all()
    assert panel.values[0, 3, VOLUME] == 2200.0


def test_the_panel_does_not_depend_on_the_order_of_rows() -> None:
    one, other = PricePanel.from_frame(sound()), PricePanel.from_frame(sound().iloc[[3, 1, 0, 2]])
    assert one.symbols == other.symbols
    np.testing.assert_array_equal(one.values, other.values)


def listing_panel() -> PricePanel:
    """AAA from the 2nd to the 7th; BBB from Monday the 6th; CCC on the 2nd only."""
    return PricePanel.from_frame(
        bars(
            ("2020-01-02", "AAA", 10.0),
            ("2020-01-02", "CCC", 30.0),
            ("2020-01-03", "AAA", 11.0),
            ("2020-01-06", "AAA", 12.0),
            ("2020-01-06", "BBB", 20.0),
            ("2020-01-07", "AAA", 13.0),
            ("2020-01-07", "BBB", 21.0),
        )
    )


def test_until_forgets_symbols_listed_later_and_keeps_those_that_stopped() -> None:
    cut = listing_panel().until(datetime.date(2020, 1, 5))  # a Sunday
    assert cut.symbols == ("AAA", "CCC")
    assert list(map(str, cut.sessions)) == ["2020-01-02", "2020-01-03"]
    np.testing.assert_array_equal(cut.values[:, :, CLOSE], [[10.0, 11.0], [30.0, np.nan]])
    assert cut.values.shape == (2, 2, 5)


def test_until_includes_its_last_date() -> None:
    cut = listing_panel().until(datetime.date(2020, 1, 6))
    assert cut.symbols == ("AAA", "BBB", "CCC")
    assert str(cut.sessions[-1]) == "2020-01-06"
    np.testing.assert_array_equal(cut.values[:, 2, CLOSE], [12.0, 20.0, np.nan])


def test_until_is_the_panel_of_the_rows_known_then(prices: pd.DataFrame, panel: PricePanel) -> None:
    for cutoff in (datetime.date(2018, 12, 31), datetime.date(2019, 7, 4), datetime.date(2022, 1, 1)):
        cut, known = panel.until(cutoff), PricePanel.from_frame(prices[prices["date"] <= pd.Timestamp(cutoff)])
        assert cut.symbols == known.symbols
        np.testing.assert_array_equal(cut.sessions, known.sessions)
        np.testing.assert_array_equal(cut.values, known.values)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop(columns="date"),
        lambda frame: frame.drop(columns="symbol"),
        lambda frame: frame.assign(x=1.0),
        lambda frame: frame.rename(columns={"close": "adj_close"}),
        lambda frame: frame[["symbol", "date", *frame.columns[2:]]],
    ],
    ids=["no date", "no symbol", "extra", "renamed", "order"],
)
def test_wrong_columns_are_one_sentence(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert "expected the columns date, symbol, open, high, low, close, volume in this order, got" in refusal(
        change(sound())
    )


@pytest.mark.parametrize("column", ["open", "close", "volume"])
def test_infinite_is_refused(column: str) -> None:
    frame = sound()
    frame.loc[2, column] = np.inf
    assert f"column {column}: expected a finite" in refusal(frame)


def test_a_date_with_a_time_is_refused() -> None:
    frame = pd.concat([sound(), bars(("2020-01-03 16:00", "AAA", 99.0))])
    assert "column date: expected a day without a time, got 2020-01-03 16:00:00" in refusal(frame)


def test_an_unknown_date_or_symbol_is_one_sentence() -> None:
    frame = sound()
    frame["date"] = frame["date"].where(frame.index != 3)
    assert "column date: expected a day" in refusal(frame)
    frame = sound()
    frame.loc[3, "symbol"] = ""
    assert "column symbol: expected a name" in refusal(frame)
