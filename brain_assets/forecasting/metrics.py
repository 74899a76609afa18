"""How good forecasts are, week by week; every figure is known only after the weeks are over."""

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, FloatArray

MIN_SYMBOLS = 3
"""A rank correlation over fewer symbols says nothing."""


def weekly_rank_correlation(forecast: FloatArray, realized: FloatArray) -> FloatArray:
    """Correlate the ranks of forecasts and of realized returns over the symbols of each week (Spearman 1904).

    Both are (n_weeks, n_assets); a symbol counts where both are known. The result, (n_weeks,), is NaN in a week with
    fewer than `MIN_SYMBOLS` symbols, or where one of the two is the same for all of them.
    """
    both = np.isfinite(forecast) & np.isfinite(realized)
    count = both.sum(axis=1)
    first, second = _ranks(forecast, both), _ranks(realized, both)
    # ranks are multiples of 1/2, so these sums are exact: who is not known changes nothing, not even by rounding
    covariance = count * (first * second).sum(axis=1) - first.sum(axis=1) * second.sum(axis=1)
    variances = [count * (ranks**2).sum(axis=1) - ranks.sum(axis=1) ** 2 for ranks in (first, second)]
    varied = (count >= MIN_SYMBOLS) & (variances[0] > 0) & (variances[1] > 0)
    correlation = np.full(len(forecast), np.nan)
    correlation[varied] = covariance[varied] / np.sqrt(variances[0][varied]) / np.sqrt(variances[1][varied])
    return correlation.clip(-1.0, 1.0)


def _ranks(values: FloatArray, known: BoolArray) -> FloatArray:
    """Rank the known values of each week from 1, ties by their mean; 0 where not known."""
    ranks: FloatArray = pd.DataFrame(np.where(known, values, np.nan)).rank(axis=1).fillna(0.0).to_numpy()
    return ranks


def mean_rank_correlation(forecast: FloatArray, realized: FloatArray) -> float:
    """Average the weekly rank correlations over the weeks that have one; NaN if none has."""
    weekly = weekly_rank_correlation(forecast, realized)
    return float(np.mean(weekly[np.isfinite(weekly)])) if np.isfinite(weekly).any() else float("nan")


def known_mean_rank_correlation(forecast: FloatArray, realized: FloatArray) -> float | None:
    """Give the mean rank correlation as JSON takes it: None if no week has one."""
    mean = mean_rank_correlation(forecast, realized)
    return mean if np.isfinite(mean) else None


def hit_rate(forecast: FloatArray, realized: FloatArray) -> float:
    """Give the share of forecasts on the same side of their week's median as what was realized; NaN if there are none.

    Weeks with fewer than `MIN_SYMBOLS` symbols, and symbols on a median, do not count.
    """
    both = np.isfinite(forecast) & np.isfinite(realized)
    both &= both.sum(axis=1, keepdims=True) >= MIN_SYMBOLS
    sides = []
    for week, known in enumerate(both):
        if known.any():
            first, second = forecast[week, known], realized[week, known]
            sides.append(np.sign(first - np.median(first)) * np.sign(second - np.median(second)))
    agreement = np.concatenate(sides) if sides else np.empty(0)
    agreement = agreement[agreement != 0]
    return float(np.mean(agreement > 0)) if len(agreement) else float("nan")
