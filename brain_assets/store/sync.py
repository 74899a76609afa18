"""What `brain-assets sync` and the jobs of the same names do: plan transfers of several families, and run them.

A plan of a push over all years has the main versions too, and lets the Hub's ``main`` follow the current one.
"""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from brain_assets import registry
from brain_assets.errors import HubError, SettingsError
from brain_assets.progress import warn
from brain_assets.store.copies import Comparison, OnTransfer, Transfer
from brain_assets.store.main_versions import MainVersions
from brain_assets.store.names import MAIN_BRANCH, cutoff_of_year
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
    rows : sequence of Comparison
        Every snapshot that was compared.
    chosen : sequence of Comparison
        Those that differ in a way that `verb` ends.
    versions : sequence of (MainVersions, str)
        Main versions, by branch, that are pushed too.
    """

    verb: str
    rows: Sequence[Comparison]
    chosen: Sequence[Comparison]
    versions: Sequence[tuple[MainVersions, str]]
    _act: Callable[[OnTransfer | None], list[Transfer]] = field(repr=False)

    def run(self, on_transfer: OnTransfer | None = None) -> list[Transfer]:
        """Transfer all of it; gives what became of each, snapshots first."""
        transfers = self._act(on_transfer)
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
    """Plan to make the Hub hold what is here."""
    rows = compare(storages, cutoffs)
    chosen = [row for row in rows if row.to_push]

    def act(on_transfer: OnTransfer | None) -> list[Transfer]:
        return [one for family, some in _by_family(chosen).items() for one in storages[family].push(some, on_transfer)]

    versions = [MainVersions(storages[name]) for name in storages if registry.get(name).role == "forecaster"]
    unpublished = [(one, branch) for one in versions for branch in one.unpublished()] if cutoffs is None else []
    return Plan("push", rows, chosen, unpublished, act)


def plan_pull(storages: Storages, cutoffs: Cutoffs, force: bool = False) -> Plan:
    """Plan to have here what the Hub holds; what was made here and never pushed is kept, unless forced."""
    rows = compare(storages, cutoffs)
    chosen = [row for row in rows if row.to_pull]

    def act(on_transfer: OnTransfer | None) -> list[Transfer]:
        return [
            one
            for family, some in _by_family(chosen).items()
            for one in storages[family].pull(some, on_transfer, force)
        ]

    return Plan("pull", rows, chosen, [], act)


def _by_family(rows: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    found: dict[str, list[Comparison]] = {}
    for row in rows:
        found.setdefault(row.family, []).append(row)
    return found


def _publish(versions: MainVersions, branch: str) -> Transfer:
    try:
        copy = versions.publish_current() if branch == MAIN_BRANCH else versions.publish(branch)
    except HubError as error:
        warn(f"{versions.family} {branch}: hub: still pending: {error}")
        return Transfer(versions.family, branch, "failed", str(error))
    return Transfer(versions.family, branch, "pushed" if copy is not None and copy.changed else "unchanged")
