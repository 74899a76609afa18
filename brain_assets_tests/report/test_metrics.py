"""Figures of returns, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.strategy import annual_return
from brain_assets.report import metrics
from brain_assets.report.metrics import Estimate

UP_AND_DOWN = np.array([0.10, -0.50, 0.20, 0.25])
"""The value goes 1.1, 0.55, 0.66, 0.825."""
FEW = np.array([0.03, 0.01, -0.01, 0.01])
"""Mean 0.01, squared deviations 4, 0, 4, 0 over 10,000; skew 0, kurtosis 2."""
DEVIATION = math.sqrt(8e-4 / 3)


def noise(n_weeks: int, n_series: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.02, (n_weeks, n_series))


def measured(
    net: np.ndarray, turnover: np.ndarray | float = 0.0, cost_bps: float = 10.0, ratios=(), n_tuned: int = 0
) -> pd.Series:
    returns = pd.DataFrame({"net": net})
    traded, rules = pd.DataFrame({"net": np.broadcast_to(turnover, len(net))}), PortfolioConstraints(cost_bps=cost_bps)
    return metrics.measure(returns, traded, "net", rules, np.array(ratios), n_tuned).loc["net"]


def mean_of(series: np.ndarray) -> list[Estimate]:
    return [Estimate(*row) for row in metrics.mean_estimates(pd.DataFrame(series)).to_numpy()]


def test_figures_of_returns_by_hand() -> None:
    assert annual_return(np.array([0.5, -1 / 3])) == pytest.approx(0.0)  # up by a half, back again
    assert annual_return(UP_AND_DOWN) == pytest.approx(0.825**13 - 1)
    few = measured(FEW)
    assert few["volatility"] == pytest.approx(DEVIATION * math.sqrt(52))
    assert few["sharpe"].value == pytest.approx(0.01 / DEVIATION * math.sqrt(52))
    below = metrics.drawdowns(pd.DataFrame(UP_AND_DOWN))[0]
    np.testing.assert_allclose(below, [0.0, -0.5, 0.66 / 1.1 - 1, 0.825 / 1.1 - 1])
    found = measured(UP_AND_DOWN)
    assert found["max_drawdown"] == pytest.approx(0.5)
    assert found["calmar"] == pytest.approx((0.825**13 - 1) / 0.5)
    assert measured(np.array([-0.2, 0.1]))["max_drawdown"] == pytest.approx(0.2)  # the start counts
    rising = measured(np.array([0.1, 0.1]))
    assert str(rising["max_drawdown"]) == "0.0"  # no minus before it
    assert math.isnan(rising["calmar"])
    turnover = np.array([1.0, 0.0, 0.5, 0.5])
    net = np.array([0.999, 1.0, 0.9995, 0.9995]) - 1  # nothing but costs of 10 bps
    assert measured(net, turnover)["turnover"] == pytest.approx(26.0)
    assert measured(net, turnover)["cost_drag"] == pytest.approx(1 - (0.999 * 0.9995**2) ** 13)
    assert measured(net, turnover, 0.0)["cost_drag"] == 0.0


# Intervals


def test_intervals_repeat_and_cover_the_truth_as_often_as_they_say() -> None:
    series, truth = noise(104, 100, 0.002), 0.002
    first = mean_of(series)
    assert first == mean_of(series)
    assert all(found.low < found.value < found.high for found in first)
    covered = sum(each.low <= truth <= each.high for each in first)
    assert 88 <= covered <= 100  # 95 are meant; fewer than 88 of 100 come once in 500 times


def test_blocks_are_longer_where_weeks_hang_together_and_so_are_intervals() -> None:
    shocks = noise(520, 1)[:, 0]
    together = np.array([shocks[max(0, week - 8) : week + 1].mean() for week in range(520)])
    assert metrics.block_length(together[:, None]) > 4 > metrics.block_length(shocks[:, None])
    [found] = mean_of(together[:, None])
    assert found.high - found.low > 1.5 * 2 * 1.96 * together.std() / math.sqrt(520)


def test_weeks_without_a_value_are_left_out() -> None:
    values = noise(60, 2)
    holes = np.insert(values[:, 0], [0, 30, 60], np.nan)
    full = np.insert(values[:, 1], [0, 30, 60], 0.01)
    found = mean_of(np.column_stack([holes, full, np.full(63, np.nan)]))
    assert found[0] == mean_of(values[:, :1])[0]
    assert found[1].value == pytest.approx(full.mean())
    assert not found[2].known
    [few] = mean_of(noise(25, 1, 0.01))  # weeks, too few for an interval
    assert math.isfinite(few.value)
    assert (few.known, few.side) == (False, 0)


def test_differences_are_paired() -> None:
    """What moves two strategies alike cannot hide that one is always 10 bps ahead."""
    yardstick = noise(260, 1)[:, 0]
    returns = pd.DataFrame({"yardstick": yardstick, "ahead": yardstick + 0.001, "against": -yardstick})
    found = metrics.measure(returns, returns * 0.0, "yardstick", PortfolioConstraints(), np.empty(0), 0)
    assert found["active_return"]["yardstick"] == Estimate(0.0, 0.0, 0.0)
    growth = annual_return(yardstick)
    assert found["annual_return"]["yardstick"].value == pytest.approx(growth)
    assert found["active_return"]["ahead"].value == pytest.approx(annual_return(yardstick + 0.001) - growth)
    assert (found["active_return"]["ahead"].side, found["annual_return"]["ahead"].side) == (1, 0)
    assert found["sharpe"]["against"].value == pytest.approx(-found["sharpe"]["yardstick"].value)
    assert found["active_return"]["against"].side < 1


def test_what_is_earned_before_costs_and_what_a_trade_may_cost() -> None:
    """Ahead by 30 bps a week before costs, and trading a whole value more: a dollar may cost 30 bps."""
    gross = np.exp(noise(260, 1)[:, 0]) - 1.0
    turnover = pd.DataFrame({"yardstick": np.full(260, 0.5), "ahead": np.full(260, 1.5)})
    before = pd.DataFrame({"yardstick": gross, "ahead": (1.0 + gross) * math.exp(0.003) - 1.0})
    net = (1.0 + before) * (1.0 - turnover * 0.001) - 1.0
    found = metrics.measure(net, turnover, "yardstick", PortfolioConstraints(cost_bps=10.0), np.empty(0), 0)
    ahead = found.loc["ahead"]
    assert ahead["gross_active_return"].value == pytest.approx(np.diff(annual_return(before.to_numpy()))[0])
    assert ahead["gross_active_return"].value > ahead["active_return"].value > 0
    assert ahead["break_even"] == pytest.approx((30.0, 30.0, 30.0))  # whatever weeks are drawn
    assert found["gross_active_return"]["yardstick"] == Estimate(0.0, 0.0, 0.0)
    assert math.isnan(found["break_even"]["yardstick"].value)


# After many trials


@pytest.mark.parametrize(
    ("ratios", "column", "best"),
    [
        ((), "probabilistic_sharpe", 0.0),
        (  # standard deviation of the trials 0.1 * sqrt(2); euler's constant 0.5772
            (0.1, 0.3),
            "deflated_sharpe",
            0.1 * math.sqrt(2) * ((1 - 0.57721566) * norm.ppf(1 / 2) + 0.57721566 * norm.ppf(1 - 1 / (2 * math.e))),
        ),
    ],
)
def test_probabilistic_and_deflated_sharpe_ratio_by_hand(ratios: tuple[float, ...], column: str, best: float) -> None:
    weekly = 0.01 / DEVIATION
    expected = norm.cdf((weekly - best) * math.sqrt(3) / math.sqrt(1 + (2 - 1) / 4 * weekly**2))
    assert measured(FEW, ratios=ratios)[column] == pytest.approx(expected, rel=1e-6)


def test_what_chose_the_defaults_counts_as_what_is_recorded() -> None:
    """Two recorded trials say how far trials lie apart; one alone leaves that to chance."""
    returns = noise(520, 1, 0.001)[:, 0]
    none, one = (measured(returns, ratios=ratios) for ratios in ((), (0.02,)))
    assert math.isnan(none["deflated_sharpe"])
    assert one["deflated_sharpe"] == one["probabilistic_sharpe"]
    best = (1 - 0.57721566) * norm.ppf(1 - 1 / 100) + 0.57721566 * norm.ppf(1 - 1 / (100 * math.e))
    weekly = returns.mean() / returns.std(ddof=1)
    for ratios, apart in (((0.02, 0.05), 0.03 / math.sqrt(2)), ((0.02,), 1 / math.sqrt(520))):
        found = measured(returns, ratios=ratios, n_tuned=100 - len(ratios))["deflated_sharpe"]
        assert found == pytest.approx(norm.cdf((weekly - apart * best) * math.sqrt(519)), abs=0.01)
