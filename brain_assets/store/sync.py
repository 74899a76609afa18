"""What `brain-assets sync` and the jobs of the same names do: plan transfers of several families, and run them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from brain_assets.errors import SettingsError
from brain_assets.store.copies import Comparison, Transfer
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage

Storages = Mapping[str, SnapshotLocalStorage]
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


@dataclass(frozen=True)
class Plan:
    """What is to be transferred: of what was compared, what ``push`` or ``pull`` ends; `force`: see `pull`."""

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
            rows = [row for row in self.rows if row.family == family]
            yield from storage.push(rows) if self.verb == "push" else storage.pull(rows, self.force)


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


def plan_push(storages: Storages, years: Collection[int]) -> Plan:
    """Plan to make the Hub hold what is here; over all years, main versions too, which its ``main`` follows."""
    return Plan("push", storages, compare(storages, years, versions=not years))


def plan_pull(storages: Storages, years: Collection[int], force: bool = False) -> Plan:
    """Plan to have here what the Hub holds; what was made here and never pushed is kept, unless forced."""
    return Plan("pull", storages, compare(storages, years), force)
