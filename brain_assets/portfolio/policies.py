"""From forecasts to a policy snapshot, and from a snapshot to what it does: one road for every policy family."""

import datetime
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.configuration import without_advice
from brain_assets.device import CPU, device_metadata
from brain_assets.errors import BrainAssetsError, ConfigError, SnapshotError, TableError, TrainingError
from brain_assets.forecasting.metrics import known_mean_rank_correlation
from brain_assets.market.base import MarketNote
from brain_assets.market.signals import SIGNALS
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.card import policy_card
from brain_assets.portfolio.config import PolicyConfig
from brain_assets.portfolio.evidence import degeneracy as degeneracy
from brain_assets.portfolio.evidence import neutral_signals, policy_evidence
from brain_assets.portfolio.families import POLICIES
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import N_MARKET_FEATURES
from brain_assets.portfolio.rules import RULES, policy_options, read_policy_options
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight, run_strategy
from brain_assets.store.checks import (
    CONFIG,
    COUNT,
    DATE,
    METADATA,
    NAMES,
    NUMBER,
    NUMBER_OR_NULL,
    SCALE,
    Kind,
    check_dates,
    check_metadata,
    refused,
)
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.store.scaler import check_scaler
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.versions import CODE_VERSIONS


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
        volatility are known then: nothing about the week itself decides it, and no signal does.

    Raises
    ------
    TableError
        When the panel of the bars came without signals.
    """
    if bars.signals is None:
        raise TableError(
            "market_weeks: expected bars with signals, got none; use brain_assets.market.signals.add_signals on the "
            "panel."
        )
    known = np.isfinite(forecast) & np.isfinite(bars.momentum) & np.isfinite(bars.volatility)
    return MarketWeeks(
        week_start=bars.weeks.start,
        symbols=bars.symbols,
        forecast=forecast,
        momentum=bars.momentum,
        volatility=bars.volatility,
        signals=bars.signals,
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


def policy_fingerprint(family: str, weeks: MarketWeeks, config: PolicyConfig, device: str = CPU) -> Fingerprint:
    """Tell what a policy's bytes follow from; `weeks` end at its cut-off."""
    arrays = [weeks.week_start, weeks.forecast, weeks.momentum, weeks.volatility, weeks.signals, weeks.available]
    data = hash_arrays(weeks.symbols, *arrays, weeks.gap, weeks.weekly_return)
    options = policy_options(config)
    return Fingerprint(family, CODE_VERSIONS[f"{family}_policy"], hash_json(options), data, device=device)


def training_weeks(bars: WeeklyBars, forecasts: pd.DataFrame, family: str, cutoff_date: datetime.date) -> MarketWeeks:
    """Give the weeks that a policy may learn from: those that end on or before its cut-off.

    Weeks in which nothing is available (before the first volatilities are known) are left out.

    Raises
    ------
    TrainingError
        If no week is left.
    """
    bars = bars.until(cutoff_date)
    weeks = market_weeks(bars, forecast_matrix(bars, forecasts, POLICIES[family].forecaster))
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
    config: PolicyConfig,
    market: MarketNote,
    on_progress: Callable[[int, int, float], None] | None = None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a policy.

    Parameters
    ----------
    family : str
        A key of `POLICIES`.
    weeks : MarketWeeks
        From `training_weeks`.
    cutoff_date : datetime.date
    config : PolicyConfig
        Of the family's class.
    market : MarketNote
        Where the weeks are from; goes into the metadata and onto the model card.
    on_progress : callable, optional
        Called after every rollout with steps so far, steps in all, and the mean reward of an episode.
    device : str, optional
        From `brain_assets.device.resolve_device`.
    """
    from brain_assets.portfolio.policy import Actor, restore_policy, trace

    on_point = None if on_progress is None else lambda point: on_progress(*point)
    result = POLICIES[family].train(weeks, config, RULES, on_point, device)
    network = restore_policy(family, config, result.state_dict)
    run, scores = trace(Actor(network, result.scaler, weeks, RULES, config.signal_scale), weeks, RULES)
    metadata = {
        "fingerprint": policy_fingerprint(family, weeks, config, device).metadata,
        "data": {
            "first_week": str(weeks.week_start[0]),
            "last_week": str(weeks.week_start[-1]),
            "symbols": list(weeks.symbols),
            "n_weeks": len(weeks),
        },
        "training": {
            "annual_growth": run.annual_growth,
            "annual_growth_equal_weight": run_equal_weight(weeks, RULES).annual_growth,
            **_forecast_figures(weeks),
            **policy_evidence(run, scores, network.score_limit, weeks, RULES),
            "curve": [
                {"steps": point.steps, "reward": point.mean_episode_reward}
                for point in result.learning_curve
                if np.isfinite(point.mean_episode_reward)
            ],
        },
        "neutral_signals": neutral_signals(result.scaler),
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": result.n_threads,
        **device_metadata(device, result.difference),
    }
    options = policy_options(config)
    card = policy_card(family, cutoff_date, options, metadata)
    arrays = {**{name: weight.numpy() for name, weight in result.state_dict.items()}, **result.scaler.arrays}
    return ModelSnapshot(family, cutoff_date, options, metadata, arrays, card)


def _forecast_figures(weeks: MarketWeeks) -> dict[str, float | None]:
    """Tell how good what the policy learned from was: its forecasts are of weeks that their models had not seen."""
    realized = np.where(weeks.available, weeks.weekly_return, np.nan)
    return {
        "forecast_rank_correlation": known_mean_rank_correlation(weeks.forecast, realized),
        "momentum_rank_correlation": known_mean_rank_correlation(weeks.momentum, realized),
    }


SIGNAL = Kind(f"one of {', '.join(SIGNALS)}", lambda value: value in SIGNALS)
DATA = {"first_week": DATE, "last_week": DATE, "symbols": NAMES, "n_weeks": COUNT}
TRAINING = {
    **dict.fromkeys(("annual_growth", "annual_growth_equal_weight"), NUMBER),
    **dict.fromkeys(("action_spread", "mean_turnover", "distance_to_equal_weight", "saturation"), SCALE),
    **dict.fromkeys(("forecast_rank_correlation", "momentum_rank_correlation"), NUMBER_OR_NULL),
    "curve": [{"steps": COUNT, "reward": NUMBER}],
}
EVIDENCE = {"data": DATA, "training": TRAINING, "neutral_signals": [SIGNAL]}
"""What a policy's metadata says, besides what every family's does."""


def check_policy(snapshot: ModelSnapshot) -> None:
    """Refuse a snapshot whose metadata, configuration, weights and scaler are not those of one policy.

    Raises
    ------
    SnapshotError
        Beginning with the name of the file that is to blame.
    """
    if snapshot.family not in POLICIES:
        raise refused(METADATA, f"a policy that can be loaded ({', '.join(POLICIES)})", snapshot.family)
    check_metadata(snapshot.metadata, EVIDENCE)
    check_dates(snapshot.metadata["data"], ("last_week",), snapshot.cutoff_date)
    check_scaler(snapshot.arrays, N_MARKET_FEATURES)


def layout(snapshot: ModelSnapshot) -> Mapping[str, tuple[int, ...]]:
    """Give names and shapes of the weights that a snapshot's configuration asks for; raises `SnapshotError`."""
    from brain_assets.portfolio.policy import empty_policy

    try:
        config, _ = read_policy_options(snapshot.family, snapshot.config)
    except ConfigError as error:
        raise SnapshotError(f"{CONFIG}: {without_advice(error)}; do not use this snapshot.") from error
    network = empty_policy(snapshot.family, config)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


check = check_policy


def decide(snapshot: ModelSnapshot, bars: WeeklyBars, forecast: FloatArray) -> StrategyRun:
    """Take a policy through weeks; see `ModelSnapshot.decide`, which guards it."""
    return run_policies([snapshot], np.zeros(len(bars.weeks), dtype=np.int64), market_weeks(bars, forecast))


def weights_on(snapshot: ModelSnapshot, weeks: MarketWeeks, n_weeks: int = 52) -> FloatArray:
    """Give the weights that a policy trades to on the last of the weeks that it learned from, for checks only.

    Parameters
    ----------
    snapshot : ModelSnapshot
    weeks : MarketWeeks
        Of its training.
    n_weeks : int
        How many, at the end.

    Returns
    -------
    ndarray of float64, shape (at most n_weeks, n_assets + 1)
        Cash last; starting from cash.
    """
    from brain_assets.portfolio.policy import restore_policy, run_policy

    config, rules = read_policy_options(snapshot.family, snapshot.config)
    network = restore_policy(snapshot.family, config, snapshot.weights)
    last = weeks.select(slice(-n_weeks, None))
    return run_policy(network, snapshot.scaler, last, rules, config.signal_scale).weights


def run_policies(
    snapshots: Sequence[ModelSnapshot], choice: np.ndarray, weeks: MarketWeeks, held: FloatArray | None = None
) -> StrategyRun:
    """Trade weeks one after the other, each with the snapshot at its position in `choice`.

    Starts with the weights `held`, shape (n_assets + 1,); None: in cash.

    Raises
    ------
    LookAheadError
        If a week begins on or before the cut-off of its snapshot.
    BrainAssetsError
        If a snapshot was trained for other trading rules.
    """
    from brain_assets.portfolio.policy import Actor, restore_policy

    actors = []
    for position, snapshot in enumerate(snapshots):
        snapshot.refuse_known_weeks(weeks.week_start[choice == position])
        config, rules = read_policy_options(snapshot.family, snapshot.config)
        if rules != RULES:
            raise BrainAssetsError(
                f"{snapshot.family} {snapshot.cutoff_date}: expected {RULES}, got {rules}; retrain it."
            )
        network = restore_policy(snapshot.family, config, snapshot.weights)
        actors.append(Actor(network, snapshot.scaler, weeks, rules, config.signal_scale))
    return run_strategy(weeks, RULES, lambda week, held: actors[choice[week]].choose(week, held), held)
