"""Models here and on the Hub: how they stand to each other, and what `brain-assets sync`, and its jobs, transfer."""

import datetime
import enum
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_assets.errors import HubError, RefusedSnapshotError, SettingsError, SnapshotError
from brain_assets.store.hub import in_place_of
from brain_assets.store.manifest import MANIFEST, parse
from brain_assets.store.names import MAIN_BRANCH, cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

N_CONNECTIONS = 8
"""Snapshots under way at once; almost all of the time is waiting for the Hub."""


@dataclass(frozen=True)
class HubRecord:
    """What is known of one copy: a commit, and the hash of the local manifest whose files it holds; empty: nothing."""

    repo: str
    commit: str = ""
    manifest: str = ""

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
    def cutoff_date(self) -> datetime.date:
        """That of a snapshot."""
        return datetime.date.fromisoformat(self.name.removeprefix("snapshot-"))

    def is_for(self, verb: str) -> bool:
        """Tell whether ``push`` or ``pull`` transfers it; a pull may keep what was made here."""
        return self.relation in (Relation.DIFFERENT, Relation.LOCAL_ONLY if verb == "push" else Relation.HUB_ONLY)

    @property
    def replaces(self) -> str:
        """Say which commit of others a push takes the place of; empty: none, as far as is known here."""
        is_of_others = self.relation is Relation.DIFFERENT and self.record.commit != self.commit
        return in_place_of(self.commit if is_of_others else "")


@dataclass(frozen=True)
class Transfer:
    """What became of a model.

    The result is ``pushed``, ``pulled``, ``unchanged`` (the branch held these files already), ``kept``, ``refused`` or
    ``failed``; the detail is the reason, or which commit of others a push took the place of.
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


Storages = Mapping[str, "SnapshotLocalStorage"]
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


@dataclass(frozen=True)
class Plan:
    """What ``push`` or ``pull`` is to transfer of what was compared; see `SnapshotLocalStorage.transfer`."""

    verb: str
    storages: Storages
    rows: Sequence[Comparison]
    force: bool = False

    @property
    def chosen(self) -> list[Comparison]:
        """Those that differ in a way that the verb ends."""
        return [row for row in self.rows if row.is_for(self.verb)]

    def preview(self) -> list[Transfer]:
        """Say what would be done."""
        previews = []
        for row in self.chosen:
            result, detail = f"would {self.verb}", (self.verb == "push" and row.replaces) or row.relation.value
            if self.verb == "pull" and not self.force and self.storages[row.family].keeps(row):
                result, detail = "would keep", "it was made here and never pushed"
            previews.append(Transfer(row.family, row.name, result, detail))
        return previews

    def run(self) -> Iterator[Transfer]:
        """Transfer all of it; gives what became of each, once it is through."""
        for family, storage in self.storages.items():
            rows = [row for row in self.rows if row.family == family]
            yield from storage.transfer(self.verb, rows, self.force)


def choose(known: Collection[str], families: Collection[str], expected: str) -> list[str]:
    """Give those families that are named, all if none is; an unknown one is a `SettingsError` that begins so."""
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise SettingsError(f"{expected} {', '.join(known)}, got {', '.join(unknown)}; correct it.")
    return [family for family in known if not families or family in families]


def compare(storages: Storages, years: Collection[int], versions: bool = False) -> list[Comparison]:
    """Compare what is here of some years, none named: of all, with what is on the Hub, family by family."""
    cutoffs = {cutoff_of_year(year) for year in years} or None
    return [row for storage in storages.values() for row in storage.compare(cutoffs, versions)]


def plan(verb: str, storages: Storages, years: Collection[int], force: bool = False) -> Plan:
    """Plan to ``push`` what is here, over all years main versions too, or to ``pull`` what the Hub holds."""
    return Plan(verb, storages, compare(storages, years, versions=verb == "push" and not years), force)
