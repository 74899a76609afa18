"""What `brain-assets sync` and the jobs of the same names do: plan transfers of several families, and run them."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from brain_assets.errors import HubError, SettingsError
from brain_assets.progress import warn
from brain_assets.store.copies import Comparison, OnTransfer, Transfer
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage

Storages = Mapping[str, SnapshotLocalStorage]
Cutoffs = Collection[datetime.date] | None
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


@dataclass(frozen=True)
class Plan:
    """What is to be transferred.

    Attributes
    ----------
    verb : str
        ``push`` or ``pull``.
    storages : mapping of str to SnapshotLocalStorage
        By family.
    rows : sequence of Comparison
        Every snapshot that was compared.
    chosen : sequence of Comparison
        Those that differ in a way that `verb` ends.
    versions : sequence of (MainVersions, str)
        Main versions, by branch, that are pushed too.
    force : bool
        Of a pull: replace also what was made here and never pushed.
    """

    verb: str
    storages: Storages
    rows: Sequence[Comparison]
    chosen: Sequence[Comparison]
    versions: Sequence[tuple[MainVersions, str]] = ()
    force: bool = False

    def run(self, on_transfer: OnTransfer | None = None) -> list[Transfer]:
        """Transfer all of it; gives what became of each, snapshots first."""
        transfers = []
        for family, storage in self.storages.items():
            rows = [row for row in self.chosen if row.family == family]
            if self.verb == "push":
                transfers += storage.push(rows, on_transfer)
            else:
                transfers += storage.pull(rows, on_transfer, self.force)
        for versions, branch in self.versions:
            transfers.append(_publish(versions, branch))
            if on_transfer is not None:
                on_transfer(transfers[-1])
        return transfers


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
    versions = [MainVersions(storage) for storage in storages.values()] if cutoffs is None else []
    unpublished = [(one, branch) for one in versions for branch in one.unpublished()]
    return Plan("push", storages, rows, [row for row in rows if row.to_push], unpublished)


def plan_pull(storages: Storages, cutoffs: Cutoffs, force: bool = False) -> Plan:
    """Plan to have here what the Hub holds; what was made here and never pushed is kept, unless forced."""
    rows = compare(storages, cutoffs)
    return Plan("pull", storages, rows, [row for row in rows if row.to_pull], force=force)


def _publish(versions: MainVersions, branch: str) -> Transfer:
    try:
        copy = versions.publish(branch)
    except HubError as error:
        warn(f"{versions.family} {branch}: hub: still pending: {error}")
        return Transfer(versions.family, branch, "failed", str(error))
    return Transfer(versions.family, branch, "pushed" if copy.changed else "unchanged")
