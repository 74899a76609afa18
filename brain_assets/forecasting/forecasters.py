"""From a panel to a trained snapshot, and from a snapshot to forecasts: one road for every forecaster family."""

import copy
import datetime
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch  # noqa: TID253 - this module is torch-backed; the graph imports it inside functions
from torch import nn  # noqa: TID253

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.configuration import from_mapping, without_advice
from brain_assets.device import CPU, Difference, device_metadata, require_close
from brain_assets.errors import ConfigError, SnapshotError, TrainingError
from brain_assets.forecasting.card import forecaster_card
from brain_assets.forecasting.config import ForecasterConfig, LstmConfig, PatchTstConfig
from brain_assets.forecasting.features import (
    CHANNELS,
    TrainingSplit,
    WindowIndex,
    build_features,
    neutral_channels,
    training_target,
    window_index,
)
from brain_assets.forecasting.features import split_weeks as split_weeks
from brain_assets.forecasting.fingerprint import forecaster_fingerprint
from brain_assets.forecasting.lstm import LstmNetwork
from brain_assets.forecasting.metrics import known_mean_rank_correlation
from brain_assets.forecasting.training import (
    N_THREADS,
    EpochLosses,
    TrainingResult,
    WindowBatches,
    compare_first_batch,
    fit_scaler,
    predict,
    repeatable,
    require_windows,
    scale_features,
    train,
)
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.store.checks import (
    CONFIG,
    COUNT,
    DATE,
    METADATA,
    NAMES,
    NUMBER,
    NUMBER_OR_NULL,
    RETURN_SCALE,
    TEXT,
    check_dates,
    check_metadata,
    refused,
)
from brain_assets.store.names import parse_version_name
from brain_assets.store.scaler import check_scaler
from brain_assets.store.snapshot import ModelSnapshot


@dataclass(frozen=True)
class Forecaster:
    """What tells one family from another."""

    config_class: type[ForecasterConfig]
    network: Callable[[Any], nn.Module]


def _patchtst_network(config: PatchTstConfig) -> nn.Module:
    from brain_assets.forecasting.patchtst import PatchTstNetwork  # transformers takes seconds; the LSTM needs none

    return PatchTstNetwork(config)


SplitWeeks = Callable[[Weeks, datetime.date], TrainingSplit]

FORECASTERS: Mapping[str, Forecaster] = {
    "lstm": Forecaster(LstmConfig, LstmNetwork),
    "patchtst": Forecaster(PatchTstConfig, _patchtst_network),
}


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
    """Train a forecaster on a panel up to the cut-off.

    Parameters
    ----------
    family : str
        A key of `FORECASTERS`.
    panel : PricePanel
        Any bars; those after the cut-off are cut off first.
    cutoff_date : datetime.date
    config : ForecasterConfig
    market : MarketNote
        Where the bars are from; goes into the metadata and onto the model card.
    on_epoch : callable, optional
        Called after every epoch.
    split_by : callable, optional
        Which weeks to train and to validate on; default: the last year validates.
    device : str, optional
        From `brain_assets.device.resolve_device`.

    Raises
    ------
    TableError
        If the family sees news and fundamentals, and the panel came without.
    TrainingError
        If there are no windows to train or to validate on, the training diverges, or the device is too far from the
        CPU on the first batch.
    """
    panel = panel.until(cutoff_date)
    bars = WeeklyBars.from_panel(panel)
    split = split_by(bars.weeks, cutoff_date)
    features = build_features(panel, family)
    index = window_index(features, bars.weeks, config.window)
    target = training_target(bars.realized, config.target)
    train_index = _restrict(index, split.train, target)
    validation_index = _restrict(index, split.validation, target)
    require_windows(len(train_index), len(validation_index), config)
    # a market that does not move has targets of 0: leave them so
    target_scale = float(np.std(target[train_index.week, train_index.asset])) or 1.0
    last_row = int(train_index.start.max()) + config.window - 1
    scaler = fit_scaler(features, last_row)
    neutral = neutral_channels(features[:, : last_row + 1], family)
    scaled = scale_features(features, scaler, config.clip)
    train_target = target[train_index.week, train_index.asset] / target_scale
    difference = None if device == CPU else _checked(family, config, scaled, train_index, train_target, device)
    with repeatable(config.seed, device):
        network = FORECASTERS[family].network(config).to(device)  # its first weights are the CPU's
        there = scaled.to(device)
        result = train(
            network,
            WindowBatches(there, train_index, config.window),
            train_target,
            WindowBatches(there, validation_index, config.window),
            target[validation_index.week, validation_index.asset] / target_scale,
            config,
            on_epoch,
        )
        predicted = predict(network.cpu(), WindowBatches(scaled, validation_index, config.window))
    forecasts = _by_week(predicted, validation_index, bars.realized.shape)
    metadata = {
        "fingerprint": forecaster_fingerprint(family, panel, config, device).metadata,
        "data": _data_window(panel, bars, split.train, split.validation, train_index, validation_index),
        "training": {**_training_evidence(result), **_validation_figures(forecasts, bars)},
        "forecast_scale": _forecast_scale(bars, split.train, config, target_scale),
        "neutral_channels": neutral,
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": N_THREADS,
        **device_metadata(device, difference),
    }
    card = forecaster_card(family, cutoff_date, asdict(config), metadata)
    arrays = {**{name: weight.numpy() for name, weight in result.state_dict.items()}, **scaler.arrays}
    return ModelSnapshot(family, cutoff_date, asdict(config), metadata, arrays, card)


def forecast(snapshot: ModelSnapshot, panel: PricePanel, weeks: Weeks) -> FloatArray:
    """Forecast weekly returns in one batched pass; see `ModelSnapshot.forecast`, which guards it."""
    forecaster = FORECASTERS[snapshot.family]
    config = from_mapping(forecaster.config_class, snapshot.config)
    features = build_features(panel, snapshot.family)
    index = window_index(features, weeks, config.window)
    scaled = scale_features(features, snapshot.scaler, config.clip)
    with repeatable(config.seed):
        network = forecaster.network(config)
        network.load_state_dict({name: torch.tensor(array) for name, array in snapshot.weights.items()})
        predicted = predict(network, WindowBatches(scaled, index, config.window))
    predicted = predicted * float(snapshot.metadata["forecast_scale"])
    return _by_week(predicted, index, (len(weeks), len(panel.symbols)))


LEARNED = ("last_training_target", "last_validation_target")
DATA = {
    **dict.fromkeys(("first_session", "last_session", "last_training_target"), DATE),
    **dict.fromkeys(("first_validation_week", "last_validation_target"), DATE),
    **dict.fromkeys(("n_training_windows", "n_validation_windows"), COUNT),
    "symbols": NAMES,
}
TRAINING = {
    **dict.fromkeys(("train_loss", "validation_loss", "zero_train_loss", "zero_validation_loss"), NUMBER),
    **dict.fromkeys(("validation_rank_correlation", "validation_momentum_rank_correlation"), NUMBER_OR_NULL),
    "best_epoch": COUNT,
    "curve": [{"epoch": COUNT, "train": NUMBER, "validation": NUMBER}],
}
EVIDENCE = {"data": DATA, "training": TRAINING, "forecast_scale": RETURN_SCALE, "neutral_channels": [TEXT]}
"""What a forecaster's metadata says, besides what every family's does."""

SCORES = {
    **dict.fromkeys(("first_week", "last_week"), DATE),
    **dict.fromkeys(("loss", "zero_loss"), NUMBER),
    "n_weeks": COUNT,
    "previous_loss": NUMBER_OR_NULL,
    "verdict": TEXT,
}
VERSION = {"version": TEXT, "scores": SCORES}
"""What a main version's metadata says besides."""


def check_forecaster(snapshot: ModelSnapshot) -> None:
    """Refuse a snapshot whose metadata, configuration, weights and scaler are not those of one forecaster.

    Raises
    ------
    SnapshotError
        Beginning with the name of the file that is to blame.
    """
    if snapshot.family not in FORECASTERS:
        raise refused(METADATA, f"a forecaster that can be loaded ({', '.join(FORECASTERS)})", snapshot.family)
    check_metadata(snapshot.metadata, EVIDENCE)
    if "version" in snapshot.metadata:
        check_metadata(snapshot.metadata, VERSION)
        if parse_version_name(snapshot.metadata["version"]) != snapshot.cutoff_date:
            raise refused(METADATA, f"the name of a version of {snapshot.cutoff_date}", snapshot.metadata["version"])
    check_dates(snapshot.metadata["data"], ("last_session", *LEARNED), snapshot.cutoff_date)
    check_scaler(snapshot.arrays, len(CHANNELS[snapshot.family]))


def layout(snapshot: ModelSnapshot) -> Mapping[str, tuple[int, ...]]:
    """Give names and shapes of the weights that a snapshot's configuration asks for; raises `SnapshotError`."""
    forecaster = FORECASTERS[snapshot.family]
    try:
        config = from_mapping(forecaster.config_class, snapshot.config, complete=True)
    except ConfigError as error:
        raise SnapshotError(f"{CONFIG}: {without_advice(error)}; do not use this snapshot.") from error
    with torch.device("meta"):
        network = forecaster.network(config)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


check = check_forecaster


def _checked(
    family: str,
    config: ForecasterConfig,
    scaled: torch.Tensor,
    index: WindowIndex,
    target: FloatArray,
    device: str,
) -> Difference:
    """Compare a device with the CPU, from the weights that the training starts with; raises `TrainingError`."""
    with repeatable(config.seed, device):
        # cuDNN takes an LSTM backward in training mode only, where dropout would draw other numbers on each device
        network = FORECASTERS[family].network(replace(config, dropout=0.0))  # type: ignore[call-arg]
        other = copy.deepcopy(network).to(device)
        difference = compare_first_batch(network, other, scaled, index, target, config)
    require_close(difference)
    return difference


def _by_week(predicted: np.ndarray, index: WindowIndex, shape: tuple[int, ...]) -> FloatArray:
    """Lay predictions out by week and symbol; NaN where there is no window."""
    forecasts = np.full(shape, np.nan)
    forecasts[index.week, index.asset] = predicted
    return forecasts


def _validation_figures(forecasts: FloatArray, bars: WeeklyBars) -> dict[str, float | None]:
    """Compare forecasts of the validation weeks (the rest is NaN) with momentum, on the same weeks and symbols."""
    both = np.isfinite(forecasts) & np.isfinite(bars.momentum)
    realized = np.where(both, bars.realized, np.nan)
    return {
        "validation_rank_correlation": known_mean_rank_correlation(forecasts, realized),
        "validation_momentum_rank_correlation": known_mean_rank_correlation(bars.momentum, realized),
    }


def _restrict(index: WindowIndex, rows: IntArray, target: FloatArray) -> WindowIndex:
    """Keep the windows of some weeks whose target is known."""
    keep = np.isin(index.week, rows) & np.isfinite(target[index.week, index.asset])
    return WindowIndex(index.asset[keep], index.start[keep], index.week[keep])


def _forecast_scale(bars: WeeklyBars, train_rows: IntArray, config: ForecasterConfig, target_scale: float) -> float:
    """Turn the network's units into weekly returns; ranks become returns by the mean spread of a training week."""
    if config.target != "ranked":
        return target_scale
    realized = bars.realized[train_rows]
    ranked = realized[np.isfinite(realized).sum(axis=1) > 1]
    if len(ranked) == 0:
        raise TrainingError(
            "target ranked: expected training weeks with two symbols or more, got none; add symbols or set target to "
            "raw."
        )
    return float(np.mean(np.nanstd(ranked, axis=1)))


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
