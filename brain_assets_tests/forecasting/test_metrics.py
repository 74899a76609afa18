import numpy as np
import pytest

from brain_assets.forecasting.metrics import (
    mean_rank_correlation,
    mean_skill,
    weekly_rank_correlation,
)

NAN = np.nan


def test_rank_correlation_by_hand() -> None:
    forecast = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 2, 3, 4]], dtype=float)
    realized = np.array([[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0.2, 0.1, 0.4, 0.3]])
    # third week: rank differences 1, 1, 1, 1: 1 - 6 * 4 / (4 * 15) = 0.6
    np.testing.assert_allclose(weekly_rank_correlation(forecast, realized), [1, -1, 0.6])
    assert mean_rank_correlation(forecast, realized) == pytest.approx(0.2)


def test_unknown_symbols_do_not_count_and_thin_or_flat_weeks_have_no_correlation() -> None:
    forecast = np.array([[1, 2, 3, NAN], [1, 2, NAN, NAN], [5, 5, 5, 5]], dtype=float)
    realized = np.array([[1, 2, 3, -9], [1, 2, 3, 4], [1, 2, 3, 4]], dtype=float)
    correlation = weekly_rank_correlation(forecast, realized)
    assert correlation[0] == pytest.approx(1)
    assert np.isnan(correlation[1:]).all()
    assert mean_rank_correlation(forecast, realized) == pytest.approx(1)
    assert mean_rank_correlation(forecast[1:], realized[1:]) is None


def test_standard_error_of_weeks_that_hang_together_by_hand() -> None:
    values = np.array([0.0, 2, 4, 2, 2, 3, 1, 2])  # less their mean, 2: -2, 0, 2, 0, 0, 1, -1, 0
    # squares 10; products at lags 1 to 4: -1, -4, 2, -2, with weights 4/5 to 1/5
    total = 10 + 2 * (0.8 * -1 + 0.6 * -4 + 0.4 * 2 + 0.2 * -2)
    skill = mean_skill(np.insert(values, 3, NAN))  # a week without a correlation is none
    assert skill.rank_correlation == 2
    assert skill.t_statistic == pytest.approx(2 * 8 / np.sqrt(total))
    assert skill.smallest_detectable == pytest.approx(2.8 * np.sqrt(total) / 8)
    assert skill.n_weeks == 8


def test_too_few_weeks_or_weeks_that_never_vary_tell_nothing_of_chance() -> None:
    for weekly in ([0.1, 0.2, 0.3, 0.1, 0.2], [1.0] * 20):
        skill = mean_skill(np.array(weekly))
        assert skill.rank_correlation == pytest.approx(np.mean(weekly))
        assert np.isnan([skill.t_statistic, skill.smallest_detectable]).all()
    assert np.isnan(mean_skill(np.array([NAN])).rank_correlation)
