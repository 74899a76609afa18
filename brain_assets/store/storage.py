"""Where the models of one family are kept: in one place, and, if asked, as branches of a model repo of the Hub.

``snapshot-<date>`` and the main versions ``v<date>-<hash>`` are folders alike; ``current`` is a text file of one line
that names the current version, and is replaced in one step. The Hub's ``main`` holds the files of that one.
The place is always written first and is the truth; the Hub holds copies, which `compare` and `transfer` are about.
"""

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from brain_assets import registry
from brain_assets.errors import (
    DamagedSnapshotError,
    HubError,
    MissingSnapshotError,
    RefusedSnapshotError,
    SnapshotError,
)
from brain_assets.paths import DataPath, as_place, list_names, read_bytes, replace_file
from brain_assets.progress import report, warn
from brain_assets.settings import Settings, read_settings
from brain_assets.store.checks import check_identity
from brain_assets.store.fingerprint import Fingerprint
from brain_assets.store.hub import HubAddress, HubCopy, HubStore, in_place_of
from brain_assets.store.names import MAIN_BRANCH, cutoff_of_year, parse_snapshot_name, parse_version_name, snapshot_name
from brain_assets.store.places import FolderStore
from brain_assets.store.snapshot import ModelSnapshot

SEEDS_FOLDER = "seeds"
"""In the folder ``models``: models that show how much is luck of one training, and are used for nothing else."""
CURRENT = "current"
N_CONNECTIONS = 8
"""Models under way at once; almost all of the time is waiting for the Hub."""
EQUAL, DIFFERENT, LOCAL_ONLY, HUB_ONLY = "equal", "different", "here only", "on the Hub only"
"""How a local folder and its branch on the Hub stand to each other."""
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


def hub_address(settings: Settings, family: str) -> HubAddress | None:
    """Give the repo of a family; None: snapshots stay on this machine."""
    repo = settings.model_repos.get(family)
    return HubAddress(repo, settings.hf_token) if settings.storage_backend == "hf" and repo else None


class SnapshotLocalStorage:
    """The folder ``models/<family>``; snapshots go by their cut-off date. Without a repo, asking it is a `HubError`.

    Parameters
    ----------
    family : str
    root : str, Path or UPath, optional
        The folder ``models``; default: that of ``BRAIN_DATA_DIR``.
    hub : HubAddress, optional
        The family's model repo; default: what the environment says if `root` is left out too, else none.
    market : str, optional
        What its snapshots were trained on: one of another market is not taken from the Hub, nor replaced there.
    """

    def __init__(
        self, family: str, root: str | DataPath | None = None, hub: HubAddress | None = None, market: str | None = None
    ) -> None:
        if family not in registry.names():
            known = ", ".join(registry.names())
            raise SnapshotError(f"family: expected one of {known}, got {family}; choose one of them.")
        if root is None:
            settings = read_settings()
            root = settings.data_dir / "models"
            hub = hub or hub_address(settings, family)
            market = market or settings.market
        self.family, self.folder, self.hub = family, as_place(root) / family, hub
        self.store = FolderStore(self.folder)
        self._market = market

    def of_seed(self, number: int) -> "SnapshotLocalStorage":
        """Give the storage of the same models trained with another seed, ``models/seeds/<number>/<family>``; no Hub."""
        return SnapshotLocalStorage(self.family, self.folder.parent / SEEDS_FOLDER / str(number), market=self._market)

    def list_seeds(self) -> list[int]:
        """Give the numbers of the other seeds that there are trainings with, smallest first."""
        folder = self.folder.parent / SEEDS_FOLDER
        numbers = sorted(int(name) for name in list_names(folder) if name.isdecimal())
        return [number for number in numbers if self.family in list_names(folder / str(number))]

    def list_existing(self, parse_name: Callable[[str], object]) -> list[str]:
        """Name the folders whose name can be parsed and that exist, in order."""
        names = [name for name in self.store.list() if parse_name(name) is not None]
        with ThreadPoolExecutor() as pool:  # in a bucket, each is a request
            return [name for name, found in zip(names, pool.map(self.store.find, names), strict=True) if found]

    def load(self, name: str) -> ModelSnapshot:
        """Read a model; raises `SnapshotError` if there is none, or it is not what it, or its name, says."""
        return ModelSnapshot.from_files(self.folder / name, self.store.read(name), name, self.family)

    # Main versions

    def list_versions(self) -> list[str]:
        """Name all main versions that verify, oldest first."""
        return self.list_existing(parse_version_name)

    def current(self) -> str | None:
        """Name the current main version; None: none was promoted. Raises `SnapshotError` if it is not there."""
        try:
            name = read_bytes(self.folder / CURRENT).decode(errors="replace").strip()
        except FileNotFoundError:
            return None
        if parse_version_name(name) is None or self.store.find(name) is None:
            there = ", ".join(self.list_versions())
            raise SnapshotError(
                f"{self.folder / CURRENT}: expected the name of a main version that is there, got {name[:60]!r}; "
                f"{f'promote one of {there}' if there else 'remove the file, and train one'}."
            )
        return name

    def promote(self, name: str) -> None:
        """Make a main version current, in one step; raises `SnapshotError` if it is not there or does not load."""
        if parse_version_name(name) is None or name not in self.store.list():
            raise SnapshotError(
                f"{self.family}: expected a main version that is there, such as v2024-01-02-0123456789ab, got "
                f"{name!r}; see `brain-assets models`, or train one with `brain-assets train {self.family}`."
            )
        self.load(name)
        replace_file(self.folder / CURRENT, f"{name}\n")

    # Snapshots here

    def path(self, cutoff_date: datetime.date) -> DataPath:
        """Give the folder of a snapshot, whether it exists or not."""
        return self.folder / snapshot_name(cutoff_date)

    def write_snapshot(self, snapshot: ModelSnapshot) -> DataPath:
        """Write a model, whole or not at all, and give its folder; one of the same name is replaced."""
        if snapshot.family != self.family:
            raise SnapshotError(
                f"expected a snapshot of {self.family}, got one of {snapshot.family}; use its own storage."
            )
        self.store.write(snapshot.name, snapshot.files)
        return self.folder / snapshot.name

    def load_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot; raises as `load`."""
        return self.load(snapshot_name(cutoff_date))

    def read_metadata(self, cutoff_date: datetime.date) -> dict[str, Any] | None:
        """Read the metadata of a snapshot, without its weights; None: it does not exist, or says too little."""
        manifest = self.store.find(snapshot_name(cutoff_date))
        with suppress(SnapshotError):
            check_identity(manifest or {})
            return manifest
        return None

    def find_kept(self, fingerprint: Fingerprint, cutoff_date: datetime.date) -> ModelSnapshot | None:
        """Read a snapshot if its fingerprint keeps it; None: there is none, or it is damaged, which is said."""
        found = self.read_metadata(cutoff_date)
        if found is not None and fingerprint.keeps(found["fingerprint"]):
            try:
                return self.load_snapshot(cutoff_date)
            except DamagedSnapshotError as error:  # in a bucket, it is noticed when it is read
                warn(str(error))
        return None

    def snapshot_exists(self, cutoff_date: datetime.date) -> bool:
        """Tell whether there is a snapshot of that date, and, on a disk, whether all of it verifies."""
        return self.store.find(snapshot_name(cutoff_date)) is not None

    def refuse_damaged(self, cutoff_date: datetime.date) -> None:
        """Raise `DamagedSnapshotError`, which names the file, if a snapshot is there but not as it was written."""
        if not self.snapshot_exists(cutoff_date):
            with suppress(MissingSnapshotError):
                self.store.read(snapshot_name(cutoff_date))

    def list_snapshots(self) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that exist, oldest first."""
        return _dates(self.list_existing(parse_snapshot_name))

    def get_snapshot_for_year(self, year: int) -> datetime.date | None:
        """Give the cut-off of the snapshot here to forecast a year with: of the year before, or the closest earlier."""
        return max((date for date in self.list_snapshots() if date <= cutoff_of_year(year - 1)), default=None)

    # On the Hub

    @cached_property
    def repo(self) -> HubStore:
        """The model repo; raises `HubError` if there is none."""
        if self.hub is None:
            raise HubError(
                f"{self.family}: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, "
                f"and HF_{self.family.upper()}_MODEL_REPO."
            )
        return HubStore(self.hub, self._market)

    def upload_snapshot_to_hf(self, cutoff_date: datetime.date) -> HubCopy:
        """Push a snapshot; raises as `HubStore.write`."""
        return self.upload(snapshot_name(cutoff_date))

    def upload(self, branch: str) -> HubCopy:
        """Push the folder of a branch, as `HubStore.write` does."""
        return self.repo.write(branch, self.files_of(branch))

    def upload_version(self, name: str) -> HubCopy:
        """Push a main version, and ``main``, which follows the current one."""
        copy = self.upload(name)
        if not self.current():
            return copy
        main = self.upload(MAIN_BRANCH)
        return replace(copy, changed=copy.changed or main.changed, before=main.before)

    def files_of(self, branch: str) -> dict[str, bytes]:
        """Read the folder that a branch holds a copy of; raises `SnapshotError`."""
        return self.store.read(self.current() or "none" if branch == MAIN_BRANCH else branch)

    def download_snapshot_from_hf(self, cutoff_date: datetime.date) -> DataPath:
        """Pull a snapshot, and give its folder; what stood there is replaced.

        Raises, and replaces nothing, as `HubStore.read`, and `RefusedSnapshotError` if it is another model.
        """
        return self.download(snapshot_name(cutoff_date))

    def download(self, name: str) -> DataPath:
        """Pull the snapshot of a branch; see `download_snapshot_from_hf`."""
        files, place = self.repo.read(name), f"{self.repo.repo}@{name}"
        ModelSnapshot.from_files(place, files, name, self.family, self._market, RefusedSnapshotError)
        self.store.write(name, files)
        return self.folder / name

    def ensure_snapshot_available(self, cutoff_date: datetime.date) -> bool:
        """Have a snapshot on this machine: it is there, or is pulled; False: there is none that can be believed."""
        try:
            self._pull_absent(cutoff_date)
        except SnapshotError as error:
            if not isinstance(error, MissingSnapshotError):
                warn(str(error))
        return self.snapshot_exists(cutoff_date)

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read a snapshot; one that is not on this machine is pulled first. Raises what pulling it raises."""
        self._pull_absent(cutoff_date)
        return self.load_snapshot(cutoff_date)

    def _pull_absent(self, cutoff_date: datetime.date) -> None:
        if self.hub is not None and not self.snapshot_exists(cutoff_date):
            report(f"{self.download_snapshot_from_hf(cutoff_date)}: pulled from {self.hub.repo}")

    def list_hf_snapshots(self, must_exist: bool = False) -> list[datetime.date]:
        """Give the cut-offs of all snapshots that have a branch on the Hub, oldest first; one request.

        A repo that is not there has none, or raises `HubError`.
        """
        return _dates(self.repo.commits(must_exist))

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs on this machine and, unless all that are wanted are among them, those on the Hub.

        Raises `DamagedSnapshotError` if one that is wanted, or would take its place, is damaged here, and not on the
        Hub; `HubError` if the Hub must be asked, and fails or shows no such repo: a model that is not seen is not
        replaced by a worse one without a word.
        """
        found = self.list_snapshots()
        if self.hub is not None and not set(wanted) <= set(found):
            found = sorted({*found, *self.list_hf_snapshots(must_exist=True)})
        for date in sorted(set(wanted) - set(found)):
            older = max((each for each in found if each < date), default=datetime.date.min)
            for each in _dates(self.store.list()):
                if older < each <= date:
                    self.refuse_damaged(each)
        return found

    def sync_all_local_to_hf(self) -> list[datetime.date]:
        """Push every snapshot that the Hub lacks or holds otherwise; gives those that were, and warns of others."""
        return self._sync("push")

    def sync_all_hf_to_local(self, force: bool = False) -> list[datetime.date]:
        """Pull every snapshot that is not here, forced: or differs; gives those that were, and warns of others."""
        return self._sync("pull", force)

    def _sync(self, verb: str, force: bool = False) -> list[datetime.date]:
        own, done = {self.family: self}, []
        for each in transfer(verb, own, compare(own), force):
            if each.state in ("pushed", "pulled"):
                done.append(each.name)
            else:
                warn(f"{each.family} {each.name}: {each.state}: {each.detail}")
        return _dates(done)


def _dates(names: Collection[str]) -> list[datetime.date]:
    return sorted(filter(None, map(parse_snapshot_name, names)))


# What `brain-assets sync` transfers

Storages = Mapping[str, SnapshotLocalStorage]


@dataclass(frozen=True)
class ModelCopy:
    """A model here or on the Hub.

    What was compared has a relation as its state, and as detail the commit of the branch, if there is one. What was
    transferred has one of `RESULTS`: ``unchanged`` if the branch held these files already, ``kept`` if a pull left
    alone what is here; the detail is the reason, or which commit a push took the place of.
    """

    family: str
    name: str
    state: str
    detail: str = ""


def compare(storages: Storages, years: Collection[int] = (), versions: bool = False) -> list[ModelCopy]:
    """Compare what is here of some years, none named: of all, with what is on the Hub, family by family.

    With versions, the main versions here follow, and as ``main`` the current one. One request lists a repo's branches,
    and one more the files of each that is on both sides.
    """
    return [row for storage in storages.values() for row in _compare(storage, years, versions)]


def _compare(storage: SnapshotLocalStorage, years: Collection[int], versions: bool) -> list[ModelCopy]:
    commits, here = storage.repo.commits(), storage.list_existing(parse_snapshot_name)
    wanted = {cutoff_of_year(year) for year in years}
    dates = {name: parse_snapshot_name(name) for name in sorted({*here, *commits})}
    names = [name for name, date in dates.items() if date and (not wanted or date in wanted)]
    mains = [*storage.list_versions(), *([MAIN_BRANCH] if storage.current() else [])] if versions else []

    def row(name: str) -> ModelCopy:
        if name not in commits:
            relation = LOCAL_ONLY
        elif name not in (*here, *mains):
            relation = HUB_ONLY
        else:
            relation = EQUAL if storage.repo.holds(name, storage.files_of(name)) else DIFFERENT
        return ModelCopy(storage.family, name, relation, commits.get(name, ""))

    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        return list(pool.map(row, [*names, *mains]))


def transfer(
    verb: str, storages: Storages, rows: Sequence[ModelCopy], force: bool = False, dry_run: bool = False
) -> Iterator[ModelCopy]:
    """Push or pull what differs of what was compared, several at once; gives what became of each, or would, in turn.

    A pull keeps what is here where the Hub holds something else, unless forced: it may have been made here. One that
    fails or is refused stops no other. ``main``, which follows the versions, comes last.
    """

    def one(row: ModelCopy) -> ModelCopy:
        storage, became = storages[row.family], partial(ModelCopy, row.family, row.name)
        is_kept = verb == "pull" and row.state == DIFFERENT and not force
        if dry_run:
            replaced = in_place_of(row.detail) if verb == "push" else ""
            return became("would keep" if is_kept else f"would {verb}", replaced or row.state)
        if is_kept:
            return became("kept", "it differs from that of the Hub: push it, or pull with force")
        try:
            if verb == "push":
                copy = storage.upload(row.name)
                return became("pushed" if copy.changed else "unchanged", in_place_of(copy.before))
            storage.download(row.name)
            return became("pulled")
        except RefusedSnapshotError as error:
            return became("refused", str(error))
        except (HubError, SnapshotError) as error:
            return became("failed", str(error))

    chosen = [row for row in rows if row.state in (DIFFERENT, LOCAL_ONLY if verb == "push" else HUB_ONLY)]
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        yield from pool.map(one, [row for row in chosen if row.name != MAIN_BRANCH])
    yield from map(one, [row for row in chosen if row.name == MAIN_BRANCH])
