"""The three switches under *Automation*."""

import warnings

import dagster as dg

from brain_assets.automation.failure_sensor import failure_sensor
from brain_assets.automation.new_data_sensor import new_data_sensor
from brain_assets.graph.project import Project
from brain_assets.market.schema import RAW

with warnings.catch_warnings(category=dg.BetaWarning, action="ignore"):  # the last argument is still called beta
    downstream = dg.AutomationConditionSensorDefinition(
        name="downstream",
        target=dg.AssetSelection.all(),
        description=(
            "Makes every year that is missing and whose inputs are there, and makes again what was made from data that "
            "has changed since; with the default configuration of each asset."
        ),
        minimum_interval_seconds=30,
        emit_backfills=False,  # a run a year: what one tick asks for does not depend on itself
        use_user_code_server=True,  # the daemon does not know `brain_assets.graph.conditions.InputsChanged`
    )
"""Off until somebody switches it on; the conditions of the assets say what it asks for."""


def definitions(project: Project) -> dg.Definitions:
    """Define the sensors."""
    raw = [asset for asset in project.yearly if asset.key.to_user_string() in RAW]
    return dg.Definitions(sensors=[new_data_sensor(raw), downstream, failure_sensor(project.settings)])
