"""Where the snapshots of one family are kept: in one place, and, if asked, as branches of a model repo of the Hub.

The place is always written first and is the truth; the Hub holds copies. Methods that talk to the Hub raise `HubError`
where there is none.
"""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from brain_assets import registry
from brain_assets.errors import MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.paths import DataPath, list_names
from brain_assets.progress import report, warn
from brain_assets.retry import NO_RETRY, RetryPolicy
from brain_assets.settings import Settings, read_settings
from brain_assets.store.checks import IDENTITY, check_metadata
from brain_assets.store.copies import Comparison, HubCopies, HubRecord, OnTransfer, Transfer
from brain_assets.store.hub import HubCopy, HubStore
from brain_assets.store.hub_client import HUB_POLICY, HubAddress
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.places import open_store
from brain_assets.store.snapshot import ModelSnapshot, believe, check_named

SEEDS_FOLDER = "seeds"
"""In the folder ``models``: models that show how much is luck of one training, and are used for nothing else."""
N_LOOKS = 16
"""Folders that are looked at at the same time."""


def hub_address(settings: Settings, family: str) -> HubAddress | None:
    """Give the repo of a family; None: snapshots stay on this machine."""
    repo = settings.model_repo(family)
    return HubAddress(repo, settings.hf_token) if settings.storage_backend == "hf" and repo else None


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
        self.family, self.folder, self.hub = family, root / family, hub
        self._policy, self._market = policy, market
        self.store = open_store(self.folder)
        self.copies = HubCopies(
            family, self.folder, self.store, HubStore(hub, policy, market) if hub else None, self._believe
        )

    def path(self, cutoff_date: datetime.date) -> DataPath:
        """Give the folder of a snapshot, whether it exists or not."""
        return self.folder / snapshot_name(cutoff_date)

    def write_snapshot(self, snapshot: ModelSnapshot) -> DataPath:
        """Write a snapshot, whole or not at all, and give its folder; one of the same date is replaced."""
        if snapshot.family != self.family:
            raise SnapshotError(
                f"expected a snapshot of {self.family}, got one of {snapshot.family}; use its own storage."
            )
        self.store.write(snapshot_name(snapshot.cutoff_date), snapshot.files)
        return self.path(snapshot.cutoff_date)

    def load_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot.

        Raises
        ------
        SnapshotError
            If there is none, or it does not verify, or it is not what its name says.
        """
        folder = self.path(cutoff_date)
        snapshot = ModelSnapshot.from_files(str(folder), self.read_files(cutoff_date))
        if (snapshot.family, snapshot.cutoff_date) != (self.family, cutoff_date):
            raise SnapshotError(
                f"{folder}: expected family {self.family} and cut-off {cutoff_date}, got {snapshot.family} and "
                f"{snapshot.cutoff_date}; do not use this snapshot."
            )
        return snapshot

    def read_files(self, cutoff_date: datetime.date) -> dict[str, bytes]:
        """Read the files of a snapshot, which verify; raises `SnapshotError`."""
        try:
            return self.store.read(snapshot_name(cutoff_date))
        except MissingSnapshotError as error:
            raise MissingSnapshotError(
                f"{self.path(cutoff_date)}: expected a snapshot, but there is none; materialize {self.family} for "
                f"{cutoff_date.year}."
            ) from error

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read the metadata of a snapshot, without its weights; None: it does not exist, or says too little."""
        manifest = self.store.find(snapshot_name(cutoff_date))
        try:
            check_metadata(manifest or {}, IDENTITY)
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

    def list_existing(self, parse_name: Callable[[str], object]) -> list[str]:
        """Name the folders whose name can be parsed and that exist, in order; they are looked at at the same time."""
        names = [name for name in self.store.list() if parse_name(name) is not None]
        with ThreadPoolExecutor(N_LOOKS) as pool:
            return [name for name, found in zip(names, pool.map(self.store.find, names), strict=True) if found]

    def get_snapshot_for_year(self, year: int) -> datetime.date | None:
        """Give the cut-off of the snapshot to forecast a year with: that of the year before, else the closest earlier.

        None: there is none on this machine.
        """
        return max((date for date in self.list_snapshots() if date <= cutoff_of_year(year - 1)), default=None)

    @property
    def repo(self) -> HubStore:
        """The model repo; raises `HubError` if there is none."""
        return self.copies.hub

    def upload_snapshot_to_hf(self, cutoff_date: datetime.date) -> HubCopy:
        """Push a snapshot: its branch holds exactly its files then; no commit if it did already.

        Raises
        ------
        SnapshotError
            If there is none on this machine, or it does not verify.
        HubError
            If the Hub fails or refuses. The snapshot stays, the reason is kept, and a later push or sync completes it.
        """
        return self.copies.upload(snapshot_name(cutoff_date), self.read_files(cutoff_date))

    def download_snapshot_from_hf(self, cutoff_date: datetime.date, commit: str = "") -> DataPath:
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
        self.copies.download(snapshot_name(cutoff_date), commit)
        return self.path(cutoff_date)

    def download_if(self, cutoff_date: datetime.date, fingerprint: str) -> bool:
        """Pull a snapshot if the Hub has it with this fingerprint; tells whether it did. Raises what pulling raises."""
        try:
            manifest = self.read_hf_manifest(cutoff_date)
        except MissingSnapshotError:
            return False
        if manifest["fingerprint"]["value"] != fingerprint:
            return False
        self.download_snapshot_from_hf(cutoff_date)
        return True

    def read_hf_manifest(self, cutoff_date: datetime.date, commit: str = "") -> dict[str, Any]:
        """Read what a snapshot on the Hub says of itself, in two requests; not to be believed before it is pulled.

        Raises
        ------
        RefusedSnapshotError
            If it cannot be that of a snapshot of this family and date, or its branch does not list what it states.
        """
        name = snapshot_name(cutoff_date)
        manifest = self.repo.read_manifest(name, commit)
        try:
            check_named(manifest, name, self.family, self._market)
        except SnapshotError as error:
            raise RefusedSnapshotError(f"{self.repo.repo}@{name}/{error}") from error
        return manifest

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

    def hf_commits(self, must_exist: bool = False) -> dict[datetime.date, str]:
        """Give the snapshots that have a branch on the Hub: cut-off -> commit; one request.

        A branch whose name looks like a snapshot's but holds no date is left out, with a warning.
        """
        found = {}
        for name, commit in self.repo.commits(must_exist).items():
            cutoff_date = parse_snapshot_name(name)
            if cutoff_date is not None:
                found[cutoff_date] = commit
            elif name.startswith("snapshot-"):
                warn(f"{self.repo.repo}: branch {name!r} ignored: its name does not end in a date such as 2020-12-31")
        return found

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
        for date in set(wanted) - set(found):
            older = max((each for each in found if each < date), default=datetime.date.min)
            for each in filter(None, map(parse_snapshot_name, self.store.list())):
                if older < each <= date:
                    self.refuse_damaged(each)
        return found

    def compare(self, cutoffs: Collection[datetime.date] | None = None) -> list[Comparison]:
        """Compare the folders with the branches, oldest first; see `HubCopies.compare`. Default: all cut-offs."""

        def is_wanted(name: str) -> bool:
            cutoff_date = parse_snapshot_name(name)
            return cutoff_date is not None and (cutoffs is None or cutoff_date in cutoffs)

        return self.copies.compare([snapshot_name(date) for date in self.list_snapshots()], is_wanted)

    def push(self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None) -> list[Transfer]:
        """Push what the Hub lacks or holds otherwise; gives what became of each, oldest first."""
        return self.copies.push(rows, on_transfer)

    def pull(
        self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None, force: bool = False
    ) -> list[Transfer]:
        """Pull what this machine lacks or holds otherwise; what was made here is kept, unless forced."""
        return self.copies.pull(rows, on_transfer, force)

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
        return self.copies.record(snapshot_name(cutoff_date))

    def changed_here(self, cutoff_date: datetime.date) -> bool:
        """Tell whether the snapshot on this machine is not what was last pushed or pulled, as far as is known."""
        return self.copies.changed_here(snapshot_name(cutoff_date))

    def list_pending(self) -> list[datetime.date]:
        """Give the snapshots on this machine whose last push did not get through, oldest first."""
        recorded = set(self.copies.recorded())
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

    def no_retry(self) -> "SnapshotLocalStorage":
        """Give the same storage, but one that asks a Hub in trouble only once."""
        return SnapshotLocalStorage(self.family, self.folder.parent, self.hub, NO_RETRY, self._market)

    def _believe(self, name: str, files: Mapping[str, bytes]) -> None:
        believe(f"{self.repo.repo}@{name}", name, files, self.family, self._market)
