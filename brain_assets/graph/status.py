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
from functools import cache, cached_property, partial
from typing import Any

import dagster as dg
from dagster import AssetKey

from brain_assets import registry
from brain_assets.configuration import build
from brain_assets.device import CPU
from brain_assets.errors import DamagedSnapshotError, DamagedTableError, TableError
from brain_assets.graph.checks import findings_of, warnings_in
from brain_assets.graph.record import Record, parents_of
from brain_assets.graph.sources import change, look
from brain_assets.market.base import Market, Observation
from brain_assets.market.schema import RAW
from brain_assets.portfolio.constraints import policy_options, stands_beside
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
    reason: str = ""  # why it is not done, or of one that is done what there is to say
    warnings: Mapping[str, str] = field(default_factory=dict)  # of one that is done: by the name of the check


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
        self._instance, self._in_passing = instance, in_passing
        self._record = Record(instance, self._graph)
        resources: Mapping[str, Any] = _resources(self._graph)
        self.market: Market = resources["market"]
        self._tables: TableStore = resources["table_io"].store
        self._storages: Mapping[str, SnapshotLocalStorage] = {
            registry.get(family).asset: storage for family, storage in resources["snapshot_io"].storages.items()
        }
        self._metadata = cache(self._read_metadata)
        self._findings = cache(partial(findings_of, instance, self._graph))
        self._options = options or {}
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
        metadata = self._metadata(name, year)
        reason = other_libraries(metadata["fingerprint"]) if metadata else ""
        return Status(State.DONE, reason, warnings_in(self._findings(year).get(name, ())))

    @cached_property
    def source(self) -> Observation:
        """What the market has of the raw years."""
        definition = self._graph.get(AssetKey(RAW[0])).partitions_def
        years = [int(key) for key in definition.get_partition_keys()] if definition else []
        found = look(self.market, years, self._in_passing)
        for sentence in () if self._in_passing else found.sentences[1:]:
            warn(sentence)
        return found

    def _gone(self, name: str, year: int) -> str:
        """Say what is not there any more of a year that was made; empty: nothing."""
        if name in self._storages and not self._metadata(name, year):
            return "its folder is gone"
        if name in FOLDERS:
            try:
                self._tables.read_year(name, year)
            except DamagedTableError:
                raise
            except TableError:
                return "its file cannot be read" if self._tables.exists(name, year) else "its file is gone"
        return ""

    def _stale(self, name: str, year: int) -> str:
        """Say why a year that is there is to be made again; empty: it is not."""
        asked, metadata = self._options.get(name, {}), self._metadata(name, year)
        if metadata and self._config_hashes and metadata["fingerprint"]["config"] != self._config_hashes[name]:
            return "trained with another configuration"
        if name == "walkforward_forecasts" and self._config_hashes and self._averaged(year) != asked.get("average"):
            return "made with another average"
        if metadata and asked.get("device", "auto") not in ("auto", metadata.get("device", CPU)):
            return "trained on another device"
        if name in RAW and (changed := change(self.source, self._instance, name, year)):
            return changed
        if refused := [found.check_name for found in self._findings(year).get(name, ()) if found.blocking]:
            return f"did not pass its checks: {', '.join(refused)}"
        if metadata and self._lacks_seeds(name, year, metadata["fingerprint"], asked):
            return "trained with fewer seeds than asked for"
        return self._record.outdated(name, year)

    def _averaged(self, year: int) -> Any:
        """Give the average that the forecasts of a year were asked for with."""
        made = self._record.made("walkforward_forecasts")[year].asset_materialization
        averaged = made.metadata.get("averaged") if made else None
        return averaged and averaged.value

    def _lacks_seeds(self, name: str, year: int, main: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
        """Tell whether another seed of a model is not there, or was not trained on the same as its fingerprint says."""
        storage = self._storages[name]
        recorded = _recorded_options(storage.family, asked)
        for number in range(1, asked.get("n_seeds", 1)):
            metadata = storage.of_seed(number).read_metadata(cutoff_of_year(year))
            if metadata is None or not stands_beside(main, recorded, number, metadata["fingerprint"]):
                return True
        return False

    def _read_metadata(self, name: str, year: int) -> Mapping[str, Any] | None:
        """Read what a model on this machine says of itself; None: there is none. Raises `DamagedSnapshotError`."""
        if name not in self._storages:
            return None
        storage, cutoff_date = self._storages[name], cutoff_of_year(year)
        found = storage.read_metadata(cutoff_date)
        if found is None:
            storage.refuse_damaged(cutoff_date)
        return found


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
