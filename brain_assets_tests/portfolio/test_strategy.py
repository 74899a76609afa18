import numpy as np
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.strategy import break_even_cost, gross_return, run_equal_weight, sharpe_ratio
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()


def test_two_runs_in_a_row_are_one() -> None:
    weeks = toy_weeks(30, 5)
    whole = run_equal_weight(weeks, CONSTRAINTS)
    first = run_equal_weight(weeks.select(slice(0, 12)), CONSTRAINTS)
    second = run_equal_weight(weeks.select(slice(12, None)), CONSTRAINTS, held=first.held)
    np.testing.assert_array_equal(whole.net_return, np.concatenate([first.net_return, second.net_return]))
    np.testing.assert_array_equal(whole.held, second.held)


def test_growth_and_sharpe_ratio_by_hand() -> None:
    run = run_equal_weight(toy_weeks(52, 5), CONSTRAINTS)
    assert run.cagr == pytest.approx(np.prod(1.0 + run.net_return) - 1.0)
    deviation = run.net_return.std(ddof=1)
    assert sharpe_ratio(run.net_return) == pytest.approx(run.net_return.mean() / deviation * 52**0.5)
    assert np.isnan(sharpe_ratio(np.full(30, 0.001)))


def test_returns_before_costs_are_those_of_trades_that_cost_nothing() -> None:
    weeks, free = toy_weeks(30, 5), PortfolioConstraints(cost_bps=0.0)
    run = run_equal_weight(weeks, CONSTRAINTS)
    found = gross_return(run.net_return, run.turnover, CONSTRAINTS)
    np.testing.assert_allclose(found, run_equal_weight(weeks, free).net_return, atol=1e-15)


def test_break_even_cost_by_hand() -> None:
    """Columns: the yardstick; ahead by 1 % on 0.8 more traded; behind on as much; ahead without trading more."""
    gross = np.array([[0.02, 0.03, 0.01, 0.03]])
    turnover = np.array([[0.2, 1.0, 1.0, 0.2]])
    found = break_even_cost(gross, turnover, 0)
    expected = [np.log(1.03 / 1.02) / 0.8 * 10_000, np.log(1.01 / 1.02) / 0.8 * 10_000]  # 121.9 and -123.2
    np.testing.assert_allclose(found, [np.nan, *expected, np.nan])
