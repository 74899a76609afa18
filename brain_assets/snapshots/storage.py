"""Where the snapshots of one family are kept on this machine."""

import datetime
import json
from pathlib import Path
from typing import Any

from brain_assets.errors import SnapshotError
from brain_assets.snapshots.folder import MANIFEST, settle, verify
from brain_assets.snapshots.model_snapshot import ModelSnapshot
from brain_assets.snapshots.names import FAMILIES, cutoff_of_year, parse_snapshot_name, snapshot_name


class SnapshotLocalStorage:
    """The folder ``models/<family>``; snapshots go by their cut-off date.

    Parameters
    ----------
    family : str
        ``lstm``, ``patchtst``, ``ppo`` or ``sac``.
    root : Path, optional
        The folder ``models``; default: that of ``BRAIN_DATA_DIR``.
    """

    def __init__(self, family: str, root: Path | None = None) -> None:
        if family not in FAMILIES:
            raise SnapshotError(f"family: expected one of {', '.join(FAMILIES)}, got {family}; choose one of them.")
        if root is None:
            from brain_assets.settings import current_settings

            root = current_settings().data_dir / "models"
        self.family = family
        self.folder = root / family

    def path(self, cutoff_date: datetime.date) -> Path:
        """Give the folder of a snapshot, whether it exists or not."""
        return self.folder / snapshot_name(cutoff_date)

    def write_snapshot(self, snapshot: ModelSnapshot) -> Path:
        """Write a snapshot, whole or not at all, and give its folder; one of the same date is replaced."""
        if snapshot.family != self.family:
            raise SnapshotError(
                f"expected a snapshot of {self.family}, got one of {snapshot.family}; use its own storage."
            )
        folder = self.path(snapshot.cutoff_date)
        snapshot.save(folder)
        return folder

    def load_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot.

        Raises
        ------
        SnapshotError
            If there is none, or its folder does not verify.
        """
        folder = self.require_snapshot(cutoff_date)
        snapshot = ModelSnapshot.load(folder)
        if (snapshot.family, snapshot.cutoff_date) != (self.family, cutoff_date):
            raise SnapshotError(
                f"{folder}: expected family {self.family} and cut-off {cutoff_date}, got {snapshot.family} and "
                f"{snapshot.cutoff_date}; do not use this snapshot."
            )
        return snapshot

    def require_snapshot(self, cutoff_date: datetime.date) -> Path:
        """Give the folder of a snapshot that is there; raises `SnapshotError` if it is not."""
        settle(self.folder)
        folder = self.path(cutoff_date)
        if not folder.is_dir():
            raise SnapshotError(
                f"{folder}: expected a snapshot, but there is none; materialize {self.family} for {cutoff_date.year}."
            )
        return folder

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read the metadata of a snapshot that exists, without its weights; None: it does not exist."""
        if not self.snapshot_exists(cutoff_date):
            return None
        metadata: dict[str, Any] = json.loads((self.path(cutoff_date) / MANIFEST).read_bytes())
        return metadata

    def snapshot_exists(self, cutoff_date: datetime.date) -> bool:
        """Tell whether a folder of that date verifies."""
        settle(self.folder)
        return verify(self.path(cutoff_date)) is None

    def list_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that verify, oldest first."""
        if not self.folder.is_dir():
            return []
        settle(self.folder)
        dates = (parse_snapshot_name(entry.name) for entry in self.folder.iterdir())
        return sorted(date for date in dates if date is not None and verify(self.path(date)) is None)

    def get_snapshot_for_year(self, year: int) -> datetime.date | None:
        """Give the cut-off of the year's snapshot, else of the closest earlier one; None: there is none."""
        return max((date for date in self.list_snapshots() if date <= cutoff_of_year(year)), default=None)
