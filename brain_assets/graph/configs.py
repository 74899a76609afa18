"""Run configurations of assets, made from the configurations of the plain packages: one home for every default."""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import pydantic

from brain_assets.forecasting.config import LstmConfig, PatchTstConfig
from brain_assets.market.finbert import DEFAULT_MODEL
from brain_assets.portfolio.config import PpoConfig, SacConfig

FORCE = "Do it again even if it is there already."


class ForceConfig(dg.Config):
    """Run configuration of an asset that keeps what it has."""

    force: bool = pydantic.Field(False, description=FORCE)


class NewsRunConfig(ForceConfig):
    """How headlines are scored; of no effect where the files hold scores."""

    model: str = pydantic.Field(
        DEFAULT_MODEL, description="Classifier of the Hub, or the folder of one, that knows positive and negative."
    )
    batch_size: int = pydantic.Field(32, description="Headlines in a batch.", ge=1, le=4096)


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

    class PatchTstRunConfig(ForceConfig):
        """See `brain_assets.forecasting.config.PatchTstConfig`."""

    class PpoRunConfig(ForceConfig):
        """See `brain_assets.portfolio.config.PpoConfig`."""

    class SacRunConfig(ForceConfig):
        """See `brain_assets.portfolio.config.SacConfig`."""
else:
    LstmRunConfig = run_config_class(LstmConfig)
    PatchTstRunConfig = run_config_class(PatchTstConfig)
    PpoRunConfig = run_config_class(PpoConfig)
    SacRunConfig = run_config_class(SacConfig)

MODEL_CONFIGS: Mapping[str, tuple[type[ForceConfig], type[Any]]] = {
    "lstm": (LstmRunConfig, LstmConfig),
    "patchtst": (PatchTstRunConfig, PatchTstConfig),
    "ppo": (PpoRunConfig, PpoConfig),
    "sac": (SacRunConfig, SacConfig),
}
"""Family -> the configuration of its asset, and the plain package's."""


def to_domain(run_config: ForceConfig, config_class: type[Any]) -> Any:
    """Turn a run configuration into the plain package's; raises `ConfigError` on impossible values."""
    return config_class(**{field.name: getattr(run_config, field.name) for field in dataclasses.fields(config_class)})
