"""What every asset that makes a model snapshot does: keep one with the same fingerprint, else train."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from brain_assets.errors import BrainAssetsError, HubError, SnapshotError
from brain_assets.forecasting.metadata import EpochLosses
from brain_assets.graph.evidence import model_evidence
from brain_assets.progress import report, warn
from brain_assets.store.fingerprint import Fingerprint, hash_json
from brain_assets.store.hub import HubCopy
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

Snapshots = Mapping[str, "SnapshotLocalStorage"]
"""Family -> its storage."""
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
        Why it is pending.
    """

    state: str
    branch: str = ""
    commit: str = ""
    reason: str = ""

    @classmethod
    def of(cls, copy: HubCopy) -> "HubState":
        """Tell what a push did."""
        return cls("pushed" if copy.changed else "unchanged", copy.url, copy.commit)

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
    place: str = ""
    """Of one of another seed: where it is kept."""

    def materialization(
        self, checks: Sequence[dg.AssetCheckResult], other_seeds: "Sequence[SnapshotResult]" = ()
    ) -> dg.MaterializeResult[Any]:
        """Give what the asset gives back, with what was checked and the same model trained with other seeds, if any.

        Its data version is the fingerprint: equal fingerprint, equal bytes; with other seeds, that of all fingerprints.
        """
        metadata: Metadata = {"reused": all(each.reused for each in (self, *other_seeds))}
        if self.not_from_hub:
            metadata["not_from_hub"] = self.not_from_hub
        if other_seeds:
            metadata["other_seeds"] = dg.MetadataValue.json([each.place for each in other_seeds])
        metadata |= snapshot_metadata(self.snapshot)
        fingerprints = [each.snapshot.fingerprint for each in (self, *other_seeds)]
        return dg.MaterializeResult(
            value=self.snapshot,
            metadata=metadata,
            data_version=dg.DataVersion(hash_json({"fingerprints": fingerprints}) if other_seeds else fingerprints[0]),
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


def location_metadata(path: object, hub: HubState | None) -> Metadata:
    """Give where a snapshot is kept."""
    return {"snapshot": dg.MetadataValue.path(str(path)), **(hub.metadata if hub else {})}


def make_snapshot(
    context: dg.AssetExecutionContext,
    snapshot_io: Any,
    fingerprint: Fingerprint,
    force: bool,
    train: Callable[[], ModelSnapshot],
    seed: int = 0,
) -> SnapshotResult:
    """Give the year's snapshot: the one with the same fingerprint, if the IO manager can find it, else a new one.

    One of another seed than the first is kept at once, as no output is; `seed`: its number.
    """
    family, cutoff_date = fingerprint.family, cutoff_of_year(int(context.partition_key))
    problem, place = "", snapshot_io.place(family, cutoff_date, seed) if seed else ""
    if hasattr(snapshot_io, "find") and not force:
        found, problem = snapshot_io.find(family, cutoff_date, fingerprint.value, seed)
        if found is not None:
            context.log.info(
                f"{family} {cutoff_date} has fingerprint {fingerprint.value[:12]} already: not trained again"
            )
            return SnapshotResult(found, True, "", place)
    if problem:
        context.log.warning(f"trained here, not taken from the Hub: {problem}")
    snapshot = train()
    if snapshot.fingerprint != fingerprint.value:
        raise BrainAssetsError(
            f"{family} {cutoff_date}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the "
            "training data changed under way: run it again."
        )
    if seed:
        snapshot_io.keep(snapshot, seed)
    return SnapshotResult(snapshot, False, problem, place)


def publish(storage: "SnapshotLocalStorage", push: Callable[[], HubCopy]) -> HubState | None:
    """Push if there is a Hub; what does not get through stays pending, and fails nothing."""
    if storage.hub is None:
        return None
    try:
        return HubState.of(push())
    except (HubError, SnapshotError) as error:
        warn(f"hub: pending: {error}")
        return HubState("pending", reason=str(error))


def show_epochs(head: str, options: Any) -> Callable[[EpochLosses], None]:
    """Give what says how a training goes on, for families that have epochs."""
    return lambda losses: report(f"{head}: {losses.words(getattr(options, 'max_epochs', None))}")


def note_refusal(context: dg.AssetExecutionContext, refusals: list[str]) -> Callable[[str], None]:
    """Give what keeps the sentence about a refused snapshot for the materialization, and warns of it in the log."""

    def note(sentence: str) -> None:
        context.log.warning(sentence)
        refusals.append(sentence)

    return note
