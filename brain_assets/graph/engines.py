"""Where steps run: in the process of their run, or on a cluster, whose packages are imported only if asked for."""

import dagster as dg

from brain_assets.errors import SettingsError
from brain_assets.graph.backfill import Backfill
from brain_assets.settings import Settings, current_settings


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """Give the executor of an engine.

    Raises
    ------
    SettingsError
        If the packages that it needs are not installed.
    """
    if settings.engine == "local":
        return dg.in_process_executor
    try:
        from brain_assets.graph.cluster import cluster_executor
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"BRAIN_ENGINE: expected the packages of a Ray cluster, as it is {settings.engine}, got none named "
            f"{error.name}; install them with pip install 'brain-assets[cluster]', or set it to local."
        ) from error
    return cluster_executor


def backfill_class() -> type[Backfill]:
    """Give what runs years on the engine of the settings."""
    if current_settings().engine == "local":
        return Backfill
    from brain_assets.graph.cluster_backfill import ClusterBackfill

    return ClusterBackfill
