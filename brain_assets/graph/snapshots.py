"""What every asset that makes a model does: keep one with the same fingerprint, else train; and what it shows of it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.errors import BrainAssetsError, HubError, SnapshotError
from brain_assets.forecasting.forecaster import EpochLosses
from brain_assets.graph.pictures import known_or_words, loss_curve, reward_curve, weights_by_year
from brain_assets.progress import report, warn
from brain_assets.store.fingerprint import Fingerprint, hash_json, other_libraries
from brain_assets.store.hub import in_place_of
from brain_assets.store.names import cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.graph.io_managers import SnapshotIOManager
    from brain_assets.store.hub import HubCopy
    from brain_assets.store.snapshot import ModelSnapshot
    from brain_assets.store.storage import SnapshotLocalStorage

Snapshots = Mapping[str, "SnapshotLocalStorage"]
"""Family -> its storage."""
Metadata = dict[str, dg.MetadataValue | float | int | str | bool]
"""Of a materialization."""

POLICY_DIAGNOSTICS = ("action_spread", "mean_turnover", "distance_to_equal_weight", "saturation")
"""What tells a policy that acts from one that does not; see `brain_assets.portfolio.diagnostics`."""


@dataclass(frozen=True)
class SnapshotResult:
    """A snapshot, whether it was there already, and why it was not taken from the Hub if that was tried."""

    snapshot: "ModelSnapshot"
    reused: bool
    not_from_hub: str
    place: str
    """Where it is kept."""

    def materialization(
        self,
        checks: Sequence[dg.AssetCheckResult],
        other_seeds: "Sequence[SnapshotResult]" = (),
        more: "Metadata | None" = None,
    ) -> dg.MaterializeResult[Any]:
        """Give what the asset gives back, with what was checked and the same model trained with other seeds, if any.

        Its data version is the fingerprint: equal fingerprint, equal bytes; with other seeds, that of all fingerprints.
        """
        metadata: Metadata = {"reused": all(each.reused for each in (self, *other_seeds))}
        if self.not_from_hub:
            metadata["not_from_hub"] = self.not_from_hub
        if other_seeds:
            metadata["other_seeds"] = dg.MetadataValue.json([each.place for each in other_seeds])
        fingerprints = [each.snapshot.fingerprint for each in (self, *other_seeds)]
        return dg.MaterializeResult(
            value=self.snapshot,
            metadata=metadata | snapshot_metadata(self.snapshot) | (more or {}),
            data_version=dg.DataVersion(hash_json({"fingerprints": fingerprints}) if other_seeds else fingerprints[0]),
            check_results=checks,
        )


def make_snapshot(
    context: dg.AssetExecutionContext,
    snapshot_io: "SnapshotIOManager",
    fingerprint: Fingerprint,
    force: bool,
    train: "Callable[[], ModelSnapshot]",
    seed: int = 0,
) -> SnapshotResult:
    """Give the year's snapshot: the one with the same fingerprint, if the IO manager can find it, else a new one.

    One of another seed than the first is kept at once, as no output is; `seed`: its number.
    """
    family, cutoff_date = fingerprint.family, cutoff_of_year(int(context.partition_key))
    storage, problem = snapshot_io.storage(family, seed), ""
    place = str(storage.path(cutoff_date))
    if not force:
        found, problem = snapshot_io.find(fingerprint, cutoff_date, seed)
        if found is not None:
            context.log.info(f"{family} {cutoff_date} has fingerprint {found.fingerprint[:12]}: not trained again")
            if words := other_libraries(found.metadata["fingerprint"]):
                warn(f"{family} {cutoff_date}: {words}")
            return SnapshotResult(found, True, "", place)
    if problem:
        warn(f"{family} {cutoff_date}: trained here, not taken from the Hub: {problem}")
    snapshot = train()
    if snapshot.fingerprint != fingerprint.value:
        raise BrainAssetsError(
            f"{family} {cutoff_date}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the "
            "training data changed under way: run it again."
        )
    if seed:
        storage.write_snapshot(snapshot)
    return SnapshotResult(snapshot, False, problem, place)


def publish(storage: "SnapshotLocalStorage", push: "Callable[[], HubCopy]") -> Metadata:
    """Push if there is a Hub, and give what is shown of it; a push that does not get through fails nothing."""
    if storage.hub is None:
        return {}
    try:
        return pushed_metadata(push())
    except (HubError, SnapshotError) as error:
        warn(f"hub: failed: {error}")
        return hub_metadata("failed", reason=str(error))


def pushed_metadata(copy: "HubCopy") -> Metadata:
    """Give what is shown of a push: ``pushed``, or ``unchanged`` where the branch held these files already."""
    return hub_metadata("pushed" if copy.changed else "unchanged", copy.url, copy.commit, in_place_of(copy.before))


def hub_metadata(state: str, branch: str = "", commit: str = "", reason: str = "") -> Metadata:
    """Give what is shown of a copy on the Hub: its page, and why it failed, or what it replaced."""
    page: Metadata = {"hub_branch": dg.MetadataValue.url(branch)} if branch else {}
    texts = {"hub_commit": commit, "hub_reason": reason}
    return {"hub": state, **page, **{name: text for name, text in texts.items() if text}}


def show_epochs(head: str, options: Any) -> Callable[[EpochLosses], None]:
    """Give what says how a training goes on, for families that have epochs."""
    return lambda losses: report(f"{head}: {losses.words(getattr(options, 'epochs', None))}")


def note_refusal(refusals: list[str]) -> Callable[[str], None]:
    """Give what keeps the sentence about a refused snapshot for the materialization, and warns of it."""

    def note(sentence: str) -> None:
        warn(sentence)
        refusals.append(sentence)

    return note


def feature_weights_metadata(storage: "SnapshotLocalStorage", snapshot: "ModelSnapshot") -> Metadata:
    """Draw what the features weigh in a snapshot and in those of the years before it that are there.

    Nothing of a family that has no such weights (`brain_assets.forecasting.forecaster.Forecaster.feature_weights`).
    """
    family = registry.get(snapshot.family)
    if not (newest := family.feature_weights(snapshot.weights)):
        return {}
    weights = {}
    for cutoff_date in storage.list_snapshots():
        if cutoff_date < snapshot.cutoff_date:
            with contextlib.suppress(SnapshotError):  # a damaged one is told of where it is used
                weights[cutoff_date.year] = family.feature_weights(storage.load_snapshot(cutoff_date).weights)
    table = pd.DataFrame({**weights, snapshot.cutoff_date.year: newest})
    return {"feature_weights": weights_by_year(f"{snapshot.family}: weights of features", table)}


def location_metadata(path: object, hub: Metadata) -> Metadata:
    """Give where a snapshot is kept."""
    return {"snapshot": dg.MetadataValue.path(str(path)), **hub}


def snapshot_metadata(snapshot: "ModelSnapshot") -> Metadata:
    """Give what a materialization shows of a snapshot, whether a run trained it or not; what is long comes last."""
    of_role = _forecaster_metadata if registry.get(snapshot.family).role == "forecaster" else _policy_metadata
    return {
        "cutoff_date": snapshot.cutoff_date.isoformat(),
        "fingerprint": snapshot.fingerprint,
        "device": snapshot.metadata.get("device", CPU),  # from when there was no other, it says nothing
        **of_role(snapshot),
        "training_data": dg.MetadataValue.json(dict(snapshot.metadata["data"])),
        "model_card": dg.MetadataValue.md(snapshot.card),
        "configuration": dg.MetadataValue.json(dict(snapshot.config)),
    }


def _forecaster_metadata(snapshot: "ModelSnapshot") -> Metadata:
    """Give losses beside those of zero, the rank correlation beside momentum's, and of epochs the learning curve."""
    training = snapshot.metadata["training"]
    metadata: Metadata = {
        "train/loss": training["train_loss"],
        "train/loss_of_zero": training["zero_train_loss"],
        "validation/loss": training["validation_loss"],
        "validation/loss_of_zero": training["zero_validation_loss"],
        "validation/rank_correlation": known_or_words(training["validation_rank_correlation"]),
        "validation/momentum_correlation": known_or_words(training["validation_momentum_rank_correlation"]),
        "uninformative_features": ", ".join(snapshot.metadata["uninformative_features"]) or "none",
    }
    if curve := training["curve"]:
        metadata["epochs"] = len(curve)
        metadata["learning_curve"] = loss_curve(
            f"{snapshot.family} snapshot {snapshot.cutoff_date}",
            [losses["train"] for losses in curve],
            [losses["validation"] for losses in curve],
            training["zero_validation_loss"],
        )
    return metadata


def _policy_metadata(snapshot: "ModelSnapshot") -> Metadata:
    """Give the growth on the weeks that it learned from beside equal weight's, and the learning curve."""
    training = snapshot.metadata["training"]
    metadata: Metadata = {
        "train/cagr": training["cagr"],
        "train/cagr_equal_weight": training["cagr_equal_weight"],
        **{f"train/{name}": training[name] for name in POLICY_DIAGNOSTICS if name in training},
        "uninformative_features": ", ".join(snapshot.metadata["uninformative_features"]) or "none",
    }
    if curve := training["curve"]:
        steps, rewards = ([point[key] for point in curve] for key in ("steps", "reward"))
        title = f"{snapshot.family} policy {snapshot.cutoff_date}"
        metadata["learning_curve"] = reward_curve(title, steps, rewards)
    return metadata
