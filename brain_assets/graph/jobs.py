"""Jobs."""

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from brain_assets.graph.assets import MAIN_MODELS, REPORTS, THIS_WEEK, YEARLY_ASSETS
from brain_assets.graph.checks import with_own_checks

RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""

# If the process of a year dies, the years after it come first and fail, for what it has not made. One more try each, in
# the same order, completes them all; what fails for another reason fails again, in seconds.
walkforward = dg.define_asset_job(
    "walkforward",
    selection=with_own_checks([asset.key.to_user_string() for asset in YEARLY_ASSETS]),
    tags={RUN_ORDER_TAG: "years", RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true", MAX_RETRIES_TAG: "1"},
    description="Every asset of a year in one run. A backfill of this job runs its years one after the other.",
)

main_versions = dg.define_asset_job(
    "main_versions",
    selection=dg.AssetSelection.assets(*MAIN_MODELS),
    description="Trains the forecasters on all data until the last finished session; what is better becomes current.",
)

tear_sheet = dg.define_asset_job(
    "tear_sheet",
    selection=dg.AssetSelection.assets(*REPORTS),
    description="Writes the report over the years that were backtested.",
)

weekly_weights = dg.define_asset_job(
    "weekly_weights",
    selection=dg.AssetSelection.assets(*THIS_WEEK),
    description="Fetches the bars since the last complete year, and decides what each strategy would hold this week.",
)

JOBS = [walkforward, main_versions, tear_sheet, weekly_weights]
