"""A forecaster trained on all data there is, and current if its configuration is no worse than the current one's.

What has learned from every week can be scored on none. So its configuration is scored: trained without the last year
as well, it must beat predicting zero there, and do no worse than the configuration of the version that is current,
trained by the same code on the same weeks. With the same configuration newer data decide.
"""

import datetime
from dataclasses import replace
from typing import Any

import numpy as np

from brain_assets import registry
from brain_assets.configuration import build
from brain_assets.device import CPU
from brain_assets.forecasting.features import TrainingSplit
from brain_assets.forecasting.forecaster import ForecasterConfig, Progress
from brain_assets.forecasting.training import Past, forecaster_card, train_snapshot, validate
from brain_assets.market.base import MarketNote
from brain_assets.market.calendar import Weeks, complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.store.fingerprint import hash_json, library_versions
from brain_assets.store.names import version_name
from brain_assets.store.snapshot import ModelSnapshot

CODE_VERSION = "4"  # of how main versions of any forecaster are split and scored; the family's own comes on top

HELD_OUT_WEEKS = 52  # the last ones, on which configurations are scored: a year, as of snapshots


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
    """Keep the last year of weeks for the scores, whatever year they belong to."""
    inside = np.flatnonzero(weeks.end <= np.datetime64(cutoff_date, "D"))
    return TrainingSplit(inside[:-HELD_OUT_WEEKS], inside[-HELD_OUT_WEEKS:])


def train_version(
    family: str,
    panel: PricePanel,
    config: ForecasterConfig,
    market: MarketNote,
    previous: ModelSnapshot | None = None,
    on_epoch: Progress = lambda _: None,
    device: str = CPU,
) -> ModelSnapshot:
    """Train a main version on a panel that ends with the last finished session, and score its configuration.

    The metadata have ``version``, its name, and ``scores``: how its configuration did on the held-out weeks beside zero
    and the configuration of `previous`, the version that is current. Losses are mean squared errors of trainings
    without those weeks, in units of the training target's variance; that of a configuration with another target is as
    many times the loss of zero as it is of its own. Raises as `train_snapshot` does.
    """
    cutoff_date = panel.sessions[-1].item()
    snapshot = train_snapshot(family, panel, cutoff_date, config, market, on_epoch, split_weeks, device)
    weeks, training = complete_weeks(panel.sessions), snapshot.metadata["training"]
    held_out = weeks.start[split_weeks(weeks, cutoff_date).validation]
    loss, zero = training["validation_loss"], training["zero_validation_loss"]
    name, previous_loss = None, None
    if previous is not None:
        other = training
        if previous.config != snapshot.config:
            other_config = build(registry.get(family).Config, previous.config)
            other = validate(Past.of(family, panel, cutoff_date, other_config, split_weeks), device=device)
        # equal targets: times 1, to the last bit; 0: of a market that did not move
        name, previous_loss = previous.name, other["validation_loss"] * (zero / (other["zero_validation_loss"] or 1.0))
    promoted, verdict = _judge(loss, zero, name, previous_loss)
    scores: dict[str, Any] = {
        "first_week": str(held_out[0]),
        "last_week": str(held_out[-1]),
        "n_weeks": len(held_out),
        "loss": loss,
        "zero_loss": zero,
        "previous": name,
        "previous_loss": previous_loss,
        "promoted": promoted,
        "verdict": verdict,
    }
    version = version_of(family, panel, config, market.name, device)
    metadata = {**snapshot.metadata, "version": version, "scores": scores}
    card = forecaster_card(registry.get(family), cutoff_date, snapshot.config, metadata)
    return replace(snapshot, metadata=metadata, card=card)


def _judge(loss: float, zero: float, previous: str | None, previous_loss: float | None) -> tuple[bool, str]:
    """Decide on a promotion, and say why."""
    side = "below" if loss < zero else "not below"
    against_zero = f"its loss {loss:.4f} is {side} that of predicting zero, {zero:.4f}"
    if previous_loss is None:
        return True, f"promoted as the first version; {against_zero}"
    side = "above" if loss > previous_loss else "not above"
    against_previous = f"{side} that of the configuration of {previous}, {previous_loss:.4f}, on the same weeks"
    promoted = loss < zero and loss <= previous_loss
    return promoted, f"{'promoted' if promoted else 'not promoted'}: {against_zero}, and {against_previous}"
