"""What a Dagster instance has on record of the years of an asset graph, and what they are not made from any more."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import dagster as dg
from dagster import AssetKey
from dagster._core.definitions.data_version import UNKNOWN_DATA_VERSION, extract_data_provenance_from_entry
from dagster._core.definitions.partitions.context import partition_loading_context


class Record:
    """Reads the record of each asset once, so make a new one after every run; year 0: of an asset without years.

    Dagster's own `data_version_changed` tells of changes since its last tick: one that came while a training was under
    way would be forgotten when that training ends. This compares what a materialization says that it was made from with
    what there is. Of one that no run here made (adopted, or reported by hand) nobody knows that: it counts as made from
    what was there when it was told of.
    """

    def __init__(self, instance: dg.DagsterInstance, graph: Any) -> None:
        self._instance, self._graph = instance, graph
        self.made = cache(self._made)

    def _made(self, name: str) -> Mapping[int, dg.EventLogRecord]:
        records = newest_materializations(self._instance, AssetKey(name))
        return {int(record.partition_key or 0): record for record in records}

    def outdated(self, name: str, year: int) -> str:
        """Say in which way a year that was made is not made from what there is now; empty: it is."""
        record, node = self.made(name)[year], self._graph.get(AssetKey(name))
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
        made = self.made(key.to_user_string())
        newer = [str(year) for year in years if year in made and made[year].storage_id > since]
        storage = self._instance.event_log_storage
        return sorted(map(int, storage.get_updated_data_version_partitions(key, newer, since))) if newer else []


def newest_materializations(instance: dg.DagsterInstance, key: AssetKey) -> Sequence[dg.EventLogRecord]:
    """Give the newest materialization of each partition of an asset, or of an asset without."""
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    ids = sorted(instance.event_log_storage.get_latest_storage_id_by_partition(key, kind).values())
    wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids) if ids else key
    return instance.fetch_materializations(wanted, limit=len(ids) or 1).records


@lru_cache(maxsize=4096)  # asked again and again, and slow
def parents_of(graph: Any, name: str, year: int) -> Sequence[tuple[str, int]]:
    """Give the assets and years that one year of an asset is mapped to, in order; 0: of an asset without years."""
    with partition_loading_context():
        found = graph.get_parents_partitions(AssetKey(name), str(year) if year else None).parent_partitions
    return sorted((parent.asset_key.to_user_string(), int(parent.partition_key or 0)) for parent in found)
