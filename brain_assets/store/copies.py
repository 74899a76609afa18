"""What is known of the copies on the Hub: how a snapshot here and its branch stand, and what became of a transfer."""

import enum
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError

N_CONNECTIONS = 8
"""Snapshots under way at once; almost all of the time is waiting for the Hub."""


@dataclass(frozen=True)
class HubRecord:
    """What is known of one copy in a repo.

    Attributes
    ----------
    commit, manifest : str
        A commit, and the hash of the local manifest whose files it holds; empty: none is known.
    pending : str
        Why the last push did not get through; empty: it did.
    """

    repo: str
    commit: str = ""
    manifest: str = ""
    pending: str = ""


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


def attempt(row: Comparison, transfer: Callable[[Comparison], tuple[str, str]]) -> Transfer:
    """Transfer one snapshot by a function that gives result and detail, and which may fail or refuse it."""
    try:
        result, detail = transfer(row)
    except (HubError, SnapshotError) as error:
        result, detail = "refused" if isinstance(error, RefusedSnapshotError) else "failed", str(error)
    return Transfer(row.family, row.name, result, detail)


def transfer_all(rows: Iterable[Comparison], transfer: Callable[[Comparison], tuple[str, str]]) -> Iterator[Transfer]:
    """Transfer snapshots as `attempt` does, several at once; gives each in turn once it is through."""
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        yield from pool.map(attempt, rows, itertools.repeat(transfer))
