import numpy as np
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.strategy import run_equal_weight, run_strategy, sharpe_ratio
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()


def test_two_runs_in_a_row_are_one() -> None:
    weeks = toy_weeks(30, 5)
    whole = run_equal_weight(weeks, CONSTRAINTS)
    first = run_equal_weight(weeks.select(slice(0, 12)), CONSTRAINTS)
    second = run_equal_weight(weeks.select(slice(12, None)), CONSTRAINTS, held=first.held)
    np.testing.assert_array_equal(whole.net_return, np.concatenate([first.net_return, second.net_return]))
    np.testing.assert_array_equal(whole.held, second.held)


def test_the_choice_sees_what_is_held_at_the_last_close() -> None:
    weeks = toy_weeks(3, 1)
    seen = []

    def choose(week: int, held: np.ndarray) -> np.ndarray:
        seen.append((week, held))
        return np.array([0.2, 0.8])

    run_strategy(weeks, CONSTRAINTS, choose)
    assert [week for week, _ in seen] == [0, 1, 2]
    np.testing.assert_array_equal(seen[0][1], [0.0, 1.0])
    grown = 0.2 * (1.0 + weeks.weekly_return[0, 0])
    np.testing.assert_allclose(seen[1][1], np.array([grown, 0.8]) / (grown + 0.8), atol=1e-15)


def test_growth_and_sharpe_ratio_by_hand() -> None:
    run = run_equal_weight(toy_weeks(52, 5), CONSTRAINTS)
    assert run.cagr == pytest.approx(np.prod(1.0 + run.net_return) - 1.0)
    deviation = run.net_return.std(ddof=1)
    assert sharpe_ratio(run.net_return) == pytest.approx(run.net_return.mean() / deviation * 52**0.5)
    assert np.isnan(sharpe_ratio(np.full(30, 0.001)))
