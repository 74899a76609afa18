"""The folders of one family in one place, and their copies on the Hub: compared, pushed and pulled by name.

Beside the folders lies ``.hub/<name>.json``, what this machine knows of a copy. A commit never changes: once one was
seen to hold exactly the files of a local manifest, one listing of branches tells whether that is still so, for all
snapshots at once. The file also keeps why the last push did not get through. It is a cache: if it is lost or broken,
the Hub is asked again.
"""

import enum
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from datetime import date

from brain_assets.errors import HubError, MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.paths import DataPath, list_names, read_bytes, replace_file
from brain_assets.progress import report, warn
from brain_assets.retry import RetryPolicy
from brain_assets.store.hub import HubCopy, HubStore
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.manifest import MANIFEST, parse
from brain_assets.store.names import parse_snapshot_name, snapshot_name
from brain_assets.store.places import open_store
from brain_assets.store.snapshot import ModelSnapshot, believe

N_CONNECTIONS = 8
"""Snapshots under way at once; almost all of the time is waiting for the Hub."""
N_LOOKS = 16
"""Folders that are looked at at the same time."""
_FOLDER, _ENDING = ".hub", ".json"


@dataclass(frozen=True)
class HubRecord:
    """What is known of one copy in a repo.

    Attributes
    ----------
    commit, manifest : str
        A commit, and the hash of the local manifest whose files it holds; empty: none is known.
    pending : str
        Why the last push did not get through; empty: it did.
    arriving : str
        Hash of a manifest that a pull was about to put here: should it die, what it put is not ours.
    """

    repo: str
    commit: str = ""
    manifest: str = ""
    pending: str = ""
    arriving: str = ""


class Relation(enum.Enum):
    """How a local folder and its branch on the Hub stand to each other."""

    EQUAL = "equal"
    DIFFERENT = "different"
    LOCAL_ONLY = "here only"
    HUB_ONLY = "on the Hub only"


@dataclass(frozen=True)
class _OfSnapshot:
    family: str
    name: str

    @property
    def cutoff_date(self) -> date:
        """Its cut-off."""
        return date.fromisoformat(self.name.removeprefix("snapshot-"))


@dataclass(frozen=True)
class Comparison(_OfSnapshot):
    """One snapshot, here and on the Hub; the commit is that of its branch, empty if there is none."""

    relation: Relation
    commit: str
    record: HubRecord

    @property
    def pending(self) -> str:
        """Why its last push did not get through; empty: it did, or there was none."""
        return self.record.pending

    @property
    def to_push(self) -> bool:
        """Whether a push transfers it."""
        return self.relation in (Relation.LOCAL_ONLY, Relation.DIFFERENT)

    @property
    def to_pull(self) -> bool:
        """Whether a pull transfers it, or keeps what was made here."""
        return self.relation in (Relation.HUB_ONLY, Relation.DIFFERENT)

    @property
    def to_complete(self) -> bool:
        """Whether a push transfers it and nobody needs to be asked: the Hub holds nothing that was not here."""
        known = bool(self.pending) or self.record.commit == self.commit
        return self.relation is Relation.LOCAL_ONLY or (self.relation is Relation.DIFFERENT and known)


@dataclass(frozen=True)
class Transfer(_OfSnapshot):
    """What became of one snapshot.

    The result is ``pushed``, ``pulled``, ``unchanged`` (the branch held these files already), ``kept``, ``refused`` or
    ``failed``; the detail is the reason, unless it was transferred.
    """

    result: str
    detail: str = ""

    @property
    def done(self) -> bool:
        """Whether it was transferred."""
        return self.result in ("pushed", "pulled")


OnTransfer = Callable[[Transfer], None]


class CopiedFolders:
    """One family's folders in a folder, and the branches of a repo that copy them.

    Without a repo, methods that ask the Hub raise `HubError`. The market is that of the snapshots which are pulled or
    replaced; None: any.
    """

    def __init__(
        self, family: str, folder: DataPath, hub: HubAddress | None, policy: RetryPolicy, market: str | None
    ) -> None:
        self.family, self.folder, self.hub = family, folder, hub
        self.store = open_store(folder)
        self._market = market
        self._repo = HubStore(hub, policy, market) if hub else None

    @property
    def repo(self) -> HubStore:
        """The model repo; raises `HubError` if there is none."""
        if self._repo is None:
            raise HubError(
                f"{self.family}: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, "
                f"and HF_{self.family.upper()}_MODEL_REPO."
            )
        return self._repo

    def list_existing(self, parse_name: Callable[[str], object]) -> list[str]:
        """Name the folders whose name can be parsed and that exist, in order; they are looked at at the same time."""
        names = [name for name in self.store.list() if parse_name(name) is not None]
        with ThreadPoolExecutor(N_LOOKS) as pool:
            return [name for name, found in zip(names, pool.map(self.store.find, names), strict=True) if found]

    def write(self, snapshot: ModelSnapshot) -> DataPath:
        """Write a model, whole or not at all, and give its folder; one of the same name is replaced."""
        if snapshot.family != self.family:
            raise SnapshotError(
                f"expected a snapshot of {self.family}, got one of {snapshot.family}; use its own storage."
            )
        self.store.write(snapshot.name, snapshot.files)
        return self.folder / snapshot.name

    def load(self, name: str, advice: str) -> ModelSnapshot:
        """Read a model; raises `SnapshotError`: there is none, with advice, or it is not what it or its name says."""
        folder = self.folder / name
        try:
            snapshot = ModelSnapshot.load(folder)
        except MissingSnapshotError as error:
            raise MissingSnapshotError(f"{folder}: expected {advice}.") from error
        if (snapshot.family, snapshot.name) != (self.family, name):
            raise SnapshotError(
                f"{folder}: expected {self.family} {name}, got {snapshot.family} {snapshot.name}; do not use it."
            )
        return snapshot

    def record(self, name: str) -> HubRecord:
        """Give what this machine knows of a copy in the family's repo."""
        repo = self.hub.repo if self.hub else ""
        try:
            record = HubRecord(**json.loads(read_bytes(self._record_path(name))))
        except (OSError, ValueError, TypeError):  # there is none, or it cannot be read
            return HubRecord(repo)
        is_sound = all(isinstance(value, str) for value in asdict(record).values())
        return record if is_sound and record.repo == repo else HubRecord(repo)

    def recorded(self) -> list[str]:
        """Name what has a record, in order."""
        names = list_names(self.folder / _FOLDER)
        return [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]

    def _remember(self, name: str, record: HubRecord) -> None:
        replace_file(self._record_path(name), json.dumps(asdict(record), indent=2) + "\n")

    def _record_path(self, name: str) -> DataPath:
        return self.folder / _FOLDER / f"{name}{_ENDING}"

    def changed_here(self, cutoff_date: date) -> bool:
        """Tell whether the snapshot on this machine is not what was last pushed or pulled, as far as is known."""
        record = self.record(snapshot_name(cutoff_date))
        return self._hash(snapshot_name(cutoff_date)) not in (record.manifest, record.arriving)

    def is_uploaded(self, branch: str, name: str) -> bool:
        """Tell whether a branch is known to have been given a folder as it is; asks no Hub."""
        record = self.record(branch)
        return record.manifest == self._hash(name) and not record.pending

    def _hash(self, name: str) -> str:
        return str(self.store.read_manifest(name)["manifest"])

    def upload(self, branch: str, files: Mapping[str, bytes], known: str | None = None) -> HubCopy:
        """Push files to a branch, and remember how it went; raises as `HubStore.push`."""
        repo = self.repo
        try:
            copy = repo.push(branch, files, known)
        except HubError as error:
            self._remember(branch, replace(self.record(branch), pending=str(error)))
            raise
        self._remember(branch, HubRecord(repo.repo, copy.commit, _hash_of(files)))
        return copy

    def download(self, name: str, commit: str = "") -> None:
        """Pull a snapshot; one of its name is replaced, but only by one that is believed. Raises as `HubStore.read`."""
        commit = commit or self.repo.look(name).commit
        files = self.repo.read(name, commit)
        believe(f"{self.repo.repo}@{name}", name, files, self.family, self._market)
        self._remember(name, replace(self.record(name), arriving=_hash_of(files)))
        self.store.write(name, files)
        self._remember(name, HubRecord(self.repo.repo, commit, _hash_of(files)))

    def hf_commits(self, must_exist: bool = False) -> dict[date, str]:
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

    def compare(self, cutoffs: Collection[date] | None = None) -> list[Comparison]:
        """Compare the snapshots here with those on the Hub, oldest first. Default: all cut-offs.

        One request lists the branches. A commit that this machine has pushed, pulled or compared before is known; for
        another one, one more request lists its files.
        """
        commits = {snapshot_name(cutoff): commit for cutoff, commit in self.hf_commits().items()}
        here = self.list_existing(parse_snapshot_name)
        dates = {name: parse_snapshot_name(name) for name in sorted({*here, *commits})}

        def row(name: str) -> Comparison:
            if name not in commits:
                relation = Relation.LOCAL_ONLY
            elif name not in here:
                relation = Relation.HUB_ONLY
            else:
                relation = Relation.EQUAL if self._is_copied(name, commits[name]) else Relation.DIFFERENT
            return Comparison(self.family, name, relation, commits.get(name, ""), self.record(name))

        chosen = [name for name, cutoff in dates.items() if cutoff and (cutoffs is None or cutoff in cutoffs)]
        with ThreadPoolExecutor(N_CONNECTIONS) as pool:
            return list(pool.map(row, chosen))

    def _is_copied(self, name: str, commit: str) -> bool:
        """Tell whether a commit holds exactly the local files; asks the Hub unless that is known, and remembers it."""
        record = self.record(name)
        if record.commit == commit and not record.pending:
            return record.manifest == self._hash(name)
        files = self.store.read(name)
        if not self.repo.look(name, commit).holds(files):
            return False
        self._remember(name, HubRecord(self.repo.repo, commit, _hash_of(files)))
        return True

    def push(self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None) -> list[Transfer]:
        """Push what the Hub lacks or holds otherwise; gives what became of each, oldest first."""

        def one(row: Comparison) -> tuple[str, str]:
            copy = self.upload(row.name, self.store.read(row.name), row.commit)
            return ("pushed" if copy.changed else "unchanged"), ""

        return _transfer([row for row in rows if row.to_push], one, on_transfer)

    def pull(
        self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None, force: bool = False
    ) -> list[Transfer]:
        """Pull what this machine lacks or holds otherwise; gives what became of each, oldest first.

        A snapshot that was made here since the last transfer is kept, unless forced: the Hub never had it.
        """

        def one(row: Comparison) -> tuple[str, str]:
            if row.relation is Relation.DIFFERENT and not force and self.changed_here(row.cutoff_date):
                return "kept", "it was made here and never pushed: push it, or pull with force"
            self.download(row.name, row.commit)
            return "pulled", ""

        return _transfer([row for row in rows if row.to_pull], one, on_transfer)


def _transfer(
    rows: Sequence[Comparison], one: Callable[[Comparison], tuple[str, str]], on_transfer: OnTransfer | None
) -> list[Transfer]:
    def attempt(row: Comparison) -> Transfer:
        try:
            result, detail = one(row)
        except (HubError, SnapshotError) as error:
            result, detail = "refused" if isinstance(error, RefusedSnapshotError) else "failed", str(error)
        return Transfer(row.family, row.name, result, detail)

    transfers = []
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        for future in as_completed([pool.submit(attempt, row) for row in rows]):
            transfer = future.result()
            transfers.append(transfer)
            say = report if transfer.done else warn
            text = f"{transfer.result}{': ' if transfer.detail else ''}{transfer.detail}"
            say(f"{transfer.family} {transfer.name}: {text} ({len(transfers)} of {len(rows)})")
            if on_transfer is not None:
                on_transfer(transfer)
    return sorted(transfers, key=lambda transfer: transfer.name)


def _hash_of(files: Mapping[str, bytes]) -> str:
    return str(parse(files[MANIFEST])["manifest"])
