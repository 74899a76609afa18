"""Jobs."""

import dagster as dg

from brain_assets.graph.assets import MAIN_MODELS, REPORTS, YEARLY_ASSETS
from brain_assets.graph.checks import with_own_checks

RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""

walkforward = dg.define_asset_job(
    "walkforward",
    selection=with_own_checks([asset.key.to_user_string() for asset in YEARLY_ASSETS]),
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
