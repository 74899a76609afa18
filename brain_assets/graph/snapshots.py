"""What every asset that makes a model snapshot does: keep one with the same fingerprint, else train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dagster as dg

from brain_assets.errors import BrainAssetsError
from brain_assets.snapshots.fingerprint import Fingerprint
from brain_assets.snapshots.model_snapshot import ModelSnapshot
from brain_assets.snapshots.names import cutoff_of_year
from brain_assets.snapshots.storage import SnapshotLocalStorage

Snapshots = Mapping[str, SnapshotLocalStorage]
"""The resource ``snapshots``: family -> its storage."""


@dataclass(frozen=True)
class Made:
    """A snapshot and whether it was there already."""

    snapshot: ModelSnapshot
    reused: bool
    path: str

    @property
    def metadata(self) -> dict[str, dg.MetadataValue | str | bool]:
        """Evidence that is the same for every family."""
        return {
            "reused": self.reused,
            "cutoff_date": self.snapshot.cutoff_date.isoformat(),
            "fingerprint": self.snapshot.fingerprint,
            "snapshot": dg.MetadataValue.path(self.path),
            "model_card": dg.MetadataValue.md(self.snapshot.card),
            "configuration": dg.MetadataValue.json(dict(self.snapshot.config)),
        }

    @property
    def data_version(self) -> dg.DataVersion:
        """The fingerprint: equal fingerprint, equal bytes."""
        return dg.DataVersion(self.snapshot.fingerprint)


def make_snapshot(
    context: dg.AssetExecutionContext,
    storage: SnapshotLocalStorage,
    fingerprint: Fingerprint,
    force: bool,
    train: Callable[[], ModelSnapshot],
) -> Made:
    """Give the year's snapshot: the one on disk if its fingerprint is the same, else a new one, stored."""
    cutoff_date = cutoff_of_year(int(context.partition_key))
    found = storage.read_metadata(cutoff_date)
    path = str(storage.path(cutoff_date))
    if found is not None and found["fingerprint"]["value"] == fingerprint.value and not force:
        context.log.info(f"{path} has fingerprint {fingerprint.value[:12]} already: not trained again")
        return Made(storage.load_snapshot(cutoff_date), True, path)
    snapshot = train()
    if snapshot.fingerprint != fingerprint.value:
        raise BrainAssetsError(
            f"{path}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the training data changed "
            "under way: run it again."
        )
    storage.write_snapshot(snapshot)
    return Made(snapshot, False, path)
