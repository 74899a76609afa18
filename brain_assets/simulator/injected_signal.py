"""The signal injected into a simulated market, and the scale at which it reaches the rank correlation that it states.

Of n symbols with expectations d[i] and conditional noise whose difference between i and j has the standard deviation
s[i, j], the expected rank correlation (Spearman's) of d with the realized returns follows from the expected ranks
1 + sum over j of P(i ends above j):

    E[r] = 12 / (n (n^2 - 1)) * sum over pairs i < j of (rank d[i] - rank d[j]) * (F((d[i] - d[j]) / s[i, j]) - 1/2)

F is the distribution of a pair's noise over its standard deviation: noise of a week has fatter tails than the normal,
so F is Student's t with `PAIR_DEGREES` degrees of freedom, scaled to a standard deviation of 1. (For normal noise this
is the small-sample form of s = 6 / pi * asin(rho / 2); Kruskal 1958, "Ordinal measures of association", section 5.)
With d = k * z, E[r] grows with k and is concave, so Newton's method from k = 0 comes from below and cannot overshoot.
"""

import math

import numpy as np

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.market.schema import RATIOS

CHANNELS = ("reversal", "news", *RATIOS)  # where a signal can be seen: in past returns, news or a ratio

PAIR_DEGREES = 12.0
"""Of Student's t for the difference of two symbols' noise over a week: its peak is that of simulated weeks."""

MAX_ALL_PAIRS, PARTNERS = 64, 32
"""Up to so many symbols, all pairs are counted; of more, so many partners of each symbol stand for all."""

NEWTON_STEPS, TOLERANCE = 40, 1e-8
_UNIT = math.sqrt(PAIR_DEGREES / (PAIR_DEGREES - 2))
_PEAK = math.gamma((PAIR_DEGREES + 1) / 2) / (math.sqrt(PAIR_DEGREES * math.pi) * math.gamma(PAIR_DEGREES / 2))


def symbol_pairs(n_assets: int) -> tuple[IntArray, IntArray]:
    """Give the pairs that are counted, each (n_pairs,): all, or those with `PARTNERS` / 2 neighbours on a ring."""
    if n_assets <= MAX_ALL_PAIRS:
        first, second = np.triu_indices(n_assets, 1)
        return first, second
    steps = np.unique(np.linspace(1, (n_assets - 1) // 2, PARTNERS // 2).astype(np.int64))
    first = np.repeat(np.arange(n_assets), len(steps))
    return first, (first + np.tile(steps, n_assets)) % n_assets


def solve_scale(
    z: FloatArray, rank: FloatArray, deviation: FloatArray, pairs: tuple[IntArray, IntArray], strength: float
) -> float:
    """Give k such that the expectations k * z reach a rank correlation in expectation, `strength` in (0, 1).

    `z` and `rank`, (n_assets,), are expectations but for their size, and their ranks, ties at their mean; `deviation`,
    (n_pairs,), is that of the difference of noise over the week of the `pairs`, known when `z` is. Where ties put the
    strength out of reach, k is what `NEWTON_STEPS` steps make of it.
    """
    from scipy.special import stdtr

    first, second = pairs
    n_assets = len(z)
    counted = n_assets * (n_assets - 1) / 2 / len(first)
    weight = (rank[first] - rank[second]) * counted * 12 / (n_assets * (n_assets**2 - 1))
    step = (z[first] - z[second]) / deviation * _UNIT
    k = strength / float(weight @ step * _PEAK)  # the first step, from 0
    for _ in range(NEWTON_STEPS):
        x = k * step
        missing = strength - weight @ (stdtr(PAIR_DEGREES, x) - 0.5)
        if missing < TOLERANCE:
            break
        density = _PEAK * (1 + x**2 / PAIR_DEGREES) ** (-(PAIR_DEGREES + 1) / 2)
        k += missing / (weight @ (step * density))
    return k
