"""News sentiment: the one schema of its tables, and which session a piece of news belongs to.

Layout: one row a session and symbol with news: the mean score of its articles and how many they are, known at the
session's close. A day without news has no row. A headline belongs to the first session that closes at or after the
moment it was published; a daily score, which has no time, to its own day, or to the next session if its day is none.
"""

import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import FIRST_DATE, closes_between, sessions_between

if TYPE_CHECKING:
    import pandera.pandas as pa

NEWS_COLUMNS = ("date", "symbol", "sentiment_score", "n_articles")
"""A session; a symbol; the mean score of its articles, -1 (bad news) to 1 (good); how many they are, at least 1."""

_TYPES = {"date": "datetime64[us]", "symbol": "str", "sentiment_score": "float64", "n_articles": "int64"}
_KEY = ["date", "symbol"]


@lru_cache(maxsize=1)
def news_schema() -> "pa.DataFrameSchema":
    """Give the schema of a news table: types, scores in [-1, 1], one row a date and symbol."""
    import pandera.pandas as pa  # slow to import; definitions load without it

    checks = {
        "date": pa.Check(lambda dates: dates == dates.dt.normalize(), name="a day"),
        "symbol": pa.Check.str_length(min_value=1),
        "sentiment_score": pa.Check.in_range(-1.0, 1.0),
        "n_articles": pa.Check.ge(1),
    }
    columns = {name: pa.Column(_TYPES[name], checks[name]) for name in NEWS_COLUMNS}
    return pa.DataFrameSchema(columns, unique=_KEY, strict=True, ordered=True)


def empty_news() -> pd.DataFrame:
    """Give a table without rows, its columns and types right: there was no news, or nobody was asked."""
    return pd.DataFrame({name: pd.Series([], dtype=_TYPES[name]) for name in NEWS_COLUMNS})


def validate_news(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Check a news table at the border and put its rows into date and symbol order.

    Parameters
    ----------
    frame : DataFrame
        Columns `NEWS_COLUMNS`. A day without news is an absent row, never NaN.
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

    if tuple(frame.columns) != NEWS_COLUMNS:
        raise TableError(
            f"{origin}: expected the columns {', '.join(NEWS_COLUMNS)} in this order, got "
            f"{', '.join(map(str, frame.columns))}; rename, add or remove columns."
        )
    frame = frame.reset_index(drop=True)
    try:
        checked: pd.DataFrame = news_schema().validate(frame)
    except pandera.errors.SchemaError as error:
        raise TableError(f"{origin}: {_explain(frame, error)}") from error
    days = checked["date"].to_numpy().astype("datetime64[D]")
    strangers = np.flatnonzero(~np.isin(days, _sessions()))
    if len(strangers):
        raise TableError(
            f"{origin}: column date: expected a day on which the NYSE was open, got {_place(checked, strangers[0])}, "
            "when it was closed; move the row to the session at whose close it is known."
        )
    return checked.sort_values(_KEY, ignore_index=True)


def news_sessions(published: pd.Series) -> DateArray:
    """Give the session at whose close each piece of news is first known.

    Parameters
    ----------
    published : Series of timestamps with a zone, length n
        Any zone. The very moment of a close still belongs to the session that it ends.

    Returns
    -------
    ndarray of datetime64[D], shape (n,)
        The first session that closes at or after that moment: news after a close, on a weekend or on a holiday belongs
        to the next session. Real closes: 13:00 in New York where the exchange closes early.

    Raises
    ------
    TableError
        If the moments have no zone, or one is not known or lies outside the exchange's calendar.
    """
    if not isinstance(published.dtype, pd.DatetimeTZDtype):
        raise TableError(f"published: expected timestamps with a zone, got {published.dtype}; add the zone.")
    moments = published.dt.tz_convert("UTC").dt.tz_localize(None)
    # a moment between two microseconds counts as the later one: earlier than it was would be too early
    return _following(moments.dt.ceil("us").to_numpy(), closes_between(FIRST_DATE, datetime.date.max))


def day_sessions(days: DateArray) -> DateArray:
    """Give the session of each daily score: its own day, or the next session if the exchange was closed on it.

    Parameters
    ----------
    days : ndarray of datetime64, shape (n,)
        Days in New York. What was published after the close of a session must not be in that day's score: no time is
        known here that could tell.

    Returns
    -------
    ndarray of datetime64[D], shape (n,)

    Raises
    ------
    TableError
        If a day is not known or lies outside the exchange's calendar.
    """
    return _following(days.astype("datetime64[D]"), _sessions())


def last_close() -> pd.Timestamp:
    """Give the last close that the exchange's calendar knows, about a year ahead; in UTC."""
    return pd.Timestamp(closes_between(FIRST_DATE, datetime.date.max)[-1], tz="UTC")


def daily_sentiment(
    sessions: DateArray, symbols: pd.Series, scores: FloatArray, n_articles: IntArray | None = None
) -> pd.DataFrame:
    """Gather scores into one row a session and symbol.

    Parameters
    ----------
    sessions : ndarray of datetime64[D], shape (n,)
        As `news_sessions` or `day_sessions` gives them.
    symbols : Series of str, length n
    scores : ndarray of float64, shape (n,)
        In [-1, 1].
    n_articles : ndarray of int64, shape (n,), optional
        How many articles each score stands for; None: one.

    Returns
    -------
    DataFrame
        Columns `NEWS_COLUMNS`, in date and symbol order: the mean over articles, and their number. A row depends on the
        scores of its own session and symbol alone, and not on their order.
    """
    counts = np.ones(len(scores), dtype=np.int64) if n_articles is None else n_articles
    rows = pd.DataFrame(
        {
            "date": sessions.astype("datetime64[us]"),
            "symbol": symbols.to_numpy(dtype=object),
            "sentiment_score": scores,
            "n_articles": counts,
            "total": scores * counts,
        }
    ).astype({"symbol": "str"})
    rows = rows.sort_values(list(NEWS_COLUMNS))  # one order of summation, whichever file a row came from
    groups = rows.groupby(_KEY, as_index=False).agg(
        sentiment_score=("sentiment_score", "first"),
        n_rows=("sentiment_score", "size"),
        n_articles=("n_articles", "sum"),
        total=("total", "sum"),
    )
    mean = groups["total"] / groups["n_articles"]
    groups["sentiment_score"] = groups["sentiment_score"].where(groups["n_rows"] == 1, mean)  # alone: to the last bit
    return groups[list(NEWS_COLUMNS)]


def _sessions() -> DateArray:
    return sessions_between(FIRST_DATE, datetime.date.max)


def _following(moments: DateArray, ends: DateArray) -> DateArray:
    """Give the session of the first of `ends`, one for each session, at or after each moment."""
    positions = np.searchsorted(ends, moments, side="left")
    outside = np.flatnonzero(np.isnat(moments) | (moments < np.datetime64(FIRST_DATE)) | (positions == len(ends)))
    if len(outside):
        raise TableError(
            f"news: expected moments from {FIRST_DATE} to {ends[-1]}, the last session that the exchange has fixed, "
            f"got {moments[outside[0]]}; correct or remove it."
        )
    return _sessions()[positions]


def _explain(frame: pd.DataFrame, error: object) -> str:
    """Turn pandera's report into one sentence with the first offending row."""
    column = getattr(getattr(error, "schema", None), "name", None)
    cases = getattr(error, "failure_cases", None)
    if not (isinstance(cases, pd.DataFrame) and "index" in cases and cases["index"].notna().any()):
        return f"expected the columns {', '.join(NEWS_COLUMNS)} with their types; got: {str(error).splitlines()[0]}"
    row = int(cases["index"].dropna().iloc[0])
    if column is None:
        return f"expected one row a date and symbol, got several for {_place(frame, row)}; put them into one."
    rules = {"date": "a day without a time", "symbol": "a name", "sentiment_score": "a score from -1 to 1"}
    rule = rules.get(column, "a whole number >= 1")
    return (
        f"column {column}: expected {rule}, got {frame.loc[row, column]} for {_place(frame, row)}; "
        "correct the value or remove the row."
    )


def _place(frame: pd.DataFrame, row: int) -> str:
    date = frame.loc[row, "date"]
    return f"{date if pd.isna(date) else pd.Timestamp(date).date()} {frame.loc[row, 'symbol']}"
