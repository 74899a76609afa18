"""The average of forecasts: the mean of the ranks that chosen forecasters give the symbols of a week.

Ranks, since forecasters differ in how far they spread their forecasts, and an average of returns would follow the one
that spreads them most. Each forecaster counts the same.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.errors import ConfigError
from brain_assets.forecasting.metrics import rank_by_week
from brain_assets.store.names import parse_snapshot_name


class SnapshotForecasts(NamedTuple):
    """What the newest snapshot of a family before each week forecast."""

    values: FloatArray
    """(n_weeks, n_assets); NaN where there is no snapshot, the symbol cannot be traded or has too little history."""
    source: np.ndarray  # name of each week's snapshot, (n_weeks,) of objects; empty where there is none


def averaged_families(chosen: Sequence[str] | None, families: Iterable[str]) -> list[str]:
    """Give the families that an average is of; None: all. Raises `ConfigError`: one is none of them, or comes twice."""
    known = list(families)
    averaged = known if chosen is None else list(chosen)
    for name in averaged:
        if name not in known or averaged.count(name) > 1:
            expected = f"forecasters among {', '.join(known) or 'none'}, each once"
            raise ConfigError(f"average: expected {expected}, got {name!r}; correct it.")
    return averaged


def average_ranks(found: Mapping[str, SnapshotForecasts]) -> SnapshotForecasts:
    """Average the weekly ranks of forecasts, by family.

    Each forecast's ranks over the symbols of a week are centred and divided by their standard deviation. Their mean is
    then multiplied by the mean of the forecasts' own standard deviations that week. So the average is a return less the
    week's mean, of the size of its forecasts where they agree and smaller where they do not. A symbol that some do not
    know has the mean over the others. The source names every snapshot that counted, see `snapshots_in`.
    """
    scores, spreads = (_mean_known([of(each.values) for each in found.values()]) for of in (_scores, _spread))
    sources = [np.where(each.source == "", "", f"{family} " + each.source) for family, each in found.items()]
    weeks = [", ".join(filter(None, names)) for names in zip(*sources, strict=True)]
    return SnapshotForecasts(scores * spreads[:, None], np.array(weeks, dtype=object))


def snapshots_in(source: str, column: str) -> list[tuple[str, datetime.date]]:
    """Read a cell of sources of a column: family and cut-off of each snapshot; empty: it names none.

    ``snapshot-2019-12-31`` is one of the family that the column is named after; an average has the family before each:
    ``one snapshot-2019-12-31, other snapshot-2019-12-31``.
    """
    parts = [part.rpartition(" ") for part in source.split(", ")]
    found = [(family or column, parse_snapshot_name(name)) for family, _, name in parts]
    snapshots = [(family, cutoff_date) for family, cutoff_date in found if cutoff_date is not None]
    return snapshots if len(snapshots) == len(found) else []


def newest_cutoff(source: str) -> datetime.date | None:
    """Give the newest cut-off in a cell of sources; None: it names no snapshot."""
    return max((cutoff_date for _, cutoff_date in snapshots_in(source, "")), default=None)


def averaged_in(source: str) -> list[str] | None:
    """Give the families of such an average, to make it again; None: it names no snapshot."""
    return [family for family, _ in snapshots_in(source, "")] or None


def _scores(forecast: FloatArray) -> FloatArray:
    """Give the ranks of each week's known forecasts with mean 0 and, but for ties, standard deviation 1."""
    known = np.isfinite(forecast)
    count = known.sum(axis=1, keepdims=True)
    deviation = np.sqrt(((count**2 - 1) / 12).clip(0.25))  # of the ranks 1 to n; of a single one it does not matter
    return np.where(known, (rank_by_week(forecast, known) - (count + 1) / 2) / deviation, np.nan)


def _spread(forecast: FloatArray) -> FloatArray:
    """Give the standard deviation of each week's known forecasts, (n_weeks,); NaN where there are none."""
    # week by week over those that are known: sums over rows with gaps would round by how many symbols come later
    weeks = [row[np.isfinite(row)] for row in forecast]
    return np.array([week.std() if len(week) else np.nan for week in weeks])


def _mean_known(values: Sequence[FloatArray]) -> FloatArray:
    """Average arrays of one shape over those that are known at each place; NaN where none is."""
    stacked = np.stack(values)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def families_in(forecasts: pd.DataFrame) -> list[str]:
    """Name the forecasters of a forecasts table, in the order of its columns: those with a column of sources."""
    return [name.removesuffix("_source") for name in forecasts.columns if name.endswith("_source")]
