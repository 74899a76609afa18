"""The scale at which a signal reaches its strength, against values worked out by hand."""

import numpy as np
import pytest
from scipy.stats import rankdata, t

from brain_assets.simulator.injected_signal import PAIR_DEGREES, solve_scale, symbol_pairs


@pytest.mark.parametrize("s", [0.05, 0.15, 0.6])
def test_of_two_symbols_the_scale_is_a_quantile(s: float) -> None:
    # Of two symbols, the rank correlation is 1 or -1: E[r] = 2 P - 1 = s, so the difference of the expectations over
    # its deviation is the quantile (1 + s) / 2 of a t of variance 1.
    k = solve_scale(np.array([-1.0, 1.0]), np.array([1.0, 2.0]), np.array([0.05]), symbol_pairs(2), s)
    quantile = t.ppf((1 + s) / 2, PAIR_DEGREES) * np.sqrt((PAIR_DEGREES - 2) / PAIR_DEGREES)
    assert 2 * k / 0.05 == pytest.approx(quantile, rel=1e-6)


@pytest.mark.parametrize("s", [0.08, 0.3])
def test_the_scale_reaches_what_a_simulation_finds(s: float) -> None:
    random = np.random.default_rng(0)
    z, deviation = random.normal(size=20), random.uniform(0.02, 0.05, 20)
    first, second = pairs = symbol_pairs(20)
    apart = np.sqrt(deviation[first] ** 2 + deviation[second] ** 2)
    expected = z * solve_scale(z, rankdata(z), apart, pairs, s)
    realized = rankdata(expected + deviation * random.normal(size=(40_000, 20)), axis=1) - 10.5
    rank = rankdata(z) - 10.5
    # normal noise instead of t of 12: its peak is 0.3989 instead of 0.4284 (unit variance), 7 % less
    assert (realized @ rank / (rank @ rank)).mean() == pytest.approx(0.935 * s, rel=0.03)


def test_of_many_symbols_some_pairs_stand_for_all() -> None:
    first, second = symbol_pairs(500)
    assert len(first) == 500 * 16
    assert len({frozenset(pair) for pair in zip(first, second, strict=True)}) == 500 * 16
    random = np.random.default_rng(0)
    z, deviation = random.normal(size=500), random.uniform(0.02, 0.05, 500)
    answers = [
        solve_scale(z, rankdata(z), np.hypot(deviation[one], deviation[other]), (one, other), 0.15)
        for one, other in ((first, second), np.triu_indices(500, 1))
    ]
    assert answers[0] == pytest.approx(answers[1], rel=0.03)
