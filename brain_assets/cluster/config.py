"""What workers ask of a cluster, and what they are told; see `brain_assets.cluster.pool`."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pydantic
import yaml

from brain_assets.errors import ConfigError
from brain_assets.graph.pools import MARKET_POOL, TRAINING_POOL
from brain_assets.settings import Settings


class WorkerResources(pydantic.BaseModel):
    """What a worker asks of a node."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    num_cpus: float = pydantic.Field(1.0, ge=0)  # or a share of one; what asks for nothing runs on the head node
    num_gpus: float = pydantic.Field(0.0, ge=0)
    memory: int | None = pydantic.Field(None, gt=0)  # bytes
    resources: dict[str, float] = {}  # of the cluster's own kinds, such as a label of big nodes


class ClusterConfig(pydantic.BaseModel):
    """What ``BRAIN_CLUSTER_CONFIG`` may say."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    """As Ray takes it: ``head:6379`` on a node, ``ray://head:10001`` elsewhere; None: ``RAY_ADDRESS``, else auto."""
    env_vars: tuple[str, ...] = ("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "HF_ENDPOINT")
    """Names of variables that are handed to workers as they are here, beside the settings; none that is secret."""
    runtime_env: dict[str, Any] = {}  # of Ray, for nodes that lack the package
    max_workers: int = pydantic.Field(32, ge=1)
    """Of a command without --jobs; Ray lets those wait that it has no room for."""
    retries: int = pydantic.Field(3, ge=0)  # how often a year of an asset is begun again whose worker was lost
    resources: dict[str, WorkerResources] = {}  # by asset, else by pool (training, market)


def read_cluster_config(path: Path | None, assets: Collection[str]) -> ClusterConfig:
    """Read the file; None: everything as by default. `assets` may stand in it, beside names of pools.

    Raises `ConfigError` if it cannot be read, is not YAML, or says what is not known.
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
    unknown = sorted(set(config.resources) - {*assets, MARKET_POOL, TRAINING_POOL})
    if unknown:
        raise ConfigError(
            f"{path}: expected under resources names of assets, {MARKET_POOL} or {TRAINING_POOL}, got "
            f"{', '.join(unknown)}; correct them."
        )
    return config


def worker_environment(settings: Settings, config: ClusterConfig) -> dict[str, str]:
    """Give the variables that a worker needs to see the same world as this process; none is secret.

    A relative folder would mean another one there. Dagster's home is not among them: a worker is told the instance.
    """
    handed = settings.differing_variables()
    handed.pop("DAGSTER_HOME", None)
    for name in ("BRAIN_DATA_DIR", "BRAIN_FILES_DIR", "BRAIN_CLUSTER_CONFIG"):
        value = handed.get(name, "data" if name == "BRAIN_DATA_DIR" else "")
        if value and "://" not in value:
            handed[name] = str(Path(value).resolve())
    named = {name: os.environ[name] for name in config.env_vars if name in os.environ}
    return {"OMP_NUM_THREADS": "1", **named, **handed}
