"""Daily bars: the one schema of price tables, and the panel that everything downstream computes on."""

import datetime
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import sessions_between

if TYPE_CHECKING:
    import pandera.pandas as pa

PRICE_FIELDS = ("open", "high", "low", "close", "volume")
"""Channels of a bar, in the order of `PricePanel.values`. Prices in dollars, adjusted for splits and dividends; volume
in shares, adjusted for splits. All are known at the close of their session."""

OPEN, HIGH, LOW, CLOSE, VOLUME = range(len(PRICE_FIELDS))

PRICE_COLUMNS = ("date", "symbol", *PRICE_FIELDS)


@lru_cache(maxsize=1)
def price_schema() -> "pa.DataFrameSchema":
    """Give the schema of a price table: types, positive prices, one row a date and symbol."""
    import pandera.pandas as pa  # slow to import; definitions load without it

    positive = [pa.Check.gt(0), pa.Check.lt(float("inf"))]
    never_negative = [pa.Check.ge(0), pa.Check.lt(float("inf"))]
    return pa.DataFrameSchema(
        {
            "date": pa.Column("datetime64[us]", pa.Check(lambda dates: dates == dates.dt.normalize(), name="a day")),
            "symbol": pa.Column("str", pa.Check.str_length(min_value=1)),
            **{name: pa.Column("float64", positive) for name in PRICE_FIELDS[:-1]},
            "volume": pa.Column("float64", never_negative),
        },
        unique=["date", "symbol"],
        strict=True,
        ordered=True,
    )


def validate_prices(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Check a price table at the border and put its rows into date and symbol order.

    Parameters
    ----------
    frame : DataFrame
        Columns `PRICE_COLUMNS`. A bar that is not known is an absent row, never NaN.
    origin : str
        What the table is, for the message: a file, or a market and a range.

    Returns
    -------
    DataFrame
        The same rows, ordered by date, then symbol; index 0, 1, 2, …

    Raises
    ------
    TableError
        Naming `origin`, the column, the first offending value, and its date and symbol.
    """
    import pandera.errors

    if tuple(frame.columns) != PRICE_COLUMNS:
        raise TableError(
            f"{origin}: expected the columns {', '.join(PRICE_COLUMNS)} in this order, got "
            f"{', '.join(map(str, frame.columns))}; rename, add or remove columns."
        )
    frame = frame.sort_values(["date", "symbol"], ignore_index=True)
    try:
        checked: pd.DataFrame = price_schema().validate(frame)
    except pandera.errors.SchemaError as error:
        raise TableError(f"{origin}: {_explain(frame, error)}") from error
    dates = np.unique(checked["date"].to_numpy().astype("datetime64[D]"))
    if len(dates):
        scheduled = sessions_between(dates[0].item(), dates[-1].item() + datetime.timedelta(days=1))
        strangers = dates[~np.isin(dates, scheduled)]
        if len(strangers):
            raise TableError(
                f"{origin}: expected trading days of the NYSE, got a bar on {strangers[0]}, when it was closed; "
                "remove the row or correct its date."
            )
    return checked


def _explain(frame: pd.DataFrame, error: object) -> str:
    """Turn pandera's report into one sentence with the first offending row."""
    column = getattr(getattr(error, "schema", None), "name", None)
    cases = getattr(error, "failure_cases", None)
    position = None
    if isinstance(cases, pd.DataFrame) and "index" in cases and cases["index"].notna().any():
        position = int(cases["index"].dropna().iloc[0])
    if position is None:
        return f"expected the columns {', '.join(PRICE_COLUMNS)} with their types; got: {str(error).splitlines()[0]}"
    row = frame.iloc[position]
    place = f"{row['date'] if pd.isna(row['date']) else pd.Timestamp(row['date']).date()} {row['symbol']}"
    if column is None:
        return f"expected one row a date and symbol, got several for {place}; remove the duplicates."
    rules = {"date": "a day without a time", "symbol": "a name", "volume": "a finite number >= 0"}
    rule = rules.get(column, "a finite price > 0")
    return f"column {column}: expected {rule}, got {row[column]} for {place}; correct the value or remove the row."


@dataclass(frozen=True)
class PricePanel:
    """Bars as one dense array; the layout that features, weeks and portfolios are computed on.

    Attributes
    ----------
    sessions : ndarray of datetime64[D], shape (n_sessions,)
        Every session of the exchange from the first bar to the last, with or without rows.
    symbols : tuple of str, length n_assets
        Sorted; each has at least one bar.
    values : ndarray of float64, shape (n_assets, n_sessions, 5)
        Channels as in `PRICE_FIELDS`. NaN: not traded, not listed, or not known; never filled.
    signals : ndarray of float64, shape (n_assets, n_sessions, 7), optional
        What news and filings said by the close of each session (`brain_assets.market.signals.add_signals`); None: not
        asked for.
    """

    sessions: DateArray
    symbols: tuple[str, ...]
    values: FloatArray
    signals: FloatArray | None = None

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> "PricePanel":
        """Lay out a validated price table; memory is the array plus one column at a time."""
        if frame.empty:
            raise TableError("expected at least one bar, got an empty price table; check the symbols and the range.")
        symbol_codes, symbols = pd.factorize(frame["symbol"], sort=True)
        dates = frame["date"].to_numpy().astype("datetime64[D]")
        sessions = sessions_between(dates.min().item(), dates.max().item() + datetime.timedelta(days=1))
        session_codes = np.searchsorted(sessions, dates)
        values = np.full((len(symbols), len(sessions), len(PRICE_FIELDS)), np.nan)
        for channel, name in enumerate(PRICE_FIELDS):
            values[symbol_codes, session_codes, channel] = frame[name].to_numpy()
        return cls(sessions, tuple(str(symbol) for symbol in symbols), values)

    def until(self, last_date: datetime.date) -> "PricePanel":
        """Cut the panel after `last_date`; symbols without a bar by then are gone, as if never heard of."""
        n_sessions = int(np.searchsorted(self.sessions, np.datetime64(last_date, "D"), "right"))
        values = self.values[:, :n_sessions]
        signals = None if self.signals is None else self.signals[:, :n_sessions]
        listed = np.flatnonzero(np.isfinite(values[:, :, CLOSE]).any(axis=1))
        if len(listed) < len(self.symbols):
            values = values[listed]
            signals = None if signals is None else signals[listed]
        return PricePanel(self.sessions[:n_sessions], tuple(self.symbols[i] for i in listed), values, signals)
