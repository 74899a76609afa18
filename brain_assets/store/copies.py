"""What is known of the copies on the Hub: how a snapshot here and its branch stand, and what became of a transfer."""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.store.manifest import MANIFEST, parse
from brain_assets.store.names import MAIN_BRANCH

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

    @classmethod
    def of(cls, repo: str, commit: str, files: Mapping[str, bytes]) -> "HubRecord":
        """Give that of a commit which holds these files."""
        return cls(repo, commit, parse(files[MANIFEST])["manifest"])


class Relation(enum.Enum):
    """How a local folder and its branch on the Hub stand to each other."""

    EQUAL = "equal"
    DIFFERENT = "different"
    LOCAL_ONLY = "here only"
    HUB_ONLY = "on the Hub only"


@dataclass(frozen=True)
class Comparison:
    """A model here and on the Hub; the commit is that of its branch, empty if there is none."""

    family: str
    name: str
    relation: Relation
    commit: str
    record: HubRecord

    @property
    def cutoff_date(self) -> date:
        """That of a snapshot."""
        return date.fromisoformat(self.name.removeprefix("snapshot-"))

    @property
    def to_push(self) -> bool:
        """Whether a push transfers it."""
        return self.relation in (Relation.LOCAL_ONLY, Relation.DIFFERENT)

    @property
    def to_pull(self) -> bool:
        """Whether a pull transfers it, or keeps what was made here."""
        return self.relation in (Relation.HUB_ONLY, Relation.DIFFERENT)


@dataclass(frozen=True)
class Transfer:
    """What became of a model.

    The result is ``pushed``, ``pulled``, ``unchanged`` (the branch held these files already), ``kept``, ``refused`` or
    ``failed``; the detail is the reason, unless it was transferred.
    """

    family: str
    name: str
    result: str
    detail: str = ""

    @property
    def done(self) -> bool:
        """Whether it was transferred."""
        return self.result in ("pushed", "pulled")


def transfer_all(rows: Sequence[Comparison], transfer: Callable[[Comparison], tuple[str, str]]) -> Iterator[Transfer]:
    """Transfer models, several at once, by a function that gives result and detail; gives each in turn.

    One that fails or is refused stops no other. ``main``, which follows the versions, comes last.
    """

    def attempt(row: Comparison) -> Transfer:
        try:
            result, detail = transfer(row)
        except (HubError, SnapshotError) as error:
            result, detail = "refused" if isinstance(error, RefusedSnapshotError) else "failed", str(error)
        return Transfer(row.family, row.name, result, detail)

    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        yield from pool.map(attempt, [row for row in rows if row.name != MAIN_BRANCH])
        yield from map(attempt, [row for row in rows if row.name == MAIN_BRANCH])
