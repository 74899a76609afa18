"""How forecasts of a report's years turned out; every figure is known only after its weeks are over."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.arrays import DateArray
from brain_assets.forecasting.metrics import MIN_SYMBOLS, weekly_rank_correlation
from brain_assets.forecasting.walkforward import MOMENTUM, families_in, forecast_matrices, forecast_weeks
from brain_assets.market.calendar import years_of_weeks
from brain_assets.report import metrics
from brain_assets.report.colors import FORECASTERS, NO_MODEL, OLDER, SOURCES, YEAR_BEFORE, colors_of
from brain_assets.store.names import cutoff_of_year, parse_snapshot_name

N_GROUPS = 10
"""Deciles."""


class ForecastTables(NamedTuple):
    """What forecasters' own forecasts were worth, momentum last; what momentum stood in for does not count."""

    skill: pd.DataFrame
    """By name: ``label``, ``color``, ``offset`` (where it stands beside the others, around 0), ``n_weeks`` that have a
    rank correlation, and ``rank_correlation``, Spearman's over the symbols, the mean over those weeks."""
    by_year: Mapping[str, pd.DataFrame]
    """Of each, by year: ``value``, ``low`` and ``high`` of the year's mean rank correlation."""
    deciles: Mapping[str, pd.DataFrame]
    """Of each but momentum, by decile of each week's forecasts, 1 the lowest: ``forecast``, and ``value``,
    ``low`` and ``high`` of what was realized; means of a week's returns less their week's mean."""
    sources: Mapping[str, pd.DataFrame]
    """Of the same, by year: the share of all forecasts that came from each kind of `SOURCES`."""


def measure_forecasts(forecasts: pd.DataFrame) -> ForecastTables:
    """Measure forecasters and momentum on the weeks that a model forecast; where none did, momentum alone on all.

    A forecaster that never had a model is left out; the tables are empty if there are no forecasts.
    """
    if forecasts.empty:
        return ForecastTables(pd.DataFrame(columns=["label", "n_weeks", "rank_correlation"]), {}, {}, {})
    weeks, _, realized = forecast_matrices(forecasts, MOMENTUM)
    masks = {family: np.isin(weeks, forecast_weeks(forecasts, family)) for family in families_in(forecasts)}
    masks = {family: mask for family, mask in masks.items() if mask.any()}
    models = list(masks)
    masks[MOMENTUM] = np.logical_or.reduce(list(masks.values())) if masks else np.ones(len(weeks), dtype=np.bool_)
    correlations = {name: weekly_rank_correlation(forecast_matrices(forecasts, name)[1], realized) for name in masks}
    weekly = pd.DataFrame({name: np.where(masks[name], found, np.nan) for name, found in correlations.items()})
    years = weekly.groupby(years_of_weeks(weeks.astype("datetime64[D]")))
    by_year = pd.concat({year: metrics.mean_estimates(rows) for year, rows in years})
    columns = {
        "label": [registry.label(name) for name in weekly],
        "color": colors_of(weekly.columns, FORECASTERS),
        "offset": 0.22 * (np.arange(len(weekly.columns)) - (len(weekly.columns) - 1) / 2),
        "n_weeks": weekly.count(),
        "rank_correlation": [metrics.Estimate(*row) for row in metrics.mean_estimates(weekly).to_numpy()],
    }
    return ForecastTables(
        skill=pd.DataFrame(columns, index=weekly.columns),
        by_year={name: by_year.xs(name, level=1).dropna(subset="value") for name in weekly},
        deciles={name: found for name in models if len(found := _deciles(forecasts, name, weeks[masks[name]]))},
        sources={name: _sources(forecasts, name) for name in models},
    )


def _deciles(forecasts: pd.DataFrame, family: str, weeks: DateArray) -> pd.DataFrame:
    """Group the symbols of each week by forecast, and see what each group earned; ties go to the earlier symbol."""
    rows = forecasts[["week_start", "symbol", family, "realized"]].sort_values(
        ["week_start", "symbol"], ignore_index=True
    )
    rows = rows[rows["week_start"].isin(weeks) & np.isfinite(rows[[family, "realized"]]).all(axis=1)]
    rows = rows[rows.groupby("week_start")["symbol"].transform("size") >= MIN_SYMBOLS]
    if rows.empty:
        return pd.DataFrame()
    by_week = rows.groupby("week_start")
    place = by_week[family].rank(method="first").astype(int) - 1
    decile = place * N_GROUPS // by_week["symbol"].transform("size") + 1
    centred = rows[[family, "realized"]] - by_week[[family, "realized"]].transform("mean")
    earned = centred["realized"].groupby([rows["week_start"], decile.rename("decile")]).mean().unstack()
    return metrics.mean_estimates(earned).assign(forecast=centred[family].groupby(decile).mean())


def _sources(forecasts: pd.DataFrame, family: str) -> pd.DataFrame:
    """Give by year which share of a family's forecasts came from which kind of source."""
    starts = forecasts["week_start"]
    kinds = [
        _kind(str(source), year) for source, year in zip(forecasts[f"{family}_source"], starts.dt.year, strict=True)
    ]
    years = years_of_weeks(starts.to_numpy().astype("datetime64[D]"))
    shares = pd.crosstab(years, np.array(kinds, dtype=object), normalize="index")
    return shares[[kind for kind in SOURCES if kind in shares]]


def _kind(source: str, year: int) -> str:
    """Name the kind of a source: a week's own is the snapshot of the year before it begins."""
    cutoff_date = parse_snapshot_name(source)
    if cutoff_date is None:
        return NO_MODEL
    return YEAR_BEFORE if cutoff_date == cutoff_of_year(year - 1) else OLDER
