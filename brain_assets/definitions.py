"""Composition root: what `dagster dev` loads."""

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets import ASSETS
from brain_assets.graph.jobs import JOBS
from brain_assets.graph.partitions import MARKET, SETTINGS
from brain_assets.graph.resources import resources_from
from brain_assets.graph.runs import dead_runs
from brain_assets.graph.sync import SYNC_JOBS
from brain_assets.graph.weekly import every_week

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[*JOBS, *SYNC_JOBS],
    schedules=[every_week],
    sensors=[adopt, dead_runs],
    resources=resources_from(SETTINGS, MARKET),
    executor=dg.in_process_executor,
)
