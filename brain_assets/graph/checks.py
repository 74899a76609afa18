"""Asset checks: what each asset is asked, and what follows if it is not so.

A check that *blocks* fails its run, so that nothing is built on the year: its command and backfill stop there, and the
year counts as stale until it passes. The others warn. All carry the partition.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from brain_assets.graph.partitions import YEARS
from brain_assets.verdict import Verdict


class _Check(NamedTuple):
    blocks: bool
    description: str


_WEIGHTS = _Check(True, "Weights add up to 1, none is short, none above the cap, and the least cash is held.")
_FORECASTER = {
    "targets_before_cutoff": _Check(True, "All targets of training and validation lie on or before the cut-off."),
    "validation_loss_finite": _Check(True, "The validation loss is a number."),
    "beats_zero": _Check(False, "Its validation loss is below that of predicting zero."),
}
_POLICY = {
    "weights_keep_rules": _WEIGHTS,
    "not_degenerate": _Check(False, "It does not hold equal weights whatever it sees, and acts within its bounds."),
}
CHECKS: Mapping[str, Mapping[str, _Check]] = {
    "raw_prices": {
        "calendar_complete": _Check(False, "Every session of the exchange has a bar."),
        "positive": _Check(True, "Prices are above 0, volumes not below."),
        "ohlc_in_order": _Check(True, "Open and close lie between low and high."),
        "no_duplicates": _Check(True, "No session has two bars of a symbol."),
        "no_jumps": _Check(False, "No close lies more than 40 % from the one before."),
    },
    "lstm_snapshot": _FORECASTER,
    "patchtst_snapshot": _FORECASTER,
    "walkforward_forecasts": {
        "sources_before_weeks": _Check(True, "The cut-off of every source lies before its week."),
        "finite": _Check(True, "No forecast is infinite."),
        "coverage": _Check(False, "Nearly all symbols that can be traded have a forecast."),
        "not_too_good": _Check(True, "No model's rank correlation is too good to be true."),
    },
    "ppo_policy": _POLICY,
    "sac_policy": _POLICY,
    "backtest": {
        "weights_keep_rules": _WEIGHTS,
        "beats_equal_weight": _Check(False, "Each policy earned more than equal weight, after costs."),
    },
}
"""Asset -> check -> whether it blocks, and what it asks."""


def check_specs(asset: str) -> Sequence[dg.AssetCheckSpec]:
    """Declare the checks of an asset."""
    with warnings.catch_warnings(category=dg.PreviewWarning, action="ignore"):  # the last argument is still called so
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=check.description, blocking=check.blocks, partitions_def=YEARS
            )
            for name, check in CHECKS[asset].items()
        ]


def with_own_checks(names: Sequence[str]) -> dg.AssetSelection:
    """Select assets and the checks that they make themselves: not those that a schedule asks."""
    keys = [dg.AssetCheckKey(dg.AssetKey(name), check) for name in names for check in CHECKS.get(name, {})]
    return dg.AssetSelection.assets(*names).without_checks() | dg.AssetSelection.checks(*keys)


def check_results(asset: str, verdicts: Mapping[str, Verdict]) -> list[dg.AssetCheckResult]:
    """Give what an asset's checks found, all of them, to Dagster."""
    return [
        dg.AssetCheckResult(
            check_name=name,
            passed=verdicts[name].passed,
            severity=dg.AssetCheckSeverity.ERROR if check.blocks else dg.AssetCheckSeverity.WARN,
            description=verdicts[name].words,
        )
        for name, check in CHECKS[asset].items()
    ]


def blocked(asset: str, verdicts: Mapping[str, Verdict]) -> bool:
    """Tell whether what was found of an asset blocks it."""
    return any(check.blocks and not verdicts[name].passed for name, check in CHECKS[asset].items())


def failed_blocking_checks(instance: dg.DagsterInstance) -> dict[tuple[str, str], list[str]]:
    """Name the blocking checks that failed when they were last run, by asset and partition."""
    keys = [
        dg.AssetCheckKey(dg.AssetKey(asset), name)
        for asset, checks in CHECKS.items()
        for name, check in checks.items()
        if check.blocks
    ]
    failed: dict[tuple[str, str], list[str]] = {}
    for info in instance.event_log_storage.get_asset_check_partition_info(keys):
        if info.latest_execution_status is AssetCheckExecutionRecordStatus.FAILED and info.partition_key:
            asset = info.check_key.asset_key.to_user_string()
            failed.setdefault((asset, info.partition_key), []).append(info.check_key.name)
    return failed
