"""How forecasts of a report's years turned out; every figure is known only after its weeks are over."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.forecasting.average import newest_cutoff
from brain_assets.forecasting.metrics import MIN_SYMBOLS, mean_skill
from brain_assets.forecasting.walkforward import forecast_weeks, weekly_correlations
from brain_assets.forecasting.yardsticks import YARDSTICKS, column_label
from brain_assets.market.calendar import years_of_weeks
from brain_assets.report import metrics
from brain_assets.report.colors import FORECASTERS, NO_MODEL, OLDER, SOURCES, YEAR_BEFORE, colors_of
from brain_assets.store.names import cutoff_of_year

N_GROUPS = 10
"""Deciles."""


class ForecastTables(NamedTuple):
    """What forecasters' own forecasts were worth, yardsticks last; what momentum stood in for does not count."""

    skill: pd.DataFrame
    """By name: ``label``, ``color``, ``offset`` (where it stands beside the others, around 0), ``n_weeks`` that have a
    rank correlation, ``rank_correlation``, Spearman's over the symbols, the mean over those weeks, and its
    ``t_statistic`` and ``smallest_detectable``, see `brain_assets.forecasting.metrics.Skill`."""
    by_year: Mapping[str, pd.DataFrame]
    """Of each, by year: ``value``, ``low`` and ``high`` of the year's mean rank correlation."""
    deciles: Mapping[str, pd.DataFrame]
    """Of each but yardsticks, by decile of each week's forecasts, 1 the lowest: ``forecast``, and ``value``,
    ``low`` and ``high`` of what was realized; means of a week's returns less their week's mean."""
    sources: Mapping[str, pd.DataFrame]
    """Of the same, by year: the share of all forecasts that came from each kind of `SOURCES`."""


def measure_forecasts(forecasts: pd.DataFrame) -> ForecastTables:
    """Measure forecasters and yardsticks on the weeks that a model forecast; where none did, yardsticks alone on all.

    A forecaster that never had a model is left out; the tables are empty if there are no forecasts.
    """
    if forecasts.empty:
        names = ["label", "n_weeks", "rank_correlation", "t_statistic", "smallest_detectable"]
        return ForecastTables(pd.DataFrame(columns=names), {}, {}, {})
    weekly = weekly_correlations(forecasts)
    models = [name for name in weekly if name not in YARDSTICKS]
    years = weekly.groupby(years_of_weeks(weekly.index.to_numpy().astype("datetime64[D]")))
    by_year = pd.concat({year: metrics.mean_estimates(rows) for year, rows in years})
    skills = [mean_skill(weekly[name].to_numpy()) for name in weekly]
    count = len(skills)
    columns = {
        "label": [column_label(name) for name in weekly],
        "color": colors_of(weekly.columns, FORECASTERS),
        "offset": min(0.22, 0.8 / count) * (np.arange(count) - (count - 1) / 2),  # within a year's place
        "n_weeks": weekly.count(),
        "rank_correlation": [metrics.Estimate(*row) for row in metrics.mean_estimates(weekly).to_numpy()],
        "t_statistic": [each.t_statistic for each in skills],
        "smallest_detectable": [each.smallest_detectable for each in skills],
    }
    return ForecastTables(
        skill=pd.DataFrame(columns, index=weekly.columns),
        by_year={name: by_year.xs(name, level=1).dropna(subset="value") for name in weekly},
        deciles={name: found for name in models if len(found := _deciles(forecasts, name))},
        sources={name: _sources(forecasts, name) for name in models},
    )


def _deciles(forecasts: pd.DataFrame, family: str) -> pd.DataFrame:
    """Group the symbols of each week by forecast, and see what each group earned; ties go to the earlier symbol."""
    rows = forecasts[["week_start", "symbol", family, "realized"]].sort_values(
        ["week_start", "symbol"], ignore_index=True
    )
    rows = rows[
        rows["week_start"].isin(forecast_weeks(forecasts, family)) & np.isfinite(rows[[family, "realized"]]).all(axis=1)
    ]
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
    """Name the kind of a source, by its newest snapshot: a week's own is that of the year before it begins."""
    cutoff_date = newest_cutoff(source)
    if cutoff_date is None:
        return NO_MODEL
    return YEAR_BEFORE if cutoff_date == cutoff_of_year(year - 1) else OLDER
