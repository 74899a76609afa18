"""What every asset that makes a model snapshot does: keep one with the same fingerprint, else train; then push it."""

import datetime
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from brain_assets.errors import BrainAssetsError, HubError, SnapshotError
from brain_assets.graph.evidence import model_evidence
from brain_assets.progress import warn
from brain_assets.store.fingerprint import Fingerprint, hash_json
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
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
class Made:
    """A snapshot, whether it was there already, and why it was not taken from the Hub if that was tried."""

    snapshot: ModelSnapshot
    reused: bool
    path: str
    hub: HubState | None
    not_from_hub: str

    def result_with(
        self, checks: Sequence[dg.AssetCheckResult], other_seeds: "Sequence[Made]" = ()
    ) -> dg.MaterializeResult[None]:
        """Give what the asset gives back, with what was checked and the same model trained with other seeds, if any.

        Its data version is the fingerprint: equal fingerprint, equal bytes; with other seeds, that of all fingerprints.
        """
        metadata: Metadata = {"reused": all(made.reused for made in (self, *other_seeds))}
        if self.not_from_hub:
            metadata["not_from_hub"] = self.not_from_hub
        metadata |= snapshot_metadata(self.snapshot, self.path, self.hub)
        version = self.snapshot.fingerprint
        if other_seeds:
            metadata["other_seeds"] = dg.MetadataValue.json([made.path for made in other_seeds])
            version = hash_json({"fingerprints": [version, *(made.snapshot.fingerprint for made in other_seeds)]})
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(version), check_results=checks)


def snapshot_metadata(snapshot: ModelSnapshot, path: str, hub: HubState | None) -> Metadata:
    """Give what a materialization shows of a snapshot of any family; what is long comes last."""
    return {
        "cutoff_date": snapshot.cutoff_date.isoformat(),
        "fingerprint": snapshot.fingerprint,
        "snapshot": dg.MetadataValue.path(path),
        **(hub.metadata if hub else {}),
        **model_evidence(snapshot),
        "training_data": dg.MetadataValue.json(dict(snapshot.metadata["data"])),
        "model_card": dg.MetadataValue.md(snapshot.card),
        "configuration": dg.MetadataValue.json(dict(snapshot.config)),
    }


def make_snapshot(
    context: dg.AssetExecutionContext,
    storage: SnapshotLocalStorage,
    fingerprint: Fingerprint,
    force: bool,
    train: Callable[[], ModelSnapshot],
) -> Made:
    """Give the year's snapshot: the one with the same fingerprint, on disk or on the Hub, else a new one, stored."""
    cutoff_date = cutoff_of_year(int(context.partition_key))
    path = str(storage.path(cutoff_date))
    reused, problem = (False, "") if force else _is_there(storage, cutoff_date, fingerprint.value)
    if reused:
        context.log.info(f"{path} has fingerprint {fingerprint.value[:12]} already: not trained again")
        snapshot = storage.load_snapshot(cutoff_date)
    else:
        if problem:
            context.log.warning(f"trained here, not taken from the Hub: {problem}")
        snapshot = train()
        if snapshot.fingerprint != fingerprint.value:
            raise BrainAssetsError(
                f"{path}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the training data "
                "changed under way: run it again."
            )
        storage.write_snapshot(snapshot)
    # a Hub that has just failed is asked once more only
    return Made(snapshot, reused, path, publish(storage.no_retry() if problem else storage, cutoff_date), problem)


def _is_there(storage: SnapshotLocalStorage, cutoff_date: datetime.date, fingerprint: str) -> tuple[bool, str]:
    """Tell whether a snapshot of this fingerprint is here; one on the Hub is pulled, or it is said why not."""
    found = storage.read_metadata(cutoff_date)
    if found is not None and found["fingerprint"]["value"] == fingerprint:
        return True, ""
    if storage.hub is None:
        return False, ""
    try:
        return storage.download_if(cutoff_date, fingerprint), ""
    except (HubError, SnapshotError) as error:
        return False, str(error)


def publish(storage: SnapshotLocalStorage, cutoff_date: datetime.date) -> HubState | None:
    """Push a snapshot if there is a Hub; one that does not get through stays pending, and fails nothing."""
    if storage.hub is None:
        return None
    try:
        copy = storage.upload_snapshot_to_hf(cutoff_date)
    except (HubError, SnapshotError) as error:
        warn(f"hub: pending: {error}")
        return HubState("pending", reason=str(error))
    return HubState("pushed" if copy.changed else "unchanged", copy.url, copy.commit)


def note_refusal(context: dg.AssetExecutionContext, refusals: list[str]) -> Callable[[str], None]:
    """Give what keeps the sentence about a refused snapshot for the materialization, and warns of it in the log."""

    def note(sentence: str) -> None:
        context.log.warning(sentence)
        refusals.append(sentence)

    return note


def places(storage: SnapshotLocalStorage, names: Iterable[str], here: Collection[datetime.date]) -> dict[str, str]:
    """Tell for every snapshot that was used where it was: on this machine, or on the Hub."""
    found = {}
    for name in names:
        cutoff_date = parse_snapshot_name(name)
        if cutoff_date is None:
            continue
        record = storage.hub_record(cutoff_date)
        found[name] = "this machine" if cutoff_date in here else f"Hub {record.repo}, commit {record.commit[:8]}"
    return found
