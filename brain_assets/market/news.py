"""News sentiment: which session a piece of news belongs to.

Layout: one row a session and symbol with news: the mean score of its articles and how many they are, known at the
session's close. A day without news has no row. A headline belongs to the first session that closes at or after the
moment it was published; a daily score, which has no time, to its own day, or to the next session if its day is none.
"""

import datetime

import numpy as np
import pandas as pd

from brain_assets.arrays import DateArray, FloatArray, IntArray, MomentArray
from brain_assets.market.calendar import FIRST_DATE, closes_between, sessions_between
from brain_assets.market.schema import NEWS_TABLE


def news_sessions(published: pd.Series) -> DateArray:
    """Give the session at whose close each piece of news is first known; (n,).

    That is the first session that closes (early ones at 13:00) at or after the moment: news after a close, on a weekend
    or on a holiday belongs to the next session. Moments have a zone, and lie inside the exchange's calendar.
    """
    moments = published.dt.tz_convert("UTC").dt.tz_localize(None)
    # a moment between two microseconds counts as the later one: earlier than it was would be too early
    sessions: DateArray = _sessions()[np.searchsorted(_closes(), moments.dt.ceil("us").to_numpy())]
    return sessions


def day_sessions(days: DateArray) -> DateArray:
    """Give the session of each daily score, (n,): its own day, or the next session if the exchange was closed on it.

    What was published after the close of a session must not be in that day's score: no time is known here that could
    tell.
    """
    return _sessions()[np.searchsorted(_sessions(), days.astype("datetime64[D]"))]


def last_close() -> pd.Timestamp:
    """Give the last close that the exchange's calendar knows, about a year ahead; in UTC, without a zone."""
    return pd.Timestamp(_closes()[-1])


def daily_sentiment(sessions: DateArray, symbols: pd.Series, scores: FloatArray, n_articles: IntArray) -> pd.DataFrame:
    """Gather scores, each of some articles, into one row a session and symbol.

    Returns
    -------
    DataFrame
        Of `NEWS_TABLE`, in date and symbol order: the mean over articles, and their number. A row depends on the
        scores of its own session and symbol alone, and not on their order.
    """
    rows = pd.DataFrame(
        {
            "date": sessions.astype("datetime64[us]"),
            "symbol": symbols.to_numpy(dtype=object),
            "sentiment_score": scores,
            "n_articles": n_articles,
            "total": scores * n_articles,
        }
    ).astype({"symbol": "str"})
    rows = rows.sort_values(list(NEWS_TABLE.names))  # one order of summation, whichever file a row came from
    groups = rows.groupby(["date", "symbol"], as_index=False).agg(
        sentiment_score=("sentiment_score", "first"),
        n_rows=("sentiment_score", "size"),
        n_articles=("n_articles", "sum"),
        total=("total", "sum"),
    )
    mean = groups["total"] / groups["n_articles"]
    groups["sentiment_score"] = groups["sentiment_score"].where(groups["n_rows"] == 1, mean)  # alone: to the last bit
    return groups[list(NEWS_TABLE.names)]


def _sessions() -> DateArray:
    return sessions_between(FIRST_DATE, datetime.date.max)


def _closes() -> MomentArray:
    return closes_between(FIRST_DATE, datetime.date.max)
