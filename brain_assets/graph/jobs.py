"""Jobs."""

import dagster as dg

from brain_assets.graph.assets import MAIN_MODELS, REPORTS, THIS_WEEK, YEARLY_ASSETS

RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""

walkforward = dg.define_asset_job(
    "walkforward",
    selection=dg.AssetSelection.assets(*YEARLY_ASSETS),
    tags={RUN_ORDER_TAG: "years"},
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
