"""Composition root: what `dagster dev` loads."""

import dagster as dg

from brain_assets.graph.adopt import adopt
from brain_assets.graph.assets import ASSETS
from brain_assets.graph.jobs import main_versions, tear_sheet, walkforward
from brain_assets.graph.partitions import MARKET, SETTINGS
from brain_assets.graph.resources import resources_from
from brain_assets.graph.sync import SYNC_JOBS

defs = dg.Definitions(
    assets=ASSETS,
    jobs=[walkforward, main_versions, tear_sheet, *SYNC_JOBS],
    sensors=[adopt],
    resources=resources_from(SETTINGS, MARKET),
    executor=dg.in_process_executor,
)
