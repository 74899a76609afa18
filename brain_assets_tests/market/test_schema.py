"""The raw tables at the border: what is sound comes back in order, what is not is one sentence that names the row."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import (
    FUNDAMENTAL_TABLE,
    NEWS_TABLE,
    PRICE_TABLE,
    RATIOS,
    Finding,
    TableSchema,
    added_up,
    attach,
    describe,
    findings_of,
)
from brain_assets.store.tables import MemoryTableStore, content_hash

VALUES: dict[str, dict[str, Any]] = {
    "date": {"open": 9.75, "high": 10.5, "low": 9.5, "close": 10.0, "volume": 1000.0},
    "news": {"sentiment_score": 0.5, "n_articles": 2},
    "filed": {name: 0.1 * (which + 1) for which, name in enumerate(RATIOS)},
}


def table(schema: TableSchema, *rows: tuple[str, ...]) -> pd.DataFrame:
    """Rows of days and a symbol, all with the same sound values."""
    days = [name for name in schema.names if name in ("date", "filed", "period_end")]
    frame = pd.DataFrame(rows, columns=[*days, "symbol"]).astype(dict.fromkeys(days, "datetime64[us]"))
    values = VALUES["news" if schema is NEWS_TABLE else schema.names[0]]
    return frame.astype({"symbol": "str"}).assign(**values)


def sound(schema: TableSchema) -> pd.DataFrame:
    """Four rows in order; of the third, what is named `PLACES`."""
    if schema is not FUNDAMENTAL_TABLE:
        days = ("2020-01-02", "2020-01-03")
        return table(schema, *((day, symbol) for day in days for symbol in ("AAA", "BBB")))
    first, later = ("2020-01-29", "2019-12-28", "AAA"), "2020-04-30"  # the second: a later version of the same quarter
    return table(schema, first, (later, *first[1:]), (later, "2020-03-28", "AAA"), (later, "2020-03-31", "BBB"))


PLACES = {"date": "2020-01-03 AAA", "filed": "AAA, filed 2020-04-30, quarter to 2020-03-28"}
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


each_table = pytest.mark.parametrize(
    "schema", [PRICE_TABLE, NEWS_TABLE, FUNDAMENTAL_TABLE], ids=lambda each: each.place
)


@each_table
def test_a_sound_table_comes_back_in_order_with_a_new_index_and_its_attributes(schema: TableSchema) -> None:
    shuffled = sound(schema).iloc[[3, 2, 0, 1]]
    shuffled.attrs["previous_closes"] = {"AAA": ["2019-12-31", 9.5]}
    before = shuffled.copy()
    checked = schema.validate(shuffled, "my table")
    pd.testing.assert_frame_equal(checked, sound(schema), check_exact=True)
    assert checked.attrs == {"previous_closes": {"AAA": ["2019-12-31", 9.5]}}
    pd.testing.assert_frame_equal(shuffled, before)
    pd.testing.assert_series_equal(schema.empty().dtypes, sound(schema).dtypes)
    pd.testing.assert_frame_equal(schema.validate(schema.empty(), "my table"), schema.empty())


@each_table
def test_columns_of_other_names_order_or_types_are_named(schema: TableSchema) -> None:
    frame, names = sound(schema), list(schema.names)
    for wrong in (frame[names[:-1]], frame[names[::-1]], frame.assign(x=1.0), frame.rename(columns={names[-1]: "x"})):
        assert refusal(schema, wrong) == (
            f"expected the columns {', '.join(names)} in this order, got {', '.join(wrong.columns)}; rename, add or "
            "remove columns."
        )
    message = refusal(schema, frame.astype({names[0]: "datetime64[ns]"}))
    assert message == f"column {names[0]}: expected the type datetime64[us], got datetime64[ns]; convert it."


PRICE, RATIO = "a finite price > 0", "a finite number, or none where it is not known"
DAY, NAME = "a day without a time", "a name without blanks around it"
AFTERNOON = pd.Timestamp("2020-01-03 16:00")


@pytest.mark.parametrize(
    ("schema", "column", "rule", "values"),
    [
        *((PRICE_TABLE, name, PRICE, (-1.5, 0.0, np.nan, np.inf)) for name in PRICE_FIELDS[:-1]),
        (PRICE_TABLE, "volume", "a finite number >= 0", (-1.5, np.nan, np.inf)),
        (NEWS_TABLE, "sentiment_score", "a score from -1 to 1", (1.01, -1.01, np.nan)),
        (NEWS_TABLE, "n_articles", "a whole number >= 1", (0, -2)),
        *((FUNDAMENTAL_TABLE, name, RATIO, (np.inf, -np.inf)) for name in RATIOS),
        *((schema, "symbol", NAME, ("", None, " AAA")) for schema in (PRICE_TABLE, NEWS_TABLE, FUNDAMENTAL_TABLE)),
        *((schema, "date", DAY, (AFTERNOON, pd.NaT)) for schema in (PRICE_TABLE, NEWS_TABLE)),
        *((FUNDAMENTAL_TABLE, column, DAY, (AFTERNOON, pd.NaT)) for column in ("filed", "period_end")),
    ],
)
def test_a_wrong_value_is_named_with_its_column_and_row(
    schema: TableSchema, column: str, rule: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        message = refusal(schema, with_value(schema, column, value))
        assert message.startswith(f"column {column}: expected {rule}, got {describe(value)} for ")
        assert message.endswith("; correct the value or remove the row.")
        if isinstance(value, int | float):  # else the row's own name is wrong
            assert f" for {PLACES[schema.names[0]]}; " in message


@each_table
def test_a_duplicate_row_is_named(schema: TableSchema) -> None:
    frame, first = pd.concat([sound(schema), sound(schema).iloc[[2]]]), schema.names[0]
    key = "filed, symbol and period_end" if first == "filed" else "date and symbol"
    expected = f"column {first}: expected one row a {key}, got several for {PLACES[first]}; keep one."
    assert refusal(schema, frame) == expected


@pytest.mark.parametrize("closed", ["2020-01-04", "2019-11-28", "1965-01-04"])
def test_a_row_on_a_day_when_the_exchange_was_closed_is_named(closed: str) -> None:
    """A Saturday, Thanksgiving, and a Monday before the first date that is known."""
    for schema in (PRICE_TABLE, NEWS_TABLE):
        assert refusal(schema, pd.concat([sound(schema), table(schema, (closed, "AAA"))])) == (
            f"column date: expected a day on which the NYSE was open, got {closed} for {closed} AAA; correct the date, "
            "or move the row to the session at whose close it is known."
        )


# Findings


def test_findings_are_stored_with_the_table_and_change_no_hash() -> None:
    words, where = "rows on days when the exchange was closed", "2019-07-04 (line 13)"
    found = Finding("rows_taken", "prices.csv", words, "left out", 2019, 1_000, where)
    frame = pd.DataFrame({"date": pd.to_datetime(["2019-01-02"]), "value": [1.5]})
    before = content_hash(frame)
    attach(frame, [found])
    store = MemoryTableStore()
    store.write("features", 2019, frame)
    assert findings_of(store.read_year("features", 2019)) == [found]
    assert content_hash(frame) == before
    assert "findings" not in attach(frame, []).attrs
    [both] = added_up([found, found._replace(year=2018, n_rows=2, first="2018-12-05 (line 7)")])
    assert both.sentence == f"prices.csv: 1,002 {words}, the first 2018-12-05 (line 7); left out."
