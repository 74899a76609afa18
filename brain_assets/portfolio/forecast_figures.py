"""How forecasts of a report's years turned out; every figure is known only after its weeks are over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.forecasting.metrics import MIN_SYMBOLS, weekly_rank_correlation
from brain_assets.forecasting.walkforward import MOMENTUM, families_in, forecast_matrices, forecast_weeks
from brain_assets.market.calendar import years_of_weeks
from brain_assets.portfolio import metrics
from brain_assets.portfolio.metrics import Estimate
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name

N_GROUPS = 10
"""Deciles."""

YEAR_BEFORE, OLDER, NO_MODEL = "snapshot of the year before", "older snapshot", "momentum (no model yet)"
SOURCE_KINDS = (YEAR_BEFORE, OLDER, NO_MODEL)


class Decile(NamedTuple):
    """Symbols that a forecaster ranked alike, week by week; returns are a week's, less their week's mean."""

    number: int
    """1: the lowest forecasts of their week; 10: the highest."""
    forecast: float
    """Mean."""
    realized: Estimate
    """Mean over the weeks."""


@dataclass(frozen=True)
class ForecasterFigures:
    """What a forecaster's own forecasts were worth; what momentum stood in for it does not count."""

    name: str
    label: str
    n_weeks: int
    """Weeks with a rank correlation."""
    rank_correlation: Estimate
    """Mean over weeks of Spearman's, over the symbols."""
    by_year: Mapping[int, Estimate]
    deciles: tuple[Decile, ...]
    """Empty for momentum, which forecasts no return."""
    sources: Mapping[int, Mapping[str, float]]
    """Year -> share of all forecasts by kind of source (`SOURCE_KINDS`); empty for momentum, which needs none."""


def measure_forecasts(forecasts: pd.DataFrame) -> tuple[ForecasterFigures, ...]:
    """Measure forecasters and momentum on the weeks that a model forecast; where none did, momentum alone on all.

    A forecaster that never had a model is left out; empty if there are no forecasts.
    """
    if forecasts.empty:
        return ()
    weeks, momentum, realized = forecast_matrices(forecasts, MOMENTUM)
    years = years_of_weeks(weeks.astype("datetime64[D]"))
    own = {family: np.isin(weeks, forecast_weeks(forecasts, family)) for family in families_in(forecasts)}
    by_model = {family: mask for family, mask in own.items() if mask.any()}
    matrices = {family: forecast_matrices(forecasts, family)[1] for family in by_model}
    counted = np.logical_or.reduce(list(by_model.values())) if by_model else np.ones(len(weeks), dtype=np.bool_)
    masks = {**by_model, MOMENTUM: counted}
    matrices[MOMENTUM] = momentum
    skill = np.full((len(weeks), len(masks)), np.nan)
    for position, (name, mask) in enumerate(masks.items()):
        skill[mask, position] = weekly_rank_correlation(matrices[name][mask], realized[mask])
    overall = metrics.mean_estimates(skill)
    by_year = {int(year): metrics.mean_estimates(skill[years == year]) for year in np.unique(years)}
    return tuple(
        ForecasterFigures(
            name=name,
            label=registry.label(name),
            n_weeks=int(np.isfinite(skill[:, position]).sum()),
            rank_correlation=overall[position],
            by_year={year: found[position] for year, found in by_year.items() if np.isfinite(found[position].value)},
            deciles=() if name == MOMENTUM else _deciles(matrices[name][mask], realized[mask]),
            sources={} if name == MOMENTUM else _sources(forecasts, name),
        )
        for position, (name, mask) in enumerate(masks.items())
    )


def _deciles(forecast: FloatArray, realized: FloatArray) -> tuple[Decile, ...]:
    """Group the symbols of each week by forecast, and see what each group earned; ties go to the earlier symbol."""
    both = np.isfinite(forecast) & np.isfinite(realized)
    both &= both.sum(axis=1, keepdims=True) >= MIN_SYMBOLS
    forecast, realized = (np.where(both, values, np.nan)[both.any(axis=1)] for values in (forecast, realized))
    both = np.isfinite(forecast)
    place = np.argsort(np.argsort(np.where(both, forecast, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
    group = np.where(both, place * N_GROUPS // np.maximum(both.sum(axis=1, keepdims=True), 1), -1)
    forecast, realized = (
        values - np.nanmean(values, axis=1, keepdims=True) if len(values) else values for values in (forecast, realized)
    )
    numbers = [number for number in range(N_GROUPS) if (group == number).any()]
    if not numbers:
        return ()
    earned = np.column_stack([_row_means(realized, group == number) for number in numbers])
    return tuple(
        Decile(number + 1, float(forecast[group == number].mean()), found)
        for number, found in zip(numbers, metrics.mean_estimates(earned), strict=True)
    )


def _row_means(values: FloatArray, chosen: BoolArray) -> FloatArray:
    """Average what is chosen of each row, (n_weeks,); NaN: nothing is."""
    count = chosen.sum(axis=1)
    total = np.where(chosen, values, 0.0).sum(axis=1)
    means: FloatArray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means


def _sources(forecasts: pd.DataFrame, family: str) -> dict[int, dict[str, float]]:
    """Give by year which share of a family's forecasts came from which kind of source."""
    starts = forecasts["week_start"].to_numpy().astype("datetime64[D]")
    kinds = [_kind(str(source), start) for source, start in zip(forecasts[f"{family}_source"], starts, strict=True)]
    counts = pd.crosstab(years_of_weeks(starts), np.array(kinds, dtype=object), normalize="index")
    return {
        int(year): {kind: float(counts.loc[year, kind]) for kind in SOURCE_KINDS if kind in counts}
        for year in counts.index
    }


def _kind(source: str, week_start: np.datetime64) -> str:
    """Name the kind of a source: a week's own is the snapshot of the year before it begins."""
    cutoff_date = parse_snapshot_name(source)
    if cutoff_date is None:
        return NO_MODEL
    return YEAR_BEFORE if cutoff_date == cutoff_of_year(week_start.astype(object).year - 1) else OLDER
