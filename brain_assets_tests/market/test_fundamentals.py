"""Fundamentals tables at the border."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.market.fundamentals import (
    FUNDAMENTAL_COLUMNS,
    RATIOS,
    empty_fundamentals,
    validate_fundamentals,
)


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Sound rows: (filed, period_end, symbol), ratios 0.1 to 0.5."""
    return pd.DataFrame(
        {
            "filed": np.array([row[0] for row in rows], dtype="datetime64[us]"),
            "period_end": np.array([row[1] for row in rows], dtype="datetime64[us]"),
            "symbol": pd.Series([row[2] for row in rows], dtype="str"),
            **{name: 0.1 * (which + 1) for which, name in enumerate(RATIOS)},
        }
    )


def sound() -> pd.DataFrame:
    return table(
        ("2020-01-29", "2019-12-28", "AAA"),
        ("2020-04-30", "2019-12-28", "AAA"),  # a later version of the same quarter
        ("2020-04-30", "2020-03-28", "AAA"),
        ("2020-04-30", "2020-03-31", "BBB"),
    )


def refusal(frame: pd.DataFrame) -> str:
    with pytest.raises(TableError) as caught:
        validate_fundamentals(frame, "my table")
    message = str(caught.value)
    assert message.startswith("my table: ")
    assert "\n" not in message
    return message


def test_a_sound_table_comes_back_by_filing_symbol_and_quarter_with_a_new_index() -> None:
    shuffled = sound().iloc[[3, 2, 0, 1]]
    before = shuffled.copy()
    pd.testing.assert_frame_equal(validate_fundamentals(shuffled, "my table"), sound(), check_exact=True)
    pd.testing.assert_frame_equal(shuffled, before)


def test_an_empty_table_has_the_right_types_and_is_sound() -> None:
    empty = empty_fundamentals()
    assert tuple(empty.columns) == FUNDAMENTAL_COLUMNS
    assert len(empty) == 0
    pd.testing.assert_frame_equal(validate_fundamentals(empty, "my table"), empty)
    pd.testing.assert_series_equal(empty.dtypes, sound().dtypes)


@pytest.mark.parametrize("column", RATIOS)
def test_a_ratio_may_be_unknown_or_negative(column: str) -> None:
    frame = sound()
    frame.loc[1, column] = np.nan
    frame.loc[2, column] = -3.5
    pd.testing.assert_frame_equal(validate_fundamentals(frame, "my table"), frame)


@pytest.mark.parametrize("column", RATIOS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_ratio_is_named_with_its_row(column: str, value: float) -> None:
    frame = sound()
    frame.loc[2, column] = value
    assert refusal(frame) == (
        f"my table: column {column}: expected a finite number, or none where it is not known, got {value} for AAA, "
        "filed 2020-04-30, quarter to 2020-03-28; correct the value or remove the row."
    )


@pytest.mark.parametrize("column", ["filed", "period_end"])
def test_a_day_with_a_time_or_no_day_is_named(column: str) -> None:
    frame = sound()
    frame.loc[3, column] += datetime.timedelta(hours=9)
    assert f"column {column}: expected a day without a time, got 2020-0" in refusal(frame)
    frame.loc[3, column] = pd.NaT
    assert f"column {column}: expected a day without a time, got NaT for BBB, filed " in refusal(frame)


@pytest.mark.parametrize("symbol", ["", None])
def test_a_row_of_nobody_is_named(symbol: str | None) -> None:
    frame = sound()
    frame.loc[1, "symbol"] = symbol
    assert "column symbol: expected a name, got " in refusal(frame)


def test_a_quarter_that_ends_after_its_filing_is_named() -> None:
    frame = sound()
    frame.loc[2, "period_end"] = pd.Timestamp("2020-05-01")
    assert refusal(frame) == (
        "my table: column period_end: expected a day on or before the filing's, got 2020-05-01 for AAA, filed "
        "2020-04-30, quarter to 2020-05-01; correct the dates."
    )


def test_a_quarter_may_end_on_its_filing_day() -> None:
    frame = table(("2020-04-30", "2020-04-30", "AAA"))
    pd.testing.assert_frame_equal(validate_fundamentals(frame, "my table"), frame)


def test_a_duplicate_row_is_named() -> None:
    frame = pd.concat([sound(), table(("2020-04-30", "2020-03-28", "AAA"))])
    assert refusal(frame) == (
        "my table: expected one row a filing day, quarter and symbol, got several for AAA, filed 2020-04-30, quarter "
        "to 2020-03-28; keep one."
    )


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ("net_margin", "float32", "float64"),
        ("net_margin", "object", "float64"),
        ("filed", "datetime64[ns]", "datetime64[us]"),
        ("symbol", "object", "str"),
    ],
)
def test_a_column_of_another_type_is_named_with_both_types(column: str, kind: str, expected: str) -> None:
    message = refusal(sound().astype({column: kind}))
    assert message == f"my table: column {column}: expected the type {expected}, got {kind}; convert it."


@pytest.mark.parametrize("columns", [FUNDAMENTAL_COLUMNS[:-1], FUNDAMENTAL_COLUMNS[::-1]])
def test_missing_or_swapped_columns_are_named(columns: tuple[str, ...]) -> None:
    message = refusal(sound()[list(columns)])
    assert f"expected the columns {', '.join(FUNDAMENTAL_COLUMNS)} in this order, got {', '.join(columns)};" in message
