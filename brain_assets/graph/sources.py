"""Whether a stored year of a raw table is what its market has now: for the asset, `status`, `backfill` and `new_data`.

Each materialization of such a year records the data version that the market named just before it was fetched, and that
of each file. So rows that change while they are fetched count as changed, and are fetched once more.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.check_result import listed
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, ObservableMarket, Observation
from brain_assets.store.tables import TableStore

MADE_FROM, MADE_FROM_FILES = "made_from", "made_from_files"
"""Keys of a materialization's metadata: what `brain_assets.market.base.Observation` says of the year."""

N_NAMED = 3
"""Files that are named."""


def look(market: Market, years: Sequence[int], in_passing: bool = False) -> Observation:
    """Look at what a market has of some partition years; of one that never changes, nothing is told."""
    return market.observe(years, in_passing) if isinstance(market, ObservableMarket) else Observation()


def stored_year(
    context: dg.AssetExecutionContext, market: Market, years: Years, store: TableStore
) -> tuple[pd.DataFrame | None, bool, dict[str, Any]]:
    """Give the stored table of a run's year, whether it is as the market has it, and what is recorded of this look."""
    table, year = context.asset_key.to_user_string(), int(context.partition_key)
    found, stored, metadata = look(market, years.existing()), store.find(table, year), dict[str, Any]()
    if (version := found.versions.get(table, {}).get(year)) is not None:
        metadata[MADE_FROM] = version
    if files := found.files.get(table, {}).get(year):
        metadata[MADE_FROM_FILES] = dg.MetadataValue.json(dict(files))
    return stored, stored is not None and not change(found, context.instance, table, year), metadata


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
    files, now = before.get(MADE_FROM_FILES, {}), found.files.get(table, {}).get(year, {})
    names = sorted(name for name in files.keys() | now.keys() if files.get(name) != now.get(name))
    return f"{listed(names, N_NAMED)} changed"
