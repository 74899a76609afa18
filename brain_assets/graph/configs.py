"""Run configurations of assets, made from the configurations of the plain packages: one home for every default."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pydantic

from brain_assets.device import Device
from brain_assets.forecasting.checks import MAX_RANK_CORRELATION
from brain_assets.market.finbert import DEFAULT_MODEL

FORCE = "Do it again even if it is there already."


class ForceConfig(dg.Config):
    """Run configuration of an asset that keeps what it has."""

    force: bool = pydantic.Field(False, description=FORCE)


class TrainingConfig(ForceConfig):
    """Run configuration of an asset that trains a model."""

    device: Device = pydantic.Field(
        "auto",
        description="Where it trains: cpu, cuda (a GPU), or auto, which is a GPU where there is one. A model of a GPU "
        "is another than one of the CPU, and has a fingerprint of its own.",
    )


class SeedsConfig(TrainingConfig):
    """Run configuration of an asset that may train more than once."""

    n_seeds: int = pydantic.Field(
        1,
        description="Trainings, with the seeds seed, seed + 1, ...: the first is the policy, the others show in "
        "backtest and report how much of its result is luck. Each takes as long as the first.",
        ge=1,
        le=100,
    )


class NewsRunConfig(ForceConfig):
    """How headlines are scored; of no effect where the files hold scores."""

    model: str = pydantic.Field(
        DEFAULT_MODEL, description="Classifier of the Hub, or the folder of one, that knows positive and negative."
    )
    batch_size: int = pydantic.Field(32, description="Headlines in a batch.", ge=1, le=4096)


class ForecastsConfig(dg.Config):
    """Run configuration of the walk-forward forecasts."""

    max_rank_correlation: float = pydantic.Field(
        MAX_RANK_CORRELATION,
        description="Mean weekly rank correlation in a year that blocks it, if a model is above by 4 standard errors.",
        gt=0,
        le=1,
    )


def run_config_class(config_class: type[Any], base: type[TrainingConfig] = TrainingConfig) -> type[Any]:
    """Make a Dagster configuration with the fields, defaults and descriptions of a dataclass, and those of `base`."""
    fields: dict[str, Any] = {
        field.name: (field.type, pydantic.Field(field.default, description=field.metadata["description"]))
        for field in dataclasses.fields(config_class)
    }
    return pydantic.create_model(
        config_class.__name__.replace("Config", "RunConfig"),
        __base__=base,
        __doc__=config_class.__doc__,
        **fields,
    )


def domain_config(config_class: type[Any], values: Mapping[str, Any]) -> Any:
    """Give the plain package's configuration that some values of a run configuration mean; the rest is by default."""
    return to_domain(run_config_class(config_class, SeedsConfig)(**values), config_class)


def to_domain(run_config: TrainingConfig, config_class: type[Any]) -> Any:
    """Turn a run configuration into the plain package's; raises `ConfigError` on impossible values."""
    return config_class(**{field.name: getattr(run_config, field.name) for field in dataclasses.fields(config_class)})
