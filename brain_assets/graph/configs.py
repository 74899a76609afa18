"""Run configurations of assets, made from the configurations of the plain packages: one home for every default."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import pydantic

from brain_assets.device import Device
from brain_assets.forecasting.checks import MAX_RANK_CORRELATION
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.market.finbert import DEFAULT_MODEL
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig

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


class LstmRunConfig(LstmConfig, TrainingConfig):
    """How the LSTM is trained, and where."""


class PatchTstRunConfig(PatchTstConfig, TrainingConfig):
    """How the PatchTST is trained, and where."""


class PpoRunConfig(PpoConfig, SeedsConfig):
    """How the PPO policy is trained, where, and how often."""


class SacRunConfig(SacConfig, SeedsConfig):
    """How the SAC policy is trained, where, and how often."""


MODEL_CONFIGS: Mapping[str, tuple[type[TrainingConfig], type[Any]]] = {
    "lstm": (LstmRunConfig, LstmConfig),
    "patchtst": (PatchTstRunConfig, PatchTstConfig),
    "ppo": (PpoRunConfig, PpoConfig),
    "sac": (SacRunConfig, SacConfig),
}
"""Family -> the configuration of its asset, and the plain package's."""


def to_domain(run_config: Any, config_class: type[Any]) -> Any:
    """Turn a run configuration into the plain package's; raises `ConfigError` on impossible values."""
    return config_class.of(run_config)
