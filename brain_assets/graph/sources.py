"""The snapshots that an asset takes: not one model, but whatever its weeks need, read when it is needed."""

import datetime
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

from brain_assets.errors import SnapshotError
from brain_assets.forecasting.walkforward import SnapshotSource
from brain_assets.store.names import parse_snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage

THIS_MACHINE = "this machine"


@runtime_checkable
class SnapshotInput(SnapshotSource, Protocol):
    """What an IO manager hands to an asset that takes the snapshots of a family."""

    def require(self, cutoff_date: datetime.date) -> None:
        """Raise `SnapshotError` if one is not there, and can come from nowhere else."""

    def locations(self, names: Iterable[str]) -> dict[str, str]:
        """Tell for every snapshot that was used where it was: on this machine, on the Hub, or in memory."""

    def other_seeds(self) -> Mapping[int, SnapshotSource]:
        """Give by the number of a seed the same models trained with it."""


class StoredSnapshots:
    """Those of a storage: on this machine, else on the Hub.

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


class MemorySnapshots:
    """Those that were handed over: by cut-off the model; by the number of another seed the same trained with it."""

    def __init__(
        self,
        kept: Mapping[datetime.date, ModelSnapshot],
        of_seeds: Mapping[int, Mapping[datetime.date, ModelSnapshot]] | None = None,
    ) -> None:
        self._kept, self._of_seeds = kept, of_seeds or {}

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:  # noqa: ARG002
        """Give the cut-offs of all snapshots; see `SnapshotSource`."""
        return sorted(self._kept)

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Give one."""
        return self._kept[cutoff_date]

    def require(self, cutoff_date: datetime.date) -> None:
        """Raise `SnapshotError` if one is not there."""
        if cutoff_date not in self._kept:
            raise SnapshotError(
                f"memory: expected a snapshot of {cutoff_date}, but there is none; materialize its asset for "
                f"{cutoff_date.year}."
            )

    def locations(self, names: Iterable[str]) -> dict[str, str]:
        """Tell that every snapshot that was used was in memory."""
        return dict.fromkeys((name for name in names if parse_snapshot_name(name)), "memory")

    def other_seeds(self) -> Mapping[int, SnapshotSource]:
        """Give by the number of a seed the same models trained with it."""
        return {number: MemorySnapshots(kept) for number, kept in self._of_seeds.items()}


def snapshot_input(value: Any) -> SnapshotInput:
    """Give what an IO manager handed over; Dagster's own in-memory one hands over what the same run has made."""
    if isinstance(value, ModelSnapshot):
        return MemorySnapshots({value.cutoff_date: value})
    given: SnapshotInput = value
    return given
