"""Rows of the market since the last complete year: which days, and where they lie.

They are kept under `brain_assets.store.tables.SO_FAR`, never under a year: a year's partition is complete or absent.
Each fetch replaces them. Rows of a year that has become a partition meanwhile are passed over.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from brain_assets.errors import SettingsError
from brain_assets.graph.years import Years
from brain_assets.market.archive import chain_prices, fetch_prices
from brain_assets.market.base import Market
from brain_assets.market.calendar import NEW_YORK, CalendarWeek, first_unfinished_day, sessions_between, week_from
from brain_assets.market.finbert import FinBertScorer
from brain_assets.market.schema import RAW
from brain_assets.paths import DataPath
from brain_assets.store.tables import SO_FAR, TableStore

Clock = Callable[[], datetime.datetime]
"""Gives the present moment with its time zone."""


class Known(NamedTuple):
    """What is stored of the market until a day.

    Attributes
    ----------
    tables : mapping of str to DataFrame
        Raw table -> its rows; some may lie after the day, since a year is read whole.
    newest_prices : DataFrame
        The newest of the tables that the prices were joined from, on its own level: that of the day it was fetched.
    """

    tables: Mapping[str, pd.DataFrame]
    newest_prices: pd.DataFrame


def chosen_week(date: str | None, clock: Clock) -> CalendarWeek:
    """Give the week of the first session on or after a day; None: today, in New York.

    Raises
    ------
    SettingsError
        If the text is no day.
    MarketError
        If the exchange's sessions of that time are not known.
    """
    if date is None:
        return week_from(clock().astimezone(NEW_YORK).date())
    try:
        return week_from(datetime.date.fromisoformat(date))
    except ValueError as error:
        raise SettingsError(f"date: expected a day such as 2022-06-01, got {date}; correct it.") from error


def recent_window(years: Years, clock: Clock) -> tuple[datetime.date, datetime.date] | None:
    """Give the days since the last partition whose session is finished, end exclusive; None: none, or left out."""
    start = datetime.date(years.last() + 1, 1, 1)
    end = first_unfinished_day(clock())
    if years.last_asked is not None or start >= end or len(sessions_between(start, end)) == 0:
        return None
    return start, end


def fetch_so_far(
    market: Market,
    window: tuple[datetime.date, datetime.date],
    headline_cache: DataPath | None,
    names: Sequence[str] = RAW,
) -> dict[str, pd.DataFrame]:
    """Fetch some raw tables of those days, all or none; headlines are scored by the default model."""
    fetch: Mapping[str, Callable[[], pd.DataFrame]] = {
        "raw_prices": lambda: fetch_prices(market, *window, overlap=True),
        "raw_news_sentiment": lambda: market.news_sentiment(*window, FinBertScorer(cache=headline_cache)).table,
        "raw_fundamentals": lambda: market.fundamentals(*window).table,
    }
    return {name: fetch[name]() for name in names}


def join(name: str, rows: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of a raw table with later ones."""
    return chain_prices([rows, later]) if name == "raw_prices" else pd.concat([rows, later], ignore_index=True)


def read_so_far(years: Years, tables: TableStore, name: str) -> pd.DataFrame | None:
    """Read the rows of a raw table since the last partition; None: there are none."""
    if years.last_asked is not None or not tables.exists(name, SO_FAR):
        return None
    frame = tables.read_year(name, SO_FAR)
    known_on = frame[frame.columns[0]]  # the session, or the day of filing
    frame = frame[known_on >= pd.Timestamp(years.last() + 1, 1, 1)].reset_index(drop=True)
    return None if frame.empty else frame


def read_known(years: Years, tables: TableStore, until: datetime.date) -> Known:
    """Read the raw tables of every year up to that of a day, and the rows so far if it lies after the last partition.

    Raises
    ------
    TableError
        If one of the years is not there.
    """
    year = min(max(until.year, years.first), years.last())
    found = {name: tables.read(name, years.up_to(year)) for name in RAW}
    newest = tables.read_year("raw_prices", year)
    if until.year > year:
        so_far = {name: frame for name in RAW if (frame := read_so_far(years, tables, name)) is not None}
        found |= {name: join(name, found[name], frame) for name, frame in so_far.items()}
        if "raw_prices" in so_far and so_far["raw_prices"]["date"].min() <= pd.Timestamp(until):
            newest = so_far["raw_prices"]
    return Known(found, newest)
