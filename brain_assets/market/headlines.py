"""News from the user's own files: daily scores, or headlines that somebody else scores.

Layout: in one folder, any split into files, CSV or Parquet as `brain_assets.market.table_files` reads them, each with
the columns named here (others are ignored), and of one sort only:

- ``news_sentiment*``: date, symbol, sentiment_score in [-1, 1], and n_articles, which may be absent: then a row counts
  as one article. One row a date and symbol; a row without a score says that there was no news, and is left out. A score
  may rest on nothing that was published after the close of its day.
- ``headlines*``: published (a time with its zone), symbol, title. The same title at the same moment for the same symbol
  counts once, however often it is there.

Both sorts at once are refused: news that stands in both would count twice, and two scorers do not mean the same by 0.5.
What a row is worth depends on the news of its own session alone: news that comes later changes no earlier row.

Rerun behaviour: an instance reads the files once; files changed later are seen by the next process.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.errors import MarketError
from brain_assets.market.base import ScoreHeadlines
from brain_assets.market.calendar import FIRST_DATE
from brain_assets.market.news import daily_sentiment, day_sessions, last_close, news_sessions
from brain_assets.market.schema import NEWS_TABLE, SYMBOL, TEXT, Rule
from brain_assets.market.table_files import MOMENT, OptionalFiles, read_files, refuse_broken, refuse_duplicates
from brain_assets.progress import warn

SCORE_PATTERNS = ("news_sentiment*.csv", "news_sentiment*.parquet")
HEADLINE_PATTERNS = ("headlines*.csv", "headlines*.parquet")

MIDNIGHT_SHARE = 0.5
"""From this share of headlines at midnight sharp on, midnight is taken for a time that nobody knew, with a warning."""

HEADLINE_LAYOUT = {"published": MOMENT, "symbol": TEXT, "title": TEXT}
_ZONES = ("UTC", "America/New_York")


def is_headlines(path: Path) -> bool:
    """Tell a file of headlines from one of scores."""
    return path.name.startswith("headlines")


def read_score_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; days without a score are left out, each other day becomes a session."""
    rows = read_files(paths, NEWS_TABLE.types)
    refuse_broken(rows, [SYMBOL.rule])
    refuse_duplicates(rows, NEWS_TABLE.order)
    rows = rows[rows["sentiment_score"].notna()]
    refuse_broken(rows, (*(column.rule for column in NEWS_TABLE.columns), _inside_calendar("date")))
    sessions = day_sessions(rows["date"].to_numpy()).astype("datetime64[us]")
    return rows.assign(date=sessions)[list(NEWS_TABLE.names)]


def read_headline_files(paths: Sequence[Path]) -> pd.DataFrame:
    """Read every file and check every row; each distinct headline once, in the order of publication."""
    rows = read_files(paths, HEADLINE_LAYOUT)
    rows = rows.assign(title=rows["title"].str.strip())
    title = Rule("title", "a title", lambda rows: rows["title"].notna() & (rows["title"] != ""))
    refuse_broken(rows, (SYMBOL.rule, title, _inside_calendar("published")))
    rows = rows.drop_duplicates(list(HEADLINE_LAYOUT)).sort_values(list(HEADLINE_LAYOUT))
    _warn_of_midnights(rows["published"], paths[0].parent)
    sessions = news_sessions(rows["published"]).astype("datetime64[us]")
    return rows.assign(date=sessions, n_articles=1)[["date", "symbol", "title", "n_articles"]]


def _inside_calendar(column: str) -> Rule:
    first, last = pd.Timestamp(FIRST_DATE), last_close()
    return Rule(
        column,
        f"a time from {first:%Y-%m-%d} to {last:%Y-%m-%d}, as far as the exchange has fixed its sessions",
        lambda rows: pd.to_datetime(rows[column], utc=True).dt.tz_localize(None).between(first, last),
    )


class NewsFiles(OptionalFiles):
    """Daily news scores from CSV and Parquet files; see `OptionalFiles`."""

    schema = NEWS_TABLE
    sorts: ClassVar = {
        "scores": (SCORE_PATTERNS, read_score_files),
        "headlines": (HEADLINE_PATTERNS, read_headline_files),
    }

    def news_sentiment(self, start: datetime.date, end: datetime.date, score: ScoreHeadlines) -> pd.DataFrame:
        """Give the daily scores of sessions from `start` up to but not including `end`.

        Each is known at the close of its session. `score` gives scores in [-1, 1] of distinct titles, in their order;
        it is only called if there are headlines in the range, and with no others.

        Raises
        ------
        MarketError
            If the folder does not exist, holds scores and headlines, or `score` gives something else than scores.
        TableError
            Naming the file, the line (Parquet: the row) and the column of the first thing wrong.
        """
        rows = self.select(start, end)
        if rows.empty:
            return NEWS_TABLE.empty()
        scores = _score_titles(rows["title"], score) if "title" in rows else rows["sentiment_score"].to_numpy()
        sessions = rows["date"].to_numpy().astype("datetime64[D]")
        n_articles = rows["n_articles"].to_numpy().astype(np.int64)
        return NEWS_TABLE.validate(daily_sentiment(sessions, rows["symbol"], scores, n_articles), str(self.folder))


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
    """Have each distinct title scored once; (n,) in the order of `titles`."""
    codes, distinct = pd.factorize(titles)
    scores: FloatArray = np.asarray(score(list(map(str, distinct))), dtype=np.float64)
    if scores.shape != (len(distinct),) or not (np.abs(scores) <= 1).all():  # NaN is not <= 1
        raise MarketError(
            f"headlines: expected a score from -1 to 1 for each of {len(distinct)} titles, got an array of shape "
            f"{scores.shape} with values from {scores.min(initial=np.inf)} to {scores.max(initial=-np.inf)}; correct "
            "the scorer."
        )
    each: FloatArray = scores[codes]
    return each
