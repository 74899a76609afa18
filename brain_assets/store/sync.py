"""What `brain-assets sync` and the jobs of the same names do: plan transfers of several families, and run them."""

import datetime
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from brain_assets.errors import SettingsError
from brain_assets.store.copies import Comparison, Relation, Transfer, attempt
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage

Storages = Mapping[str, SnapshotLocalStorage]
Cutoffs = Collection[datetime.date] | None
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


@dataclass(frozen=True)
class Plan:
    """What is to be transferred: of what was compared, by family, the snapshots that ``push`` or ``pull`` ends.

    Of a push, main versions follow, whose name is a branch; a forced pull also replaces what was made here.
    """

    verb: str
    storages: Storages
    rows: Sequence[Comparison]
    force: bool = False

    @property
    def chosen(self) -> list[Comparison]:
        """Those that differ in a way that the verb ends."""
        return [row for row in self.rows if (row.to_push if self.verb == "push" else row.to_pull)]

    def preview(self) -> list[Transfer]:
        """Say what would be done."""
        return [Transfer(row.family, row.name, f"would {self.verb}", row.relation.value) for row in self.chosen]

    def run(self) -> Iterator[Transfer]:
        """Transfer all of it; gives what became of each, once it is through."""
        for family, storage in self.storages.items():
            rows = [row for row in self.chosen if row.family == family]
            snapshots = [row for row in rows if parse_snapshot_name(row.name)]
            yield from storage.push(snapshots) if self.verb == "push" else storage.pull(snapshots, self.force)
            for row in rows:
                if row not in snapshots:  # one after another: ``main`` comes last
                    yield attempt(row, self._publish)

    def _publish(self, row: Comparison) -> tuple[str, str]:
        copy = MainVersions(self.storages[row.family]).publish(row.name)
        return ("pushed" if copy.changed else "unchanged"), ""


def choose(known: Collection[str], families: Collection[str], expected: str) -> list[str]:
    """Give those families that are named, all if none is; an unknown one is a `SettingsError` that begins so."""
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise SettingsError(f"{expected} {', '.join(known)}, got {', '.join(unknown)}; correct it.")
    return [family for family in known if not families or family in families]


def cutoffs_of(years: Collection[int]) -> Cutoffs:
    """Give the cut-offs of some years; of none named: None, which means all."""
    return {cutoff_of_year(year) for year in years} or None


def compare(storages: Storages, cutoffs: Cutoffs) -> list[Comparison]:
    """Compare what is here with what is on the Hub, family by family."""
    return [row for storage in storages.values() for row in storage.compare(cutoffs)]


def plan_push(storages: Storages, cutoffs: Cutoffs) -> Plan:
    """Plan to make the Hub hold what is here; over all years, main versions too, which its ``main`` follows."""
    rows = compare(storages, cutoffs)
    for family, storage in storages.items() if cutoffs is None else ():
        for branch in MainVersions(storage).unpublished():
            record = storage.record(branch)
            relation = Relation.DIFFERENT if record.commit else Relation.LOCAL_ONLY  # as far as is known here
            rows.append(Comparison(family, branch, relation, record.commit, record))
    return Plan("push", storages, rows)


def plan_pull(storages: Storages, cutoffs: Cutoffs, force: bool = False) -> Plan:
    """Plan to have here what the Hub holds; what was made here and never pushed is kept, unless forced."""
    return Plan("pull", storages, compare(storages, cutoffs), force)
