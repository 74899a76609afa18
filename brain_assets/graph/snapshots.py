"""What every asset that makes a model snapshot does: keep one with the same fingerprint, else train."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from brain_assets.errors import BrainAssetsError, HubError, SnapshotError
from brain_assets.graph.evidence import model_evidence
from brain_assets.progress import warn
from brain_assets.store.fingerprint import Fingerprint, hash_json
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage

Snapshots = Mapping[str, SnapshotLocalStorage]
"""The resource ``snapshots``: family -> its storage."""
Metadata = dict[str, dg.MetadataValue | float | int | str | bool]
"""Of a materialization."""


@dataclass(frozen=True)
class HubState:
    """How a snapshot's copy on the Hub stands.

    Attributes
    ----------
    state : str
        ``pushed``, ``unchanged`` (the branch held these files already) or ``pending`` (a later sync completes it);
        of one that was adopted, ``copied`` or ``on the Hub only``.
    branch : str
        Its page; empty: not known.
    commit : str
    reason : str
        Why it is pending, or went another way than planned.
    """

    state: str
    branch: str = ""
    commit: str = ""
    reason: str = ""

    @property
    def metadata(self) -> Metadata:
        """What a materialization shows."""
        shown: Metadata = {"hub": self.state}
        if self.branch:
            shown["hub_branch"] = dg.MetadataValue.url(self.branch)
        if self.commit:
            shown["hub_commit"] = self.commit
        if self.reason:
            shown["hub_reason"] = self.reason
        return shown


@dataclass(frozen=True)
class SnapshotResult:
    """A snapshot, whether it was there already, and why it was not taken from the Hub if that was tried."""

    snapshot: ModelSnapshot
    reused: bool
    not_from_hub: str

    def materialization(
        self, checks: Sequence[dg.AssetCheckResult], other_seeds: "Sequence[SnapshotResult]" = ()
    ) -> dg.MaterializeResult[Any]:
        """Give what the asset gives back, with what was checked and the same model trained with other seeds, if any.

        Its data version is the fingerprint: equal fingerprint, equal bytes; with other seeds, that of all fingerprints.
        """
        metadata: Metadata = {"reused": all(each.reused for each in (self, *other_seeds))}
        if self.not_from_hub:
            metadata["not_from_hub"] = self.not_from_hub
        metadata |= snapshot_metadata(self.snapshot)
        snapshots = [each.snapshot for each in (self, *other_seeds)]
        version = self.snapshot.fingerprint
        if other_seeds:
            version = hash_json({"fingerprints": [snapshot.fingerprint for snapshot in snapshots]})
        return dg.MaterializeResult(
            value=snapshots if other_seeds else self.snapshot,
            metadata=metadata,
            data_version=dg.DataVersion(version),
            check_results=checks,
        )


def snapshot_metadata(snapshot: ModelSnapshot) -> Metadata:
    """Give what a materialization shows of a snapshot of any family; what is long comes last."""
    return {
        "cutoff_date": snapshot.cutoff_date.isoformat(),
        "fingerprint": snapshot.fingerprint,
        **model_evidence(snapshot),
        "training_data": dg.MetadataValue.json(dict(snapshot.metadata["data"])),
        "model_card": dg.MetadataValue.md(snapshot.card),
        "configuration": dg.MetadataValue.json(dict(snapshot.config)),
    }


def location_metadata(path: str, hub: HubState | None) -> Metadata:
    """Give where a snapshot is kept."""
    return {"snapshot": dg.MetadataValue.path(path), **(hub.metadata if hub else {})}


def make_snapshot(
    context: dg.AssetExecutionContext,
    snapshot_io: Any,
    fingerprint: Fingerprint,
    force: bool,
    train: Callable[[], ModelSnapshot],
    family: str,
    seed: int = 0,
) -> SnapshotResult:
    """Give the year's snapshot: the one with the same fingerprint, if the IO manager can find it, else a new one."""
    cutoff_date = cutoff_of_year(int(context.partition_key))
    problem = ""
    if hasattr(snapshot_io, "find") and not force:
        found, problem = snapshot_io.find(family, cutoff_date, fingerprint.value, seed)
        if found is not None:
            context.log.info(
                f"{family} {cutoff_date} has fingerprint {fingerprint.value[:12]} already: not trained again"
            )
            return SnapshotResult(found, True, "")
    if problem:
        context.log.warning(f"trained here, not taken from the Hub: {problem}")
    snapshot = train()
    if snapshot.fingerprint != fingerprint.value:
        raise BrainAssetsError(
            f"{family} {cutoff_date}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the "
            "training data changed under way: run it again."
        )
    return SnapshotResult(snapshot, False, problem)


def publish(storage: SnapshotLocalStorage, cutoff_date: datetime.date) -> HubState | None:
    """Push a snapshot if there is a Hub; one that does not get through stays pending, and fails nothing."""
    if storage.hub is None:
        return None
    try:
        copy = storage.upload_snapshot_to_hf(cutoff_date)
    except (HubError, SnapshotError) as error:
        warn(f"hub: pending: {error}")
        return HubState("pending", reason=str(error))
    return HubState("pushed" if copy.changed else "unchanged", copy.url, copy.commit, copy.note)


def note_refusal(context: dg.AssetExecutionContext, refusals: list[str]) -> Callable[[str], None]:
    """Give what keeps the sentence about a refused snapshot for the materialization, and warns of it in the log."""

    def note(sentence: str) -> None:
        context.log.warning(sentence)
        refusals.append(sentence)

    return note
