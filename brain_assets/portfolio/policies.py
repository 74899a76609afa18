"""From forecasts to a policy snapshot: one road for every policy family."""

import datetime

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.device import CPU, N_THREADS
from brain_assets.errors import TrainingError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.market.base import MarketNote
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.card import policy_card
from brain_assets.portfolio.constraints import CONSTRAINTS, policy_options
from brain_assets.portfolio.dataset import PolicyDataset, forecast_matrix, market_weeks
from brain_assets.portfolio.diagnostics import policy_diagnostics, uninformative_features
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.policy import OnProgress, Policy, PolicyProgress, PolicyRunner
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.store.snapshot import ModelSnapshot


def policy_fingerprint(family: str, weeks: PolicyDataset, config: ModelConfig, device: str = CPU) -> Fingerprint:
    """Tell what a policy's bytes follow from; `weeks` end at its cut-off."""
    arrays = [weeks.week_start, weeks.forecast, weeks.momentum, weeks.volatility, weeks.signals, weeks.available]
    data = hash_arrays(weeks.symbols, *arrays, weeks.pre_open_return, weeks.weekly_return)
    policy: Policy = registry.get(family)
    return Fingerprint(family, policy.code_version, hash_json(policy_options(config)), data, device=device)


def training_weeks(
    bars: WeeklyPanel, forecasts: pd.DataFrame, family: str, cutoff_date: datetime.date, config: ModelConfig
) -> PolicyDataset:
    """Give the weeks that a policy may learn from: those that end by its cut-off, and in which a symbol is available.

    Raises `TrainingError` if there is none, `TableError` if there are no forecasts of whom it follows.
    """
    bars, policy = bars.until(cutoff_date), registry.get(family)
    weeks = market_weeks(bars, forecast_matrix(bars, forecasts, policy.follows(config)))
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
    on_progress: OnProgress | None = None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a policy on weeks from `training_weeks`, with a configuration of the family's class.

    Raises `TrainingError` if the training fails, or gives other arrays than the family says; `PolicyError` if the
    policy's logits are none.
    """
    policy: Policy = registry.get(family)
    curve: list[PolicyProgress] = []

    def note(point: PolicyProgress) -> None:
        curve.append(point)
        if on_progress is not None:
            on_progress(point)

    fitted = policy.check_fitted(policy.fit(weeks, config, CONSTRAINTS, note, device), config)
    scaler = fit_observation_scaler(weeks)
    arrays = {**fitted, **scaler.arrays}
    runner = PolicyRunner(policy, arrays, config, weeks, CONSTRAINTS)
    run = runner.rollout()
    realized = np.where(weeks.available, weeks.weekly_return, np.nan)  # which the models had not seen
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
        "uninformative_features": uninformative_features(scaler),
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": N_THREADS,
        "device": device,
    }
    options = policy_options(config)
    card = policy_card(family, cutoff_date, options, metadata, policy.follows(config))
    return ModelSnapshot(family, cutoff_date, options, metadata, arrays, card)
