"""Bringing this machine and the Hub to the same state, snapshot by snapshot."""

import datetime
import enum
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.progress import report, warn
from brain_assets.store.names import snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage

N_CONNECTIONS = 8
"""Snapshots under way at once; almost all of the time is waiting for the Hub."""


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
    family : str
    cutoff_date : datetime.date
    relation : Relation
    commit : str
        Of its branch; empty: there is none.
    pending : str
        Why its last push did not get through; empty: it did, or there was none.
    unfinished : bool
        Its branch is there, but a push died before it had tidied up after itself.
    """

    family: str
    cutoff_date: datetime.date
    relation: Relation
    commit: str
    pending: str
    unfinished: bool = False


@dataclass(frozen=True)
class Transfer:
    """What became of one snapshot.

    Attributes
    ----------
    family : str
    cutoff_date : datetime.date
    result : str
        ``pushed``, ``pulled``, ``unchanged`` (the branch held these files already), ``kept``, ``refused`` or
        ``failed``.
    detail : str
        The reason, unless it was transferred.
    """

    family: str
    cutoff_date: datetime.date
    result: str
    detail: str = ""

    @property
    def done(self) -> bool:
        """Whether it was transferred."""
        return self.result in ("pushed", "pulled")


OnTransfer = Callable[[Transfer], None]


def compare(storage: SnapshotLocalStorage, cutoffs: Collection[datetime.date] | None = None) -> list[Comparison]:
    """Compare a family's folders with its branches, oldest first.

    One request lists the branches. A commit that this machine has pushed, pulled or compared before is known; for
    another one, one more request lists its files.

    Parameters
    ----------
    storage : SnapshotLocalStorage
    cutoffs : collection of datetime.date, optional
        Which to look at; default: all.
    """
    commits, unfinished = storage.repo.look()
    local = set(storage.list_snapshots())
    chosen = sorted(date for date in {*commits, *local} if cutoffs is None or date in cutoffs)
    both = [date for date in chosen if date in local and date in commits]
    same = {date: storage.is_copied(date, commits[date]) for date in both}
    unknown = [date for date in both if same[date] is None or storage.hub_record(date).pending]
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        looked = pool.map(lambda date: storage.compare_files(date, commits[date]), unknown)
        same |= dict(zip(unknown, looked, strict=True))

    def relation(date: datetime.date) -> Relation:
        if date not in commits:
            return Relation.LOCAL_ONLY
        if date not in local:
            return Relation.HUB_ONLY
        return Relation.EQUAL if same[date] else Relation.DIFFERENT

    return [
        Comparison(
            storage.family,
            date,
            relation(date),
            commits.get(date, ""),
            storage.hub_record(date).pending,
            date in unfinished,
        )
        for date in chosen
    ]


def to_push(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Give what a push would transfer, or tidy up after."""
    return [
        row
        for row in comparisons
        if row.relation in (Relation.LOCAL_ONLY, Relation.DIFFERENT)
        or (row.relation is Relation.EQUAL and row.unfinished)
    ]


def to_pull(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Give what a pull would transfer, or keep because it was made here."""
    return [row for row in comparisons if row.relation in (Relation.HUB_ONLY, Relation.DIFFERENT)]


def to_complete(storage: SnapshotLocalStorage, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Give what a push would transfer and nobody needs to be asked about: the Hub holds nothing that was not here."""
    return [
        row
        for row in to_push(comparisons)
        if row.relation is not Relation.DIFFERENT
        or row.pending
        or storage.hub_record(row.cutoff_date).commit == row.commit
    ]


def push(
    storage: SnapshotLocalStorage, comparisons: Sequence[Comparison], on_transfer: OnTransfer | None = None
) -> list[Transfer]:
    """Push what the Hub lacks or holds otherwise; gives what became of each, oldest first."""

    def one(row: Comparison) -> Transfer:
        copy = storage.upload_snapshot_to_hf(row.cutoff_date)
        return Transfer(row.family, row.cutoff_date, "pushed" if copy.changed else "unchanged")

    return _transfer(to_push(comparisons), one, on_transfer)


def pull(
    storage: SnapshotLocalStorage,
    comparisons: Sequence[Comparison],
    on_transfer: OnTransfer | None = None,
    force: bool = False,
) -> list[Transfer]:
    """Pull what this machine lacks or holds otherwise; gives what became of each, oldest first.

    A snapshot that was made here since the last transfer is kept, unless forced: the Hub never had it.
    """

    def one(row: Comparison) -> Transfer:
        if row.relation is Relation.DIFFERENT and not force and storage.changed_here(row.cutoff_date):
            return Transfer(
                row.family, row.cutoff_date, "kept", "it was made here and never pushed: push it, or pull with force"
            )
        storage.download_snapshot_from_hf(row.cutoff_date, row.commit)
        return Transfer(row.family, row.cutoff_date, "pulled")

    return _transfer(to_pull(comparisons), one, on_transfer)


def _transfer(
    rows: Sequence[Comparison], one: Callable[[Comparison], Transfer], on_transfer: OnTransfer | None
) -> list[Transfer]:
    def attempt(row: Comparison) -> Transfer:
        try:
            return one(row)
        except RefusedSnapshotError as error:
            return Transfer(row.family, row.cutoff_date, "refused", str(error))
        except (HubError, SnapshotError) as error:
            return Transfer(row.family, row.cutoff_date, "failed", str(error))

    transfers = []
    with ThreadPoolExecutor(N_CONNECTIONS) as pool:
        for future in as_completed([pool.submit(attempt, row) for row in rows]):
            transfer = future.result()
            transfers.append(transfer)
            say = report if transfer.done else warn
            text = f"{transfer.result}{': ' if transfer.detail else ''}{transfer.detail}"
            say(f"{transfer.family} {snapshot_name(transfer.cutoff_date)}: {text} ({len(transfers)} of {len(rows)})")
            if on_transfer is not None:
                on_transfer(transfer)
    return sorted(transfers, key=lambda transfer: transfer.cutoff_date)
