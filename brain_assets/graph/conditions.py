"""When a year of an asset is asked for by itself: conditions of Dagster's declarative automation, which assets carry.

A year of an asset is requested if

- it is missing, or an input's *data version* is another than the one that it was made from: an input that was made
  again and came out the same changes nothing; and
- every input is there, not about to change itself, not under way, and did not fail a check that blocks; and
- it was not requested for this reason before. So a run that failed is not tried again at every tick, but once an input
  was made again, or by hand.

A child waits until its inputs are settled, so a change goes through the graph a stage a tick, and nothing is made from
what is about to change. Every year is looked at, old ones too: Dagster's own ``eager()`` and ``on_missing()`` look at
the newest alone, and at what went missing while they watched.

Not covered: runs have the default configuration of each asset, since Dagster passes no other to what it requests by
itself. Main versions are not requested: they fetch data up to yesterday, which is for a command or a schedule to ask.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.asset_graph_view.entity_subset import EntitySubset, _ValidatedEntitySubsetValue
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import DataProvenance, extract_data_provenance_from_entry
from dagster._core.definitions.declarative_automation.operators import AndAutomationCondition
from dagster._core.definitions.events import AssetKeyPartitionKey

from brain_assets.graph.checks import failed_blocking_checks
from brain_assets.graph.years import is_needed


class _Record:
    """What a Dagster instance has on record of an asset graph, read once a tick."""

    def __init__(self, instance: dg.DagsterInstance, graph: BaseAssetGraph[Any]) -> None:
        self._instance = instance
        self.latest = cache(self._latest)
        self.made_from = cache(self._made_from)
        self.refused = cache(partial(failed_blocking_checks, instance, graph))

    def _latest(self, key: dg.AssetKey) -> Mapping[str, int]:
        """Give the number of the newest materialization of each partition of an asset; numbers grow with time."""
        event_type = dg.DagsterEventType.ASSET_MATERIALIZATION
        return self._instance.event_log_storage.get_latest_storage_id_by_partition(key, event_type)

    def _made_from(self, key: dg.AssetKey) -> Mapping[str | None, DataProvenance]:
        """Tell from what each partition of an asset was made when it was last made; None: it has no partitions."""
        ids = sorted(self.latest(key).values())
        wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids) if ids else key
        records = self._instance.fetch_materializations(wanted, limit=len(ids) or 1).records
        known = ((record, extract_data_provenance_from_entry(record.event_log_entry)) for record in records)
        return {record.partition_key: provenance for record, provenance in known if provenance is not None}

    def changed_since(self, key: dg.AssetKey, since: int, needed: Callable[[str], bool]) -> bool:
        """Tell whether one of the partitions that are needed has another data version than it had at a moment."""
        newer = [partition for partition, number in self.latest(key).items() if number > since and needed(partition)]
        storage = self._instance.event_log_storage
        return bool(newer and storage.get_updated_data_version_partitions(key, newer, since))


_RECORDS: "WeakKeyDictionary[AssetGraphView, _Record]" = WeakKeyDictionary()
"""One for each tick that is under way."""


class _OurCondition(dg.AutomationCondition[dg.AssetKey]):
    """A condition that remembers nothing and looks at one partition at a time."""

    @property
    def requires_cursor(self) -> bool:
        """It remembers nothing."""
        return False

    @property
    def description(self) -> str:
        """What the UI shows."""
        return (type(self).__doc__ or "").partition("\n")[0]

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Tell for which of the candidates it is true."""
        view = context.asset_graph_view
        record = _RECORDS.setdefault(view, _Record(view.instance, view.asset_graph))
        candidates = context.candidate_subset.expensively_compute_asset_partitions()
        true = {candidate for candidate in candidates if self.is_true(candidate, record, view)}
        return dg.AutomationResult(context, view.get_asset_subset_from_asset_partitions(context.key, true))

    @abstractmethod
    def is_true(self, candidate: AssetKeyPartitionKey, record: _Record, view: AssetGraphView) -> bool:
        """Tell whether it is true for one year of an asset."""


class InputsChanged(_OurCondition):
    """True for what was made from another data version of an input than there is now.

    Dagster's own `data_version_changed` tells of changes since the last tick: one that came while a training was under
    way would be forgotten when that training ends. This one compares what a materialization says that it was made from
    with what there is, so it holds until the year was made again. Of what came from elsewhere nobody knows.
    """

    def is_true(self, candidate: AssetKeyPartitionKey, record: _Record, view: AssetGraphView) -> bool:
        """Compare with what it was made from."""
        key, year = candidate.asset_key, candidate.partition_key
        parents = view.asset_graph.get(key).parent_keys
        provenance = record.made_from(key).get(year) if parents else None
        if provenance is None:
            return False
        for parent in parents:
            since = provenance.input_storage_ids.get(parent)
            needed = partial(is_needed, view.asset_graph.get_partition_mapping(key, parent), year)
            if since is not None and record.changed_since(parent, since, needed):
                return True
        return False


class Refused(_OurCondition):
    """True for what did not pass a check that blocks when it was last asked: the rule of ``brain-assets status``."""

    def is_true(self, candidate: AssetKeyPartitionKey, record: _Record, view: AssetGraphView) -> bool:  # noqa: ARG002
        """Look up the checks."""
        return (candidate.asset_key.to_user_string(), candidate.partition_key) in record.refused()


class _OwnYears(EntitySubset[dg.AssetKey]):
    """Years that are requested of an asset, itself in no other years.

    What has checks is requested with all that its run makes, itself among them; of one that is made from its own year
    before, Dagster 1.13.27 takes the years for those of an input, and would request each year before as well.
    """

    def compute_mapped_subset(self, to_key: Any, direction: Any) -> EntitySubset[Any]:
        """Give these years for the asset itself; see `EntitySubset`."""
        return self if to_key == self.key else super().compute_mapped_subset(to_key, direction)


class _All(AndAutomationCondition[dg.AssetKey]):
    async def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        found = await super().evaluate(context)
        value = _ValidatedEntitySubsetValue(found.true_subset.get_internal_value())
        years = _OwnYears(context.asset_graph_view, context.key, value)
        return dg.AutomationResult(context, years, child_results=found.child_results)


_Condition = dg.AutomationCondition
_NEEDED = (_Condition.missing() | InputsChanged()).with_label("missing, or an input changed")
_UNSETTLED = (_NEEDED | _Condition.in_progress() | Refused()).with_label("not settled")


def _follows(*waits: dg.AutomationCondition[Any], label: str) -> dg.AutomationCondition[dg.AssetKey]:
    """Ask for what is needed, once for each reason, when what it waits for is true."""
    new = _NEEDED.newly_true().since(_Condition.newly_requested())
    again = _Condition.any_deps_match(_Condition.newly_updated()).since(_Condition.newly_requested())
    not_before = (new | again).with_label("not requested for this reason before")
    return _All(operands=[_NEEDED, not_before, ~_Condition.in_progress(), *waits], label=label)


FOLLOWS_INPUTS = _follows(~_Condition.any_deps_match(_UNSETTLED), label="follows its inputs")
"""Of everything with a partition a year that is made from raw tables."""

FOLLOWS_YEARS = _follows(
    ~_Condition.any_deps_match(_Condition.in_progress()),
    _Condition.any_deps_match(~_Condition.missing()),
    label="follows the years that are there",
)
"""Of the report: it leaves out years that are missing, so it does not wait for them, only for what is under way."""
