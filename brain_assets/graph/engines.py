"""Where steps run: in the process of their run, or on a cluster, whose packages are imported only if asked for."""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dagster as dg

from brain_assets.errors import SettingsError
from brain_assets.graph.cluster_config import read_cluster_config
from brain_assets.graph.pools import TRAINING_POOL
from brain_assets.graph.spread import spread
from brain_assets.settings import Settings

if TYPE_CHECKING:
    from brain_assets.graph.assets.policies import Spread


def executor_of(settings: Settings, pools: Mapping[str, str | None]) -> dg.ExecutorDefinition:
    """Give the executor of an engine; `pools`: that of each asset.

    Raises
    ------
    SettingsError
        If the packages that it needs are not installed.
    """
    if settings.engine == "local":
        return dg.in_process_executor
    try:
        executor: dg.ExecutorDefinition = import_module("brain_assets.graph.cluster").cluster_executor(settings, pools)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"BRAIN_ENGINE: expected the packages of a Ray cluster, as it is {settings.engine}, got none named "
            f"{error.name}; install them with pip install 'brain-assets[cluster]', or set it to local."
        ) from error
    return executor


def spread_of(settings: Settings, asset: str) -> "Spread | None":
    """Give what trains other seeds of a policy on several machines; None: nothing does."""
    if settings.engine == "local":
        return None
    return partial(_spread, settings, asset)


def _spread(settings: Settings, asset: str, *arguments: Any) -> None:
    config = read_cluster_config(settings.cluster_config, None)
    spread(config.resources_of(asset, TRAINING_POOL), *arguments)
