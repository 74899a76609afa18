"""Asset checks: what each asset is asked, and what follows if it is not so.

A check that *blocks* fails its run, so that nothing is built on the year: its command and backfill stop there, and the
year counts as stale until it passes. The others warn. All carry the partition.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
    AssetCheckExecutionRecordStatus,
)

from brain_assets.formatting import CheckResult
from brain_assets.graph.years import Years


class Check(NamedTuple):
    """What an asset is asked, and whether it blocks."""

    blocks: bool
    description: str


Checks = Mapping[str, Check]
"""Of one asset, by name."""

SKILL = ("beats_zero", "beats_equal_weight", "not_degenerate")
"""Checks of what models are worth, not of data: a year of trading decides little, so they are told together."""

_WEIGHTS = Check(True, "Weights add up to 1, none is short, none above the cap, and the least cash is held.")
FORECASTER_CHECKS: Checks = {
    "targets_before_cutoff": Check(True, "All targets of training and validation lie on or before the cut-off."),
    "validation_loss_finite": Check(True, "The validation loss is a number."),
    "beats_zero": Check(False, "Its validation loss is below that of predicting zero."),
}
POLICY_CHECKS: Checks = {
    "weights_keep_rules": _WEIGHTS,
    "not_degenerate": Check(False, "It trades within its bounds, and tilts if its forecasts are worth following."),
}
SIGNAL_CHECKS: Checks = {
    "rows_taken": Check(False, "No row was left out, joined with another, changed or doubted."),
    "symbols_found": Check(False, "All symbols that were asked for are there, and there is no other."),
}
PRICE_CHECKS: Checks = {
    **SIGNAL_CHECKS,
    "calendar_complete": Check(False, "Every session has a bar, and no symbol lacks more than 5 % of its own."),
    "positive": Check(True, "Prices are above 0, volumes not below."),
    "ohlc_in_order": Check(True, "Open and close lie between low and high."),
    "no_duplicates": Check(True, "No session has two bars of a symbol."),
    "no_jumps": Check(False, "No jump looks like a split, a dividend or a slip, and none is larger than 40 %."),
    "traded": Check(False, "No price stands still without a share traded."),
}
FORECAST_CHECKS: Checks = {
    "sources_before_weeks": Check(True, "The cut-off of every source lies before its week."),
    "finite": Check(True, "No forecast is infinite."),
    "coverage": Check(False, "Nearly all symbols that can be traded have a forecast."),
    "not_too_good": Check(True, "No model's rank correlation is too good to be true."),
}
BACKTEST_CHECKS: Checks = {
    "weights_keep_rules": _WEIGHTS,
    "beats_equal_weight": Check(False, "Each policy earned more than equal weight, after costs."),
}


def check_specs(asset: str, checks: Checks, years: Years) -> Sequence[dg.AssetCheckSpec]:
    """Declare the checks of an asset."""
    with warnings.catch_warnings(category=dg.PreviewWarning, action="ignore"):  # the last argument is still called so
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=check.description, blocking=check.blocks, partitions_def=years.definition
            )
            for name, check in checks.items()
        ]


def with_own_checks(assets: Sequence[dg.AssetsDefinition]) -> dg.AssetSelection:
    """Select assets and the checks that they make themselves: not those that a schedule asks."""
    checks = [key for asset in assets for key in asset.check_keys]
    return dg.AssetSelection.assets(*assets).without_checks() | dg.AssetSelection.checks(*checks)


def check_results(checks: Checks, verdicts: Mapping[str, CheckResult]) -> list[dg.AssetCheckResult]:
    """Give what an asset's checks found, all of them, to Dagster."""
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=verdicts[name].passed,
            severity=dg.AssetCheckSeverity.ERROR if check.blocks else dg.AssetCheckSeverity.WARN,
            description=verdicts[name].words,
            metadata=dict(verdicts[name].counts),
        )
        for name, check in checks.items()
    ]


def warnings_in(evaluations: Iterable[dg.AssetCheckEvaluation]) -> dict[str, str]:
    """Give what checks that warn found that is not so, by their name."""
    return {
        found.check_name: found.description or ""
        for found in evaluations
        if not found.passed and found.severity is dg.AssetCheckSeverity.WARN
    }


def findings_of(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], year: int
) -> dict[str, list[dg.AssetCheckEvaluation]]:
    """Give what the checks of a year found that is not so, by asset.

    A run that goes on, or died, has only planned its checks: what they found before it stands.
    """
    storage, of_year = instance.event_log_storage, PartitionKeyFilter(key=str(year))
    latest = storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys), of_year)
    found: dict[str, list[dg.AssetCheckEvaluation]] = {}
    for key, record in latest.items():
        if record.status is AssetCheckExecutionRecordStatus.PLANNED:
            ended = COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
            records = storage.get_asset_check_execution_history(key, 1, None, ended, of_year)
        else:
            records = [record]
        failed = [each.evaluation for each in records if each.status is AssetCheckExecutionRecordStatus.FAILED]
        found.setdefault(key.asset_key.to_user_string(), []).extend(filter(None, failed))
    return found
