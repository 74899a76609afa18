"""Whether a stored year of a raw table is what its market has now: for the asset, `status`, `backfill` and `new_data`.

Each materialization of such a year records the data version that the market named just before it was fetched, and that
of each file. So rows that change while they are fetched count as changed, and are fetched once more.
"""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.check_result import listed
from brain_assets.errors import BrainAssetsError, MarketError
from brain_assets.market.archive import differing_rows
from brain_assets.market.base import Market, ObservableMarket, Observation
from brain_assets.market.schema import SCHEMAS

MADE_FROM, MADE_FROM_FILES = "made_from", "made_from_files"
"""Keys of a materialization's metadata: what `brain_assets.market.base.Observation` says of the year."""

CHANGED = " changed"
"""What follows the names of files."""
N_NAMED = 3


def look(market: Market, years: Sequence[int], in_passing: bool = False) -> Observation:
    """Look at what a market has of some partition years; of one that never changes, nothing is told."""
    return market.observe(years, in_passing) if isinstance(market, ObservableMarket) else Observation()


def recorded(found: Observation, table: str, year: int) -> dict[str, Any]:
    """Give what a materialization records of a look before it."""
    metadata: dict[str, Any] = {}
    if (version := found.versions.get(table, {}).get(year)) is not None:
        metadata[MADE_FROM] = version
    if files := found.files.get(table, {}).get(year):
        metadata[MADE_FROM_FILES] = dg.MetadataValue.json(dict(files))
    return metadata


def change(found: Observation, instance: dg.DagsterInstance, table: str, year: int) -> str:
    """Say what a year that is stored is not made from any more, as "prices.csv changed"; empty: it is as it was."""
    version, since = found.versions.get(table, {}).get(year), found.final_since.get(year)
    record = instance.get_latest_data_version_record(dg.AssetKey(table), partition_key=str(year))
    if version is None or (since and (record is None or record.timestamp >= since.timestamp())):
        return ""
    made = record.event_log_entry.asset_materialization if record else None
    before: Mapping[str, Any] = {key: value.value for key, value in made.metadata.items()} if made else {}
    if before.get(MADE_FROM) == version:
        return ""
    if MADE_FROM not in before:
        return "fetched before it was final" if since else "it is not recorded what it was made from"
    return f"{_names(before.get(MADE_FROM_FILES, {}), found.files.get(table, {}).get(year, {}))}{CHANGED}"


def _names(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return listed(names, N_NAMED)


def changed_rows(market: Market, table: str, year: int, stored: pd.DataFrame) -> str:
    """Say when, and how many rows of a year of a market with files are others than those stored; empty: not known.

    It reads all files. Scores of headlines are not made for that.
    """
    first = stored.iloc[:, 0].min().year if len(stored) else year
    try:
        rows = _fetch(market, table)(datetime.date(first, 1, 1), datetime.date(year + 1, 1, 1))
    except BrainAssetsError:
        return f" in {year}"
    differing = differing_rows(stored, rows, SCHEMAS[table].order)
    if differing.empty:
        return ""
    years = ", ".join(map(str, sorted(differing.iloc[:, 0].dt.year.unique())))
    return f" in {years} ({len(differing):,} row{'s' if len(differing) > 1 else ''})"


def _fetch(market: Market, table: str) -> Callable[[datetime.date, datetime.date], pd.DataFrame]:
    if table == "raw_prices":
        return market.prices
    if table == "raw_fundamentals":
        return lambda start, end: market.fundamentals(start, end).table
    return lambda start, end: market.news_sentiment(start, end, _refuse).table


def _refuse(titles: Sequence[str]) -> FloatArray:
    raise MarketError(f"expected scores, got {len(titles)} headlines; score them.")
