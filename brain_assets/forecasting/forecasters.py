"""From a panel to a trained snapshot, and from a snapshot to forecasts: one road for every forecaster family."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn  # noqa: TID253 - this module is torch-backed; the graph imports it inside functions

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.configuration import from_mapping
from brain_assets.forecasting.card import forecaster_card
from brain_assets.forecasting.config import ForecasterConfig, LstmConfig
from brain_assets.forecasting.features import (
    WindowIndex,
    price_features,
    split_weeks,
    training_target,
    window_index,
)
from brain_assets.forecasting.fingerprint import forecaster_fingerprint
from brain_assets.forecasting.lstm import LstmNetwork
from brain_assets.forecasting.training import (
    N_THREADS,
    EpochLosses,
    TrainingResult,
    WindowBatches,
    fit_scaler,
    predict,
    repeatable,
    require_windows,
    scale_features,
    train,
)
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.snapshots.model_snapshot import ModelSnapshot


@dataclass(frozen=True)
class Forecaster:
    """What tells one family from another."""

    config_class: type[ForecasterConfig]
    network: Callable[[Any], nn.Module]


FORECASTERS: Mapping[str, Forecaster] = {"lstm": Forecaster(LstmConfig, LstmNetwork)}


def train_snapshot(
    family: str,
    panel: PricePanel,
    cutoff_date: datetime.date,
    config: ForecasterConfig,
    caveat: str,
    on_epoch: Callable[[EpochLosses], None] | None = None,
) -> ModelSnapshot:
    """Train a forecaster on a panel up to the cut-off.

    Parameters
    ----------
    family : str
        A key of `FORECASTERS`.
    panel : PricePanel
        Any bars; those after the cut-off are cut off first.
    cutoff_date : datetime.date
    config : ForecasterConfig
    caveat : str
        What a reader must know about the market; goes onto the model card.
    on_epoch : callable, optional
        Called after every epoch.

    Raises
    ------
    TrainingError
        If there are no windows to train or to validate on, or the training diverges.
    """
    panel = panel.until(cutoff_date)
    bars = WeeklyBars.from_panel(panel)
    split = split_weeks(bars.weeks, cutoff_date)
    features = price_features(panel)
    index = window_index(features, bars.weeks, config.window)
    target = training_target(bars.realized, config.target)
    train_index = _restrict(index, split.train, target)
    validation_index = _restrict(index, split.validation, target)
    require_windows(len(train_index), len(validation_index), config)
    # a market that does not move has targets of 0: leave them so
    target_scale = float(np.std(target[train_index.week, train_index.asset])) or 1.0
    scaler = fit_scaler(features, last_session=int(train_index.start.max()) + config.window - 1)
    scaled = scale_features(features, scaler, config.clip)
    with repeatable(config.seed):
        network = FORECASTERS[family].network(config)
        result = train(
            network,
            WindowBatches(scaled, train_index, config.window),
            target[train_index.week, train_index.asset] / target_scale,
            WindowBatches(scaled, validation_index, config.window),
            target[validation_index.week, validation_index.asset] / target_scale,
            config,
            on_epoch,
        )
    metadata = {
        "fingerprint": {**asdict(fp := forecaster_fingerprint(family, panel, config)), "value": fp.value},
        "data": _data_window(panel, bars, split.train, split.validation, train_index, validation_index),
        "training": _training_evidence(result),
        "forecast_scale": _forecast_scale(bars, split.train, config, target_scale),
        "caveat": caveat,
        "n_threads": N_THREADS,
    }
    card = forecaster_card(family, cutoff_date, asdict(config), metadata)
    return ModelSnapshot(family, cutoff_date, asdict(config), metadata, result.state_dict, scaler, card)


def forecast(snapshot: ModelSnapshot, panel: PricePanel, weeks: Weeks) -> FloatArray:
    """Forecast weekly returns in one batched pass; see `ModelSnapshot.forecast`, which guards it."""
    forecaster = FORECASTERS[snapshot.family]
    config = from_mapping(forecaster.config_class, snapshot.config)
    features = price_features(panel)
    index = window_index(features, weeks, config.window)
    scaled = scale_features(features, snapshot.scaler, config.clip)
    with repeatable(config.seed):
        network = forecaster.network(config)
        network.load_state_dict(dict(snapshot.state_dict))
        predicted = predict(network, WindowBatches(scaled, index, config.window))
    forecasts = np.full((len(weeks), len(panel.symbols)), np.nan)
    forecasts[index.week, index.asset] = predicted * float(snapshot.metadata["forecast_scale"])
    return forecasts


def _restrict(index: WindowIndex, rows: IntArray, target: FloatArray) -> WindowIndex:
    """Keep the windows of some weeks whose target is known."""
    keep = np.isin(index.week, rows) & np.isfinite(target[index.week, index.asset])
    return WindowIndex(index.asset[keep], index.start[keep], index.week[keep])


def _forecast_scale(bars: WeeklyBars, train_rows: IntArray, config: ForecasterConfig, target_scale: float) -> float:
    """Turn the network's units into weekly returns; ranks become returns by the mean spread of a training week."""
    if config.target != "ranked":
        return target_scale
    realized = bars.realized[train_rows]
    spread = np.nanstd(realized[np.isfinite(realized).sum(axis=1) > 1], axis=1)
    return float(np.mean(spread))


def _data_window(
    panel: PricePanel,
    bars: WeeklyBars,
    train_rows: IntArray,
    validation_rows: IntArray,
    train_index: WindowIndex,
    validation_index: WindowIndex,
) -> dict[str, Any]:
    return {
        "first_session": str(panel.sessions[0]),
        "last_session": str(panel.sessions[-1]),
        "last_training_target": str(bars.weeks.end[train_rows[-1]]),
        "first_validation_week": str(bars.weeks.start[validation_rows[0]]),
        "last_validation_target": str(bars.weeks.end[validation_rows[-1]]),
        "symbols": list(panel.symbols),
        "n_training_windows": len(train_index),
        "n_validation_windows": len(validation_index),
    }


def _training_evidence(result: TrainingResult) -> dict[str, Any]:
    return {
        "train_loss": result.best.train,
        "validation_loss": result.best.validation,
        "zero_train_loss": result.zero_train,
        "zero_validation_loss": result.zero_validation,
        "best_epoch": result.best_epoch,
        "curve": [asdict(losses) for losses in result.curve],
    }
