import numpy as np
import pytest

from brain_assets.forecasting.metrics import hit_rate, mean_rank_correlation, weekly_rank_correlation

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
    assert np.isnan(mean_rank_correlation(forecast[1:], realized[1:]))


def test_hit_rate_counts_sides_of_the_weeks_median() -> None:
    # medians 2.5 and 0.25; sides - - + + against - + - +: two of four agree
    forecast = np.array([[1, 2, 3, 4]], dtype=float)
    realized = np.array([[0.1, 0.3, 0.2, 0.4]])
    assert hit_rate(forecast, realized) == pytest.approx(0.5)
    # with three symbols the one on the median does not count: sides -, +, against -, +
    assert hit_rate(forecast[:, :3], np.array([[0.1, 0.2, 0.3]])) == pytest.approx(1)
    assert np.isnan(hit_rate(forecast[:, :2], realized[:, :2]))
