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
from functools import cache, cached_property, lru_cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._core.definitions.data_version import UNKNOWN_DATA_VERSION, extract_data_provenance_from_entry
from dagster._core.definitions.partitions.context import partition_loading_context

from brain_assets import registry
from brain_assets.configuration import build
from brain_assets.device import CPU
from brain_assets.errors import DamagedSnapshotError, DamagedTableError, TableError
from brain_assets.formatting import listed
from brain_assets.graph.checks import findings_of, warnings_in
from brain_assets.market.base import Market, ObservableMarket, Observation
from brain_assets.market.schema import RAW
from brain_assets.portfolio.arithmetic import policy_options, stands_beside
from brain_assets.progress import warn
from brain_assets.store.fingerprint import hash_json, other_libraries
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS, TableStore

MADE_FROM, MADE_FROM_FILES = "made_from", "made_from_files"
"""Of a raw year's materialization: what `Observation` said of it just before it was fetched. So rows that change while
they are fetched count as changed, and are fetched once more."""

N_NAMED = 3
"""Files that are named."""


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
        self._instance, self._options, self._in_passing = instance, options, in_passing
        resources = _resources(self._graph)
        self.market: Market = resources["market"]
        self._tables: TableStore = resources["table_io"].store
        self._storages: Mapping[str, SnapshotLocalStorage] = {
            registry.get(family).asset: storage for family, storage in resources["snapshot_io"].storages.items()
        }
        self._made, self._metadata = cache(self._read_made), cache(self._read_metadata)
        self._findings = cache(partial(findings_of, instance, self._graph))

    def read(self, name: str, year: int) -> Status:
        """Tell the state of one year of one asset; 0: of an asset without years."""
        if year not in self._made(name):
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

    def _read_made(self, name: str) -> Mapping[int, dg.EventLogRecord]:
        key, kind = AssetKey(name), dg.DagsterEventType.ASSET_MATERIALIZATION
        ids = sorted(self._instance.event_log_storage.get_latest_storage_id_by_partition(key, kind).values())
        wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids) if ids else key
        records = self._instance.fetch_materializations(wanted, limit=len(ids) or 1).records
        return {int(record.partition_key or 0): record for record in records}

    def _read_metadata(self, name: str, year: int) -> Mapping[str, Any] | None:
        """Read what a model on this machine says of itself; None: there is none. Raises `DamagedSnapshotError`."""
        if name not in self._storages:
            return None
        storage, cutoff_date = self._storages[name], cutoff_of_year(year)
        found = storage.read_metadata(cutoff_date)
        if found is None:
            storage.refuse_damaged(cutoff_date)
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
        asked, metadata = (self._options or {}).get(name, {}), self._metadata(name, year) or {}
        fingerprint: Mapping[str, Any] = metadata.get("fingerprint", {})
        if self._options is not None:
            if fingerprint and fingerprint["config"] != hash_json(self._recorded_options(name)):
                return "trained with another configuration"
            made_with = metadata_in(self._made(name)[year].asset_materialization)
            if name == "walkforward_forecasts" and made_with.get("averaged") != asked.get("average"):
                return "made with another average"
        if metadata and asked.get("device", "auto") not in ("auto", metadata.get("device", CPU)):
            return "trained on another device"
        if name in RAW and (changed := change(self.source, self._instance, name, year)):
            return changed
        if refused := [found.check_name for found in self._findings(year).get(name, ()) if found.blocking]:
            return f"did not pass its checks: {', '.join(refused)}"
        for number in range(1, asked.get("n_seeds", 1) if fingerprint else 1):
            other, options = self._storages[name].of_seed(number), self._recorded_options(name)
            found = other.read_metadata(cutoff_of_year(year))
            if found is None or not stands_beside(fingerprint, options, number, found["fingerprint"]):
                return "trained with fewer seeds than asked for"
        return self._outdated(name, year)

    def _recorded_options(self, name: str) -> Mapping[str, Any]:
        """Give the configuration that is asked of a model in the form that its fingerprint hashes."""
        family, values = registry.get(self._storages[name].family), (self._options or {}).get(name, {})
        known = family.Config.model_fields
        config = build(family.Config, {option: value for option, value in values.items() if option in known})
        return config.model_dump() if family.role == "forecaster" else policy_options(config)

    def _outdated(self, name: str, year: int) -> str:
        """Say in which way a year is not made from what there is now; empty: it is.

        Dagster's own `data_version_changed` tells of changes since its last tick: one that came while a training was
        under way would be forgotten when that training ends. This compares what a materialization says that it was made
        from with what there is. Of one that no run here made (adopted, or reported by hand) nobody knows that: it
        counts as made from what was there when it was told of.
        """
        record, node = self._made(name)[year], self._graph.get(AssetKey(name))
        made_by = extract_data_provenance_from_entry(record.event_log_entry)
        if made_by and node.code_version and made_by.code_version != node.code_version:
            return "has a new code version"
        had = made_by.input_data_versions if made_by else dict.fromkeys(node.parent_keys, UNKNOWN_DATA_VERSION)
        said = [f"removed dependency on {key.to_user_string()}" for key in sorted({*had} - {*node.parent_keys})]
        before: dict[str, list[str]] = {}
        for parent, places in groupby(parents_of(self._graph, name, year), itemgetter(0)):
            key, years = AssetKey(parent), [when for _, when in places]
            if key not in had:
                said.append(f"has a new dependency on {parent}")
                continue
            pointer = made_by.input_storage_ids.get(key) if made_by else None
            is_foreign = had[key] == UNKNOWN_DATA_VERSION
            since = pointer or (record.storage_id if is_foreign else 0)
            changed = [f"{parent}[{when}]" for when in self._changed_since(key, since, years)]
            if pointer is not None:
                said += [f"{place} changed" for place in changed]
            elif changed:
                before.setdefault("adopted or reported" if is_foreign else "made", []).extend(changed)
        return "; ".join([*said, *(f"{how} before {', '.join(places)}" for how, places in before.items())])

    def _changed_since(self, key: AssetKey, since: int, years: list[int]) -> list[int]:
        """Give the years of an input that have another data version than they had at a moment, 0: than none."""
        made = self._made(key.to_user_string())
        newer = [str(year) for year in years if year in made and made[year].storage_id > since]
        storage = self._instance.event_log_storage
        return sorted(map(int, storage.get_updated_data_version_partitions(key, newer, since))) if newer else []


@lru_cache(maxsize=4096)  # asked again and again, and slow
def parents_of(graph: Any, name: str, year: int) -> Sequence[tuple[str, int]]:
    """Give the assets and years that one year of an asset is mapped to, in order; 0: of an asset without years."""
    with partition_loading_context():
        found = graph.get_parents_partitions(AssetKey(name), str(year) if year else None).parent_partitions
    return sorted((parent.asset_key.to_user_string(), int(parent.partition_key or 0)) for parent in found)


def metadata_in(made: dg.AssetMaterialization | None) -> dict[str, Any]:
    """Give the plain values of a materialization's metadata; of none: nothing."""
    return {key: value.value for key, value in made.metadata.items()} if made else {}


def _resources(graph: Any) -> dict[str, Any]:
    """Give the resources that the assets of a graph are bound to: a tick of the daemon knows no other way to them."""
    bound = {name: found for node in graph.asset_nodes for name, found in node.assets_def.resource_defs.items()}
    with dg.build_resources({name: bound[name] for name in ("market", "table_io", "snapshot_io")}) as resources:
        return dict(resources._asdict())


def look(market: Market, years: Sequence[int], in_passing: bool = False) -> Observation:
    """Look at what a market has of some partition years; of one that never changes, nothing is told."""
    return market.observe(years, in_passing) if isinstance(market, ObservableMarket) else Observation()


def recorded(found: Observation, table: str, year: int) -> dict[str, Any]:
    """Give what the materialization of a raw year keeps of a look at the market."""
    version, files = found.versions.get(table, {}).get(year), found.files.get(table, {}).get(year)
    metadata: dict[str, Any] = {} if version is None else {MADE_FROM: version}
    return {**metadata, **({MADE_FROM_FILES: dg.MetadataValue.json(dict(files))} if files else {})}


def change(found: Observation, instance: dg.DagsterInstance, table: str, year: int) -> str:
    """Say what a raw year is not made from any more, as "prices.csv changed"; empty: it is as its market has it."""
    version, since = found.versions.get(table, {}).get(year), found.final_since.get(year)
    record = instance.get_latest_data_version_record(AssetKey(table), partition_key=str(year))
    if version is None or (since and (record is None or record.timestamp >= since.timestamp())):
        return ""
    before = metadata_in(record.event_log_entry.asset_materialization if record else None)
    if before.get(MADE_FROM) == version:
        return ""
    if MADE_FROM not in before:
        return "fetched before it was final" if since else "it is not recorded what it was made from"
    files, now = before.get(MADE_FROM_FILES, {}), found.files.get(table, {}).get(year, {})
    names = sorted(name for name in files.keys() | now.keys() if files.get(name) != now.get(name))
    return f"{listed(names, N_NAMED)} changed"


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
            version = metadata_in(entry and entry.asset_materialization).get("version")
            found[key.to_user_string()] = f"{made}, {version}" if version else made
    return found
