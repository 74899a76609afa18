"""The snapshots that an asset takes: not one model, but whatever its weeks need, read when it is needed."""

import datetime
import uuid
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from upath import UPath

from brain_assets.forecasting.walkforward import SnapshotSource
from brain_assets.paths import DataPath
from brain_assets.store.names import parse_snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage

THIS_MACHINE = "this machine"


class StoredSnapshots:
    """Those of a storage, on this machine, else on the Hub: what an IO manager hands to an asset that takes them.

    Parameters
    ----------
    storage : SnapshotLocalStorage
    until : datetime.date, optional
        Later ones are not looked at; None: all are.
    """

    def __init__(self, storage: SnapshotLocalStorage, until: datetime.date | None = None) -> None:
        self._storage, self._until = storage, datetime.date.max if until is None else until
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
            self._storage.read_files(cutoff_date)

    def locations(self, names: Iterable[str]) -> dict[str, str]:
        """Tell for every snapshot that was used where it was."""
        here, found = set(self._storage.list_snapshots()) if self._here is None else self._here, {}
        for name in names:
            cutoff_date = parse_snapshot_name(name)
            if cutoff_date in here:
                found[name] = THIS_MACHINE
            elif cutoff_date is not None and (record := self._storage.hub_record(cutoff_date)).commit:
                found[name] = f"Hub {record.repo}, commit {record.commit[:8]}"
        return found

    def other_seeds(self) -> Mapping[int, SnapshotSource]:
        """Give by the number of a seed the same models trained with it."""
        return {number: self._storage.of_seed(number) for number in self._storage.list_seeds()}


def memory_folder() -> DataPath:
    """Give a folder for models in the memory of this process, which nobody else has."""
    return UPath(f"memory://{uuid.uuid4().hex}/models")


def snapshot_input(value: Any) -> StoredSnapshots:
    """Give what an IO manager handed over; Dagster's own in-memory one hands over what the same run has made."""
    if isinstance(value, ModelSnapshot):
        storage = SnapshotLocalStorage(value.family, memory_folder())
        storage.write_snapshot(value)
        value = StoredSnapshots(storage)
    given: StoredSnapshots = value
    return given
