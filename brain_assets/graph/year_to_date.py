"""Rows of the market since the last complete year: which days, and how they are fetched and joined to those before.

They are kept under `brain_assets.store.tables.YEAR_TO_DATE`, never under a year: a year's partition is complete or
absent. Each fetch replaces them.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from brain_assets.graph.years import Years
from brain_assets.market.archive import chain_prices, fetch_prices
from brain_assets.market.base import Market
from brain_assets.market.calendar import Clock, first_unfinished_day, sessions_between
from brain_assets.market.finbert import FinBertScorer
from brain_assets.market.price_checks import table_verdicts
from brain_assets.market.schema import RAW
from brain_assets.paths import DataPath
from brain_assets.progress import warn


def recent_window(years: Years, clock: Clock) -> tuple[datetime.date, datetime.date] | None:
    """Give the days since the last partition whose session is finished, end exclusive; None: none, or left out."""
    start = datetime.date(years.last() + 1, 1, 1)
    end = first_unfinished_day(clock())
    if years.last_asked is not None or start >= end or len(sessions_between(start, end)) == 0:
        return None
    return start, end


def fetch_year_to_date(
    market: Market,
    window: tuple[datetime.date, datetime.date],
    headline_cache: DataPath | None,
    names: Sequence[str] = RAW,
) -> dict[str, pd.DataFrame]:
    """Fetch some raw tables of those days, all or none; headlines are scored by the default model.

    They are no asset that Dagster checks: what the checks of a year would find is said as a warning.
    """
    fetch: Mapping[str, Callable[[], pd.DataFrame]] = {
        "raw_prices": lambda: fetch_prices(market, *window, overlap=True),
        "raw_news_sentiment": lambda: market.news_sentiment(*window, FinBertScorer(cache=headline_cache)).table,
        "raw_fundamentals": lambda: market.fundamentals(*window).table,
    }
    tables = {name: fetch[name]() for name in names}
    for name, table in tables.items():
        last = table["date"].max().date() if name == "raw_prices" else window[1]
        for check, found in table_verdicts(name, table, sessions_between(window[0], last)).items():
            if not found.passed:
                warn(f"{name} since {window[0]}, {check}: {found.words}")
    return tables


def join(name: str, rows: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Join the rows of a raw table with later ones."""
    return chain_prices([rows, later]) if name == "raw_prices" else pd.concat([rows, later], ignore_index=True)
