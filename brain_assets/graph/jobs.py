"""Jobs."""

import dagster as dg

RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""

walkforward = dg.define_asset_job(
    "walkforward",
    selection=dg.AssetSelection.all(),
    tags={RUN_ORDER_TAG: "years"},
    description="Every asset of a year in one run. A backfill of this job runs its years one after the other.",
)
