"""From a panel to a trained snapshot: one road for every forecaster family."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from brain_assets import registry
from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.device import CPU, N_THREADS
from brain_assets.errors import TrainingError
from brain_assets.forecasting import forecaster
from brain_assets.forecasting.features import (
    TrainingSplit,
    WindowIndex,
    Windows,
    fit_scaler,
    require_signals,
    scale_features,
    sees_signals,
    split_weeks,
    training_target,
    uninformative_features,
)
from brain_assets.forecasting.forecaster import EpochLosses, Forecaster, ForecasterConfig, Progress
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.forecasting.walkforward import MOMENTUM, YARDSTICKS
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.card import Figure, write_card
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.weights import Scaler

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
    on_epoch: Progress = lambda _: None,
    split_by: SplitWeeks = split_weeks,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a forecaster on every week up to the cut-off; what is later is cut off first.

    It is trained twice: without the weeks that `split_by` keeps for validation, for figures that those weeks had no
    part in (`validate`), and on all of them, which gives the model. Raises `TableError` if the family sees news and
    fundamentals, and the panel came without; `TrainingError` if there are no windows, the training diverges, or gives
    other arrays than the family says; `PluginError` if the family does not predict a finite number a window.
    """
    past = Past.of(family, panel, cutoff_date, config, split_by)
    figures = validate(past, on_epoch, device)
    every, validation = np.concatenate(past.split), past.split.validation
    model = past.train(TrainingSplit(every, every[:0]), on_epoch, device)
    weeks, n_rows = past.bars.weeks, past.n_rows(model.train.index)
    metadata = {
        "fingerprint": forecaster_fingerprint(family, past.panel, config, device).metadata,
        "data": {
            "first_session": str(past.panel.sessions[0]),
            "last_session": str(past.panel.sessions[-1]),
            "last_training_target": str(weeks.end[validation[-1]]),
            "first_validation_week": str(weeks.start[validation[0]]),
            "last_validation_target": str(weeks.end[validation[-1]]),
            "symbols": list(past.panel.symbols),
            "n_training_windows": len(model.train),
            "n_validation_windows": len(past.windows_of(validation)),
        },
        "training": figures,
        "forecast_scale": _forecast_scale(past.bars.realized[every], config, model.target_scale),
        "uninformative_features": uninformative_features(past.features[:, :n_rows], past.family.channels),
        "market": market.name,
        "caveat": market.caveat,
        "n_threads": N_THREADS,
        "device": device,
    }
    card = forecaster_card(past.family, cutoff_date, config.model_dump(), metadata)
    arrays = {**model.weights, **model.scaler.arrays}
    return ModelSnapshot(family, cutoff_date, config.model_dump(), metadata, arrays, card)


class _Trained(NamedTuple):
    """What one training gave, and what it was given."""

    weights: dict[str, np.ndarray]
    scaler: Scaler
    target_scale: float  # standard deviation of the training targets
    train: Windows
    validation: Windows


@dataclass(frozen=True, eq=False)
class Past:
    """What there is to learn from up to a cut-off."""

    family: Forecaster
    config: ForecasterConfig
    panel: PricePanel
    bars: WeeklyPanel
    split: TrainingSplit
    features: Float32Array  # what the family sees, not scaled; (n_assets, n_rows, n_channels)
    index: WindowIndex
    target: FloatArray  # (n_weeks, n_assets), not scaled

    @classmethod
    def of(
        cls, family: str, panel: PricePanel, cutoff_date: datetime.date, config: ForecasterConfig, split_by: SplitWeeks
    ) -> "Past":
        """Take what a family is to learn from; what is later than the cut-off is cut off."""
        model: Forecaster = registry.get(family)
        panel = panel.until(cutoff_date)
        bars = WeeklyPanel.from_panel(panel)
        split = split_by(bars.weeks, cutoff_date)
        target = training_target(bars.realized, config.target)
        return cls(model, config, panel, bars, split, *model.inputs(panel, bars.weeks, config), target)

    def windows_of(self, rows: IntArray) -> WindowIndex:
        """Give the windows of some weeks whose target is known."""
        keep = np.isin(self.index.week, rows) & np.isfinite(self.target[self.index.week, self.index.asset])
        return WindowIndex(self.index.asset[keep], self.index.start[keep], self.index.week[keep])

    def n_rows(self, index: WindowIndex) -> int:
        """Count the rows of the features up to the last that a window reaches."""
        return int(index.start.max()) + self.config.window

    def train(self, rows: TrainingSplit, progress: Progress, device: str) -> _Trained:
        """Learn from the training weeks alone: of the others not even a scale is taken."""
        indices = [self.windows_of(each) for each in rows]
        target_scale = float(np.std(self.target[indices[0].week, indices[0].asset])) or 1.0  # 0: nothing ever moved
        scaler = fit_scaler(self.features, self.n_rows(indices[0]) - 1)
        scaled = scale_features(self.features.copy(), scaler, self.config.clip)
        train, validation = (
            Windows(scaled, each, self.config.window, self.target[each.week, each.asset] / target_scale)
            for each in indices
        )
        weights = forecaster.fit(self.family, train, validation, self.config, progress, device)
        return _Trained(weights, scaler, target_scale, train, validation)


def validate(past: Past, on_epoch: Progress = lambda _: None, device: str = CPU) -> dict[str, Any]:
    """Train without the validation weeks, and give the figures that a snapshot has as ``training``.

    Losses stand beside those of predicting zero. Nothing of those weeks reaches that training: scaler and unit of the
    targets are of the others too.
    """
    n_windows = [len(past.windows_of(rows)) for rows in past.split]
    if not all(n_windows):
        raise TrainingError(
            f"expected windows of {past.config.window} sessions to train and to validate on, got {n_windows[0]} and "
            f"{n_windows[1]}; give the market more history or set a smaller window."
        )
    curve: list[EpochLosses] = []

    def note(losses: EpochLosses) -> None:
        curve.append(losses)
        on_epoch(losses)

    def loss_of(windows: Windows, predicted: np.ndarray | float) -> float:
        return float(np.mean((predicted - windows.target) ** 2))

    weights, _, _, train, validation = past.train(past.split, note, device)
    predicted = forecaster.predict(past.family, weights, validation, past.config)
    if curve:
        train_loss = curve[-1].train
    else:
        train_loss = loss_of(train, forecaster.predict(past.family, weights, train, past.config))
    forecasts = forecaster.by_week(predicted, validation.index, past.bars.realized.shape)
    momentum = past.bars.momentum
    realized = np.where(np.isfinite(forecasts) & np.isfinite(momentum), past.bars.realized, np.nan)
    return {
        "train_loss": train_loss,
        "validation_loss": loss_of(validation, predicted),
        "zero_train_loss": loss_of(train, 0.0),
        "zero_validation_loss": loss_of(validation, 0.0),
        "curve": [asdict(losses) for losses in curve],
        "validation_rank_correlation": mean_rank_correlation(forecasts, realized),
        "validation_momentum_rank_correlation": mean_rank_correlation(momentum, realized),
    }


def _forecast_scale(realized: FloatArray, config: ForecasterConfig, target_scale: float) -> float:
    """Turn the family's units into weekly returns; ranks become returns by the mean spread of a training week."""
    if config.target != "ranked":
        return target_scale
    listed = np.isfinite(realized).any(axis=0)  # how many symbols come later must not change the order of summation
    ranked = realized[np.isfinite(realized).sum(axis=1) > 1][:, listed]
    if len(ranked) == 0:
        raise TrainingError(
            "target ranked: expected training weeks with two symbols or more, got none; add symbols or set target to "
            "raw."
        )
    return float(np.mean(np.nanstd(ranked, axis=1)))


def forecaster_card(
    family: Forecaster, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """Write a forecaster's card; see `brain_assets.store.card.write_card`."""
    told = metadata["training"]
    validation = "validation weeks" if "version" in metadata else f"validation year {cutoff_date.year}"
    ranks = told["validation_rank_correlation"], told["validation_momentum_rank_correlation"]
    losses, learned = (
        (told[f"{part}_loss"], told[f"zero_{part}_loss"], "predicting 0") for part in ("validation", "train")
    )
    figures = [
        Figure("mean weekly rank correlation", "spearmanr", validation, *ranks, YARDSTICKS[MOMENTUM].label, "yes"),
        Figure("loss", "mse", validation, *losses, "yes"),
        Figure("loss", "mse", "training weeks", *learned),
    ]
    words = [name.removesuffix("_return").replace("_", " ") for name in family.channels]
    said = {
        "seen": " and ".join((", ".join(words[:-1]), words[-1]) if words[1:] else words),
        "sees_signals": sees_signals(family.channels),
        "validation": validation,
    }
    return write_card(family, cutoff_date, config, metadata, figures, **said)
