"""How models learned, from the metadata of their snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brain_assets.store.names import cutoff_of_year

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage


@dataclass(frozen=True)
class LearningCurve:
    """One training; known once it is over, on the snapshot's cut-off or later."""

    family: str
    year: int
    """Of the snapshot."""
    steps: tuple[float, ...]
    """Epochs of a forecaster, environment steps of a policy."""
    values: tuple[float, ...]
    """Forecaster: validation loss over that of predicting zero, so below 1 is better than nothing. Policy: mean reward
    of an episode, 100 x log growth."""
    by_epoch: bool
    """Whether it is of a forecaster."""


def read_learning_curves(storages: Mapping[str, SnapshotLocalStorage], years: Sequence[int]) -> list[LearningCurve]:
    """Read the curves of some partition years, by family; snapshots that are not there, or did not learn, have none."""
    curves = []
    for family, storage in storages.items():
        for year in years:
            metadata = storage.read_metadata(cutoff_of_year(year))
            if metadata is not None and metadata["training"].get("curve"):
                curves.append(_curve(family, year, metadata["training"]))
    return curves


def _curve(family: str, year: int, training: Mapping[str, Any]) -> LearningCurve:
    points = training["curve"]
    by_epoch = "epoch" in points[0]
    if by_epoch:
        zero = training["zero_validation_loss"]
        steps, values = [point["epoch"] for point in points], [point["validation"] / zero for point in points]
    else:
        steps, values = [point["steps"] for point in points], [point["reward"] for point in points]
    return LearningCurve(family, year, tuple(map(float, steps)), tuple(map(float, values)), by_epoch)
