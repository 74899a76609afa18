"""From forecasts to a policy snapshot, and from a snapshot to what it does: one road for every policy family."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.errors import BrainAssetsError, TrainingError
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.arithmetic import TradingRules, target_weights
from brain_assets.portfolio.card import policy_card
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.rules import RULES, policy_options
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight, run_strategy
from brain_assets.snapshots.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.snapshots.model_snapshot import ModelSnapshot
from brain_assets.versions import CODE_VERSIONS

POLICY_FORECASTER = {"ppo": "lstm", "sac": "patchtst"}
"""Whose forecasts a policy family sees."""


def market_weeks(bars: WeeklyBars, forecast: FloatArray) -> MarketWeeks:
    """Put together what a portfolio needs to know.

    Parameters
    ----------
    bars : WeeklyBars
    forecast : ndarray of float64, shape (n_weeks, n_assets)
        Forecast weekly returns, in the order of `bars`; NaN where there is none.

    Returns
    -------
    MarketWeeks
        A symbol is available in a week if it has a bar on the last session before it, and a forecast, momentum and
        volatility are known then: nothing about the week itself decides it.
    """
    known = np.isfinite(forecast) & np.isfinite(bars.momentum) & np.isfinite(bars.volatility)
    return MarketWeeks(
        week_start=bars.weeks.start,
        symbols=bars.symbols,
        forecast=forecast,
        momentum=bars.momentum,
        volatility=bars.volatility,
        available=bars.tradable & known,
        gap=bars.gap,
        weekly_return=bars.held_return,
    )


def forecast_matrix(bars: WeeklyBars, forecasts: pd.DataFrame, column: str) -> FloatArray:
    """Give one column of a forecasts table in the order of `bars`; (n_weeks, n_assets), NaN where there is no row."""
    wide = forecasts.pivot(index="week_start", columns="symbol", values=column)
    wide = wide.reindex(index=pd.DatetimeIndex(bars.weeks.start.astype("datetime64[us]")), columns=list(bars.symbols))
    matrix: FloatArray = wide.to_numpy(dtype=np.float64)
    return matrix


def policy_fingerprint(family: str, weeks: MarketWeeks, config: PpoConfig) -> Fingerprint:
    """Tell what a policy's bytes follow from; `weeks` end at its cut-off."""
    arrays = [weeks.week_start, weeks.forecast, weeks.momentum, weeks.volatility, weeks.available]
    data = hash_arrays(weeks.symbols, *arrays, weeks.gap, weeks.weekly_return)
    options = policy_options(config)
    return Fingerprint(family, CODE_VERSIONS[f"{family}_policy"], hash_json(options), data)


def training_weeks(bars: WeeklyBars, forecasts: pd.DataFrame, family: str, cutoff_date: datetime.date) -> MarketWeeks:
    """Give the weeks that a policy may learn from: those that end on or before its cut-off.

    Weeks in which nothing is available (before the first volatilities are known) are left out.

    Raises
    ------
    TrainingError
        If no week is left.
    """
    bars = bars.until(cutoff_date)
    weeks = market_weeks(bars, forecast_matrix(bars, forecasts, POLICY_FORECASTER[family]))
    usable = np.flatnonzero(weeks.available.any(axis=1))
    if len(usable) == 0:
        raise TrainingError(
            f"{family} {cutoff_date}: expected weeks with an available symbol to learn from, got none; give the market "
            "more history."
        )
    return weeks.select(usable)


def train_policy_snapshot(
    family: str,
    weeks: MarketWeeks,
    cutoff_date: datetime.date,
    config: PpoConfig,
    caveat: str,
    on_progress: Callable[[int, int, float], None] | None = None,
) -> ModelSnapshot:
    """Train a policy.

    Parameters
    ----------
    family : str
        ``ppo``.
    weeks : MarketWeeks
        From `training_weeks`.
    cutoff_date : datetime.date
    config : PpoConfig
    caveat : str
        What a reader must know about the market; goes onto the model card.
    on_progress : callable, optional
        Called after every rollout with steps so far, steps in all, and the mean reward of an episode.
    """
    from brain_assets.portfolio.policy import restore_policy, run_policy
    from brain_assets.portfolio.ppo import train_ppo

    result = train_ppo(weeks, config, RULES, None if on_progress is None else lambda point: on_progress(*point))
    fingerprint = policy_fingerprint(family, weeks, config)
    run = run_policy(restore_policy(result.state_dict), result.scaler, weeks, RULES)
    metadata = {
        "fingerprint": {**asdict(fingerprint), "value": fingerprint.value},
        "data": {
            "first_week": str(weeks.week_start[0]),
            "last_week": str(weeks.week_start[-1]),
            "symbols": list(weeks.symbols),
            "n_weeks": len(weeks),
        },
        "training": {
            "annual_growth": run.annual_growth,
            "annual_growth_equal_weight": run_equal_weight(weeks, RULES).annual_growth,
            "curve": [
                {"steps": point.steps, "reward": point.mean_episode_reward}
                for point in result.learning_curve
                if np.isfinite(point.mean_episode_reward)
            ],
        },
        "caveat": caveat,
        "n_threads": result.n_threads,
    }
    options = policy_options(config)
    card = policy_card(family, cutoff_date, options, metadata)
    return ModelSnapshot(family, cutoff_date, options, metadata, result.state_dict, result.scaler, card)


def decide(snapshot: ModelSnapshot, bars: WeeklyBars, forecast: FloatArray) -> StrategyRun:
    """Take a policy through weeks; see `ModelSnapshot.decide`, which guards it."""
    return run_policies([snapshot], np.zeros(len(bars.weeks), dtype=np.int64), market_weeks(bars, forecast))


def run_policies(snapshots: Sequence[ModelSnapshot], choice: np.ndarray, weeks: MarketWeeks) -> StrategyRun:
    """Trade weeks one after the other, each with the snapshot at its position in `choice`; starts in cash."""
    from brain_assets.portfolio.observations import ObservationBuilder
    from brain_assets.portfolio.policy import restore_policy

    actors = []
    for position, snapshot in enumerate(snapshots):
        snapshot.refuse_known_weeks(weeks.week_start[choice == position])
        rules = TradingRules(**snapshot.config["rules"])
        if rules != RULES:
            raise BrainAssetsError(
                f"{snapshot.family} {snapshot.cutoff_date}: expected {RULES}, got {rules}; retrain it."
            )
        actors.append((restore_policy(snapshot.state_dict), ObservationBuilder(weeks, snapshot.scaler, rules)))

    def choose(week: int, held: FloatArray) -> FloatArray:
        network, builder = actors[choice[week]]
        return target_weights(network.act(builder.build(week, held)), weeks.available[week], RULES)

    return run_strategy(weeks, RULES, choose)
