"""What stands between assets and stores: tables and snapshots, in and out."""

import datetime
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import dagster as dg
import pandas as pd
from upath import UPath

from brain_assets import registry
from brain_assets.errors import SnapshotError, TableError
from brain_assets.forecasting.walkforward import SnapshotSource
from brain_assets.graph.snapshots import Snapshots, location_metadata, publish
from brain_assets.graph.status import metadata_in
from brain_assets.paths import DataPath
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import MemoryTableStore, TableStore


class StoredSnapshots:
    """What an asset that takes snapshots is given: those up to a cut-off, here or on the Hub, each read when used."""

    def __init__(self, storage: SnapshotLocalStorage, until: datetime.date = datetime.date.max) -> None:
        self._storage, self._until = storage, until
        self._here: set[datetime.date] | None = None

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs of all snapshots; see `SnapshotSource`."""
        self._here = set(self._storage.list_snapshots())  # before any is pulled
        return [date for date in self._storage.list_candidates(wanted) if date <= self._until]

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read one; see `SnapshotSource`."""
        return self._storage.fetch_snapshot(cutoff_date)

    def require(self, cutoff_date: datetime.date) -> None:
        """Raise `SnapshotError` if one is not there, unless there is a Hub that may have it."""
        if self._storage.hub is None:
            self._storage.store.read(snapshot_name(cutoff_date))

    def locations(self, names: Iterable[str]) -> dict[str, str]:
        """Tell for every snapshot that was used where it was."""
        here = set(self._storage.list_snapshots()) if self._here is None else self._here
        hub = f"Hub {self._storage.hub.repo}" if self._storage.hub else ""
        dates = {name: date for name in names if (date := parse_snapshot_name(name))}
        return {name: "this machine" if date in here else hub for name, date in dates.items() if date in here or hub}

    def other_seeds(self) -> Mapping[int, SnapshotSource]:
        """Give by the number of a seed the same models trained with it."""
        return {number: self._storage.of_seed(number) for number in self._storage.list_seeds()}


def stored(given: Any) -> StoredSnapshots:
    """Give what an asset was handed; Dagster's own in-memory IO manager hands over what the same run has made."""
    if isinstance(given, ModelSnapshot):
        storage = SnapshotLocalStorage(given.family, memory_folder())
        storage.write_snapshot(given)
        return StoredSnapshots(storage)
    source: StoredSnapshots = given
    return source


def memory_folder() -> DataPath:
    """Give a folder in the memory of this process, which nobody else has."""
    return UPath(f"memory://{uuid.uuid4().hex}/models")


class TableIOManager(dg.IOManager):
    """Stores an asset's table under its name and partition year; follows partition mappings when it loads.

    Under `data_dir` assets keep what is no table: scores of headlines, records of trials, reports, weekly weights.
    """

    def __init__(self, store: TableStore, data_dir: DataPath) -> None:
        self.store, self.data_dir = store, data_dir

    @classmethod
    def of(cls, given: Any) -> "TableIOManager":
        """Give an IO manager as it is if it is ours; in place of another, one that has nothing and forgets."""
        return given if isinstance(given, cls) else cls(MemoryTableStore(), memory_folder())

    @property
    def headline_cache(self) -> DataPath:
        """Where scores of headlines are kept."""
        return self.data_dir / "cache" / "headlines"

    def folder(self, name: str) -> DataPath:
        """Give a folder of what is no table, such as ``reports``."""
        return self.data_dir / name

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write one year."""
        name = context.asset_key.to_user_string()
        if not (isinstance(obj, pd.DataFrame) and context.has_asset_partitions):
            raise TableError(
                f"{name}: expected a DataFrame for each year, got {type(obj).__name__}"
                f"{'' if context.has_asset_partitions else ' of an asset without partitions'}; correct the asset."
            )
        place = self.store.write(name, int(context.asset_partition_key), obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(place), "dagster/row_count": len(obj)})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the years that the mapping asks for; one that is absent is an error that names it."""
        years = [int(key) for key in context.asset_partition_keys]
        return self.store.read(context.asset_key.to_user_string(), years)


class SnapshotIOManager(dg.IOManager):
    """Keeps the snapshot that an asset returns as a folder and, if there is a Hub, as a branch, by family."""

    def __init__(self, storages: Snapshots) -> None:
        self.storages = storages

    @classmethod
    def of(cls, given: Any, families: Iterable[str]) -> "SnapshotIOManager":
        """Give an IO manager as it is if it is ours; in place of another, one that has nothing and forgets."""
        folder = memory_folder()
        return given if isinstance(given, cls) else cls({name: SnapshotLocalStorage(name, folder) for name in families})

    def storage(self, family: str, seed: int = 0) -> SnapshotLocalStorage:
        """Give the storage of a family, or of its trainings with another seed."""
        if family not in self.storages:
            raise SnapshotError(
                f"family: expected one of {', '.join(self.storages)}, got {family}; name its module in BRAIN_PLUGINS."
            )
        return self.storages[family].of_seed(seed) if seed else self.storages[family]

    def handle_output(self, context: dg.OutputContext, obj: ModelSnapshot) -> None:
        """Write the folder, unless the asset has found it there, and push the branch; see `publish`."""
        if not isinstance(obj, ModelSnapshot):
            raise SnapshotError(
                f"{context.asset_key.to_user_string()}: expected it to return a ModelSnapshot, got "
                f"{type(obj).__name__}; return one, or name another IO manager."
            )
        storage = self.storage(obj.family)
        if (context.output_metadata or {}).get("reused") != dg.MetadataValue.bool(True):
            storage.write_snapshot(obj)
        hub = publish(storage, lambda: storage.upload_snapshot_to_hf(obj.cutoff_date))
        context.add_output_metadata(location_metadata(storage.path(obj.cutoff_date), hub))
        if context.asset_key.to_user_string() != registry.get(obj.family).asset:
            context.add_output_metadata({"family": obj.family})

    def load_input(self, context: dg.InputContext) -> StoredSnapshots:
        """Give the snapshots of the years that the mapping asks for, or the closest earlier ones."""
        storage = self.storage(self._family_of(context))
        if not context.has_asset_partitions:
            return StoredSnapshots(storage)
        years = [int(key) for key in context.asset_partition_keys]
        return StoredSnapshots(storage, cutoff_of_year(max(years)) if years else datetime.date.min)

    def _family_of(self, context: dg.InputContext) -> str:
        """Tell whose snapshots an asset makes: by its name, or, of an asset of the user's own, by what it has made."""
        asset = context.asset_key.to_user_string()
        for family in self.storages:
            if registry.get(family).asset == asset:
                return family
        event = context.instance.get_latest_materialization_event(context.asset_key)
        made = metadata_in(event.asset_materialization if event else None)
        if "family" not in made:
            raise SnapshotError(f"{asset}: expected a snapshot that it has made, but there is none; materialize it.")
        return str(made["family"])
