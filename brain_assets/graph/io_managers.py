"""What stands between assets and stores: tables and snapshots, in and out, and what is shown of a model."""

import datetime
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd
from upath import UPath

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.errors import BrainAssetsError, HubError, SnapshotError, TableError
from brain_assets.forecasting.forecaster import EpochLosses
from brain_assets.forecasting.walkforward import SnapshotSource
from brain_assets.formatting import format_figure
from brain_assets.graph.pictures import as_table, chart, plotted
from brain_assets.graph.status import metadata_in
from brain_assets.paths import DataPath
from brain_assets.progress import report, warn
from brain_assets.store.fingerprint import Fingerprint, hash_json, other_libraries
from brain_assets.store.hub import HubCopy, in_place_of
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import MemoryTableStore, TableStore

Snapshots = Mapping[str, SnapshotLocalStorage]
"""Family -> its storage."""
Metadata = dict[str, dg.MetadataValue | dict[Any, Any] | float | str | bool]
"""Of a materialization."""


class StoredSnapshots:
    """What an asset that takes snapshots is given: those up to a cut-off, here or on the Hub, each read when used."""

    def __init__(self, storage: SnapshotLocalStorage, until: datetime.date = datetime.date.max) -> None:
        self._storage, self._until = storage, until
        self._here: set[datetime.date] | None = None

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        """Give the cut-offs of all snapshots; see `SnapshotSource`."""
        self._here = set(self._storage.list_snapshots())  # before any is pulled
        return [date for date in self._storage.list_candidates(wanted) if date <= self._until]

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        """Read one; see `SnapshotSource`."""
        return self._storage.fetch_snapshot(cutoff_date)

    def require(self, cutoff_date: datetime.date) -> None:
        """Raise `SnapshotError` if one is not there, unless there is a Hub that may have it."""
        if self._storage.hub is None:
            self._storage.store.read(snapshot_name(cutoff_date))

    def locations(self, names: Iterable[str]) -> dict[str, str]:
        """Tell for every snapshot that was used where it was."""
        here = set(self._storage.list_snapshots()) if self._here is None else self._here
        hub = f"Hub {self._storage.hub.repo}" if self._storage.hub else ""
        dates = {name: date for name in names if (date := parse_snapshot_name(name))}
        return {name: "this machine" if date in here else hub for name, date in dates.items() if date in here or hub}

    def other_seeds(self) -> Mapping[int, SnapshotSource]:
        """Give by the number of a seed the same models trained with it."""
        return {number: self._storage.of_seed(number) for number in self._storage.list_seeds()}


def stored(given: Any) -> StoredSnapshots:
    """Give what an asset was handed; Dagster's own in-memory IO manager hands over what the same run has made."""
    if isinstance(given, ModelSnapshot):
        storage = SnapshotLocalStorage(given.family, memory_folder())
        storage.write_snapshot(given)
        return StoredSnapshots(storage)
    source: StoredSnapshots = given
    return source


def memory_folder() -> DataPath:
    """Give a folder in the memory of this process, which nobody else has."""
    return UPath(f"memory://{uuid.uuid4().hex}/models")


class TableIOManager(dg.IOManager):
    """Stores an asset's table under its name and partition year; follows partition mappings when it loads.

    Under `data_dir` assets keep what is no table: scores of headlines, records of trials, reports, weekly weights.
    """

    def __init__(self, store: TableStore, data_dir: DataPath) -> None:
        self.store, self.data_dir = store, data_dir

    @classmethod
    def of(cls, given: Any) -> "TableIOManager":
        """Give an IO manager as it is if it is ours; in place of another, one that has nothing and forgets."""
        return given if isinstance(given, cls) else cls(MemoryTableStore(), memory_folder())

    @property
    def headline_cache(self) -> DataPath:
        """Where scores of headlines are kept."""
        return self.data_dir / "cache" / "headlines"

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Write one year."""
        name = context.asset_key.to_user_string()
        if not (isinstance(obj, pd.DataFrame) and context.has_asset_partitions):
            raise TableError(
                f"{name}: expected a DataFrame for each year, got {type(obj).__name__}"
                f"{'' if context.has_asset_partitions else ' of an asset without partitions'}; correct the asset."
            )
        place = self.store.write(name, int(context.asset_partition_key), obj)
        context.add_output_metadata({"path": dg.MetadataValue.path(place), "dagster/row_count": len(obj)})

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Read the years that the mapping asks for; one that is absent is an error that names it."""
        years = [int(key) for key in context.asset_partition_keys]
        return self.store.read(context.asset_key.to_user_string(), years)


class SnapshotIOManager(dg.IOManager):
    """Keeps the snapshot that an asset returns as a folder and, if there is a Hub, as a branch, by family."""

    def __init__(self, storages: Snapshots) -> None:
        self.storages = storages

    @classmethod
    def of(cls, given: Any, families: Iterable[str]) -> "SnapshotIOManager":
        """Give an IO manager as it is if it is ours; in place of another, one that has nothing and forgets."""
        folder = memory_folder()
        return given if isinstance(given, cls) else cls({name: SnapshotLocalStorage(name, folder) for name in families})

    def storage(self, family: str, seed: int = 0) -> SnapshotLocalStorage:
        """Give the storage of a family, or of its trainings with another seed."""
        if family not in self.storages:
            raise SnapshotError(
                f"family: expected one of {', '.join(self.storages)}, got {family}; name its module in BRAIN_PLUGINS."
            )
        return self.storages[family].of_seed(seed) if seed else self.storages[family]

    def handle_output(self, context: dg.OutputContext, obj: ModelSnapshot) -> None:
        """Write the folder, unless the asset has found it there, and push the branch; see `publish`."""
        if not isinstance(obj, ModelSnapshot):
            raise SnapshotError(
                f"{context.asset_key.to_user_string()}: expected it to return a ModelSnapshot, got "
                f"{type(obj).__name__}; return one, or name another IO manager."
            )
        storage = self.storage(obj.family)
        if (context.output_metadata or {}).get("reused") != dg.MetadataValue.bool(True):
            storage.write_snapshot(obj)
        hub = publish(storage, lambda: storage.upload_snapshot_to_hf(obj.cutoff_date))
        context.add_output_metadata({"snapshot": dg.MetadataValue.path(str(storage.path(obj.cutoff_date))), **hub})
        if context.asset_key.to_user_string() != registry.get(obj.family).asset:
            context.add_output_metadata({"family": obj.family})

    def load_input(self, context: dg.InputContext) -> StoredSnapshots:
        """Give the snapshots of the years that the mapping asks for, or the closest earlier ones."""
        storage = self.storage(self._family_of(context))
        if not context.has_asset_partitions:
            return StoredSnapshots(storage)
        years = [int(key) for key in context.asset_partition_keys]
        return StoredSnapshots(storage, cutoff_of_year(max(years)) if years else datetime.date.min)

    def _family_of(self, context: dg.InputContext) -> str:
        """Tell whose snapshots an asset makes: by its name, or, of an asset of the user's own, by what it has made."""
        asset = context.asset_key.to_user_string()
        for family in self.storages:
            if registry.get(family).asset == asset:
                return family
        event = context.instance.get_latest_materialization_event(context.asset_key)
        made = metadata_in(event.asset_materialization if event else None)
        if "family" not in made:
            raise SnapshotError(f"{asset}: expected a snapshot that it has made, but there is none; materialize it.")
        return str(made["family"])


@dataclass(frozen=True)
class SnapshotResult:
    """A snapshot, whether it was there already, and where it is kept."""

    snapshot: ModelSnapshot
    reused: bool
    place: str

    def materialization(
        self,
        checks: Sequence[dg.AssetCheckResult],
        other_seeds: "Sequence[SnapshotResult]" = (),
        more: Metadata | None = None,
    ) -> dg.MaterializeResult[Any]:
        """Give what the asset gives back, with what was checked and the same model trained with other seeds, if any.

        Its data version is the fingerprint: equal fingerprint, equal bytes; with other seeds, that of all fingerprints.
        """
        metadata = snapshot_metadata(self.snapshot) | (more or {})
        metadata["reused"] = all(each.reused for each in (self, *other_seeds))
        if other_seeds:
            metadata["other_seeds"] = dg.MetadataValue.json([each.place for each in other_seeds])
        fingerprints = [each.snapshot.fingerprint for each in (self, *other_seeds)]
        return dg.MaterializeResult(
            value=self.snapshot,
            metadata=metadata,
            data_version=dg.DataVersion(hash_json({"fingerprints": fingerprints}) if other_seeds else fingerprints[0]),
            check_results=checks,
        )


def make_snapshot(
    context: dg.AssetExecutionContext,
    storage: SnapshotLocalStorage,
    fingerprint: Fingerprint,
    force: bool,
    train: Callable[[], ModelSnapshot],
) -> SnapshotResult:
    """Give the year's snapshot: the one with the same fingerprint, if it is there, else a new one, not kept yet."""
    cutoff_date = cutoff_of_year(int(context.partition_key))
    head, place = f"{fingerprint.family} {cutoff_date}", str(storage.path(cutoff_date))
    if not force and (found := storage.find_kept(fingerprint, cutoff_date)):
        context.log.info(f"{head} has fingerprint {found.fingerprint[:12]}: not trained again")
        if words := other_libraries(found.metadata["fingerprint"]):
            warn(f"{head}: {words}")
        return SnapshotResult(found, True, place)
    snapshot = train()
    if snapshot.fingerprint != fingerprint.value:
        raise BrainAssetsError(
            f"{head}: expected fingerprint {fingerprint.value}, got {snapshot.fingerprint}; the training data changed "
            "under way: run it again."
        )
    return SnapshotResult(snapshot, False, place)


def publish(storage: SnapshotLocalStorage, push: Callable[[], HubCopy]) -> Metadata:
    """Push if there is a Hub, and give what is shown of it; a push that does not get through fails nothing."""
    if storage.hub is None:
        return {}
    try:
        copy = push()
    except (HubError, SnapshotError) as error:
        warn(f"hub: failed: {error}")
        return {"hub": "failed", "hub_reason": str(error)}
    replaced = in_place_of(copy.before)
    return {
        "hub": "pushed" if copy.changed else "unchanged",
        "hub_branch": dg.MetadataValue.url(copy.url),
        "hub_commit": copy.commit,
        **({"hub_reason": replaced} if replaced else {}),
    }


def show_epochs(head: str, options: Any) -> Callable[[EpochLosses], None]:
    """Give what says how a training goes on, for families that have epochs."""
    return lambda losses: report(f"{head}: {losses.words(getattr(options, 'epochs', None))}")


def note_refusal(refusals: list[str]) -> Callable[[str], None]:
    """Give what keeps the sentence about a refused snapshot for the materialization, and warns of it."""

    def note(sentence: str) -> None:
        warn(sentence)
        refusals.append(sentence)

    return note


def feature_weights_metadata(storage: SnapshotLocalStorage, snapshot: ModelSnapshot) -> Metadata:
    """Give what the features weigh in a snapshot and in those of the years before it that are there, heaviest first.

    Nothing of a family that has no such weights (`brain_assets.forecasting.forecaster.Forecaster.feature_weights`).
    """
    family = registry.get(snapshot.family)
    if not (newest := family.feature_weights(snapshot.weights)):
        return {}
    weights = {}
    for cutoff_date in storage.list_snapshots():
        if cutoff_date < snapshot.cutoff_date:
            with suppress(SnapshotError):  # a damaged one is told of where it is used
                weights[cutoff_date.year] = family.feature_weights(storage.load_snapshot(cutoff_date).weights)
    heaviest = sorted(newest, key=lambda name: -abs(newest[name]))
    by_year = pd.DataFrame({**weights, snapshot.cutoff_date.year: newest}).loc[heaviest]
    table = as_table(by_year.map(format_figure, form="+.3f").reset_index(names="feature"))
    caption = f"What the heaviest features weigh, {min(by_year)} to {max(by_year)}."
    lines = {name: by_year.loc[name] for name in heaviest}
    return {"heaviest_features": chart(snapshot.name, lines, 0.0, caption), "feature_weights": table}


def snapshot_metadata(snapshot: ModelSnapshot) -> Metadata:
    """Give what a materialization shows of a snapshot, whether a run trained it or not: first what one looks for."""
    of_role = _forecaster_metadata if registry.get(snapshot.family).role == "forecaster" else _policy_metadata
    return {
        **of_role(snapshot),
        "uninformative_features": ", ".join(snapshot.metadata["uninformative_features"]) or "none",
        "cutoff_date": snapshot.cutoff_date.isoformat(),
        "device": snapshot.metadata.get("device", CPU),  # from when there was no other, it says nothing
        "fingerprint": snapshot.fingerprint,
        "configuration": dict(snapshot.config),
        "training_data": dict(snapshot.metadata["data"]),
    }


def _forecaster_metadata(snapshot: ModelSnapshot) -> Metadata:
    """Give losses beside those of zero, the rank correlation beside momentum's, and of epochs the learning curve."""
    training = snapshot.metadata["training"]
    losses = {
        "weeks": ["validation", "training"],
        "loss": [format_figure(training[name], ".4f") for name in ("validation_loss", "train_loss")],
        "loss of zero": [format_figure(training[name], ".4f") for name in ("zero_validation_loss", "zero_train_loss")],
        "rank correlation": [format_figure(training["validation_rank_correlation"], "+.3f"), ""],
        "momentum's": [format_figure(training["validation_momentum_rank_correlation"], "+.3f"), ""],
    }
    metadata: Metadata = {"losses": as_table(pd.DataFrame(losses))}
    if curve := training["curve"]:
        metadata["learning_curve"] = chart(
            f"{snapshot.family} snapshot {snapshot.cutoff_date}",
            {name: [point[name] for point in curve] for name in ("validation", "train")},
            training["zero_validation_loss"],
            "Loss by epoch: mean squared error over the variance of targets; dashed: validation, predicting zero.",
        )
        metadata["epochs"] = str(len(curve))
    plots = {"loss": "validation_loss", "loss_of_zero": "zero_validation_loss"}
    plots["rank_correlation"] = "validation_rank_correlation"
    return metadata | plotted({f"validation/{name}": training[key] for name, key in plots.items()})


def _policy_metadata(snapshot: ModelSnapshot) -> Metadata:
    """Give the growth on the weeks that it learned from beside equal weight's, what it did, and the learning curve."""
    training = snapshot.metadata["training"]
    figures = {
        "growth a year": format_figure(training["cagr"], "+.1%"),
        "growth a year of equal weight": format_figure(training["cagr_equal_weight"], "+.1%"),
        "distance to equal weight": format_figure(training["distance_to_equal_weight"], ".1%"),
        "turnover a week": format_figure(training["mean_turnover"], ".1%"),
        "spread of logits": format_figure(training.get("action_spread"), ".3f"),
        "logits at a bound": format_figure(training.get("saturation"), ".1%"),
    }
    metadata: Metadata = {"training_weeks": as_table(pd.DataFrame(figures.items(), columns=["figure", "value"]))}
    if curve := training["curve"]:
        metadata["learning_curve"] = chart(
            f"{snapshot.family} policy {snapshot.cutoff_date}",
            {"reward": [point["reward"] for point in curve]},
            caption=f"Reward of an episode, 100 x log growth less equal weight's, over {curve[-1]['steps']:,} steps.",
        )
    plots = {f"train/{name}": training[name] for name in ("distance_to_equal_weight", "mean_turnover")}
    return metadata | plotted(plots)
