"""Rules without learning, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from brain_assets.market.weekly import PAST_WEEKS
from brain_assets.portfolio.arithmetic import PortfolioConstraints, all_cash
from brain_assets.portfolio.baselines import BaselineInputs, benchmark_strategies, forecast_top_third
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.strategy import run_strategy
from brain_assets_tests.portfolio.toy_markets import toy_weeks

STRATEGIES = benchmark_strategies(["lstm", "patchtst"])
CONSTRAINTS = PortfolioConstraints(min_cash=0.02, max_weight=0.5, cost_bps=10.0)


def known(weeks: PolicyDataset, past: np.ndarray | None = None) -> BaselineInputs:
    if past is None:
        past = np.random.default_rng(0).normal(0.0, 0.02, (len(weeks), PAST_WEEKS, weeks.n_assets))
    return BaselineInputs(weeks, {"lstm": weeks.forecast, "patchtst": -weeks.forecast}, past)


@pytest.fixture
def weeks() -> PolicyDataset:
    return toy_weeks(30, 6)


def chosen(name: str, seen: BaselineInputs, week: int = 0) -> np.ndarray:
    return STRATEGIES[name].rule(seen, CONSTRAINTS)(week, all_cash(seen.weeks.n_assets))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_rule_keeps_the_trading_rules_in_every_week(name: str, weeks: PolicyDataset) -> None:
    available = weeks.available.copy()
    available[10:, 0] = False
    available[20:, 1:4] = False
    available[25:] = False
    seen = known(replace(weeks, available=available))
    run = run_strategy(seen.weeks, CONSTRAINTS, STRATEGIES[name].rule(seen, CONSTRAINTS))
    np.testing.assert_allclose(run.weights.sum(axis=1), 1.0, atol=1e-12)
    assert (run.weights[:, -1] >= CONSTRAINTS.min_cash - 1e-12).all()
    assert (run.weights[:, :-1] <= CONSTRAINTS.max_weight + 1e-12).all()
    assert (run.weights >= 0).all()
    assert not run.weights[:, :-1][~available].any()
    np.testing.assert_allclose(run.weights[25:, -1], 1.0)
    assert (run.weights[:20, :-1].sum(axis=1) > 0.5).all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_rule_sees_the_week_or_what_comes_after(name: str, weeks: PolicyDataset) -> None:
    seen = known(weeks)
    later = np.arange(len(weeks)) > 15
    # an order to trade nothing is given before the open, and comes to other weights if the open is another
    not_yet = later if name == "buy_and_hold" else np.arange(len(weeks)) >= 15
    changed = replace(
        weeks,
        forecast=np.where(later[:, None], -weeks.forecast, weeks.forecast),
        momentum=np.where(later[:, None], -weeks.momentum, weeks.momentum),
        weekly_return=np.where(later[:, None] | (np.arange(len(weeks)) == 15)[:, None], 0.5, weeks.weekly_return),
        pre_open_return=np.where(not_yet[:, None], 0.1, weeks.pre_open_return),
    )
    past = np.where(later[:, None, None], seen.past_returns * 3 + 0.01, seen.past_returns)
    first = run_strategy(weeks, CONSTRAINTS, STRATEGIES[name].rule(seen, CONSTRAINTS))
    second = run_strategy(changed, CONSTRAINTS, STRATEGIES[name].rule(known(changed, past), CONSTRAINTS))
    np.testing.assert_array_equal(first.weights[:16], second.weights[:16])


def test_top_third_holds_two_of_six_and_the_better_half_of_what_is_left(weeks: PolicyDataset) -> None:
    momentum = np.tile([0.1, 0.5, 0.2, 0.6, 0.3, 0.4], (30, 1))
    available = np.ones((30, 6), dtype=np.bool_)
    available[1, 3] = False  # five are left: a third is two, rounded up
    seen = known(replace(weeks, momentum=momentum, available=available))
    np.testing.assert_allclose(chosen("momentum_top", seen), [0, 0.49, 0, 0.49, 0, 0, 0.02])
    np.testing.assert_allclose(chosen("momentum_top", seen, 1), [0, 0.49, 0, 0, 0, 0.49, 0.02])
    by_lstm = forecast_top_third("lstm")(seen, CONSTRAINTS)(0, all_cash(6))
    by_patchtst = forecast_top_third("patchtst")(seen, CONSTRAINTS)(0, all_cash(6))
    order = np.argsort(weeks.forecast[0])
    assert set(np.flatnonzero(by_lstm[:-1])) == set(order[-2:])
    assert set(np.flatnonzero(by_patchtst[:-1])) == set(order[:2])


def test_top_thirds_by_what_was_known_of_the_past_by_hand(weeks: PolicyDataset) -> None:
    past = np.zeros((30, PAST_WEEKS, 6))
    past[:, :, 0] = 0.01  # the best year
    past[:, -4:, 1] = 0.5  # only in the last month: it does not count
    past[:, 0, 2] = 0.1  # a single week 52 weeks ago
    past[:, -1] = [0.01, 0.5, -0.2, 0.0, -0.1, 0.0]
    past[1, 7, 0] = np.nan
    past[1, -1, 4] = np.nan
    seen = known(replace(weeks, available=np.ones((30, 6), dtype=np.bool_)), past)
    np.testing.assert_allclose(chosen("past_year_top", seen), [0.49, 0, 0.49, 0, 0, 0, 0.02])
    np.testing.assert_allclose(chosen("reversal_top", seen), [0, 0, 0.49, 0, 0.49, 0, 0.02])
    np.testing.assert_allclose(chosen("past_year_top", seen, 1), [0, 0.49, 0.49, 0, 0, 0, 0.02])  # a week is not known
    np.testing.assert_allclose(chosen("reversal_top", seen, 1), [0, 0, 0.49, 0.49, 0, 0, 0.02])


def test_buy_and_hold_trades_once_and_then_lets_prices_move_its_weights() -> None:
    weeks = toy_weeks(8, 6)
    free = PortfolioConstraints(min_cash=0.0, max_weight=1.0, cost_bps=10.0)
    run = run_strategy(weeks, free, STRATEGIES["buy_and_hold"].rule(known(weeks), free))
    assert run.turnover[0] == pytest.approx(1.0)
    np.testing.assert_allclose(run.turnover[1:], 0.0, atol=1e-12)
    grown = np.prod(1 + weeks.weekly_return, axis=0) * np.prod(1 + weeks.pre_open_return[1:], axis=0)
    assert np.prod(1 + run.net_return) == pytest.approx(0.999 * grown.mean())


def test_minimum_variance_weighs_independent_assets_by_the_inverse_of_their_variances(weeks: PolicyDataset) -> None:
    """With a diagonal covariance the weights are proportional to 1 / variance; the columns are made orthogonal."""
    columns = np.linalg.qr(np.random.default_rng(1).normal(size=(PAST_WEEKS, 7)))[0][:, 1:]
    columns -= columns.mean(axis=0)
    columns = np.linalg.qr(columns)[0]
    deviations = np.array([0.01, 0.012, 0.014, 0.03, 0.035, 0.04])
    past = np.tile(columns * deviations * np.sqrt(PAST_WEEKS), (30, 1, 1))
    weights = chosen("min_variance", known(weeks, past))[:-1]
    exact = 0.98 * deviations**-2.0 / (deviations**-2.0).sum()
    shrunk = np.full(6, 0.98 / 6)  # shrinkage is toward equal variances: between the two
    assert ((weights - shrunk) * (exact - shrunk) >= -1e-6).all()
    assert (np.diff(weights) < 0).all()


@pytest.mark.parametrize("n_assets", [2, 3, 25, 120])
def test_hierarchical_risk_parity_is_what_skfolio_calls_so(n_assets: int) -> None:
    from skfolio.optimization import HierarchicalRiskParity

    rules = PortfolioConstraints(min_cash=0.02, max_weight=1.0)
    random = np.random.default_rng(4)
    past = random.normal(0.0, 0.01, (3, PAST_WEEKS, n_assets)) + random.normal(0.0, 0.01, (3, PAST_WEEKS, 1))
    choose = STRATEGIES["risk_parity"].rule(known(toy_weeks(3, n_assets), past), rules)
    for week in range(3):
        expected = 0.98 * HierarchicalRiskParity().fit(past[week]).weights_
        np.testing.assert_allclose(choose(week, all_cash(n_assets))[:-1], expected, atol=1e-12)


@pytest.mark.parametrize("name", ["min_variance", "risk_parity"])
def test_what_has_no_past_is_not_held(name: str, weeks: PolicyDataset) -> None:
    seen = known(weeks)
    seen.past_returns[0, 5, 2] = np.nan  # one return is not known
    seen.past_returns[0, :, 3] = 0.0  # never moved
    weights = chosen(name, seen)
    assert weights[2] == weights[3] == 0
    assert (weights[[0, 1, 4, 5]] > 0).all()
    seen.past_returns[1, :, 1:] = np.nan
    np.testing.assert_allclose(chosen(name, seen, 1), [0.5, 0, 0, 0, 0, 0, 0.5])
    seen.past_returns[2] = np.nan
    np.testing.assert_allclose(chosen(name, seen, 2), [0, 0, 0, 0, 0, 0, 1.0])


def test_names_are_short_enough_for_a_column_of_the_ui() -> None:
    assert max(len(f"eval/{name}_mean_turnover") for name in STRATEGIES) <= 32
