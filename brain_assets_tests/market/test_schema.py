"""The raw tables at the border: what is sound comes back in order, what is not is one sentence that names the row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.market.schema import FUNDAMENTAL_TABLE, NEWS_TABLE, OHLC_RULES, PRICE_TABLE, TableSchema, describe

PRICE_FIELDS = ("open", "high", "low", "close", "volume")
RATIOS = ("gross_margin", "operating_margin", "net_margin", "current_ratio", "debt_to_equity")
TABLES = [PRICE_TABLE, NEWS_TABLE, FUNDAMENTAL_TABLE]
NAMES = ["prices", "news", "fundamentals"]


def prices(*rows: tuple[str, str]) -> pd.DataFrame:
    """Bars of (date, symbol), all of the same prices."""
    frame = pd.DataFrame(rows, columns=["date", "symbol"]).astype({"date": "datetime64[us]", "symbol": "str"})
    return frame.assign(open=9.75, high=10.5, low=9.5, close=10.0, volume=1000.0)


def news(*rows: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["date", "symbol"]).astype({"date": "datetime64[us]", "symbol": "str"})
    return frame.assign(sentiment_score=0.5, n_articles=2)


def fundamentals(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Quarters of (filed, period_end, symbol); ratios 0.1 to 0.5."""
    frame = pd.DataFrame(rows, columns=["filed", "period_end", "symbol"])
    frame = frame.astype({"filed": "datetime64[us]", "period_end": "datetime64[us]", "symbol": "str"})
    return frame.assign(**{name: 0.1 * (which + 1) for which, name in enumerate(RATIOS)})


def sound(schema: TableSchema) -> pd.DataFrame:
    """Four rows in order."""
    if schema is FUNDAMENTAL_TABLE:
        return fundamentals(
            ("2020-01-29", "2019-12-28", "AAA"),
            ("2020-04-30", "2019-12-28", "AAA"),  # a later version of the same quarter
            ("2020-04-30", "2020-03-28", "AAA"),
            ("2020-04-30", "2020-03-31", "BBB"),
        )
    make = prices if schema is PRICE_TABLE else news
    return make(("2020-01-02", "AAA"), ("2020-01-02", "BBB"), ("2020-01-03", "AAA"), ("2020-01-03", "BBB"))


PLACES = {
    "date": "2020-01-03 AAA",
    "filed": "AAA, filed 2020-04-30, quarter to 2020-03-28",
}
"""First column of a table -> how its third row is named."""


def refusal(schema: TableSchema, frame: pd.DataFrame, origin: str = "my table") -> str:
    with pytest.raises(TableError) as caught:
        schema.validate(frame, origin)
    message = str(caught.value)
    assert message.startswith(f"{origin}: ")
    assert "\n" not in message
    return message.removeprefix(f"{origin}: ")


def with_value(schema: TableSchema, column: str, value: object, row: int = 2) -> pd.DataFrame:
    frame = sound(schema)
    frame.loc[row, column] = value
    return frame


each_table = pytest.mark.parametrize("schema", TABLES, ids=NAMES)


@each_table
def test_a_sound_table_comes_back_in_order_with_a_new_index_and_its_attributes(schema: TableSchema) -> None:
    shuffled = sound(schema).iloc[[3, 2, 0, 1]]
    shuffled.attrs["previous_closes"] = {"AAA": ["2019-12-31", 9.5]}
    before = shuffled.copy()
    checked = schema.validate(shuffled, "my table")
    pd.testing.assert_frame_equal(checked, sound(schema), check_exact=True)
    assert checked.attrs == {"previous_closes": {"AAA": ["2019-12-31", 9.5]}}
    pd.testing.assert_frame_equal(shuffled, before)


@each_table
def test_an_empty_table_has_the_right_types_and_is_sound(schema: TableSchema) -> None:
    empty = schema.empty()
    assert len(empty) == 0
    pd.testing.assert_series_equal(empty.dtypes, sound(schema).dtypes)
    pd.testing.assert_frame_equal(schema.validate(empty, "my table"), empty)


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (PRICE_TABLE, ("date", "symbol", *PRICE_FIELDS)),
        (NEWS_TABLE, ("date", "symbol", "sentiment_score", "n_articles")),
        (FUNDAMENTAL_TABLE, ("filed", "period_end", "symbol", *RATIOS)),
    ],
    ids=NAMES,
)
def test_columns_that_are_missing_swapped_renamed_or_too_many_are_named(
    schema: TableSchema, columns: tuple[str, ...]
) -> None:
    frame = sound(schema)
    for wrong in (
        frame[list(columns[:-1])],
        frame.drop(columns="symbol"),
        frame[list(columns[::-1])],
        frame.assign(x=1.0),
        frame.rename(columns={columns[-1]: "other"}),
    ):
        assert refusal(schema, wrong) == (
            f"expected the columns {', '.join(columns)} in this order, got {', '.join(wrong.columns)}; rename, add or "
            "remove columns."
        )


@pytest.mark.parametrize(
    ("schema", "column", "kind", "expected"),
    [
        (PRICE_TABLE, "close", "str", "float64"),
        (PRICE_TABLE, "volume", "int64", "float64"),
        (PRICE_TABLE, "date", "str", "datetime64[us]"),
        (NEWS_TABLE, "date", "datetime64[ns]", "datetime64[us]"),
        (NEWS_TABLE, "n_articles", "float64", "int64"),
        (NEWS_TABLE, "sentiment_score", "float32", "float64"),
        (FUNDAMENTAL_TABLE, "net_margin", "object", "float64"),
        (FUNDAMENTAL_TABLE, "symbol", "object", "str"),
    ],
)
def test_a_column_of_another_type_is_named_with_both(
    schema: TableSchema, column: str, kind: str, expected: str
) -> None:
    message = refusal(schema, sound(schema).astype({column: kind}))
    assert message == f"column {column}: expected the type {expected}, got {kind}; convert it."


def test_one_text_among_numbers_is_named() -> None:
    frame = sound(PRICE_TABLE).astype({"close": object})
    frame.loc[1, "close"] = "n.a."
    assert "column close: expected a finite price > 0, got n.a. for 2020-01-02 BBB" in refusal(PRICE_TABLE, frame)


PRICE, RATIO = "a finite price > 0", "a finite number, or none where it is not known"


@pytest.mark.parametrize(
    ("schema", "column", "rule", "values"),
    [
        *((PRICE_TABLE, name, PRICE, (-1.5, 0.0, np.nan, np.inf)) for name in PRICE_FIELDS[:-1]),
        (PRICE_TABLE, "volume", "a finite number >= 0", (-1.5, np.nan, np.inf)),
        (NEWS_TABLE, "sentiment_score", "a score from -1 to 1", (1.01, -1.01, np.nan)),
        (NEWS_TABLE, "n_articles", "a whole number >= 1", (0, -2)),
        *((FUNDAMENTAL_TABLE, name, RATIO, (np.inf, -np.inf)) for name in RATIOS),
    ],
)
def test_a_number_out_of_range_is_named_with_its_column_and_row(
    schema: TableSchema, column: str, rule: str, values: tuple[float, ...]
) -> None:
    for value in values:
        assert refusal(schema, with_value(schema, column, value)) == (
            f"column {column}: expected {rule}, got {describe(value)} for {PLACES[schema.names[0]]}; correct the value "
            "or remove the row."
        )


@pytest.mark.parametrize(
    ("schema", "column", "values"),
    [
        (PRICE_TABLE, "volume", (0.0,)),
        (NEWS_TABLE, "sentiment_score", (-1.0, 1.0)),
        *((FUNDAMENTAL_TABLE, name, (np.nan, -3.5)) for name in RATIOS),
    ],
)
def test_a_number_at_the_border_is_sound(schema: TableSchema, column: str, values: tuple[float, ...]) -> None:
    for value in values:
        frame = with_value(schema, column, value)
        pd.testing.assert_frame_equal(schema.validate(frame, "my table"), frame)


@pytest.mark.parametrize(
    ("schema", "column"),
    [(PRICE_TABLE, "date"), (NEWS_TABLE, "date"), (FUNDAMENTAL_TABLE, "filed"), (FUNDAMENTAL_TABLE, "period_end")],
)
def test_a_day_with_a_time_or_no_day_is_named(schema: TableSchema, column: str) -> None:
    day = sound(schema).loc[3, column]
    message = refusal(schema, with_value(schema, column, day + pd.Timedelta(hours=16), row=3))
    assert message.startswith(f"column {column}: expected a day without a time, got {day:%Y-%m-%d} 16:00:00 for ")
    assert f"column {column}: expected a day without a time, got nothing for " in refusal(
        schema, with_value(schema, column, pd.NaT, row=3)
    )


@each_table
@pytest.mark.parametrize("symbol", ["", None, " AAA"])
def test_a_row_of_nobody_is_named(schema: TableSchema, symbol: str | None) -> None:
    assert "column symbol: expected a name without blanks around it, got " in refusal(
        schema, with_value(schema, "symbol", symbol)
    )


def test_names_and_places_with_braces_in_them_are_shown_as_they_are() -> None:
    frame = prices(("2020-01-03", "{date}")).assign(close=-7.0)
    assert "got -7.0 for 2020-01-03 {date}; correct" in refusal(PRICE_TABLE, frame, "folder {0}")


def test_the_offending_row_is_the_first_in_order_whatever_the_order_of_rows() -> None:
    frame = with_value(PRICE_TABLE, "close", -7.0, row=0)
    frame.loc[3, "close"] = -8.0
    assert "got -7.0 for 2020-01-02 AAA" in refusal(PRICE_TABLE, frame.iloc[[3, 2, 0, 1]])


@each_table
def test_a_duplicate_row_is_named(schema: TableSchema) -> None:
    frame, first = pd.concat([sound(schema), sound(schema).iloc[[2]]]), schema.names[0]
    key = "filed, symbol and period_end" if first == "filed" else "date and symbol"
    expected = f"column {first}: expected one row a {key}, got several for {PLACES[first]}; keep one."
    assert refusal(schema, frame) == expected


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
def test_a_row_on_a_day_when_the_exchange_was_closed_is_named(closed: str) -> None:
    for schema, row in ((PRICE_TABLE, prices((closed, "AAA"))), (NEWS_TABLE, news((closed, "AAA")))):
        assert refusal(schema, pd.concat([sound(schema), row])) == (
            f"column date: expected a day on which the NYSE was open, got {closed} for {closed} AAA; correct the date, "
            "or move the row to the session at whose close it is known."
        )


def test_a_quarter_that_ends_after_its_filing_is_named_and_one_that_ends_on_it_is_sound() -> None:
    assert refusal(FUNDAMENTAL_TABLE, fundamentals(("2020-04-30", "2020-05-01", "AAA"))) == (
        "column period_end: expected a day on or before the filing's, got 2020-05-01 for AAA, filed 2020-04-30, "
        "quarter to 2020-05-01; correct the value or remove the row."
    )
    frame = fundamentals(("2020-04-30", "2020-04-30", "AAA"))
    pd.testing.assert_frame_equal(FUNDAMENTAL_TABLE.validate(frame, "my table"), frame)


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ({}, set()),
        ({"high": 9.4}, {"high", "open", "close"}),  # below the low
        ({"open": 9.491, "close": 10.51}, set()),  # a rounding of less than 0.1 %
        ({"open": 9.49}, {"open"}),
        ({"close": 10.52}, {"close"}),
        ({"low": np.nan}, {"high", "open", "close"}),
        ({"high": 9.5, "low": 9.5, "open": 9.5, "close": 9.5}, set()),
    ],
)
def test_the_prices_of_a_session_lie_between_its_low_and_high(values: dict[str, Any], broken: set[str]) -> None:
    bars = prices(("2020-01-02", "AAA")).assign(**values)
    assert {rule.column for rule in OHLC_RULES if not rule.holds(bars).all()} == broken
