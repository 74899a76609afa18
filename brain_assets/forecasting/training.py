"""From a panel to a trained snapshot: one road for every forecaster family."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from brain_assets import registry
from brain_assets.arrays import FloatArray, IntArray
from brain_assets.device import CPU, N_THREADS
from brain_assets.errors import TrainingError
from brain_assets.forecasting import forecaster
from brain_assets.forecasting.card import forecaster_card
from brain_assets.forecasting.features import (
    TrainingSplit,
    fit_scaler,
    require_signals,
    scale_features,
    sees_signals,
    training_target,
    uninformative_features,
)
from brain_assets.forecasting.features import split_weeks as split_weeks
from brain_assets.forecasting.forecaster import EpochLosses, Forecaster, ForecasterConfig
from brain_assets.forecasting.metrics import known_mean_rank_correlation
from brain_assets.forecasting.windows import WindowIndex, Windows
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.store.snapshot import ModelSnapshot

SplitWeeks = Callable[[Weeks, datetime.date], TrainingSplit]


def forecaster_fingerprint(family: str, panel: PricePanel, config: ForecasterConfig, device: str = CPU) -> Fingerprint:
    """Tell what a forecaster's bytes follow from, without training it; `panel` ends at its cut-off."""
    model: Forecaster = registry.get(family)
    arrays = [panel.sessions, panel.values]
    if sees_signals(model.channels):
        arrays.append(require_signals(panel, family))
    if panel.members is not None:
        arrays.append(panel.members)
    data = hash_arrays(panel.symbols, *arrays)
    return Fingerprint(family, model.code_version, hash_json(config.model_dump()), data, device=device)


def train_snapshot(
    family: str,
    panel: PricePanel,
    cutoff_date: datetime.date,
    config: ForecasterConfig,
    market: MarketNote,
    on_epoch: Callable[[EpochLosses], None] | None = None,
    split_by: SplitWeeks = split_weeks,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a forecaster on a panel up to the cut-off; what is later is cut off first.

    `split_by` tells which weeks to train and to validate on. Raises `TableError` if the family sees news and
    fundamentals, and the panel came without; `TrainingError` if there are no windows, the training diverges, or gives
    other arrays than the family says; `ForecastError` if the family does not predict a finite number a window.
    """
    model: Forecaster = registry.get(family)
    panel = panel.until(cutoff_date)
    bars = WeeklyPanel.from_panel(panel)
    split = split_by(bars.weeks, cutoff_date)
    features, index = model.inputs(panel, bars.weeks, config)
    target = training_target(bars.realized, config.target)
    indices = [_restrict(index, rows, target) for rows in (split.train, split.validation)]
    if not all(map(len, indices)):
        raise TrainingError(
            f"expected windows of {config.window} sessions to train and to validate on, got {len(indices[0])} and "
            f"{len(indices[1])}; give the market more history or set a smaller window."
        )
    # a market that does not move has targets of 0: leave them so
    target_scale = float(np.std(target[indices[0].week, indices[0].asset])) or 1.0
    last_row = int(indices[0].start.max()) + config.window - 1
    scaler = fit_scaler(features, last_row)
    uninformative = uninformative_features(features[:, : last_row + 1], model.channels)
    scaled = scale_features(features, scaler, config.clip)
    train, validation = (
        Windows(scaled, each, config.window, target[each.week, each.asset] / target_scale) for each in indices
    )
    curve: list[EpochLosses] = []

    def note(losses: EpochLosses) -> None:
        curve.append(losses)
        if on_epoch is not None:
            on_epoch(losses)

    arrays = forecaster.fit(model, train, validation, config, note, device)
    predicted = forecaster.predict(model, arrays, validation, config)
    fitted = np.empty(0) if curve else forecaster.predict(model, arrays, train, config)
    forecasts = forecaster.by_week(predicted, validation.index, bars.realized.shape)
    metadata = {
        "fingerprint": forecaster_fingerprint(family, panel, config, device).metadata,
        "data": _data_metadata(panel, bars, split, train, validation),
        "training": {
            **_training_metadata(train, validation, fitted, predicted, curve),
            **_validation_metadata(forecasts, bars),
        },
        "forecast_scale": _forecast_scale(bars, split.train, config, target_scale),
        "uninformative_features": uninformative,
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": N_THREADS,
        "device": device,
    }
    card = forecaster_card(model, cutoff_date, config.model_dump(), metadata)
    return ModelSnapshot(family, cutoff_date, config.model_dump(), metadata, {**arrays, **scaler.arrays}, card)


def _restrict(index: WindowIndex, rows: IntArray, target: FloatArray) -> WindowIndex:
    """Keep the windows of some weeks whose target is known."""
    keep = np.isin(index.week, rows) & np.isfinite(target[index.week, index.asset])
    return WindowIndex(index.asset[keep], index.start[keep], index.week[keep])


def _forecast_scale(bars: WeeklyPanel, train_rows: IntArray, config: ForecasterConfig, target_scale: float) -> float:
    """Turn the family's units into weekly returns; ranks become returns by the mean spread of a training week."""
    if config.target != "ranked":
        return target_scale
    realized = bars.realized[train_rows]
    listed = np.isfinite(realized).any(axis=0)  # how many symbols come later must not change the order of summation
    ranked = realized[np.isfinite(realized).sum(axis=1) > 1][:, listed]
    if len(ranked) == 0:
        raise TrainingError(
            "target ranked: expected training weeks with two symbols or more, got none; add symbols or set target to "
            "raw."
        )
    return float(np.mean(np.nanstd(ranked, axis=1)))


def _data_metadata(
    panel: PricePanel, bars: WeeklyPanel, split: TrainingSplit, train: Windows, validation: Windows
) -> dict[str, Any]:
    """Name the window of the data."""
    return {
        "first_session": str(panel.sessions[0]),
        "last_session": str(panel.sessions[-1]),
        "last_training_target": str(bars.weeks.end[split.train[-1]]),
        "first_validation_week": str(bars.weeks.start[split.validation[0]]),
        "last_validation_target": str(bars.weeks.end[split.validation[-1]]),
        "symbols": list(panel.symbols),
        "n_training_windows": len(train),
        "n_validation_windows": len(validation),
    }


def _training_metadata(
    train: Windows, validation: Windows, fitted: np.ndarray, predicted: np.ndarray, curve: Sequence[EpochLosses]
) -> dict[str, Any]:
    """Give losses beside those of predicting zero, and the learning curve.

    `fitted` and `predicted` are predictions of the windows that were learned from (not looked at if there is a curve)
    and of the others; the weights are of the epoch of the curve with the lowest validation loss.
    """
    best = min(curve, key=lambda losses: losses.validation, default=None)
    return {
        "train_loss": best.train if best else _mean_square(fitted - train.target),
        "validation_loss": _mean_square(predicted - validation.target),
        "zero_train_loss": _mean_square(train.target),
        "zero_validation_loss": _mean_square(validation.target),
        "best_epoch": best.epoch if best else 0,
        "curve": [asdict(losses) for losses in curve],
    }


def _validation_metadata(forecasts: FloatArray, bars: WeeklyPanel) -> dict[str, float | None]:
    """Compare forecasts of the validation weeks (the rest is NaN) with momentum, on the same weeks and symbols."""
    both = np.isfinite(forecasts) & np.isfinite(bars.momentum)
    realized = np.where(both, bars.realized, np.nan)
    return {
        "validation_rank_correlation": known_mean_rank_correlation(forecasts, realized),
        "validation_momentum_rank_correlation": known_mean_rank_correlation(bars.momentum, realized),
    }


def _mean_square(values: np.ndarray) -> float:
    return float(np.mean(values**2))
