"""Where the snapshots of one family are kept: on this machine, and, if asked, as branches of a model repo of the Hub.

The local folder is always written first and is the truth; the Hub holds copies. Methods that talk to the Hub raise
`HubError` where there is none, and only they import its client.
"""

import datetime
import hashlib
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.paths import DataPath, list_names
from brain_assets.progress import report, warn
from brain_assets.store.checks import IDENTITY, check_metadata
from brain_assets.store.folder import (
    MANIFEST,
    is_there,
    list_verified,
    read_files,
    read_manifest,
    read_manifest_file,
    settle,
    verify,
    write_files,
)
from brain_assets.store.hub_record import HubRecord, read_record, recorded_names, write_record
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.names import FAMILIES, cutoff_of_year, parse_snapshot_name, snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.hub import HubCopy, HubRepo
    from brain_assets.store.hub_address import HubAddress
    from brain_assets.store.hub_client import Patience

SEEDS_FOLDER = "seeds"
"""In the folder ``models``: models that show how much is luck of one training, and are used for nothing else."""


class SnapshotLocalStorage:
    """The folder ``models/<family>``; snapshots go by their cut-off date.

    Parameters
    ----------
    family : str
        ``lstm``, ``patchtst``, ``ppo`` or ``sac``.
    root : Path or UPath, optional
        The folder ``models``; default: that of ``BRAIN_DATA_DIR``.
    hub : HubAddress, optional
        The family's model repo; default: what the environment says if `root` is left out too, else none.
    patience : Patience, optional
        How long to go on with a Hub in trouble.
    market : str, optional
        What its snapshots were trained on: one of another market is not taken from the Hub, nor replaced there.
    """

    def __init__(
        self,
        family: str,
        root: DataPath | None = None,
        hub: "HubAddress | None" = None,
        patience: "Patience | None" = None,
        market: str | None = None,
    ) -> None:
        if family not in FAMILIES:
            raise SnapshotError(f"family: expected one of {', '.join(FAMILIES)}, got {family}; choose one of them.")
        if root is None:
            from brain_assets.settings import read_settings
            from brain_assets.store.hub_address import hub_address

            settings = read_settings()
            root = settings.data_dir / "models"
            hub = hub or hub_address(settings, family)
            market = market or settings.market
        self.family = family
        self.folder = root / family
        self.hub = hub
        self._patience, self._market = patience, market

    def path(self, cutoff_date: datetime.date) -> DataPath:
        """Give the folder of a snapshot, whether it exists or not."""
        return self.folder / snapshot_name(cutoff_date)

    def write_snapshot(self, snapshot: ModelSnapshot) -> DataPath:
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

    def require_snapshot(self, cutoff_date: datetime.date) -> DataPath:
        """Give the folder of a snapshot that is there; raises `SnapshotError` if it is not."""
        settle(self.folder)
        folder = self.path(cutoff_date)
        if not is_there(folder):
            raise SnapshotError(
                f"{folder}: expected a snapshot, but there is none; materialize {self.family} for {cutoff_date.year}."
            )
        return folder

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read the metadata of a snapshot, without its weights; None: it does not exist, or says too little."""
        settle(self.folder)
        try:
            metadata = read_manifest(read_manifest_file(self.path(cutoff_date)))
            check_metadata(metadata, IDENTITY)
        except SnapshotError:
            return None
        return metadata

    def snapshot_exists(self, cutoff_date: datetime.date) -> bool:
        """Tell whether a folder of that date verifies."""
        settle(self.folder)
        return verify(self.path(cutoff_date)) is None

    def list_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that verify, oldest first."""
        names = list_verified(self.folder, lambda name: parse_snapshot_name(name) is not None)
        return sorted(filter(None, map(parse_snapshot_name, names)))

    def get_snapshot_for_year(self, year: int) -> datetime.date | None:
        """Give the cut-off of the snapshot to forecast a year with: that of the year before, else the closest earlier.

        None: there is none on this machine.
        """
        return max((date for date in self.list_snapshots() if date <= cutoff_of_year(year - 1)), default=None)

    @cached_property
    def repo(self) -> "HubRepo":
        """The model repo; raises `HubError` if there is none."""
        if self.hub is None:
            raise HubError(
                f"{self.family}: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, "
                f"and HF_{self.family.upper()}_MODEL_REPO."
            )
        from brain_assets.store.hub import HubRepo

        return HubRepo(self.family, self.hub, self._patience, self._market)

    def upload_snapshot_to_hf(self, cutoff_date: datetime.date) -> "HubCopy":
        """Push a snapshot: its branch holds exactly its files then; no commit if it did already.

        Raises
        ------
        SnapshotError
            If there is none on this machine, or it does not verify.
        HubError
            If the Hub fails or refuses. The snapshot stays, the reason is kept, and a later push or sync completes it.
        """
        return self.upload_branch(snapshot_name(cutoff_date), read_files(self.require_snapshot(cutoff_date)))

    def upload_branch(self, name: str, files: dict[str, bytes]) -> "HubCopy":
        """Push verified files to a branch of any name, and remember how it went; see `upload_snapshot_to_hf`."""
        record = self._branch_record(name)
        manifest = _hash(files)
        try:
            copy = self.repo.push_branch(name, files, record.commit if record.manifest == manifest else "")
        except HubError as error:
            write_record(self.folder, name, HubRecord(self.repo.repo, record.commit, record.manifest, str(error)))
            raise
        write_record(self.folder, name, HubRecord(self.repo.repo, copy.commit, manifest))
        return copy

    def is_uploaded(self, name: str, manifest: bytes) -> bool:
        """Tell whether a branch is known to have been given exactly the files of a manifest; asks no Hub."""
        record = self._branch_record(name)
        return record.manifest == hashlib.sha256(manifest).hexdigest() and not record.pending

    def download_snapshot_from_hf(self, cutoff_date: datetime.date, commit: str | None = None) -> DataPath:
        """Pull a snapshot and give its folder; one of the same date is replaced, but only by one that is believed.

        Parameters
        ----------
        cutoff_date : datetime.date
        commit : str, optional
            Of its branch, if known.

        Raises
        ------
        RefusedSnapshotError
            If what the branch holds is not to be believed.
        SnapshotError
            If there is no such branch.
        HubError
            If the Hub fails or refuses.
        """
        files, commit = self.repo.pull(cutoff_date, commit)
        folder = self.path(cutoff_date)
        self._record(cutoff_date, replace(self.hub_record(cutoff_date), arriving=_hash(files)))
        write_files(folder, files)
        self._record(cutoff_date, HubRecord(self.repo.repo, commit, _hash(files)))
        return folder

    def download_if(self, cutoff_date: datetime.date, fingerprint: str) -> bool:
        """Pull a snapshot if the Hub has it with this fingerprint; tells whether it did. Raises what pulling raises."""
        commit = self.repo.branches().get(cutoff_date)
        if commit is None or self.repo.read_manifest(cutoff_date, commit)["fingerprint"]["value"] != fingerprint:
            return False
        self.download_snapshot_from_hf(cutoff_date, commit)
        return True

    def ensure_snapshot_available(self, cutoff_date: datetime.date) -> bool:
        """Have a snapshot on this machine: it is there, or is pulled; False: there is none that can be believed."""
        if self.snapshot_exists(cutoff_date):
            return True
        if self.hub is None:
            return False
        try:
            folder = self.download_snapshot_from_hf(cutoff_date)
        except RefusedSnapshotError as error:
            warn(str(error))
            return False
        except SnapshotError:
            return False
        report(f"{folder}: pulled from {self.hub.repo}")
        return True

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot; one that is not on this machine is pulled first. Raises what pulling it raises."""
        if self.hub is not None and not self.snapshot_exists(cutoff_date):
            folder = self.download_snapshot_from_hf(cutoff_date)
            report(f"{folder}: pulled from {self.hub.repo}")
        return self.load_snapshot(cutoff_date)

    def list_hf_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that have a branch on the Hub, oldest first; one request."""
        return sorted(self.repo.branches())

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs on this machine and, unless all that are wanted are among them, those on the Hub.

        Raises
        ------
        HubError
            If the Hub must be asked, and fails or shows no such repo: a model that is not seen is not replaced by a
            worse one without a word.
        """
        local = self.list_snapshots()
        if self.hub is None or set(wanted) <= set(local):
            return local
        return sorted({*local, *self.repo.branches(must_exist=True)})

    def sync_all_local_to_hf(self) -> list[datetime.date]:
        """Push every snapshot that the Hub lacks or holds otherwise; gives those that were, and warns of failures."""
        from brain_assets.store.sync import compare, push

        return [transfer.cutoff_date for transfer in push(self, compare(self)) if transfer.done]

    def sync_all_hf_to_local(self, force: bool = False) -> list[datetime.date]:
        """Pull every snapshot that this machine lacks or holds otherwise; gives those that were, and warns of failures.

        One that was made here since the last transfer is kept, unless forced.
        """
        from brain_assets.store.sync import compare, pull

        return [transfer.cutoff_date for transfer in pull(self, compare(self), force=force) if transfer.done]

    def hub_record(self, cutoff_date: datetime.date) -> HubRecord:
        """Give what this machine knows of a snapshot's copy in the family's repo."""
        return self._branch_record(snapshot_name(cutoff_date))

    def _branch_record(self, name: str) -> HubRecord:
        repo = self.hub.repo if self.hub else ""
        record = read_record(self.folder, name)
        return record if record and record.repo == repo else HubRecord(repo)

    def changed_here(self, cutoff_date: datetime.date) -> bool:
        """Tell whether the snapshot on this machine is not what was last pushed or pulled, as far as is known."""
        record = self.hub_record(cutoff_date)
        return self._manifest_hash(cutoff_date) not in (record.manifest, record.arriving)

    def is_copied(self, cutoff_date: datetime.date, commit: str) -> bool | None:
        """Tell whether a commit holds exactly the local files, without asking; None: it has to be looked at."""
        record = self.hub_record(cutoff_date)
        if record.commit != commit:
            return None
        return record.manifest == self._manifest_hash(cutoff_date)

    def _manifest_hash(self, cutoff_date: datetime.date) -> str:
        return hashlib.sha256(read_manifest_file(self.path(cutoff_date))).hexdigest()

    def compare_files(self, cutoff_date: datetime.date, commit: str) -> bool:
        """Ask the Hub whether a commit holds exactly the local files, and remember if so."""
        from brain_assets.store.hub import are_same

        files = read_files(self.path(cutoff_date))
        if not are_same(self.repo.read_files(commit), files):
            return False
        self._record(cutoff_date, HubRecord(self.repo.repo, commit, _hash(files)))
        return True

    def list_pending(self) -> list[datetime.date]:
        """Give the snapshots on this machine whose last push did not get through, oldest first."""
        recorded = set(recorded_names(self.folder))
        dates = self.list_snapshots() if recorded else []
        return [date for date in dates if snapshot_name(date) in recorded and self.hub_record(date).pending]

    def of_seed(self, number: int) -> "SnapshotLocalStorage":
        """Give the storage of the same models trained with another seed, ``models/seeds/<number>/<family>``; no Hub."""
        return SnapshotLocalStorage(self.family, self.folder.parent / SEEDS_FOLDER / str(number), market=self._market)

    def list_seeds(self) -> list[int]:
        """Give the numbers of the other seeds that there are trainings with, smallest first."""
        folder = self.folder.parent / SEEDS_FOLDER
        numbers = sorted(int(name) for name in list_names(folder) if name.isdecimal())
        return [number for number in numbers if self.family in list_names(folder / str(number))]

    def impatient(self) -> "SnapshotLocalStorage":
        """Give the same storage, but one that asks a Hub in trouble only once."""
        if self.hub is None:
            return self
        from brain_assets.store.hub_client import Patience

        return SnapshotLocalStorage(self.family, self.folder.parent, self.hub, Patience(attempts=1), self._market)

    def _record(self, cutoff_date: datetime.date, record: HubRecord) -> None:
        write_record(self.folder, snapshot_name(cutoff_date), record)


def _hash(files: dict[str, bytes]) -> str:
    return hashlib.sha256(files[MANIFEST]).hexdigest()
