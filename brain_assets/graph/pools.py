"""Pools: how many runs of a kind go at the same time; `dagster.yaml` has the limit of each where none was set."""

import os

import dagster as dg

MARKET_POOL = "market"
"""Assets that ask a source of data, which is asked by one run at a time. Scoring headlines is here too."""

TRAINING_POOL = "training"
"""Assets that compute: each on one thread, so that a limit of as many as there are cores keeps all of them busy."""


def pool_of(job: dg.JobDefinition, asset: str) -> str | None:
    """Name the pool of an asset; None: none, or an asset that the job does not have."""
    node = job.graph.node_named(asset).definition if job.has_node_named(asset) else None
    return node.pool if isinstance(node, dg.OpDefinition) else None


def let_training_use_all_cores(instance: dg.DagsterInstance) -> None:
    """Set the limit of `TRAINING_POOL` to the number of cores, unless somebody has set one."""
    limits = instance.event_log_storage.get_pool_limits()
    if not any(limit.name == TRAINING_POOL and not limit.from_default for limit in limits):
        instance.event_log_storage.set_concurrency_slots(TRAINING_POOL, len(os.sched_getaffinity(0)))
