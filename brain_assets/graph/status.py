"""What is done, what is missing, what is stale and why: Dagster's record, checked against what is stored.

One answer for all: `backfill`, `status`, and the automation of Dagster's daemon (`brain_assets.graph.conditions`).
Dagster records a data version for every materialization (the content of a table, the fingerprint of a model) and which
upstream versions it was made from. On top of that a partition is missing if its file or folder is gone, damaged if it
is not as it was written, a raw table is stale if its market has other rows, a model if it was trained with another
configuration than the one asked for, or not on the device asked for, and forecasts if another average is asked for.
A model that was made with other versions of libraries is done, as a run keeps it, too; it is said.
"""

import datetime
import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
from dagster import AssetKey

from brain_assets import registry
from brain_assets.configuration import build
from brain_assets.device import CPU
from brain_assets.errors import DamagedSnapshotError, DamagedTableError, TableError
from brain_assets.graph.checks import latest_warnings
from brain_assets.graph.record import Record, parents_of
from brain_assets.graph.sources import CHANGED, change, changed_rows, look
from brain_assets.market.base import Market, Observation
from brain_assets.market.schema import RAW
from brain_assets.portfolio.constraints import policy_options
from brain_assets.portfolio.seeds import stands_beside
from brain_assets.progress import warn
from brain_assets.store.fingerprint import hash_json, other_libraries
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
    """Where one year of one asset stands."""

    state: State
    reason: str = ""
    """Why it is not done, or of one that is done what there is to say."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """Of one that is done: what the checks that warn found, by their name."""


class StatusReader:
    """Reads the state of partitions; remembers what it read, so make a new one after every run.

    Parameters
    ----------
    defs : Definitions, or their asset graph
    instance : DagsterInstance
    options : mapping of str to mapping
        Asset -> configuration values asked for; an asset without an entry is asked for with its defaults. None: no
        configuration is asked for, whatever a model was trained with is right.
    in_passing : bool
        Look at the market as a tick of the daemon does, which reads no file that is still being written.
    """

    def __init__(
        self,
        defs: Any,
        instance: dg.DagsterInstance,
        options: Mapping[str, Mapping[str, Any]] | None,
        in_passing: bool = False,
    ) -> None:
        self._graph = defs.resolve_asset_graph() if isinstance(defs, dg.Definitions) else defs
        self._record, self._in_passing = Record(instance, self._graph), in_passing
        resources: Mapping[str, Any] = _resources(self._graph)
        self.market: Market = resources["market"]
        self._tables: TableStore = resources["table_io"].store
        self._storages: Mapping[str, SnapshotLocalStorage] = {
            registry.get(family).asset: storage for family, storage in resources["snapshot_io"].storages.items()
        }
        self._found: dict[tuple[str, int], Mapping[str, Any] | None] = {}
        self._warnings: dict[int, Mapping[str, Mapping[str, str]]] = {}
        self._options = options or {}
        self._instance = instance
        self._config_hashes = {
            name: hash_json(_recorded_options(storage.family, self._options.get(name, {})))
            for name, storage in (self._storages.items() if options is not None else ())
        }

    def read(self, name: str, year: int) -> Status:
        """Tell the state of one year of one asset; 0: of an asset without years."""
        if year not in self._record.made(name):
            return Status(State.MISSING, "not materialized")
        try:
            gone = self._gone(name, year)
        except (DamagedTableError, DamagedSnapshotError) as error:
            return Status(State.DAMAGED, str(error))
        if gone:
            return Status(State.MISSING, gone)
        if stale := self._stale(name, year):
            return Status(State.STALE, stale)
        if year not in self._warnings:
            self._warnings[year] = latest_warnings(self._instance, self._graph, year)
        return Status(State.DONE, self._made_elsewhere(name, year), self._warnings[year].get(name, {}))

    def _stale(self, name: str, year: int) -> str:
        """Say why a year that is there is to be made again; empty: it is not."""
        if self._other_configuration(name, year):
            return "trained with another configuration"
        if self._other_average(name, year):
            return "made with another average"
        if self._other_device(name, year):
            return "trained on another device"
        if changed := self._changed(name, year):
            return changed
        if refused := self._record.refused().get((name, str(year))):
            return f"did not pass its checks: {', '.join(refused)}"
        if self._lacks_seeds(name, year):
            return "trained with fewer seeds than asked for"
        return self._record.outdated(name, year)

    def _made_elsewhere(self, name: str, year: int) -> str:
        metadata = self._metadata(name, year)
        return other_libraries(metadata["fingerprint"]) if metadata else ""

    @cached_property
    def source(self) -> Observation:
        """What the market has of the raw years."""
        definition = self._graph.get(AssetKey(RAW[0])).partitions_def
        years = [int(key) for key in definition.get_partition_keys()] if definition else []
        found = look(self.market, years, self._in_passing)
        for sentence in () if self._in_passing else found.sentences[1:]:
            warn(sentence)
        return found

    def _changed(self, name: str, year: int) -> str:
        words = change(self.source, self._instance, name, year) if name in RAW else ""
        if words.endswith(CHANGED) and not self._in_passing:
            words += changed_rows(self.market, name, year, self._tables.read_year(name, year))
        return words

    def _gone(self, name: str, year: int) -> str:
        if name in FOLDERS:
            return self._gone_table(name, year)
        return "" if name not in self._storages or self._metadata(name, year) else "its folder is gone"

    def _metadata(self, name: str, year: int) -> Mapping[str, Any] | None:
        """Read what a model on this machine says of itself; None: there is none. Raises `DamagedSnapshotError`."""
        if name not in self._storages:
            return None
        if (name, year) not in self._found:
            storage, cutoff_date = self._storages[name], cutoff_of_year(year)
            found = storage.read_metadata(cutoff_date)
            if found is None:
                storage.refuse_damaged(cutoff_date)
            self._found[name, year] = found
        return self._found[name, year]

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
        made = self._record.made(name)[year].asset_materialization
        averaged = made.metadata.get("averaged") if made else None
        return bool((averaged and averaged.value) != self._options.get(name, {}).get("average"))

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
            if metadata is None or not stands_beside(main["fingerprint"], recorded, number, metadata["fingerprint"]):
                return True
        return False


def _recorded_options(name: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a model's configuration in the form that its fingerprint hashes; `name`: of its family."""
    family = registry.get(name)
    config = build(family.Config, {name: value for name, value in values.items() if name in family.Config.model_fields})
    return config.model_dump() if family.role == "forecaster" else policy_options(config)


def _resources(graph: Any) -> dict[str, Any]:
    """Give the resources that the assets of a graph are bound to: a tick of the daemon knows no other way to them."""
    bound = {name: found for node in graph.asset_nodes for name, found in node.assets_def.resource_defs.items()}
    with dg.build_resources({name: bound[name] for name in ("market", "table_io", "snapshot_io")}) as resources:
        return dict(resources._asdict())


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


def last_made(defs: dg.Definitions, instance: dg.DagsterInstance) -> dict[str, str]:
    """Tell when reports, main versions and the like were made last; empty: never."""
    graph, found = defs.resolve_asset_graph(), {}
    for key in graph.toposorted_asset_keys:
        if graph.get(key).is_materializable and not graph.get(key).is_partitioned:
            entry = instance.get_latest_materialization_event(key)
            made = f"{datetime.datetime.fromtimestamp(entry.timestamp):%Y-%m-%d %H:%M}" if entry else ""
            made_as = entry.asset_materialization if entry else None
            version = made_as.metadata.get("version") if made_as else None
            found[key.to_user_string()] = f"{made}, {version.value}" if version else made
    return found
