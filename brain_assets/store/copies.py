"""The folders of one family in a local place, and their copies on the Hub: compared, pushed and pulled by name.

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

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.paths import DataPath, list_names, read_bytes, replace_file
from brain_assets.progress import report, warn
from brain_assets.store.hub import HubCopy, HubStore
from brain_assets.store.manifest import MANIFEST, parse
from brain_assets.store.names import parse_snapshot_name
from brain_assets.store.port import Store

N_CONNECTIONS = 8
"""Snapshots under way at once; almost all of the time is waiting for the Hub."""
_FOLDER, _ENDING = ".hub", ".json"


@dataclass(frozen=True)
class HubRecord:
    """What is known of one copy.

    Attributes
    ----------
    repo : str
    commit : str
        A commit that holds the files of `manifest`; empty: none is known.
    manifest : str
        Hash of the local manifest that it was compared with.
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
class Comparison:
    """One snapshot, here and on the Hub.

    Attributes
    ----------
    family, name : str
    relation : Relation
    commit : str
        Of its branch; empty: there is none.
    record : HubRecord
    """

    family: str
    name: str
    relation: Relation
    commit: str
    record: HubRecord

    @property
    def cutoff_date(self) -> date:
        """Its cut-off."""
        return _cutoff_of(self.name)

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
        return self.to_push and (
            self.relation is Relation.LOCAL_ONLY or bool(self.pending) or self.record.commit == self.commit
        )


@dataclass(frozen=True)
class Transfer:
    """What became of one snapshot.

    Attributes
    ----------
    family, name : str
    result : str
        ``pushed``, ``pulled``, ``unchanged`` (the branch held these files already), ``kept``, ``refused`` or
        ``failed``.
    detail : str
        The reason, unless it was transferred.
    """

    family: str
    name: str
    result: str
    detail: str = ""

    @property
    def cutoff_date(self) -> date:
        """Its cut-off."""
        return _cutoff_of(self.name)

    @property
    def done(self) -> bool:
        """Whether it was transferred."""
        return self.result in ("pushed", "pulled")


OnTransfer = Callable[[Transfer], None]


class HubCopies:
    """One family's folders, and the branches that copy them.

    Parameters
    ----------
    family : str
    folder : Path or UPath
        What `local` stores.
    local : Store
    hub : HubStore or None
        None: there are no copies; methods that ask the Hub raise `HubError`.
    believe : callable
        Raises `RefusedSnapshotError` if files that were pulled under a name are not a model of it.
    """

    def __init__(
        self,
        family: str,
        folder: DataPath,
        local: Store,
        hub: HubStore | None,
        believe: Callable[[str, Mapping[str, bytes]], None],
    ) -> None:
        self.family, self.folder, self.local = family, folder, local
        self._hub, self._believe = hub, believe

    @property
    def hub(self) -> HubStore:
        """The model repo; raises `HubError` if there is none."""
        if self._hub is None:
            raise HubError(
                f"{self.family}: expected snapshots that go to the Hub too, got STORAGE_BACKEND=local; set it to hf, "
                f"and HF_{self.family.upper()}_MODEL_REPO."
            )
        return self._hub

    def record(self, name: str) -> HubRecord:
        """Give what this machine knows of a copy in the family's repo."""
        repo = self._hub.repo if self._hub else ""
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

    def _write_record(self, name: str, record: HubRecord) -> None:
        content = json.dumps(asdict(record), indent=2) + "\n"
        replace_file(self._record_path(name), lambda temporary: temporary.write_text(content))

    def _record_path(self, name: str) -> DataPath:
        return self.folder / _FOLDER / f"{name}{_ENDING}"

    def changed_here(self, name: str) -> bool:
        """Tell whether what is here is not what was last pushed or pulled, as far as is known."""
        record = self.record(name)
        return self._hash(name) not in (record.manifest, record.arriving)

    def _hash(self, name: str) -> str:
        return str(self.local.read_manifest(name)["manifest"])

    def upload(self, name: str, files: Mapping[str, bytes], known: str | None = None) -> HubCopy:
        """Push verified files to a branch, and remember how it went; raises `HubError`. See `HubStore.push`."""
        record, manifest = self.record(name), _hash_of(files)
        try:
            copy = self.hub.push(name, files, known)
        except HubError as error:
            self._write_record(name, replace(record, repo=self.hub.repo, pending=str(error), arriving=""))
            raise
        self._write_record(name, HubRecord(self.hub.repo, copy.commit, manifest))
        return copy

    def is_uploaded(self, name: str, manifest: str) -> bool:
        """Tell whether a branch is known to have been given the files of a manifest's hash; asks no Hub."""
        record = self.record(name)
        return record.manifest == manifest and not record.pending

    def download(self, name: str, commit: str = "") -> None:
        """Pull a snapshot; one of its name is replaced, but only by one that is believed. Raises as `HubStore.read`."""
        files, commit = self.hub.read_copy(name, commit)
        self._believe(name, files)
        self._write_record(name, replace(self.record(name), arriving=_hash_of(files)))
        self.local.write(name, files)
        self._write_record(name, HubRecord(self.hub.repo, commit, _hash_of(files)))

    def compare(self, here: Collection[str], is_wanted: Callable[[str], bool]) -> list[Comparison]:
        """Compare folders with branches, in the order of their names.

        One request lists the branches. A commit that this machine has pushed, pulled or compared before is known; for
        another one, one more request lists its files.

        Parameters
        ----------
        here : collection of str
            The folders that are there and whole.
        is_wanted : callable
            Chooses by name.
        """
        commits = self.hub.commits()
        chosen = [name for name in sorted({*here, *commits}) if is_wanted(name)]

        def relation(name: str) -> Relation:
            if name not in commits:
                return Relation.LOCAL_ONLY
            if name not in here:
                return Relation.HUB_ONLY
            return Relation.EQUAL if self._is_copied(name, commits[name]) else Relation.DIFFERENT

        with ThreadPoolExecutor(N_CONNECTIONS) as pool:
            relations = list(pool.map(relation, chosen))
        return [
            Comparison(self.family, name, relation, commits.get(name, ""), self.record(name))
            for name, relation in zip(chosen, relations, strict=True)
        ]

    def _is_copied(self, name: str, commit: str) -> bool:
        """Tell whether a commit holds exactly the local files; asks the Hub unless that is known, and remembers it."""
        record = self.record(name)
        if record.commit == commit and not record.pending:
            return record.manifest == self._hash(name)
        files = self.local.read(name)
        if not self.hub.look(name, commit).holds(files):
            return False
        self._write_record(name, HubRecord(self.hub.repo, commit, _hash_of(files)))
        return True

    def push(self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None) -> list[Transfer]:
        """Push what the Hub lacks or holds otherwise; gives what became of each, oldest first."""

        def one(row: Comparison) -> Transfer:
            copy = self.upload(row.name, self.local.read(row.name), row.commit)
            return Transfer(row.family, row.name, "pushed" if copy.changed else "unchanged")

        return _transfer([row for row in rows if row.to_push], one, on_transfer)

    def pull(
        self, rows: Sequence[Comparison], on_transfer: OnTransfer | None = None, force: bool = False
    ) -> list[Transfer]:
        """Pull what this machine lacks or holds otherwise; gives what became of each, oldest first.

        A snapshot that was made here since the last transfer is kept, unless forced: the Hub never had it.
        """

        def one(row: Comparison) -> Transfer:
            if row.relation is Relation.DIFFERENT and not force and self.changed_here(row.name):
                why = "it was made here and never pushed: push it, or pull with force"
                return Transfer(row.family, row.name, "kept", why)
            self.download(row.name, row.commit)
            return Transfer(row.family, row.name, "pulled")

        return _transfer([row for row in rows if row.to_pull], one, on_transfer)


def _transfer(
    rows: Sequence[Comparison], one: Callable[[Comparison], Transfer], on_transfer: OnTransfer | None
) -> list[Transfer]:
    def attempt(row: Comparison) -> Transfer:
        try:
            return one(row)
        except RefusedSnapshotError as error:
            return Transfer(row.family, row.name, "refused", str(error))
        except (HubError, SnapshotError) as error:
            return Transfer(row.family, row.name, "failed", str(error))

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


def _cutoff_of(name: str) -> date:
    cutoff_date = parse_snapshot_name(name)
    if cutoff_date is None:
        raise SnapshotError(f"{name}: expected the name of a snapshot, such as snapshot-2020-12-31; correct it.")
    return cutoff_date
