"""The resources that assets ask for by name."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from brain_assets.graph.io_managers import SnapshotIOManager, TableIOManager
from brain_assets.market.base import Market
from brain_assets.market.calendar import utc_now
from brain_assets.paths import DataPath
from brain_assets.settings import Settings
from brain_assets.store.hub_address import HubAddress, hub_address
from brain_assets.store.names import FAMILIES
from brain_assets.store.storage import SnapshotLocalStorage
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
    repos, data_dir = hubs or {}, models_dir.parent
    storages = {
        family: SnapshotLocalStorage(family, models_dir, repos.get(family), market=market.name) for family in FAMILIES
    }
    table_io = TableIOManager(tables, data_dir)
    return {
        "market": market,
        "tables": tables,
        "table_io": table_io,
        "snapshots": storages,
        "snapshot_io": SnapshotIOManager(storages),
        "clock": clock,
        "headline_cache": table_io.headline_cache,
        "trials": table_io.trials_dir,
        "reports_dir": data_dir / "reports",
        "weights_dir": data_dir / "weights",
    }


def table_store(settings: Settings) -> ParquetTableStore:
    """Give the store under ``BRAIN_DATA_DIR``, which belongs to one market."""
    identity = {
        "market": settings.market,
        "symbols": list(settings.symbols),
        "first_year": settings.first_year,
        "bootstrap_years": settings.bootstrap_years,
        "files_dir": str(settings.files_dir.resolve()) if settings.files_dir else None,
    }
    return ParquetTableStore(settings.data_dir, identity)


def resources_from(settings: Settings, market: Market) -> Mapping[str, Any]:
    """Wire up what the settings say."""
    hubs = {family: hub_address(settings, family) for family in FAMILIES}
    return build_resources(market, table_store(settings), settings.data_dir / "models", hubs)
