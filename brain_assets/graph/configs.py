"""Run configurations of assets, made from the configurations of the plain packages: one home for every default."""

import dataclasses
from typing import TYPE_CHECKING, Any

import dagster as dg
import pydantic

from brain_assets.forecasting.config import LstmConfig
from brain_assets.portfolio.config import PpoConfig

FORCE = "Do it again even if it is there already."


class ForceConfig(dg.Config):
    """Run configuration of an asset that keeps what it has."""

    force: bool = pydantic.Field(False, description=FORCE)


def run_config_class(config_class: type[Any]) -> type[ForceConfig]:
    """Make a Dagster configuration with the fields, defaults and descriptions of a dataclass, and `force`."""
    fields: dict[str, Any] = {
        field.name: (field.type, pydantic.Field(field.default, description=field.metadata["description"]))
        for field in dataclasses.fields(config_class)
    }
    return pydantic.create_model(
        config_class.__name__.replace("Config", "RunConfig"),
        __base__=ForceConfig,
        __doc__=config_class.__doc__,
        **fields,
    )


if TYPE_CHECKING:  # a type checker cannot see classes that are made

    class LstmRunConfig(ForceConfig):
        """See `brain_assets.forecasting.config.LstmConfig`."""

    class PpoRunConfig(ForceConfig):
        """See `brain_assets.portfolio.config.PpoConfig`."""
else:
    LstmRunConfig = run_config_class(LstmConfig)
    PpoRunConfig = run_config_class(PpoConfig)


def to_domain(run_config: ForceConfig, config_class: type[Any]) -> Any:
    """Turn a run configuration into the plain package's; raises `ConfigError` on impossible values."""
    return config_class(**{field.name: getattr(run_config, field.name) for field in dataclasses.fields(config_class)})
