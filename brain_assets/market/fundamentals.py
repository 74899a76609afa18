"""Quarterly ratios: the one schema of fundamentals tables.

Layout: one row a version of a quarter. The first version is dated by the filing that first told its ratios; a later
filing that changes one is a further row, at its own filing date. A row is known once its day is over: a filing may be
accepted after the close.
"""

import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from brain_assets.errors import TableError

if TYPE_CHECKING:
    import pandera.pandas as pa

RATIOS = ("gross_margin", "operating_margin", "net_margin", "current_ratio", "debt_to_equity")
"""Shares of the quarter's revenue, then ratios of the balance sheet at its end; NaN: not known, never infinite."""

FILED_BEFORE = datetime.timedelta(days=366)
"""Filings are asked for from so long before the first day, so that the first week knows the last one of each symbol."""

FUNDAMENTAL_COLUMNS = ("filed", "period_end", "symbol", *RATIOS)

_DAYS = ("filed", "period_end")
_ORDER = ["filed", "symbol", "period_end"]

FUNDAMENTAL_TYPES = {**dict.fromkeys(_DAYS, "datetime64[us]"), "symbol": "str", **dict.fromkeys(RATIOS, "float64")}


@lru_cache(maxsize=1)
def fundamental_schema() -> "pa.DataFrameSchema":
    """Give the schema of a fundamentals table: types, finite ratios, one row a filing day, quarter and symbol."""
    import pandera.pandas as pa  # slow to import; definitions load without it

    a_day = pa.Check(lambda days: days == days.dt.normalize(), name="a day")
    finite = pa.Check(lambda values: values.abs() < float("inf"), name="finite")  # pandera leaves NaN out
    return pa.DataFrameSchema(
        {
            **{name: pa.Column(FUNDAMENTAL_TYPES[name], a_day) for name in _DAYS},
            "symbol": pa.Column(FUNDAMENTAL_TYPES["symbol"], pa.Check.str_length(min_value=1)),
            **{name: pa.Column(FUNDAMENTAL_TYPES[name], finite, nullable=True) for name in RATIOS},
        },
        unique=list(FUNDAMENTAL_COLUMNS[:3]),
        strict=True,
        ordered=True,
    )


def empty_fundamentals() -> pd.DataFrame:
    """Give a table without rows, its columns and types right: nobody filed, or nobody was asked."""
    return pd.DataFrame({name: pd.Series([], dtype=FUNDAMENTAL_TYPES[name]) for name in FUNDAMENTAL_COLUMNS})


def validate_fundamentals(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Check a fundamentals table at the border and put its rows into the order of filing.

    Parameters
    ----------
    frame : DataFrame
        Columns `FUNDAMENTAL_COLUMNS`: days without a zone, then ratios, NaN where one is not known.
    origin : str
        What the table is, for the message: a file, or a market and a range.

    Returns
    -------
    DataFrame
        The same rows, ordered by filed, symbol, period_end; index 0, 1, 2, …

    Raises
    ------
    TableError
        Naming `origin`, the column, the first offending value, and its filing day, quarter and symbol.
    """
    import pandera.errors

    if tuple(frame.columns) != FUNDAMENTAL_COLUMNS:
        raise TableError(
            f"{origin}: expected the columns {', '.join(FUNDAMENTAL_COLUMNS)} in this order, got "
            f"{', '.join(map(str, frame.columns))}; rename, add or remove columns."
        )
    for name, kind in FUNDAMENTAL_TYPES.items():  # pandera lets other units of time pass, and objects for texts
        if frame[name].dtype != kind:
            raise TableError(f"{origin}: column {name}: expected the type {kind}, got {frame[name].dtype}; convert it.")
    frame = frame.reset_index(drop=True)
    try:
        checked: pd.DataFrame = fundamental_schema().validate(frame)
    except pandera.errors.SchemaError as error:
        raise TableError(f"{origin}: {_explain(frame, error)}") from error
    foreseen = checked.index[checked["period_end"] > checked["filed"]]
    if len(foreseen):
        raise TableError(
            f"{origin}: column period_end: expected a day on or before the filing's, got "
            f"{checked.loc[foreseen[0], 'period_end'].date()} for {_place(checked, foreseen[0])}; correct the dates."
        )
    return checked.sort_values(_ORDER, ignore_index=True)


def _explain(frame: pd.DataFrame, error: object) -> str:
    """Turn pandera's report into one sentence with the first offending row."""
    column = getattr(getattr(error, "schema", None), "name", None)
    cases = getattr(error, "failure_cases", None)
    if not (isinstance(cases, pd.DataFrame) and "index" in cases and cases["index"].notna().any()):
        return (
            f"expected {', '.join(FUNDAMENTAL_COLUMNS)} as `fundamental_schema` says; got: "
            + (str(error).splitlines()[0])
        )
    row = int(cases["index"].dropna().iloc[0])
    if column is None:
        return f"expected one row a filing day, quarter and symbol, got several for {_place(frame, row)}; keep one."
    rules = {**dict.fromkeys(_DAYS, "a day without a time"), "symbol": "a name"}
    rule = rules.get(column, "a finite number, or none where it is not known")
    return (
        f"column {column}: expected {rule}, got {frame.loc[row, column]} for {_place(frame, row)}; "
        "correct the value or remove the row."
    )


def _place(frame: pd.DataFrame, row: int) -> str:
    """Name a row: symbol, filing day, quarter."""
    filed, period_end = (
        day if pd.isna(day) or not isinstance(day, pd.Timestamp) else day.date() for day in frame.loc[row, list(_DAYS)]
    )
    return f"{frame.loc[row, 'symbol']}, filed {filed}, quarter to {period_end}"
