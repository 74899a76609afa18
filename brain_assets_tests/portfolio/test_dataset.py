from dataclasses import replace

import numpy as np
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import (
    FEATURES,
    SIGNAL_SCALE,
    ObservationBuilder,
    PolicyDataset,
    fit_observation_scaler,
    market_observations,
)
from brain_assets.store.weights import Scaler
from brain_assets_tests.portfolio.toy_markets import toy_weeks


def two_weeks() -> PolicyDataset:
    """Three assets; in the second week the third is not available. Of the signals only news and age are known."""
    signals = np.full((2, 3, 7), np.nan)
    signals[:, :, 0] = [[0.5, 0.1, 0.3], [0.2, 0.4, 9.0]]
    signals[0, :, 6] = [1.0, 3.0, np.nan]
    return PolicyDataset(
        week_start=np.array(["2020-01-06", "2020-01-13"], dtype="datetime64[D]"),
        symbols=("A", "B", "C"),
        forecast=np.array([[0.01, 0.02, 0.03], [0.004, 0.002, np.nan]]),
        momentum=np.array([[0.05, 0.05, 0.05], [-0.1, 0.1, np.nan]]),
        volatility=np.array([[0.01, 0.02, 0.0], [0.01, 0.04, np.nan]]),
        signals=signals,
        available=np.array([[True, True, True], [True, True, False]]),
        pre_open_return=np.zeros((2, 3)),
        weekly_return=np.zeros((2, 3)),
    )


def identity_scaler() -> Scaler:
    return Scaler(np.zeros(10), np.ones(10), np.ones(10), 1)


def test_observation_by_hand() -> None:
    builder = ObservationBuilder(two_weeks(), identity_scaler(), PortfolioConstraints(), SIGNAL_SCALE)
    s = 0.3  # standard deviation of a signal
    z = np.sqrt(1.5)  # (0.03 - 0.02) over the standard deviation of 1, 2, 3 %, which is sqrt(2/3) %
    first = builder.build(0, np.array([0.2, 0.1, 0.0, 0.7]))
    none = [0.0] * 5  # ratios that are not known
    expected = [
        [-z, 0.0, np.log(0.01), s * z, *none, -s, 1.0, 1.0],  # log(0.01) = -4.6
        [0.0, 0.0, np.log(0.02), -s * z, *none, s, 0.5, 1.0],
        [z, 0.0, -5.0, 0.0, *none, 0.0, 0.0, 1.0],  # a price that does not move: log(0.0001) = -9.2, clipped
    ]
    np.testing.assert_allclose(first, np.ravel(expected), rtol=1e-6, atol=1e-12)
    second = builder.build(1, np.array([0.0, 0.0, 0.3, 0.7]))
    expected = [
        [1.0, -1.0, np.log(0.01), -s, *none, 0.0, 0.0, 1.0],
        [-1.0, 1.0, np.log(0.04), s, *none, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, *none, 0.0, 1.5, 0.0],
    ]
    np.testing.assert_allclose(second, np.ravel(expected), rtol=1e-6)
    assert first.dtype == np.float32
    assert len(first) == 3 * len(FEATURES)


@pytest.mark.parametrize("n_known", [1, 7, 19])
def test_future_blind(n_known: int) -> None:
    """Everything from a week on is changed, and what is earned in it: no observation up to it changes."""
    weeks, other = toy_weeks(20, 5, seed=1), toy_weeks(20, 5, seed=2)
    scaler = fit_observation_scaler(weeks.select(slice(0, n_known)))
    changed = replace(
        weeks,
        **{
            name: np.concatenate([getattr(weeks, name)[:n_known], getattr(other, name)[n_known:]])
            for name in ("forecast", "momentum", "volatility", "signals")
        },
        pre_open_return=np.concatenate([weeks.pre_open_return[: n_known - 1], other.pre_open_return[n_known - 1 :]]),
        weekly_return=np.concatenate([weeks.weekly_return[: n_known - 1], other.weekly_return[n_known - 1 :]]),
    )
    before, after = market_observations(weeks, scaler, SIGNAL_SCALE), market_observations(changed, scaler, SIGNAL_SCALE)
    np.testing.assert_array_equal(before[:n_known], after[:n_known])
    assert (before[n_known:] != after[n_known:]).any(axis=-1).all()
