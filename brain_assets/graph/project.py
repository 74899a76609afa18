"""What some settings stand for, and the resources that assets ask for by name."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from brain_assets.graph.io_managers import SnapshotIOManager, TableIOManager
from brain_assets.graph.years import Years
from brain_assets.market.base import Market
from brain_assets.market.calendar import utc_now
from brain_assets.paths import DataPath
from brain_assets.registry import Families, families_of
from brain_assets.settings import Settings
from brain_assets.store.hub import HubAddress
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import TableStore


@dataclass(frozen=True)
class Project:
    """What some settings stand for; a process may have several.

    Plug-ins are given it to define what they add, when `yearly` is known and `definitions` is still empty.
    """

    settings: Settings
    market: Market
    years: Years
    yearly: Sequence[dg.AssetsDefinition]  # with a partition a year, each after what it depends on
    definitions: dg.Definitions = field(default_factory=dg.Definitions)  # all, with what plug-ins add


def build_resources(
    market: Market,
    tables: TableStore,
    models_dir: DataPath,
    hubs: Mapping[str, HubAddress | None] | None = None,
    clock: Callable[[], datetime.datetime] = utc_now,
    families: Families | None = None,
) -> Mapping[str, Any]:
    """Wire a market, a table store and a folder for models together; tests give a `MemoryTableStore`.

    Families with an entry in `hubs` push their snapshots to it; default: ours, none of which does. Scores of headlines,
    reports, weekly weights, and the record of configurations that were tried lie beside the folder of models.
    """
    repos = hubs or {}
    storages = {
        name: SnapshotLocalStorage(name, models_dir, repos.get(name), market=market.name)
        for name in (families or families_of()).by_name
    }
    return {
        "market": market,
        "table_io": TableIOManager(tables, models_dir.parent),
        "snapshot_io": SnapshotIOManager(storages),
        "clock": clock,
    }


def table_store(settings: Settings) -> TableStore:
    """Give the store under ``BRAIN_DATA_DIR``, which belongs to one market."""
    identity = {
        "market": settings.market,
        "symbols": list(settings.symbols),
        "first_year": settings.first_year,
        "bootstrap_years": settings.bootstrap_years,
    }
    return TableStore(settings.data_dir, identity)
