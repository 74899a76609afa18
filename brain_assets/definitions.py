"""Composition root: what `dagster dev` loads."""

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets import ASSETS
from brain_assets.graph.automation import downstream
from brain_assets.graph.engines import executor_of
from brain_assets.graph.failures import failure_alert
from brain_assets.graph.freshness import freshness, newest_year_is_there
from brain_assets.graph.jobs import JOBS
from brain_assets.graph.new_data import new_data
from brain_assets.graph.partitions import MARKET, SETTINGS
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.sync import SYNC_JOBS
from brain_assets.graph.weekly import every_week

defs = dg.Definitions(
    assets=ASSETS,
    asset_checks=[newest_year_is_there],
    jobs=[*JOBS, *SYNC_JOBS],
    schedules=[every_week, freshness],
    sensors=[adopt, dead_runs, new_data, downstream, failure_alert],
    resources=resources_from(SETTINGS, MARKET),
    executor=executor_of(SETTINGS),
)
