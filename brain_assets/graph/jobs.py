"""Jobs."""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import MAX_RETRIES_TAG, RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from brain_assets.graph.checks import with_own_checks

Assets = Sequence[dg.AssetsDefinition]

RUN_ORDER_TAG = "brain_assets/run_order"
"""`dagster.yaml` lets one run with this tag go at a time: years of a backfill by job run in order."""

WALKFORWARD = "walkforward"


def walkforward_job(yearly: Assets) -> UnresolvedAssetJobDefinition:
    """Define the job of every asset of a year.

    If the process of a year dies, the years after it come first and fail, for what it has not made. One more try each,
    in the same order, completes them all; what fails for another reason fails again, in seconds.
    """
    return dg.define_asset_job(
        WALKFORWARD,
        selection=with_own_checks(yearly),
        tags={RUN_ORDER_TAG: "years", RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true", MAX_RETRIES_TAG: "1"},
        description="Every asset of one year in one run: choose the year as its partition. A backfill of this job runs "
        "its years one after the other. (One of chosen assets takes those between them too, or Dagster runs the first "
        "alone, and says that all went well.)",
    )
