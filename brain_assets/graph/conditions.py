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

from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.asset_graph_view.entity_subset import EntitySubset, _ValidatedEntitySubsetValue
from dagster._core.definitions.declarative_automation.operators import AndAutomationCondition

from brain_assets.graph.instance import TRAINING_POOL
from brain_assets.graph.status import State, StatusReader

_READERS: "WeakKeyDictionary[AssetGraphView, StatusReader]" = WeakKeyDictionary()
"""One for each tick that is under way."""


class NotDone(dg.AutomationCondition[dg.AssetKey]):
    """True for what is not done: missing, damaged or stale by the rule of ``brain-assets status``."""

    @property
    def requires_cursor(self) -> bool:
        """It remembers nothing."""
        return False

    @property
    def description(self) -> str:
        """What the UI shows."""
        return type(self).__doc__ or ""

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Tell for which of the candidates it is true."""
        view = context.asset_graph_view
        if view not in _READERS:
            _READERS[view] = StatusReader(view.asset_graph, view.instance, {}, in_passing=True)
        candidates, name = context.candidate_subset.expensively_compute_asset_partitions(), context.key.to_user_string()
        true = {
            candidate
            for candidate in candidates
            if _READERS[view].read(name, int(candidate.partition_key or 0)).state is not State.DONE
        }
        return dg.AutomationResult(context, view.get_asset_subset_from_asset_partitions(context.key, true))


class _OwnYears(EntitySubset[dg.AssetKey]):
    """Years that are requested of an asset, itself in no other years.

    What has checks is requested with all that its run makes, itself among them; of one that is made from its own year
    before, Dagster 1.13.27 takes the years for those of an input, and would request each year before as well.
    """

    def compute_mapped_subset(self, to_key: Any, direction: Any) -> EntitySubset[Any]:
        """Give these years for the asset itself; see `EntitySubset`."""
        return self if to_key == self.key else super().compute_mapped_subset(to_key, direction)


class _All(AndAutomationCondition[dg.AssetKey]):
    async def evaluate(  # type: ignore[override]  # Dagster's own operators are asynchronous as well
        self, context: dg.AutomationContext[dg.AssetKey]
    ) -> dg.AutomationResult[dg.AssetKey]:
        found = await super().evaluate(context)
        value = _ValidatedEntitySubsetValue(found.true_subset.get_internal_value())
        years = _OwnYears(context.asset_graph_view, context.key, value)
        return dg.AutomationResult(context, years, child_results=found.child_results)


_Condition = dg.AutomationCondition
_NEEDED = NotDone()
_UNSETTLED = (_NEEDED | _Condition.in_progress()).with_label("not settled")


def _follows(*waits: dg.AutomationCondition[Any], label: str) -> dg.AutomationCondition[dg.AssetKey]:
    """Ask for what is needed, once for each reason, when what it waits for is true."""
    new = _NEEDED.newly_true().since(_Condition.newly_requested())
    again = _Condition.any_deps_match(_Condition.newly_updated()).since(_Condition.newly_requested())
    not_before = (new | again).with_label("not requested for this reason before")
    operands: list[Any] = [_NEEDED, not_before, ~_Condition.in_progress(), *waits]
    return _All(operands=operands, label=label)


FOLLOWS_INPUTS = _follows(~_Condition.any_deps_match(_UNSETTLED), label="follows its inputs")
COMPUTED: dict[str, Any] = {"pool": TRAINING_POOL, "automation_condition": FOLLOWS_INPUTS}
"""Of everything with a partition a year that is made from raw tables."""

FOLLOWS_YEARS = _follows(
    ~_Condition.any_deps_match(_Condition.in_progress()),
    _Condition.any_deps_match(~_Condition.missing()),
    label="follows the years that are there",
)
"""Of the report: it leaves out years that are missing, so it does not wait for them, only for what is under way."""
