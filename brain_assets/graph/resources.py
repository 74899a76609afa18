"""The resources that assets ask for by name."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from brain_assets.graph.io_managers import TableIOManager
from brain_assets.market.base import Market
from brain_assets.market.calendar import utc_now
from brain_assets.paths import DataPath
from brain_assets.settings import Settings
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.names import FAMILIES
from brain_assets.store.storage import SnapshotLocalStorage, hub_address
from brain_assets.store.tables import ParquetTableStore, TableStore


def build_resources(
    market: Market,
    tables: TableStore,
    models_dir: DataPath,
    hubs: Mapping[str, HubAddress | None] | None = None,
    clock: Callable[[], datetime.datetime] = utc_now,
) -> Mapping[str, Any]:
    """Wire a market, a table store and a folder for models together; tests give a `MemoryTableStore`.

    Families with an entry in `hubs` push their snapshots to it. Scores of headlines, reports, weekly weights, and the
    record of configurations that were tried lie beside the folder of models.
    """
    repos = hubs or {}
    return {
        "market": market,
        "tables": tables,
        "table_io": TableIOManager(tables),
        "clock": clock,
        "headline_cache": models_dir.parent / "cache" / "headlines",
        "trials": models_dir.parent / "trials",
        "reports_dir": models_dir.parent / "reports",
        "weights_dir": models_dir.parent / "weights",
        "snapshots": {
            family: SnapshotLocalStorage(family, models_dir, repos.get(family), market=market.name)
            for family in FAMILIES
        },
    }


def table_store(settings: Settings) -> ParquetTableStore:
    """Give the store under ``BRAIN_DATA_DIR``, which belongs to one market."""
    identity = {
        "market": settings.market,
        "symbols": list(settings.symbols),
        "first_year": settings.first_year,
        "bootstrap_years": settings.bootstrap_years,
    }
    return ParquetTableStore(settings.data_dir, identity)


def resources_from(settings: Settings, market: Market) -> Mapping[str, Any]:
    """Wire up what the settings say."""
    hubs = {family: hub_address(settings, family) for family in FAMILIES}
    return build_resources(market, table_store(settings), settings.data_dir / "models", hubs)
