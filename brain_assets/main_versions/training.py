"""A forecaster trained on all data there is, and scored on the weeks that were kept from it.

The last half year scores, the year before it stops the training early, the rest trains. A version that is promoted must
beat predicting zero and the one promoted before, on the same weeks, which neither has learned from.
"""

import datetime
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np

from brain_assets import registry
from brain_assets.arrays import FloatArray, IntArray
from brain_assets.device import CPU
from brain_assets.errors import TrainingError
from brain_assets.forecasting.card import forecaster_card
from brain_assets.forecasting.features import TrainingSplit, training_target
from brain_assets.forecasting.forecaster import EpochLosses, ForecasterConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.fingerprint import hash_json, library_versions
from brain_assets.store.names import version_name
from brain_assets.store.snapshot import ModelSnapshot

CODE_VERSION = "3"
"""Of how main versions of any forecaster are split and scored; the family's own comes on top."""

HELD_OUT_WEEKS, VALIDATION_WEEKS = 26, 52
"""The last weeks, which score a version, and those before them, which stop its training."""


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
    promoted: bool
    """Whether this version became current when it was made."""
    verdict: str
    """Why, or why not."""


def version_of(family: str, panel: PricePanel, config: ForecasterConfig, market: str, device: str = CPU) -> str:
    """Name the main version that a panel and a configuration make.

    It follows from the window of the data and all else that is hashed here, but not from the bars themselves, which a
    later download may adjust in their last digits.
    """
    first, last = panel.sessions[0].item(), panel.sessions[-1].item()
    digest = hash_json(
        {
            "window": [first.isoformat(), last.isoformat()],
            "symbols": list(panel.symbols),
            "market": market,
            "config": config.model_dump(),
            "code": f"{CODE_VERSION}.{registry.get(family).code_version}",
            "libraries": library_versions(),
            **({} if device == CPU else {"device": device}),
        }
    )
    return version_name(last, digest)


def split_weeks(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
    """Keep the held-out weeks out, and the year before them for validation."""
    rest = np.flatnonzero(weeks.end <= np.datetime64(cutoff_date, "D"))[:-HELD_OUT_WEEKS]
    return TrainingSplit(rest[:-VALIDATION_WEEKS], rest[-VALIDATION_WEEKS:])


def held_out_weeks(weeks: Weeks, cutoff_date: datetime.date) -> IntArray:
    """Give the rows of the weeks that score a version.

    What scores a version must lie after whatever it learned from. As every later version keeps its own last half year
    apart, an older one has not learned from that either, so the two can be compared on it.
    """
    return np.flatnonzero(weeks.end <= np.datetime64(cutoff_date, "D"))[-HELD_OUT_WEEKS:]


def train_version(
    family: str,
    panel: PricePanel,
    config: ForecasterConfig,
    market: MarketNote,
    previous: ModelSnapshot | None = None,
    on_epoch: Callable[[EpochLosses], None] | None = None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a main version on a panel that ends with the last finished session, and score it beside the current one.

    The metadata have ``version``, its name, and ``scores`` (`VersionScores`). Raises `TrainingError` if there are no
    weeks to train, to validate or to score on, or the training diverges.
    """
    cutoff_date = panel.sessions[-1].item()
    snapshot = train_snapshot(family, panel, cutoff_date, config, market, on_epoch, split_weeks, device)
    metadata = {
        **snapshot.metadata,
        "version": version_of(family, panel, config, market.name, device),
        "scores": asdict(score_version(snapshot, previous, panel)),
    }
    card = forecaster_card(registry.get(family), cutoff_date, snapshot.config, metadata)
    return replace(snapshot, metadata=metadata, card=card)


def score_version(snapshot: ModelSnapshot, previous: ModelSnapshot | None, panel: PricePanel) -> VersionScores:
    """Compare a version with zero and with the current one, on weeks that neither has learned from.

    Raises `TrainingError` if no such week has a known return.
    """
    bars = WeeklyPanel.from_panel(panel)
    held_out = held_out_weeks(bars.weeks, snapshot.cutoff_date)
    models = [snapshot] if previous is None else [snapshot, previous]
    learned = max(np.datetime64(model.metadata["data"]["last_validation_target"], "D") for model in models)
    rows = held_out[bars.weeks.start[held_out] > learned]
    target = training_target(bars.realized[rows], snapshot.config["target"])
    forecasts = [_in_target_units(model, panel, bars.weeks.select(rows)) for model in models]
    both = np.isfinite(target) & np.all(np.isfinite(forecasts), axis=0)
    if not both.any():
        raise TrainingError(
            f"{snapshot.family} main version: expected weeks after {learned} to score on, which no version has learned "
            "from, got none; give the market more history."
        )
    target = target / (float(np.std(target[both])) or 1.0)
    losses = [float(np.mean((made[both] - target[both]) ** 2)) for made in forecasts]
    zero = float(np.mean(target[both] ** 2))
    name, previous_loss = (previous.name, losses[1]) if previous else (None, None)
    promoted, verdict = _judge(losses[0], zero, name, previous_loss)
    first, last = (str(bars.weeks.start[rows[at]]) for at in (0, -1))
    return VersionScores(first, last, len(rows), losses[0], zero, name, previous_loss, promoted, verdict)


def _in_target_units(model: ModelSnapshot, panel: PricePanel, weeks: Weeks) -> FloatArray:
    """Forecast weeks in standard deviations of the model's own training target; (n_weeks, n_assets)."""
    scale = float(model.metadata["forecast_scale"]) or 1.0  # of a market that did not move
    forecasts: FloatArray = registry.get(model.family).forecast(model, panel, weeks)
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
