"""How good forecasts are, week by week; every figure is known only after the weeks are over."""

import numpy as np

from brain_assets.arrays import FloatArray

MIN_SYMBOLS = 3
"""A rank correlation over fewer symbols says nothing."""


def weekly_rank_correlation(forecast: FloatArray, realized: FloatArray) -> FloatArray:
    """Correlate the ranks of forecasts and of realized returns over the symbols of each week (Spearman 1904).

    Parameters
    ----------
    forecast, realized : ndarray of float64, shape (n_weeks, n_assets)
        NaN: not known; a symbol counts where both are known.

    Returns
    -------
    ndarray of float64, shape (n_weeks,)
        NaN in a week with fewer than `MIN_SYMBOLS` symbols, or where one of the two is the same for all of them.
    """
    from scipy.stats import rankdata

    both = np.isfinite(forecast) & np.isfinite(realized)
    correlation = np.full(len(forecast), np.nan)
    for week, known in enumerate(both):
        if known.sum() < MIN_SYMBOLS:
            continue
        first, second = rankdata(forecast[week, known]), rankdata(realized[week, known])
        if first.std() > 0 and second.std() > 0:
            correlation[week] = np.corrcoef(first, second)[0, 1]
    return correlation


def mean_rank_correlation(forecast: FloatArray, realized: FloatArray) -> float:
    """Average the weekly rank correlations over the weeks that have one; NaN if none has."""
    weekly = weekly_rank_correlation(forecast, realized)
    return float(np.mean(weekly[np.isfinite(weekly)])) if np.isfinite(weekly).any() else float("nan")


def known_mean_rank_correlation(forecast: FloatArray, realized: FloatArray) -> float | None:
    """Give the mean rank correlation as JSON takes it: None if no week has one."""
    mean = mean_rank_correlation(forecast, realized)
    return mean if np.isfinite(mean) else None


def hit_rate(forecast: FloatArray, realized: FloatArray) -> float:
    """Give the share of forecasts on the right side of their week's median; NaN if there are none.

    A forecast hits if it lies on the same side of the median forecast of its week as the realized return does of the
    median realized return. Weeks with fewer than `MIN_SYMBOLS` symbols, and symbols on a median, do not count.
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
