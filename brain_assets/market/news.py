"""News from the user's own files: daily scores, or headlines that somebody else scores.

Layout: in one folder, any split into files, as `brain_assets.market.table_files` reads them, of one sort only: both at
once are refused, since news that stands in both would count twice, and two scorers do not mean the same by 0.5.

- ``news_sentiment*``: one row a date and symbol; a row without a score says that there was no news. A score may rest on
  nothing that was published after the close of its day.
- ``headlines*``: the same title at the same moment for the same symbol counts once, however often it is there.

A headline belongs to the first session that closes (early ones at 13:00) at or after the moment it was published; a
daily score, which has no time, to its own day, or to the next session if its day is none. What a row is worth depends
on the news of its own session alone: news that comes later changes no earlier row.
"""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray, MomentArray
from brain_assets.errors import MarketError
from brain_assets.market.base import ScoreHeadlines
from brain_assets.market.calendar import FIRST_DATE, closes_between, sessions_between
from brain_assets.market.file_values import MOMENT
from brain_assets.market.schema import NEWS_TABLE, ONE_SYMBOL, TEXT, Rule, attach, findings_of
from brain_assets.market.table_files import FileTable, OptionalFiles, read_files
from brain_assets.progress import warn

MIDNIGHT_SHARE = 0.5
"""From this share of headlines at midnight sharp on, midnight is taken for a time that nobody knew, with a warning."""

_HEADLINES = {"published": MOMENT, "symbol": TEXT, "title": TEXT}
_ZONES = ("UTC", "America/New_York")


def read_score_files(paths: Sequence[Path], spelled: Sequence[str], symbols: Sequence[str]) -> FileTable:
    """Read every file and judge every row; days without a score are left out, each other day becomes a session."""
    rows = read_files(paths, NEWS_TABLE.types).judged(ONE_SYMBOL).joined(spelled).of(symbols)
    rows = rows.without_repeats(NEWS_TABLE.order)
    rows = rows.only(rows.frame["sentiment_score"].notna()).judged((*NEWS_TABLE.value_rules, _inside_calendar("date")))
    frame = rows.frame.assign(
        date=day_sessions(rows.frame["date"]), n_articles=rows.frame["n_articles"].astype("int64")
    )
    faults, left = (told.assign(day=day_sessions(told["day"])) for told in (rows.faults, rows.left))
    return replace(rows, frame=frame, faults=faults, left=left)


def read_headline_files(paths: Sequence[Path], spelled: Sequence[str], symbols: Sequence[str]) -> FileTable:
    """Read every file and judge every row; each distinct headline once, in the order of publication."""
    title = Rule("title", "a title", lambda rows: rows["title"].notna())
    rows = read_files(paths, _HEADLINES).judged([_inside_calendar("published")])
    frame = rows.frame.assign(date=news_sessions(rows.frame["published"]))[["date", *rows.frame]]
    rows = replace(rows, frame=frame).judged((*ONE_SYMBOL, title))
    names = rows.frame["symbol"].cat.remove_unused_categories()  # a cell with several is the name of none
    rows = replace(rows, frame=rows.frame.assign(symbol=names)).joined(spelled)
    _warn_of_midnights(rows.frame["published"], paths[0].parent)
    rows = rows.of(symbols)
    frame = rows.frame.astype({"title": "str"}).drop_duplicates(list(_HEADLINES)).sort_values(list(_HEADLINES))
    return replace(rows, frame=frame.drop(columns="published").assign(n_articles=1))


class NewsFiles(OptionalFiles):
    """Daily news scores from CSV and Parquet files; see `OptionalFiles`."""

    schema = NEWS_TABLE
    sorts: ClassVar = {"scores": ("news_sentiment", read_score_files), "headlines": ("headlines", read_headline_files)}

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> pd.DataFrame:
        """Give the daily scores of sessions from `start` up to but not including `end`.

        Each is known at the close of its session. `score` gives scores in [-1, 1] of distinct titles, in their order;
        it is only called if there are headlines in the range, and with no others. Raises `MarketError` if the folder
        does not exist, holds both sorts, or `score` gives something else, and `TableError` for all that is wrong.
        """
        rows = self.select(start, end)
        if rows.empty:
            return attach(NEWS_TABLE.empty(), findings_of(rows))
        if "title" in rows:
            rows = rows.assign(sentiment_score=_score_titles(rows["title"], score))
        return attach(NEWS_TABLE.validate(daily_sentiment(rows), str(self.folder)), findings_of(rows))


def news_sessions(published: pd.Series) -> MomentArray:
    """Give the session at whose close each piece of news is first known; of moments with a zone, (n,)."""
    closes = closes_between(FIRST_DATE, datetime.date.max)
    position = np.searchsorted(closes, published.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    return sessions_between(FIRST_DATE, datetime.date.max)[position].astype("datetime64[us]")


def day_sessions(days: pd.Series) -> pd.Series:
    """Give the session of each daily score; days outside the calendar stay."""
    sessions = sessions_between(FIRST_DATE, datetime.date.max).astype("datetime64[us]")
    inside = days.between(pd.Timestamp(FIRST_DATE), sessions[-1])
    position = np.searchsorted(sessions, days.to_numpy()).clip(max=len(sessions) - 1)
    return days.mask(inside, pd.Series(sessions[position], index=days.index))


def _inside_calendar(column: str) -> Rule:
    first, last = pd.Timestamp(FIRST_DATE), pd.Timestamp(closes_between(FIRST_DATE, datetime.date.max)[-1])
    return Rule(
        column,
        f"a time from {first:%Y-%m-%d} to {last:%Y-%m-%d}, as far as the exchange has fixed its sessions",
        lambda rows: pd.to_datetime(rows[column], utc=True).dt.tz_localize(None).between(first, last),
    )


def daily_sentiment(rows: pd.DataFrame) -> pd.DataFrame:
    """Gather scores, each of some articles, into one row a session and symbol: the mean over articles, their number.

    Both are of `NEWS_TABLE`. A row depends on the scores of its own session and symbol alone, and not on their order.
    """
    rows = rows[list(NEWS_TABLE.names)].sort_values(list(NEWS_TABLE.names))  # one order of summation, whatever file
    groups = rows.assign(total=rows["sentiment_score"] * rows["n_articles"]).groupby(["date", "symbol"], as_index=False)
    found = groups.agg(
        sentiment_score=("sentiment_score", "first"),
        n_rows=("sentiment_score", "size"),
        n_articles=("n_articles", "sum"),
        total=("total", "sum"),
    )
    mean = found["total"] / found["n_articles"]
    found["sentiment_score"] = found["sentiment_score"].where(found["n_rows"] == 1, mean)  # alone: to the last bit
    return found[list(NEWS_TABLE.names)]


def _warn_of_midnights(published: pd.Series, place: Path) -> None:
    """Say so if times look like days: such headlines count at the close of a day that they may have come after."""
    for zone in _ZONES:
        local = published.dt.tz_convert(zone)
        n_midnight = int((local == local.dt.normalize()).sum())
        if n_midnight > MIDNIGHT_SHARE * len(published):
            warn(
                f"{place}: {n_midnight:,} of {len(published):,} headlines were published at midnight sharp ({zone}); "
                "if their time is not known, set it to the end of the day, or they count before they were published."
            )


def _score_titles(titles: pd.Series, score: ScoreHeadlines) -> FloatArray:
    codes, distinct = pd.factorize(titles)
    scores: FloatArray = np.asarray(score(list(map(str, distinct))), dtype=np.float64)
    if scores.shape != (len(distinct),) or not (np.abs(scores) <= 1).all():  # NaN is not <= 1
        raise MarketError(
            f"headlines: expected a score from -1 to 1 for each of {len(distinct)} titles, got an array of shape "
            f"{scores.shape} with values from {scores.min(initial=np.inf)} to {scores.max(initial=-np.inf)}; correct "
            "the scorer."
        )
    return scores[codes]
