"""Where the snapshots of one family are kept: in one place, and, if asked, as branches of a model repo of the Hub.

The place is always written first and is the truth; the Hub holds copies. Methods that talk to the Hub raise `HubError`
where there is none.
"""

import datetime
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from brain_assets import registry
from brain_assets.errors import MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.paths import DataPath, list_names
from brain_assets.progress import report, warn
from brain_assets.retry import NO_RETRY, RetryPolicy
from brain_assets.settings import Settings, read_settings
from brain_assets.store.checks import believed, check_identity
from brain_assets.store.copies import CopiedFolders, HubRecord
from brain_assets.store.hub import HubCopy
from brain_assets.store.hub_client import HUB_POLICY, HubAddress
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot, check_named

SEEDS_FOLDER = "seeds"
"""In the folder ``models``: models that show how much is luck of one training, and are used for nothing else."""


def hub_address(settings: Settings, family: str) -> HubAddress | None:
    """Give the repo of a family; None: snapshots stay on this machine."""
    repo = settings.model_repo(family)
    return HubAddress(repo, settings.hf_token) if settings.storage_backend == "hf" and repo else None


class SnapshotLocalStorage(CopiedFolders):
    """The folder ``models/<family>``; snapshots go by their cut-off date.

    Parameters
    ----------
    family : str
        ``lstm``, ``patchtst``, ``ppo`` or ``sac``.
    root : Path or UPath, optional
        The folder ``models``; default: that of ``BRAIN_DATA_DIR``.
    hub : HubAddress, optional
        The family's model repo; default: what the environment says if `root` is left out too, else none.
    policy : RetryPolicy, optional
        How long to go on with a Hub in trouble.
    market : str, optional
        What its snapshots were trained on: one of another market is not taken from the Hub, nor replaced there.
    """

    def __init__(
        self,
        family: str,
        root: DataPath | None = None,
        hub: HubAddress | None = None,
        policy: RetryPolicy = HUB_POLICY,
        market: str | None = None,
    ) -> None:
        if family not in registry.names():
            known = ", ".join(registry.names())
            raise SnapshotError(f"family: expected one of {known}, got {family}; choose one of them.")
        if root is None:
            settings = read_settings()
            root = settings.data_dir / "models"
            hub = hub or hub_address(settings, family)
            market = market or settings.market
        super().__init__(family, root / family, hub, policy, market)

    def of_seed(self, number: int) -> "SnapshotLocalStorage":
        """Give the storage of the same models trained with another seed, ``models/seeds/<number>/<family>``; no Hub."""
        return SnapshotLocalStorage(self.family, self.folder.parent / SEEDS_FOLDER / str(number), market=self._market)

    def list_seeds(self) -> list[int]:
        """Give the numbers of the other seeds that there are trainings with, smallest first."""
        folder = self.folder.parent / SEEDS_FOLDER
        numbers = sorted(int(name) for name in list_names(folder) if name.isdecimal())
        return [number for number in numbers if self.family in list_names(folder / str(number))]

    def no_retry(self) -> "SnapshotLocalStorage":
        """Give the same storage, but one that asks a Hub in trouble only once."""
        return SnapshotLocalStorage(self.family, self.folder.parent, self.hub, NO_RETRY, self._market)

    # In its place

    def path(self, cutoff_date: datetime.date) -> DataPath:
        """Give the folder of a snapshot, whether it exists or not."""
        return self.folder / snapshot_name(cutoff_date)

    def write_snapshot(self, snapshot: ModelSnapshot) -> DataPath:
        """Write a snapshot, whole or not at all, and give its folder; one of the same date is replaced."""
        return self.write(snapshot)

    def load_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot; raises `SnapshotError` if there is none, or it is not what it, or its name, says."""
        return self.load(snapshot_name(cutoff_date), self._absent(cutoff_date))

    def read_files(self, cutoff_date: datetime.date) -> dict[str, bytes]:
        """Read the files of a snapshot, which verify; raises `SnapshotError`."""
        try:
            return self.store.read(snapshot_name(cutoff_date))
        except MissingSnapshotError as error:
            raise MissingSnapshotError(f"{self.path(cutoff_date)}: expected {self._absent(cutoff_date)}.") from error

    def _absent(self, cutoff_date: datetime.date) -> str:
        return f"a snapshot, but there is none; materialize {self.family} for {cutoff_date.year}"

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read the metadata of a snapshot, without its weights; None: it does not exist, or says too little."""
        manifest = self.store.find(snapshot_name(cutoff_date))
        try:
            check_identity(manifest or {}, None, None)
        except SnapshotError:
            return None
        return manifest

    def snapshot_exists(self, cutoff_date: datetime.date) -> bool:
        """Tell whether there is a snapshot of that date, and, on a disk, whether all of it verifies."""
        return self.store.find(snapshot_name(cutoff_date)) is not None

    def refuse_damaged(self, cutoff_date: datetime.date) -> None:
        """Raise `DamagedSnapshotError`, which names the file, if a snapshot is there but not as it was written."""
        name = snapshot_name(cutoff_date)
        with suppress(MissingSnapshotError):
            if self.store.find(name) is None:
                self.store.read(name)

    def list_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that exist, oldest first."""
        return sorted(filter(None, map(parse_snapshot_name, self.list_existing(parse_snapshot_name))))

    def get_snapshot_for_year(self, year: int) -> datetime.date | None:
        """Give the cut-off of the snapshot here to forecast a year with: of the year before, or the closest earlier."""
        return max((date for date in self.list_snapshots() if date <= cutoff_of_year(year - 1)), default=None)

    # On the Hub

    def upload_snapshot_to_hf(self, cutoff_date: datetime.date) -> HubCopy:
        """Push a snapshot: its branch holds exactly its files then; no commit if it did already.

        Raises `SnapshotError` if there is none on this machine that verifies, and `HubError` if the Hub fails or
        refuses: the snapshot stays, the reason is kept, and a later push or sync completes it.
        """
        return self.upload(snapshot_name(cutoff_date), self.read_files(cutoff_date))

    def download_snapshot_from_hf(self, cutoff_date: datetime.date, commit: str = "") -> DataPath:
        """Pull a snapshot, of a known commit if one is given, and give its folder.

        One of the same date is replaced, but only by one that is believed.

        Raises
        ------
        RefusedSnapshotError
            If what the branch holds is not to be believed.
        SnapshotError
            If there is no such branch.
        HubError
            If the Hub fails or refuses.
        """
        self.download(snapshot_name(cutoff_date), commit)
        return self.path(cutoff_date)

    def download_if(self, cutoff_date: datetime.date, fingerprint: str) -> bool:
        """Pull a snapshot if the Hub has it with this fingerprint; tells whether it did. Raises what pulling raises."""
        commit = self.hf_commits().get(cutoff_date)
        if commit is None or self.read_hf_manifest(cutoff_date, commit)["fingerprint"]["value"] != fingerprint:
            return False
        self.download_snapshot_from_hf(cutoff_date, commit)
        return True

    def read_hf_manifest(self, cutoff_date: datetime.date, commit: str = "") -> dict[str, Any]:
        """Read what a snapshot on the Hub says of itself, in two requests; not to be believed before it is pulled.

        Raises `RefusedSnapshotError` if it cannot be of this family, date and market, or its branch lists other files.
        """
        name = snapshot_name(cutoff_date)
        manifest = self.repo.read_manifest(name, commit)
        with believed(f"{self.repo.repo}@{name}"):
            check_named(manifest, name, self.family, self._market)
        return manifest

    def ensure_snapshot_available(self, cutoff_date: datetime.date) -> bool:
        """Have a snapshot on this machine: it is there, or is pulled; False: there is none that can be believed."""
        try:
            return self._is_here(cutoff_date)
        except SnapshotError as error:
            if isinstance(error, RefusedSnapshotError):
                warn(str(error))
            return False

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot; one that is not on this machine is pulled first. Raises what pulling it raises."""
        self._is_here(cutoff_date)
        return self.load_snapshot(cutoff_date)

    def _is_here(self, cutoff_date: datetime.date) -> bool:
        """Pull a snapshot that is not on this machine; False: there is no Hub."""
        if self.snapshot_exists(cutoff_date):
            return True
        if self.hub is None:
            return False
        report(f"{self.download_snapshot_from_hf(cutoff_date)}: pulled from {self.hub.repo}")
        return True

    def list_hf_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that have a branch on the Hub, oldest first; one request."""
        return sorted(self.hf_commits())

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs on this machine and, unless all that are wanted are among them, those on the Hub.

        Raises
        ------
        DamagedSnapshotError
            If one that is wanted, or would take its place, is damaged here, and is not on the Hub.
        HubError
            If the Hub must be asked, and fails or shows no such repo: a model that is not seen is not replaced by a
            worse one without a word.
        """
        found = self.list_snapshots()
        if self.hub is not None and not set(wanted) <= set(found):
            found = sorted({*found, *self.hf_commits(must_exist=True)})
        for date in sorted(set(wanted) - set(found)):
            older = max((each for each in found if each < date), default=datetime.date.min)
            for each in filter(None, map(parse_snapshot_name, self.store.list())):
                if older < each <= date:
                    self.refuse_damaged(each)
        return found

    def sync_all_local_to_hf(self) -> list[datetime.date]:
        """Push every snapshot that the Hub lacks or holds otherwise; gives those that were, and warns of failures."""
        return [transfer.cutoff_date for transfer in self.push(self.compare()) if transfer.done]

    def sync_all_hf_to_local(self, force: bool = False) -> list[datetime.date]:
        """Pull every snapshot that this machine lacks or holds otherwise; gives those that were, and warns of failures.

        One that was made here since the last transfer is kept, unless forced.
        """
        return [transfer.cutoff_date for transfer in self.pull(self.compare(), force=force) if transfer.done]

    def hub_record(self, cutoff_date: datetime.date) -> HubRecord:
        """Give what this machine knows of a snapshot's copy in the family's repo."""
        return self.record(snapshot_name(cutoff_date))

    def list_pending(self) -> list[datetime.date]:
        """Give the snapshots on this machine whose last push did not get through, oldest first."""
        pending = [parse_snapshot_name(name) for name in self.recorded() if self.record(name).pending]
        return [date for date in pending if date and self.snapshot_exists(date)]
