"""What is done, what is missing, what is stale and why: Dagster's record, checked against the disk.

Dagster records a data version for every materialization (the content of a table, the fingerprint of a model) and which
upstream versions it was made from. On top of that a partition is missing if its file or folder is gone, damaged if it
is not as it was written, a raw table is stale if its market has other rows, a model if it was trained with another
configuration than the one asked for, or not on the device asked for, and forecasts if another average is asked for.
"""

import datetime
import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleStatus,
    extract_data_provenance_from_entry,
)
from dagster._core.definitions.events import AssetKeyPartitionKey
from dagster._core.definitions.partitions.context import partition_loading_context

from brain_assets import registry
from brain_assets.configuration import build
from brain_assets.device import CPU
from brain_assets.errors import DamagedSnapshotError, DamagedTableError, HubError, RefusedSnapshotError, TableError
from brain_assets.graph.checks import failed_blocking_checks, latest_warnings
from brain_assets.graph.sources import CHANGED, change, changed_rows, look
from brain_assets.market.base import Market, Observation
from brain_assets.market.schema import RAW
from brain_assets.portfolio.constraints import policy_options
from brain_assets.portfolio.seeds import COMPARED, with_seed
from brain_assets.progress import warn
from brain_assets.store.fingerprint import hash_json
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS, TableStore


class State(enum.Enum):
    """Where one year of one asset stands."""

    DONE = "done"
    MISSING = "missing"
    DAMAGED = "damaged"
    STALE = "stale"


@dataclass(frozen=True)
class Status:
    """Where one year of one asset stands, and why it is not done."""

    state: State
    reason: str = ""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """Of one that is done: what the checks that warn found, by their name."""


class StatusReader:
    """Reads the state of partitions; remembers what it read, so make a new one after every run.

    Parameters
    ----------
    defs : Definitions
    instance : DagsterInstance
    options : mapping of str to mapping
        Asset -> configuration values asked for; an asset without an entry is asked for with its defaults. None: no
        configuration is asked for, whatever a model was trained with is right.
    """

    def __init__(
        self, defs: dg.Definitions, instance: dg.DagsterInstance, options: Mapping[str, Mapping[str, Any]] | None
    ) -> None:
        self._graph = defs.resolve_asset_graph()
        self._resolver = CachingStaleStatusResolver(
            instance, self._graph, AssetGraphView.for_test(defs, instance=instance)
        )
        resources: Mapping[str, Any] = defs.resources or {}
        self._market: Market = resources["market"]
        self._tables: TableStore = resources["table_io"].store
        self._storages: Mapping[str, SnapshotLocalStorage] = {
            registry.get(family).asset: storage.no_retry()
            for family, storage in resources["snapshot_io"].storages.items()
        }
        self._commits: dict[str, Mapping[datetime.date, str]] = {}
        self._found: dict[tuple[str, int], Mapping[str, Any] | None] = {}
        self._warnings: dict[int, Mapping[str, Mapping[str, str]]] = {}
        self._options = options or {}
        self._instance = instance
        self._config_hashes = {
            name: hash_json(_recorded_options(storage.family, self._options.get(name, {})))
            for name, storage in (self._storages.items() if options is not None else ())
        }

    @cached_property
    def _refused(self) -> Mapping[tuple[str, str], Sequence[str]]:
        return failed_blocking_checks(self._instance, self._graph)

    def read(self, name: str, year: int) -> Status:
        """Tell the state of one year of one asset."""
        key, partition = AssetKey(name), str(year)
        found = self._resolver.get_status(key, partition)
        if found == StaleStatus.MISSING:
            return Status(State.MISSING, "not materialized")
        try:
            gone = self._gone(name, year)
        except (DamagedTableError, DamagedSnapshotError) as error:
            return Status(State.DAMAGED, str(error))
        if gone:
            return Status(State.MISSING, gone)
        if self._other_configuration(name, year):
            return Status(State.STALE, "trained with another configuration")
        if self._other_average(name, year):
            return Status(State.STALE, "made with another average")
        if self._other_device(name, year):
            return Status(State.STALE, "trained on another device")
        if changed := self._changed(name, year):
            return Status(State.STALE, changed)
        refused = self._refused.get((name, partition))
        if refused:
            return Status(State.STALE, f"did not pass its checks: {', '.join(refused)}")
        if self._lacks_seeds(name, year):
            return Status(State.STALE, "trained with fewer seeds than asked for")
        if found == StaleStatus.STALE:
            causes = self._resolver.get_stale_causes(key, partition)
            return Status(State.STALE, "; ".join(dict.fromkeys(_sentence(cause) for cause in causes)))
        late = self._made_without(key, partition)
        if late:
            return Status(State.STALE, f"made before {', '.join(late)}")
        if year not in self._warnings:
            self._warnings[year] = latest_warnings(self._instance, self._graph, year)
        return Status(State.DONE, warnings=self._warnings[year].get(name, {}))

    def _made_without(self, key: AssetKey, partition: str) -> list[str]:
        """Name what it needs that was absent when it was made and is there now; Dagster does not call that stale."""
        entry = self._entry(key, partition)
        provenance = extract_data_provenance_from_entry(entry) if entry else None
        if provenance is None:
            return []
        return [
            f"{parent}[{year}]"
            for parent, year in parents_of(self._graph, key.to_user_string(), int(partition))
            if provenance.input_storage_ids.get(AssetKey(parent)) is None
            and self._resolver.get_status(AssetKey(parent), str(year)) != StaleStatus.MISSING
        ]

    def _entry(self, key: AssetKey, partition: str) -> Any:
        record = self._resolver._get_latest_data_version_record(key=AssetKeyPartitionKey(key, partition))
        return record.event_log_entry if record else None

    @cached_property
    def _source(self) -> Observation:
        definition = self._graph.get(AssetKey(RAW[0])).partitions_def
        years = [int(key) for key in definition.get_partition_keys()] if definition else []
        found = look(self._market, years)
        for sentence in found.sentences[1:]:
            warn(sentence)
        return found

    def _changed(self, name: str, year: int) -> str:
        words = change(self._source, self._instance, name, year) if name in RAW else ""
        if words.endswith(CHANGED):
            words += changed_rows(self._market, name, year, self._tables.read_year(name, year))
        return words

    def _gone(self, name: str, year: int) -> str:
        if name in FOLDERS:
            return self._gone_table(name, year)
        return "" if self._metadata(name, year) is not None else "its folder is gone"

    def _metadata(self, name: str, year: int) -> Mapping[str, Any] | None:
        """Read what a model says of itself: the one on this machine, else the one on the Hub; None: there is none."""
        if (name, year) not in self._found:
            self._found[name, year] = self._read_metadata(name, year)
        return self._found[name, year]

    def _read_metadata(self, name: str, year: int) -> Mapping[str, Any] | None:
        storage, cutoff_date = self._storages[name], cutoff_of_year(year)
        local = storage.read_metadata(cutoff_date)
        if local is None:
            storage.refuse_damaged(cutoff_date)
        if local is not None or storage.hub is None:
            return local
        try:
            commit = self._branches(storage).get(cutoff_date)
            return None if commit is None else storage.read_hf_manifest(cutoff_date, commit)
        except (HubError, RefusedSnapshotError) as error:
            warn(f"{name}[{year}] is not on this machine, and not taken from the Hub: {error}")
            return None

    def _branches(self, storage: SnapshotLocalStorage) -> Mapping[datetime.date, str]:
        if storage.family not in self._commits:
            self._commits[storage.family] = {}  # a Hub that fails is asked once, and not for every year
            self._commits[storage.family] = storage.hf_commits()
        return self._commits[storage.family]

    def _gone_table(self, name: str, year: int) -> str:
        try:
            self._tables.read_year(name, year)
        except DamagedTableError:
            raise
        except TableError:
            return "its file cannot be read" if self._tables.exists(name, year) else "its file is gone"
        return ""

    def _other_configuration(self, name: str, year: int) -> bool:
        if name not in self._config_hashes:
            return False
        metadata = self._metadata(name, year)
        return metadata is not None and metadata["fingerprint"]["config"] != self._config_hashes[name]

    def _other_average(self, name: str, year: int) -> bool:
        if name != "walkforward_forecasts" or not self._config_hashes:
            return False
        made = self._entry(AssetKey(name), str(year)).asset_materialization.metadata.get("averaged")
        return bool((made and made.value) != self._options.get(name, {}).get("average"))

    def _other_device(self, name: str, year: int) -> bool:
        asked = self._options.get(name, {}).get("device", "auto")
        metadata = None if asked == "auto" else self._metadata(name, year)
        return metadata is not None and metadata.get("device", CPU) != asked

    def _lacks_seeds(self, name: str, year: int) -> bool:
        values = self._options.get(name, {})
        main = self._metadata(name, year) if values.get("n_seeds", 1) > 1 else None
        if main is None:
            return False
        storage, recorded = self._storages[name], _recorded_options(self._storages[name].family, values)
        for number in range(1, values["n_seeds"]):
            metadata = storage.of_seed(number).read_metadata(cutoff_of_year(year))
            expected = {**main["fingerprint"], "config": hash_json(with_seed(recorded, number))}
            if metadata is None or any(metadata["fingerprint"][part] != expected[part] for part in COMPARED):
                return True
        return False


def _recorded_options(name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a model's configuration in the form that its fingerprint hashes; `name`: of its family."""
    family = registry.get(name)
    config = build(family.Config, {name: value for name, value in values.items() if name in family.Config.model_fields})
    return config.model_dump() if family.role == "forecaster" else policy_options(config)


def _sentence(cause: Any) -> str:
    dependency = cause.dependency
    if dependency is None:
        return str(cause.reason)
    year = f"[{dependency.partition_key}]" if dependency.partition_key else ""
    return f"{dependency.asset_key.to_user_string()}{year} changed"


def parents_of(graph: Any, name: str, year: int) -> list[tuple[str, int]]:
    """Give the assets and years that one year of an asset is mapped to, in order; 0: of an asset without years."""
    with partition_loading_context():
        found = graph.get_parents_partitions(AssetKey(name), str(year) if year else None).parent_partitions
    return sorted((parent.asset_key.to_user_string(), int(parent.partition_key or 0)) for parent in found)


def rests_on(
    defs: dg.Definitions, instance: dg.DagsterInstance, name: str, years: Collection[int]
) -> dict[tuple[str, int], Status]:
    """Tell where what an asset without years is made from stands, of some years and those before; causes come first.

    Whatever configuration a model was trained with is right.
    """
    graph, reader = defs.resolve_asset_graph(), StatusReader(defs, instance, None)
    left = [unit for unit in parents_of(graph, name, 0) if unit[1] in years]
    units: set[tuple[str, int]] = set()
    while left:
        unit = left.pop()
        if unit not in units:
            units.add(unit)
            left += parents_of(graph, *unit)
    return {unit: reader.read(*unit) for unit in sorted(units, key=lambda unit: (unit[0] not in RAW, unit[1], unit[0]))}


def needs_of(defs: dg.Definitions, name: str) -> list[str]:
    """Name the assets that an asset is made from."""
    return sorted(key.to_user_string() for key in defs.resolve_asset_graph().get(AssetKey(name)).parent_keys)


def asset_names(defs: dg.Definitions) -> Sequence[str]:
    """Give the partitioned assets, each after everything it depends on."""
    graph = defs.resolve_asset_graph()
    return [key.to_user_string() for key in graph.toposorted_asset_keys if graph.get(key).is_partitioned]
