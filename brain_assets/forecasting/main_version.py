"""Main versions: a forecaster trained on all data there is, scored on the weeks that were kept from it.

Splits: the last half year scores, the year before it stops the training early, the rest trains. The version that is
promoted must beat predicting zero and the one promoted before, on the same weeks, which neither has learned from.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from brain_assets import registry
from brain_assets.arrays import FloatArray, IntArray
from brain_assets.device import CPU
from brain_assets.errors import TrainingError
from brain_assets.forecasting.card import forecaster_card
from brain_assets.forecasting.features import split_main, training_target
from brain_assets.forecasting.fingerprint import main_version_name
from brain_assets.forecasting.forecaster import ForecasterConfig
from brain_assets.forecasting.metadata import EpochLosses
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.store.snapshot import ModelSnapshot


@dataclass(frozen=True)
class VersionScores:
    """How a main version did on the held-out weeks, beside zero and the version that was current before.

    Losses are mean squared errors in units of the training target's variance, each model's forecasts in its own.
    """

    first_week: str
    last_week: str
    """By their first sessions."""
    n_weeks: int
    loss: float
    zero_loss: float
    """Of predicting zero."""
    previous: str | None
    """The version that was current; None: there was none."""
    previous_loss: float | None
    """On the same weeks."""
    promoted: bool
    """Whether this version became current when it was made."""
    verdict: str
    """Why, or why not."""


def train_version(
    family: str,
    panel: PricePanel,
    config: ForecasterConfig,
    market: MarketNote,
    previous: ModelSnapshot | None = None,
    on_epoch: Callable[[EpochLosses], None] | None = None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a main version on a panel that ends with the last finished session, and score it.

    `previous` is the version that is current (None: this one is the first); the rest is as in `train_snapshot`.

    The metadata have ``version``, its name, and ``scores`` (`VersionScores`). Raises `TrainingError` if there are no
    weeks to train, to validate or to score on, or the training diverges.
    """
    cutoff_date = panel.sessions[-1].item()
    snapshot = train_snapshot(family, panel, cutoff_date, config, market, on_epoch, split_main, device)
    scores = score_version(snapshot, previous, panel)
    metadata: Mapping[str, Any] = {
        **snapshot.metadata,
        "version": main_version_name(family, panel, config, market.name, device),
        "scores": asdict(scores),
    }
    card = forecaster_card(registry.get(family), cutoff_date, snapshot.config, metadata)
    return replace(snapshot, metadata=metadata, card=card)


def score_version(snapshot: ModelSnapshot, previous: ModelSnapshot | None, panel: PricePanel) -> VersionScores:
    """Compare a version with zero and with the current one, on weeks that neither has learned from.

    Raises `TrainingError` if no such week has a known return.
    """
    bars = WeeklyBars.from_panel(panel)
    held_out = split_main(bars.weeks, snapshot.cutoff_date).held_out
    models = [snapshot] if previous is None else [snapshot, previous]
    learned = max(np.datetime64(model.metadata["data"]["last_validation_target"], "D") for model in models)
    rows = held_out[bars.weeks.start[held_out] > learned]
    target = training_target(bars.realized[rows], snapshot.config["target"])
    forecasts = [_in_target_units(model, panel, bars, rows) for model in models]
    both = np.isfinite(target) & np.all(np.isfinite(forecasts), axis=0)
    if not both.any():
        raise TrainingError(
            f"{snapshot.family} main version: expected weeks after {learned} to score on, which no version has learned "
            "from, got none; give the market more history."
        )
    target = target / (float(np.std(target[both])) or 1.0)
    losses = [float(np.mean((made[both] - target[both]) ** 2)) for made in forecasts]
    zero = float(np.mean(target[both] ** 2))
    current = (previous.name, losses[1]) if previous else (None, None)
    promoted, verdict = _judge(losses[0], zero, *current)
    return VersionScores(
        first_week=str(bars.weeks.start[rows[0]]),
        last_week=str(bars.weeks.start[rows[-1]]),
        n_weeks=len(rows),
        loss=losses[0],
        zero_loss=zero,
        previous=current[0],
        previous_loss=current[1],
        promoted=promoted,
        verdict=verdict,
    )


def _in_target_units(model: ModelSnapshot, panel: PricePanel, bars: WeeklyBars, rows: IntArray) -> FloatArray:
    """Forecast weeks in standard deviations of the model's own training target; (n_weeks, n_assets)."""
    scale = float(model.metadata["forecast_scale"]) or 1.0  # of a market that did not move
    forecasts: FloatArray = registry.get(model.family).forecast(model, panel, bars.weeks.select(rows))
    return forecasts / scale


def _judge(loss: float, zero: float, previous: str | None, previous_loss: float | None) -> tuple[bool, str]:
    """Decide on a promotion, and say why."""
    side = "below" if loss < zero else "not below"
    against_zero = f"its loss {loss:.4f} is {side} that of predicting zero, {zero:.4f}"
    if previous_loss is None:
        return True, f"promoted as the first version; {against_zero}"
    better = "below" if loss < previous_loss else "not below"
    against_previous = f"{better} that of {previous}, {previous_loss:.4f}, on the same weeks"
    promoted = loss < zero and loss < previous_loss
    return promoted, f"{'promoted' if promoted else 'not promoted'}: {against_zero}, and {against_previous}"
