"""What stands between assets and stores: tables and snapshots in and out, on disk or in memory."""

import datetime
import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.errors import HubError, SnapshotError
from brain_assets.graph.snapshots import publish
from brain_assets.graph.sources import MemorySnapshots, SnapshotInput, StoredSnapshots, snapshots_of
from brain_assets.paths import DataPath
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import TableStore

Found = tuple[ModelSnapshot | None, str]
"""The snapshot with a fingerprint, if there is one, and why it was not taken from the Hub, if that was tried."""


class TableIOManager(dg.IOManager):
    """Stores an asset's table under its name and partition year; follows partition mappings when it loads.

    Parameters
    ----------
    store : TableStore
        On disk, or in memory for tests (Dagster's own in-memory IO manager ignores partitions).
    data_dir : Path or UPath, optional
        Where assets keep what is no table: scores of headlines, records of trials; None: nowhere.
    """

    def __init__(self, store: TableStore, data_dir: DataPath | None = None) -> None:
        self.store, self.data_dir = store, data_dir

    @property
    def trials_dir(self) -> DataPath | None:
        """Where each configuration that was backtested leaves a record."""
        return self.data_dir / "trials" if self.data_dir else None

    @property
    def headline_cache(self) -> DataPath | None:
        """Where scores of headlines are kept."""
        return self.data_dir / "cache" / "headlines" if self.data_dir else None

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write one year."""
        place = self.store.write(context.asset_key.to_user_string(), int(context.asset_partition_key), obj)
        context.add_output_metadata({"path": place, "rows": len(obj)})

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the years that the mapping asks for; one that is absent is an error that names it."""
        years = [int(key) for key in context.asset_partition_keys]
        return self.store.read(context.asset_key.to_user_string(), years)


class SnapshotIOManager(dg.IOManager):
    """Keeps the snapshot that an asset returns as a folder and, if there is a Hub, as a branch.

    What it hands to an asset that takes snapshots is not read before it is used (`StoredSnapshots`). An asset that
    returns several has trained its model with other seeds as well: they are kept beside it, and not pushed.

    Parameters
    ----------
    storages : mapping of str to SnapshotLocalStorage
        By family.
    """

    def __init__(self, storages: Mapping[str, SnapshotLocalStorage]) -> None:
        self.storages = storages
        self._in_trouble: set[str] = set()

    def find(self, family: str, cutoff_date: datetime.date, fingerprint: str, seed: int = 0) -> Found:
        """Give the snapshot of a date if it has a fingerprint; one on the Hub is pulled, or it is said why not."""
        storage = self._storage_of(family, seed)
        found = storage.read_metadata(cutoff_date)
        if found is not None and found["fingerprint"]["value"] == fingerprint:
            return storage.load_snapshot(cutoff_date), ""
        if storage.hub is None:
            return None, ""
        try:
            there = storage.download_if(cutoff_date, fingerprint)
            return (storage.load_snapshot(cutoff_date) if there else None), ""
        except (HubError, SnapshotError) as error:
            self._in_trouble.add(family)
            return None, str(error)

    def read_metadata(self, family: str, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read what a snapshot on this machine says of itself; None: it is not here."""
        return self.storages[family].read_metadata(cutoff_date)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the folder and push the branch; a push that does not get through stays pending, and fails nothing.

        Nothing is written where the asset says that it found the snapshot.
        """
        snapshot, *others = snapshots_of(obj)
        family = self._family_of(context)
        storage = self._storage_of(family)
        if (context.output_metadata or {}).get("reused") != dg.MetadataValue.bool(True):
            for number, each in enumerate((snapshot, *others)):
                self._storage_of(family, number).write_snapshot(each)
        context.add_output_metadata({"snapshot": dg.MetadataValue.path(str(storage.path(snapshot.cutoff_date)))})
        if others:
            folders = [str(self._storage_of(family, i + 1).path(each.cutoff_date)) for i, each in enumerate(others)]
            context.add_output_metadata({"other_seeds": dg.MetadataValue.json(folders)})
        # a Hub that has just failed is asked once more only
        hub = publish(storage.impatient() if family in self._in_trouble else storage, snapshot.cutoff_date)
        self._in_trouble.discard(family)
        if hub is not None:
            context.add_output_metadata(hub.metadata)

    def load_input(self, context: dg.InputContext) -> SnapshotInput:
        """Give the snapshots of the years that the mapping asks for, or the closest earlier ones."""
        return StoredSnapshots(self._storage_of(self._family_of(context)), _newest(context))

    def _family_of(self, context: dg.InputContext | dg.OutputContext) -> str:
        asset = context.asset_key.to_user_string()
        family = re.sub("_(snapshot|policy)$", "", asset)
        if family not in self.storages:
            raise SnapshotError(
                f"{asset}: expected an asset named <family>_snapshot or <family>_policy, of one of "
                f"{', '.join(self.storages)}; rename it, or name another IO manager."
            )
        return family

    def _storage_of(self, family: str, seed: int = 0) -> SnapshotLocalStorage:
        storage = self.storages[family]
        return storage.of_seed(seed) if seed else storage


class MemorySnapshotIOManager(dg.IOManager):
    """Keeps snapshots in memory, for as long as it lives itself."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[datetime.date, list[ModelSnapshot]]] = {}

    def find(self, family: str, cutoff_date: datetime.date, fingerprint: str, seed: int = 0) -> Found:
        """Give the snapshot of a date if it has a fingerprint."""
        kept = [each for snapshots in self._kept.values() for each in snapshots.get(cutoff_date, [])[seed : seed + 1]]
        found = [each for each in kept if each.family == family and each.fingerprint == fingerprint]
        return (found[0] if found else None), ""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Keep what an asset returned."""
        snapshots = snapshots_of(obj)
        self._kept.setdefault(context.asset_key.to_user_string(), {})[snapshots[0].cutoff_date] = snapshots

    def load_input(self, context: dg.InputContext) -> SnapshotInput:
        """Give the snapshots of the years that the mapping asks for, or the closest earlier ones."""
        kept, until = self._kept.get(context.asset_key.to_user_string(), {}), _newest(context)
        return MemorySnapshots({date: each for date, each in kept.items() if date <= until})


def _newest(context: dg.InputContext) -> datetime.date:
    """Give the last cut-off that an input may have; none, before the first year there is."""
    years = [int(key) for key in context.asset_partition_keys]
    return cutoff_of_year(max(years)) if years else datetime.date.min
