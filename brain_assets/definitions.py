"""Composition root: what `dagster dev` loads."""

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets import ASSETS
from brain_assets.graph.automation import downstream
from brain_assets.graph.failures import failure_alert
from brain_assets.graph.freshness import freshness, newest_year_is_there
from brain_assets.graph.jobs import main_versions, tear_sheet, walkforward
from brain_assets.graph.new_data import new_data
from brain_assets.graph.partitions import MARKET, SETTINGS
from brain_assets.graph.resources import resources_from

defs = dg.Definitions(
    assets=ASSETS,
    asset_checks=[newest_year_is_there],
    jobs=[walkforward, main_versions, tear_sheet],
    schedules=[freshness],
    sensors=[adopt, new_data, downstream, failure_alert],
    resources=resources_from(SETTINGS, MARKET),
    executor=dg.in_process_executor,
)
