"""How good forecasts are, week by week; every figure is known only after the weeks are over."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, FloatArray

MIN_SYMBOLS = 3  # a rank correlation over fewer symbols says nothing

N_LAGS = 4  # weeks over which rank correlations may hang together, as the standard error of their mean counts them

DETECTABLE = 2.8
"""Standard errors of the smallest effect that a two-sided test at the 5 % level finds with a probability of 80 %:
1.96 + 0.84, the normal quantiles of 97.5 % and 80 % (minimum detectable effect, Bloom 1995)."""


class Skill(NamedTuple):
    """What weekly rank correlations say of a forecast; NaN where there are too few weeks to tell."""

    rank_correlation: float  # mean over the weeks that have one
    t_statistic: float  # the mean over its standard error
    smallest_detectable: float
    """The smallest true mean that as many weeks as variable would most likely tell from chance."""
    n_weeks: int


def mean_skill(weekly: FloatArray) -> Skill:
    """Average weekly rank correlations, (n_weeks,), and say how sure the mean is; NaN is a week without one.

    The standard error is equation 5 of Newey & West (1987), of a mean: the variance plus twice the autocovariances with
    weights that fall from 1 to 0, 1 - lag / (`N_LAGS` + 1), over the number of values; NaN of `N_LAGS` + 1 or fewer.
    """
    known = weekly[np.isfinite(weekly)]
    mean, error = float(known.mean()) if len(known) else math.nan, math.nan
    if len(known) > N_LAGS + 1:
        deviations = known - known.mean()
        total = float(deviations @ deviations)
        for lag in range(1, N_LAGS + 1):
            total += 2.0 * (1.0 - lag / (N_LAGS + 1)) * float(deviations[lag:] @ deviations[:-lag])
        # never below 0 but for rounding; what never varies tells nothing of chance
        error = math.sqrt(max(total, 0.0)) / len(known) or math.nan
    return Skill(mean, mean / error, DETECTABLE * error, len(known))


def weekly_rank_correlation(forecast: FloatArray, realized: FloatArray) -> FloatArray:
    """Correlate the ranks of forecasts and of realized returns over the symbols of each week (Spearman 1904).

    Both are (n_weeks, n_assets); a symbol counts where both are known. The result, (n_weeks,), is NaN in a week with
    fewer than `MIN_SYMBOLS` symbols, or where one of the two is the same for all of them.
    """
    both = np.isfinite(forecast) & np.isfinite(realized)
    count = both.sum(axis=1)
    first, second = rank_by_week(forecast, both), rank_by_week(realized, both)
    # ranks are multiples of 1/2, so these sums are exact: who is not known changes nothing, not even by rounding
    covariance = count * (first * second).sum(axis=1) - first.sum(axis=1) * second.sum(axis=1)
    variances = [count * (ranks**2).sum(axis=1) - ranks.sum(axis=1) ** 2 for ranks in (first, second)]
    varied = (count >= MIN_SYMBOLS) & (variances[0] > 0) & (variances[1] > 0)
    correlation = np.full(len(forecast), np.nan)
    correlation[varied] = covariance[varied] / np.sqrt(variances[0][varied]) / np.sqrt(variances[1][varied])
    return correlation.clip(-1.0, 1.0)


def rank_by_week(values: FloatArray, known: BoolArray) -> FloatArray:
    """Rank the known values of each week from 1, ties by their mean; 0 where not known."""
    return pd.DataFrame(np.where(known, values, np.nan)).rank(axis=1).fillna(0.0).to_numpy()


def mean_rank_correlation(forecast: FloatArray, realized: FloatArray) -> float | None:
    """Average the weekly rank correlations over the weeks that have one; None, as JSON takes it, if none has."""
    mean = mean_skill(weekly_rank_correlation(forecast, realized)).rank_correlation
    return None if math.isnan(mean) else mean
