"""Figures of returns, by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from brain_assets.portfolio.arithmetic import TradingRules, all_cash, equal_weight
from brain_assets.portfolio.strategy import follow, run_strategy
from brain_assets.portfolio.trials import Trial
from brain_assets.report import metrics
from brain_assets.report.metrics import Estimate
from brain_assets_tests.portfolio.toy_markets import toy_weeks

UP_AND_DOWN = np.array([0.10, -0.50, 0.20, 0.25])
"""The value goes 1.1, 0.55, 0.66, 0.825."""


def noise(n_weeks: int, n_series: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.02, (n_weeks, n_series))


def test_annual_return_is_geometric() -> None:
    assert metrics.annual_return(np.full(10, 0.01)) == pytest.approx(1.01**52 - 1)
    assert metrics.annual_return(np.array([0.5, -1 / 3])) == pytest.approx(0.0)  # up by a half, back again
    assert metrics.annual_return(UP_AND_DOWN) == pytest.approx(0.825**13 - 1)


def test_volatility_and_sharpe_ratio() -> None:
    returns = np.array([0.03, 0.01, -0.01, 0.01])  # mean 0.01, squared deviations 4, 0, 4, 0 over 10,000
    deviation = math.sqrt(8e-4 / 3)
    assert metrics.volatility(returns) == pytest.approx(deviation * math.sqrt(52))
    assert metrics.sharpe_ratio(returns) == pytest.approx(0.01 / deviation * math.sqrt(52))


def test_returns_that_never_move_have_no_sharpe_ratio() -> None:
    both = metrics.sharpe_ratio(np.column_stack([np.full(30, 0.001), noise(30, 1)[:, 0]]))
    assert np.isnan(both[0])
    assert np.isfinite(both[1])


def test_drawdown_counts_from_the_highest_value_and_from_the_start() -> None:
    np.testing.assert_allclose(metrics.drawdowns(UP_AND_DOWN), [0.0, -0.5, 0.66 / 1.1 - 1, 0.825 / 1.1 - 1])
    assert metrics.max_drawdown(UP_AND_DOWN) == pytest.approx(0.5)
    assert metrics.max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(0.2)
    assert metrics.max_drawdown(np.array([0.1, 0.1])) == 0.0


def test_calmar_ratio() -> None:
    assert metrics.calmar_ratio(UP_AND_DOWN) == pytest.approx((0.825**13 - 1) / 0.5)
    assert math.isnan(metrics.calmar_ratio(np.array([0.1, 0.1])))


def test_turnover_and_cost_drag() -> None:
    turnover = np.array([1.0, 0.0, 0.5, 0.5])
    assert metrics.annual_turnover(turnover) == pytest.approx(26.0)
    net = np.array([0.999, 1.0, 0.9995, 0.9995]) - 1  # nothing but costs of 10 bps
    assert metrics.cost_drag(net, turnover, 10.0) == pytest.approx(1 - (0.999 * 0.9995**2) ** 13)
    assert metrics.cost_drag(net, turnover, 0.0) == 0.0


def test_cost_drag_is_what_a_backtest_without_costs_gains() -> None:
    weeks = toy_weeks(60, 4)
    rules, free = TradingRules(cost_bps=20.0, max_weight=0.5), TradingRules(cost_bps=0.0, max_weight=0.5)
    target = equal_weight(weeks.available, rules)
    paid, gross = (run_strategy(weeks, each, follow(target), all_cash(4)) for each in (rules, free))
    drag = metrics.cost_drag(paid.net_return, paid.turnover, 20.0)
    assert drag > 0.001
    assert drag == pytest.approx(gross.annual_growth - paid.annual_growth, rel=1e-9)


# Intervals


def test_an_interval_repeats_and_holds_its_figure() -> None:
    series = noise(104, 3, mean=0.002)
    first = metrics.estimates(series, metrics.sharpe_ratio)
    assert first == metrics.estimates(series, metrics.sharpe_ratio)
    assert len(first) == 3
    for found in first:
        assert found.low < found.value < found.high


def test_intervals_have_the_width_that_the_theory_gives_independent_weeks() -> None:
    [found] = metrics.mean_estimates(noise(520, 1))
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.02 / math.sqrt(520), rel=0.15)


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    truth = 0.002
    found = metrics.mean_estimates(noise(104, 100, truth))
    covered = sum(each.low <= truth <= each.high for each in found)
    assert 88 <= covered <= 100  # 95 are meant; fewer than 88 of 100 come once in 500 times


def test_blocks_are_longer_where_weeks_hang_together_and_so_are_intervals() -> None:
    shocks = noise(520, 1)[:, 0]
    together = np.array([shocks[max(0, week - 8) : week + 1].mean() for week in range(520)])
    assert metrics.block_length(together[:, None]) > 4 > metrics.block_length(shocks[:, None])
    [found] = metrics.mean_estimates(together[:, None])
    assert found.high - found.low > 1.5 * 2 * 1.96 * together.std() / math.sqrt(520)


def test_too_few_weeks_give_a_figure_without_an_interval() -> None:
    [found] = metrics.estimates(noise(25, 1, 0.01), lambda drawn: drawn.mean(axis=0))
    assert math.isfinite(found.value)
    assert not found.known
    assert not found.above_zero
    assert not found.below_zero


def test_weeks_without_a_value_are_left_out() -> None:
    values = noise(60, 2)
    holes = np.insert(values[:, 0], [0, 30, 60], np.nan)
    full = np.insert(values[:, 1], [0, 30, 60], 0.01)
    found = metrics.mean_estimates(np.column_stack([holes, full, np.full(63, np.nan)]))
    assert found[0] == metrics.mean_estimates(values[:, :1])[0]
    assert found[1].value == pytest.approx(full.mean())
    assert not found[2].known


def test_an_interval_lies_above_zero_below_it_or_over_it() -> None:
    assert [Estimate(2, 1, 3).above_zero, Estimate(2, -1, 3).above_zero] == [True, False]
    assert [Estimate(-2, -3, -1).below_zero, Estimate(-2, -3, 1).below_zero] == [True, False]


def test_differences_are_paired() -> None:
    """What moves two strategies alike cannot hide that one is always 10 bps ahead."""
    yardstick = noise(260, 1)[:, 0]
    found = metrics.performance(np.column_stack([yardstick, yardstick + 0.001, -yardstick]), yardstick=0)
    assert found.excess[0] == Estimate(0.0, 0.0, 0.0)
    growth = metrics.annual_return(yardstick)
    assert found.annual_return[0].value == pytest.approx(growth)
    assert found.excess[1].value == pytest.approx(metrics.annual_return(yardstick + 0.001) - growth)
    assert found.excess[1].above_zero
    assert not found.annual_return[1].above_zero
    assert found.sharpe[2].value == pytest.approx(-found.sharpe[0].value)
    assert not found.excess[2].above_zero


# After many trials


def test_probabilistic_sharpe_ratio_by_hand() -> None:
    returns = np.array([0.03, 0.01, -0.01, 0.01])  # skew 0, kurtosis 2, Sharpe ratio 0.01 / sqrt(8e-4 / 3)
    weekly = 0.01 / math.sqrt(8e-4 / 3)
    expected = norm.cdf(weekly * math.sqrt(3) / math.sqrt(1 + (2 - 1) / 4 * weekly**2))
    assert metrics.probabilistic_sharpe_ratio(returns) == pytest.approx(expected)


def test_deflated_sharpe_ratio_by_hand() -> None:
    returns = np.array([0.03, 0.01, -0.01, 0.01])
    weekly = 0.01 / math.sqrt(8e-4 / 3)
    trials = np.array([0.1, 0.3])  # standard deviation 0.1 * sqrt(2); euler's constant 0.5772
    best = 0.1 * math.sqrt(2) * ((1 - 0.57721566) * norm.ppf(1 / 2) + 0.57721566 * norm.ppf(1 - 1 / (2 * math.e)))
    expected = norm.cdf((weekly - best) * math.sqrt(3) / math.sqrt(1 + (2 - 1) / 4 * weekly**2))
    assert metrics.deflated_sharpe_ratio(returns, trials) == pytest.approx(expected, rel=1e-6)


def test_one_trial_deflates_nothing_and_more_deflate_more() -> None:
    returns = noise(520, 1, 0.001)[:, 0]
    random = np.random.default_rng(1).normal(0.0, 0.05, 100)
    one = metrics.deflated_sharpe_ratio(returns, random[:1])
    assert one == metrics.probabilistic_sharpe_ratio(returns)
    ten, hundred = (metrics.deflated_sharpe_ratio(returns, random[:count]) for count in (10, 100))
    assert one > ten > hundred
    assert math.isnan(metrics.deflated_sharpe_ratio(returns, np.empty(0)))


def trial(returns: np.ndarray, configuration: str = "a", family: str = "ppo") -> Trial:
    mean, std = float(returns.mean()), float(returns.std(ddof=1))
    return Trial(family=family, configuration=configuration, year=2020, n_weeks=len(returns), mean=mean, std=std)


def test_years_of_a_configuration_are_one_trial() -> None:
    first, second = noise(52, 1, 0.01, 1)[:, 0], noise(40, 1, -0.02, 2)[:, 0]
    found = metrics.weekly_sharpe_ratios(
        [trial(first), trial(second, "b"), trial(second), trial(first, family="sac"), trial(np.zeros(5), "cash")]
    )
    both = np.concatenate([first, second])
    np.testing.assert_allclose(
        found,
        [
            both.mean() / both.std(ddof=1),
            second.mean() / second.std(ddof=1),
            first.mean() / first.std(ddof=1),
            0.0,
        ],
    )
    one = trial(first).replace(n_weeks=1, mean=0.01, std=9.0)  # of one week there is no deviation
    assert metrics.weekly_sharpe_ratios([one]).tolist() == [0.0]
    assert len(metrics.weekly_sharpe_ratios([one.replace(n_weeks=0)])) == 0
