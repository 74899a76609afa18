"""Models here and on the Hub: how they stand to each other, and what `brain-assets sync`, and its jobs, transfer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from brain_assets.errors import HubError, RefusedSnapshotError, SettingsError, SnapshotError
from brain_assets.store.hub import in_place_of
from brain_assets.store.names import MAIN_BRANCH, cutoff_of_year, parse_snapshot_name

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

Storages = Mapping[str, "SnapshotLocalStorage"]
N_CONNECTIONS = 8
"""Models under way at once; almost all of the time is waiting for the Hub."""
EQUAL, DIFFERENT, LOCAL_ONLY, HUB_ONLY = "equal", "different", "here only", "on the Hub only"
"""How a local folder and its branch on the Hub stand to each other."""
RESULTS = ("pushed", "pulled", "unchanged", "kept", "refused", "failed")


@dataclass(frozen=True)
class ModelCopy:
    """A model here or on the Hub.

    What was compared has a relation as its state, and as detail the commit of the branch, if there is one. What was
    transferred has one of `RESULTS`: ``unchanged`` if the branch held these files already, ``kept`` if a pull left
    alone what is here; the detail is the reason, or which commit a push took the place of.
    """

    family: str
    name: str
    state: str
    detail: str = ""


def choose(known: Collection[str], families: Collection[str], expected: str) -> list[str]:
    """Give those families that are named, all if none is; an unknown one is a `SettingsError` that begins so."""
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise SettingsError(f"{expected} {', '.join(known)}, got {', '.join(unknown)}; correct it.")
    return [family for family in known if not families or family in families]


def compare(storages: Storages, years: Collection[int] = (), versions: bool = False) -> list[ModelCopy]:
    """Compare what is here of some years, none named: of all, with what is on the Hub, family by family.

    With versions, the main versions here follow, and as ``main`` the current one. One request lists a repo's branches,
    and one more the files of each that is on both sides.
    """
    return [row for storage in storages.values() for row in _compare(storage, years, versions)]


def _compare(storage: "SnapshotLocalStorage", years: Collection[int], versions: bool) -> list[ModelCopy]:
    commits, here = storage.repo.commits(), storage.list_existing(parse_snapshot_name)
    wanted = {cutoff_of_year(year) for year in years}
    dates = {name: parse_snapshot_name(name) for name in sorted({*here, *commits})}
    names = [name for name, date in dates.items() if date and (not wanted or date in wanted)]
    mains = [*storage.list_versions(), *([MAIN_BRANCH] if storage.current() else [])] if versions else []

    def row(name: str) -> ModelCopy:
        if name not in commits:
            relation = LOCAL_ONLY
        elif name not in (*here, *mains):
            relation = HUB_ONLY
        else:
            relation = EQUAL if storage.repo.holds(name, storage.files_of(name)) else DIFFERENT
        return ModelCopy(storage.family, name, relation, commits.get(name, ""))

    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        return list(pool.map(row, [*names, *mains]))


def transfer(
    verb: str, storages: Storages, rows: Sequence[ModelCopy], force: bool = False, dry_run: bool = False
) -> Iterator[ModelCopy]:
    """Push or pull what differs of what was compared, several at once; gives what became of each, or would, in turn.

    A pull keeps what is here where the Hub holds something else, unless forced: it may have been made here. One that
    fails or is refused stops no other. ``main``, which follows the versions, comes last.
    """

    def one(row: ModelCopy) -> ModelCopy:
        storage, became = storages[row.family], partial(ModelCopy, row.family, row.name)
        is_kept = verb == "pull" and row.state == DIFFERENT and not force
        if dry_run:
            replaced = in_place_of(row.detail) if verb == "push" else ""
            return became("would keep" if is_kept else f"would {verb}", replaced or row.state)
        if is_kept:
            return became("kept", "it differs from that of the Hub: push it, or pull with force")
        try:
            if verb == "push":
                copy = storage.upload(row.name)
                return became("pushed" if copy.changed else "unchanged", in_place_of(copy.before))
            storage.download(row.name)
            return became("pulled")
        except RefusedSnapshotError as error:
            return became("refused", str(error))
        except (HubError, SnapshotError) as error:
            return became("failed", str(error))

    chosen = [row for row in rows if row.state in (DIFFERENT, LOCAL_ONLY if verb == "push" else HUB_ONLY)]
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        yield from pool.map(one, [row for row in chosen if row.name != MAIN_BRANCH])
    yield from map(one, [row for row in chosen if row.name == MAIN_BRANCH])
