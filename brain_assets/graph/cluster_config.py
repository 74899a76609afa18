"""What steps ask of a cluster, and what they are told; see `brain_assets.graph.cluster`."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pydantic
import yaml

from brain_assets.errors import ConfigError
from brain_assets.graph.pools import MARKET_POOL, TRAINING_POOL
from brain_assets.settings import Settings

LOCAL_ADDRESS = "http://127.0.0.1:8265"
"""Ray's dashboard on the machine where a cluster was started with its defaults."""


class StepResources(pydantic.BaseModel):
    """What a step asks of a node."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    num_cpus: float = pydantic.Field(1.0, ge=0)
    """Cores, or a share of one. What asks for nothing at all runs on the head node."""
    num_gpus: float = pydantic.Field(0.0, ge=0)
    memory: int | None = pydantic.Field(None, gt=0)
    """Bytes; None: not asked for."""
    resources: dict[str, float] = {}
    """Of the cluster's own kinds, such as a label of big nodes."""


class ClusterConfig(pydantic.BaseModel):
    """What ``BRAIN_CLUSTER_CONFIG`` may say."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    """Of Ray's dashboard, ``http://head:8265``; None: ``RAY_ADDRESS``, else `LOCAL_ADDRESS`."""
    env_vars: tuple[str, ...] = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_ENDPOINT")
    """Names of variables that are handed to steps as they are here, beside the settings; none that is secret."""
    runtime_env: dict[str, Any] = {}
    """Of Ray, for nodes that lack the package."""
    max_runs: int = pydantic.Field(32, ge=1)
    """Runs that one `brain-assets backfill` has under way; Ray lets those wait that there is no room for."""
    lost_jobs: int = pydantic.Field(3, ge=0)
    """How often a step whose job died is started again."""
    resources: dict[str, StepResources] = {}
    """By asset, else by pool (``training``, ``market``)."""

    def resources_of(self, asset: str, pool: str | None) -> StepResources:
        """Give what the step of an asset asks for, which is in a pool or in none."""
        for name in (asset, pool):
            if name in self.resources:
                return self.resources[name]
        return StepResources(num_cpus=0.25) if pool == MARKET_POOL else StepResources()


def read_cluster_config(path: Path | None, assets: Collection[str] | None) -> ClusterConfig:
    """Read the file; None: everything as by default.

    Parameters
    ----------
    path : Path or None
    assets : collection of str or None
        Names that may stand in it, beside those of pools; None: they have been checked.

    Raises
    ------
    ConfigError
        If it cannot be read, is not YAML, or says what is not known.
    """
    if path is None:
        return ClusterConfig()
    try:
        config = ClusterConfig.model_validate(yaml.safe_load(path.read_text()) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{path}: expected a YAML file, got: {said}; correct BRAIN_CLUSTER_CONFIG.") from error
    except pydantic.ValidationError as error:
        found = error.errors()[0]
        place = ".".join(map(str, found["loc"]))
        raise ConfigError(f"{path}: {place}: {found['msg']}, got {found['input']!r}; correct the file.") from error
    unknown = [] if assets is None else sorted(set(config.resources) - {*assets, MARKET_POOL, TRAINING_POOL})
    if unknown:
        raise ConfigError(
            f"{path}: expected under resources names of assets, {MARKET_POOL} or {TRAINING_POOL}, got "
            f"{', '.join(unknown)}; correct them."
        )
    return config


def step_environment(settings: Settings, config: ClusterConfig) -> dict[str, str]:
    """Give the variables that a step needs to see the same world as this process; none is secret.

    A relative folder would mean another one there. Dagster's home is not among them: a step is told of the instance.
    """
    handed = settings.differing_variables()
    handed.pop("DAGSTER_HOME", None)
    for name in ("BRAIN_DATA_DIR", "BRAIN_FILES_DIR", "BRAIN_CLUSTER_CONFIG"):
        value = handed.get(name, "data" if name == "BRAIN_DATA_DIR" else "")
        if value and "://" not in value:
            handed[name] = str(Path(value).resolve())
    named = {name: os.environ[name] for name in config.env_vars if name in os.environ}
    return {"OMP_NUM_THREADS": "1", **named, **handed}
