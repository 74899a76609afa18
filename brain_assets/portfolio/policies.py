"""From forecasts to a policy snapshot: one road for every policy family; and what the policy does, in a few numbers."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.arrays import FloatArray
from brain_assets.configuration import ModelConfig
from brain_assets.device import CPU, N_THREADS
from brain_assets.errors import ConfigError, TrainingError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.forecasting.walkforward import MOMENTUM, YARDSTICKS
from brain_assets.market.base import MarketNote
from brain_assets.market.signals import SIGNALS
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio import dataset
from brain_assets.portfolio.arithmetic import (
    CONSTRAINTS,
    PortfolioConstraints,
    equal_weight,
    policy_options,
    target_weights,
)
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.policy import OnProgress, Policy, PolicyProgress, PolicyRunner
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight
from brain_assets.progress import report
from brain_assets.store.card import Figure, write_card
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.store.snapshot import ModelSnapshot

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage

AT_BOUND = 0.99  # of its bound, from which on a logit is at it
MAX_SATURATION = 0.9
MIN_DISTANCE = 0.05  # share of the value; the targets of an untrained network of ours are equal weight itself
WORTH_FOLLOWING = 0.05  # rank correlation of forecasts from which on whoever stays at equal weight has missed something
MIN_TURNOVER = 1e-3  # of the value, a week; fixed targets take several times as much, only to undo the drift


def policy_fingerprint(family: str, weeks: PolicyDataset, config: ModelConfig, device: str = CPU) -> Fingerprint:
    """Tell what a policy's bytes follow from; `weeks` end at its cut-off."""
    data = hash_arrays(weeks.symbols, weeks.week_start, *(getattr(weeks, name) for name in dataset.BY_WEEK_AND_ASSET))
    policy: Policy = registry.get(family)
    return Fingerprint(family, policy.code_version, hash_json(policy_options(config)), data, device=device)


def training_weeks(
    bars: WeeklyPanel, forecasts: pd.DataFrame, family: str, cutoff_date: datetime.date, config: ModelConfig
) -> PolicyDataset:
    """Give the weeks that a policy may learn from: those that end by its cut-off, and have an available symbol."""
    bars, policy = bars.until(cutoff_date), registry.get(family)
    weeks = dataset.market_weeks(bars, dataset.forecast_matrix(bars, forecasts, policy.follows(config)))
    usable = np.flatnonzero(weeks.available.any(axis=1))
    if len(usable) == 0:
        raise TrainingError(
            f"{family} {cutoff_date}: expected weeks with an available symbol to learn from, got none; give the market "
            "more history."
        )
    return weeks.select(usable)


def train_policy_snapshot(
    family: str,
    weeks: PolicyDataset,
    cutoff_date: datetime.date,
    config: ModelConfig,
    market: MarketNote,
    on_progress: OnProgress = lambda _: None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a policy on `training_weeks`; raises `TrainingError` for other arrays, `PolicyError` for other logits."""
    policy: Policy = registry.get(family)
    curve: list[PolicyProgress] = []

    def note(point: PolicyProgress) -> None:
        curve.append(point)
        on_progress(point)

    fitted = policy.check_fitted(policy.fit(weeks, config, CONSTRAINTS, note, device), config)
    scaler = dataset.fit_observation_scaler(weeks)
    arrays = {**fitted, **scaler.arrays}
    runner = PolicyRunner(policy, arrays, config, weeks, CONSTRAINTS)
    run = runner.rollout()
    realized = np.where(weeks.available, weeks.weekly_return, np.nan)  # which the models had not seen
    varied = dict(zip(dataset.MARKET_FEATURES, dataset.varied_in_training(scaler), strict=True))
    metadata = {
        "fingerprint": policy_fingerprint(family, weeks, config, device).metadata,
        "data": {
            "first_week": str(weeks.week_start[0]),
            "last_week": str(weeks.week_start[-1]),
            "symbols": list(weeks.symbols),
            "n_weeks": len(weeks),
        },
        "training": {
            "cagr": run.cagr,
            "cagr_equal_weight": run_equal_weight(weeks, CONSTRAINTS).cagr,
            "forecast_rank_correlation": mean_rank_correlation(weeks.forecast, realized),
            "momentum_rank_correlation": mean_rank_correlation(weeks.momentum, realized),
            **policy_diagnostics(run, runner.logits, policy.logit_bound(config), weeks, CONSTRAINTS),
            "curve": [
                {"steps": point.steps, "reward": point.mean_episode_reward}
                for point in curve
                if np.isfinite(point.mean_episode_reward)
            ],
        },
        "uninformative_features": [name for name in SIGNALS if not varied[name]],
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": N_THREADS,
        "device": device,
    }
    options = policy_options(config)
    card = policy_card(family, cutoff_date, options, metadata, policy.follows(config))
    return ModelSnapshot(family, cutoff_date, options, metadata, arrays, card)


@dataclass(frozen=True)
class SeedTraining:
    """What a policy is trained on, and with which configuration; seed 0 is the policy itself."""

    family: str
    weeks: PolicyDataset
    cutoff_date: datetime.date
    config: ModelConfig  # of the policy; others have its seed plus their number
    market: MarketNote
    device: str

    def fingerprint(self, number: int) -> Fingerprint:
        """Tell what its bytes follow from."""
        return policy_fingerprint(self.family, self.weeks, self._config_of(number), self.device)

    def train(self, number: int, n_seeds: int) -> ModelSnapshot:
        """Train with a seed, one of so many, and tell how far it is."""
        head = f"{self.family} {self.cutoff_date.year}" + (f", seed {number + 1} of {n_seeds}" if n_seeds > 1 else "")

        def show(point: PolicyProgress) -> None:
            report(f"{head}: {point.steps:,} of {point.total_steps:,} steps, reward {point.mean_episode_reward:.2f}")

        config = self._config_of(number)
        return train_policy_snapshot(self.family, self.weeks, self.cutoff_date, config, self.market, show, self.device)

    def store(self, of_family: "SnapshotLocalStorage", force: bool, number: int, n_seeds: int) -> None:
        """Train with another seed and store what comes of it, unless it is there already and not forced."""
        storage = of_family.of_seed(number)
        found = storage.read_metadata(self.cutoff_date)
        if force or found is None or not self.fingerprint(number).keeps(found["fingerprint"]):
            storage.write_snapshot(self.train(number, n_seeds))

    def _config_of(self, number: int) -> ModelConfig:
        if number == 0:
            return self.config
        if "seed" not in type(self.config).model_fields:
            raise ConfigError(
                f"n_seeds: expected 1, as {self.family} has no seed, got more; correct the run configuration."
            )
        return self.config.replace(seed=self.config.model_dump()["seed"] + number)


def policy_diagnostics(
    run: StrategyRun, logits: FloatArray, logit_bound: float | None, weeks: PolicyDataset, rules: PortfolioConstraints
) -> dict[str, float]:
    """Measure what a policy did on the weeks that it learned from, without exploring, and the logits behind it.

    ``mean_turnover``: a week, without the first, which buys what it starts with. ``distance_to_equal_weight``: half the
    sum of absolute differences between its targets and equal weight, cash included; mean over all weeks. Where logits
    have a bound also ``action_spread``: standard deviation of those of available assets, mean over the weeks with two
    or more; and ``saturation``: share of them that are at a bound.
    """
    available = weeks.available
    targets = target_weights(logits, available & np.isfinite(logits[:, :-1]), rules)
    apart = np.abs(targets - equal_weight(available, rules)).sum(axis=1) / 2
    diagnostics = {
        "mean_turnover": float(run.turnover[1:].mean()) if len(weeks) > 1 else 0.0,
        "distance_to_equal_weight": float(apart.mean()),
    }
    if logit_bound is None:
        return diagnostics
    given = np.where(available, logits[:, :-1], np.nan)
    several = given[available.sum(axis=1) >= 2]
    return {
        "action_spread": float(np.nanstd(several, axis=1).mean()) if len(several) else 0.0,
        **diagnostics,
        "saturation": float((np.abs(given[available]) >= AT_BOUND * logit_bound).mean()),
    }


def degeneracy(training: Mapping[str, Any]) -> str | None:
    """Say why a policy is degenerate, from ``metadata["training"]`` of its snapshot; None: it is not.

    To stay at equal weight is what policies are made to do where nothing speaks for a tilt.
    """
    distance, turnover = float(training["distance_to_equal_weight"]), float(training["mean_turnover"])
    saturation = float(training.get("saturation", 0.0))  # none where logits have no bound
    skill = float(training["forecast_rank_correlation"] or 0.0)  # none where it is not known
    if distance < MIN_DISTANCE and skill >= WORTH_FOLLOWING:
        return (
            f"The policy is uniform: its targets are {distance:.2%} of the value away from equal weight, less than "
            f"{MIN_DISTANCE:.0%}, although the forecasts that it follows have a rank correlation of {skill:.3f}."
        )
    if turnover < MIN_TURNOVER:
        return (
            f"The policy never trades: {turnover:.3%} of the value a week, less than {MIN_TURNOVER:.1%}, although what "
            "it sees changes every week."
        )
    if saturation > MAX_SATURATION:
        return (
            f"The policy is saturated: {saturation:.0%} of its logits are at their bounds, more than "
            f"{MAX_SATURATION:.0%}, so that they hardly tell one asset from another."
        )
    return None


def policy_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any], forecaster: str
) -> str:
    """Write a policy's card; see `brain_assets.store.card.write_card`. `forecaster`: whose forecasts it follows."""
    training, weeks = metadata["training"], "training weeks"
    told = f"mean weekly rank correlation of the forecasts that it follows, of {forecaster}"
    ranks = training["forecast_rank_correlation"], training["momentum_rank_correlation"]
    grown = training["cagr"], training["cagr_equal_weight"]
    figures = [
        Figure(told, "spearmanr", weeks, *ranks, YARDSTICKS[MOMENTUM].label, "yes, walk-forward"),
        Figure("growth a year, after costs", "growth", weeks, *grown, "equal weight"),
    ]
    return write_card(registry.get(family), cutoff_date, config, metadata, figures)
