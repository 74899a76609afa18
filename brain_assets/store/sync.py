"""Models here and on the Hub: how they stand to each other, and what `brain-assets sync`, and its jobs, transfer."""

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_assets.errors import HubError, RefusedSnapshotError, SettingsError, SnapshotError
from brain_assets.store.hub import in_place_of
from brain_assets.store.names import MAIN_BRANCH, cutoff_of_year, parse_snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

Storages = Mapping[str, "SnapshotLocalStorage"]
N_CONNECTIONS = 8
"""Models under way at once; almost all of the time is waiting for the Hub."""
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


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


@dataclass(frozen=True)
class Transfer:
    """What became of a model.

    The result is one of `RESULTS`: ``unchanged`` if the branch held these files already, ``kept`` if a pull left alone
    what is here; the detail is the reason, or which commit a push took the place of.
    """

    family: str
    name: str
    result: str
    detail: str = ""


@dataclass(frozen=True)
class Plan:
    """What ``push`` or ``pull`` is to transfer of what was compared.

    A pull keeps what is here where the Hub holds something else, unless forced: it may have been made here.
    """

    verb: str
    storages: Storages
    rows: Sequence[Comparison]
    force: bool = False

    @property
    def chosen(self) -> list[Comparison]:
        """Those that differ in a way that the verb ends."""
        missing = Relation.LOCAL_ONLY if self.verb == "push" else Relation.HUB_ONLY
        return [row for row in self.rows if row.relation in (Relation.DIFFERENT, missing)]

    def preview(self) -> list[Transfer]:
        """Say what would be done."""
        previews = []
        for row in self.chosen:
            detail = in_place_of(row.commit) if self.verb == "push" else ""
            result = "would keep" if self._keeps(row) else f"would {self.verb}"
            previews.append(Transfer(row.family, row.name, result, detail or row.relation.value))
        return previews

    def run(self) -> Iterator[Transfer]:
        """Transfer all of it, several at once; gives what became of each, in turn.

        One that fails or is refused stops no other. ``main``, which follows the versions, comes last.
        """
        chosen = self.chosen
        with ThreadPoolExecutor(N_CONNECTIONS) as pool:
            yield from pool.map(self._transfer, [row for row in chosen if row.name != MAIN_BRANCH])
        yield from map(self._transfer, [row for row in chosen if row.name == MAIN_BRANCH])

    def _keeps(self, row: Comparison) -> bool:
        return self.verb == "pull" and row.relation is Relation.DIFFERENT and not self.force

    def _transfer(self, row: Comparison) -> Transfer:
        storage, result, detail = self.storages[row.family], "pulled", ""
        try:
            if self.verb == "push":
                copy = storage.upload(row.name)
                result, detail = "pushed" if copy.changed else "unchanged", in_place_of(copy.before)
            elif self._keeps(row):
                result, detail = "kept", "it differs from that of the Hub: push it, or pull with force"
            else:
                storage.download(row.name)
        except (HubError, SnapshotError) as error:
            result, detail = "refused" if isinstance(error, RefusedSnapshotError) else "failed", str(error)
        return Transfer(row.family, row.name, result, detail)


def choose(known: Collection[str], families: Collection[str], expected: str) -> list[str]:
    """Give those families that are named, all if none is; an unknown one is a `SettingsError` that begins so."""
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise SettingsError(f"{expected} {', '.join(known)}, got {', '.join(unknown)}; correct it.")
    return [family for family in known if not families or family in families]


def compare(storages: Storages, years: Collection[int] = (), versions: bool = False) -> list[Comparison]:
    """Compare what is here of some years, none named: of all, with what is on the Hub, family by family.

    With versions, the main versions here follow, and as ``main`` the current one. One request lists a repo's branches,
    and one more the files of each that is on both sides.
    """
    return [row for storage in storages.values() for row in _compare(storage, years, versions)]


def _compare(storage: "SnapshotLocalStorage", years: Collection[int], versions: bool) -> list[Comparison]:
    commits, here = storage.repo.commits(), storage.list_existing(parse_snapshot_name)
    wanted = {cutoff_of_year(year) for year in years}
    dates = {name: parse_snapshot_name(name) for name in sorted({*here, *commits})}
    names = [name for name, date in dates.items() if date and (not wanted or date in wanted)]
    mains = [*storage.list_versions(), *([MAIN_BRANCH] if storage.current() else [])] if versions else []

    def row(name: str) -> Comparison:
        if name not in commits:
            relation = Relation.LOCAL_ONLY
        elif name not in (*here, *mains):
            relation = Relation.HUB_ONLY
        else:
            is_equal = storage.repo.holds(name, storage.files_of(name))
            relation = Relation.EQUAL if is_equal else Relation.DIFFERENT
        return Comparison(storage.family, name, relation, commits.get(name, ""))

    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        return list(pool.map(row, [*names, *mains]))


def plan(verb: str, storages: Storages, years: Collection[int] = (), force: bool = False) -> Plan:
    """Plan to ``push`` what is here, over all years main versions too, or to ``pull`` what the Hub holds."""
    return Plan(verb, storages, compare(storages, years, versions=verb == "push" and not years), force)
