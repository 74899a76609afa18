"""Rules for more assets than weeks, beside what they are for few."""

import numpy as np
import pytest

from brain_assets.errors import BrainAssetsError
from brain_assets.market.weekly import PAST_WEEKS
from brain_assets.portfolio.arithmetic import TradingRules, all_cash
from brain_assets.portfolio.baselines import BASELINES, BaselineInputs
from brain_assets.portfolio.many_assets import MANY_ASSETS, hierarchical_risk_parity, minimum_variance
from brain_assets_tests.portfolio.toy_markets import toy_weeks

N_MANY = MANY_ASSETS + 1


def past_of(n_assets: int) -> np.ndarray:
    """Returns with a market, five sectors, and more or less of their own."""
    random = np.random.default_rng(3)
    factor = random.normal(0.0, 0.02, (PAST_WEEKS, 6))
    own = random.normal(0.0, 0.03, (PAST_WEEKS, n_assets)) * random.uniform(0.5, 1.5, n_assets)
    return factor[:, :1] + factor[:, 1 + np.arange(n_assets) % 5] + own


def test_minimum_variance_meets_the_conditions_of_a_minimum() -> None:
    """At a minimum the covariance with the portfolio is the same for all assets that could be held more or less.

    It is larger for those that are not held, and smaller for those at their cap (Karush, Kuhn and Tucker).
    """
    from sklearn.covariance import ledoit_wolf

    past, cap = past_of(N_MANY), 0.06
    weights = minimum_variance(past, 0.98, cap)
    assert weights.sum() == pytest.approx(0.98)
    assert weights.min() > -1e-7
    assert weights.max() < cap + 1e-7
    covariance = ledoit_wolf(past)[0] @ weights
    none, full = weights < 1e-6, weights > cap - 1e-6
    between = ~none & ~full
    assert min(none.sum(), full.sum(), between.sum()) > 2
    level = covariance[between].mean()
    np.testing.assert_allclose(covariance[between], level, rtol=1e-4)
    assert covariance[none].min() > level * (1 - 1e-4)
    assert covariance[full].max() < level * (1 + 1e-4)


def test_minimum_variance_is_what_skfolio_finds() -> None:
    from skfolio.moments import LedoitWolf
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    past = past_of(N_MANY)
    model = MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=LedoitWolf()), max_weights=0.2, budget=0.98)
    np.testing.assert_allclose(minimum_variance(past, 0.98, 0.2), model.fit(past).weights_, atol=2e-4)


def test_minimum_variance_that_cannot_be_is_one_sentence() -> None:
    with pytest.raises(
        BrainAssetsError, match=r"that sum to 2, each at most 0\.01, got a problem that is infeasible; check"
    ):
        minimum_variance(past_of(N_MANY), 2.0, 0.01)


def test_risk_parity_of_two_pairs_by_hand() -> None:
    """Two pairs of twins, the second pair twice as volatile; the pairs, and who is who in a pair, do not matter.

    Within a pair each gets half; between the pairs the variances are 1 and 4, so that four fifths go to the calmer.
    """
    calm, wild = np.array([1.0, -1.0, 1.0, -1.0]), np.array([2.0, 2.0, -2.0, -2.0])
    past = np.stack([calm, wild, calm, wild], axis=1) * 0.01
    np.testing.assert_allclose(hierarchical_risk_parity(past), [0.4, 0.1, 0.4, 0.1])


def test_risk_parity_is_what_skfolio_calls_so_but_for_the_order_of_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.cluster.hierarchy
    from skfolio.optimization import HierarchicalRiskParity

    past = past_of(N_MANY)
    assert np.abs(hierarchical_risk_parity(past) - HierarchicalRiskParity().fit(past).weights_).max() > 1e-4
    monkeypatch.setattr(scipy.cluster.hierarchy, "optimal_leaf_ordering", lambda tree, distances: tree)
    np.testing.assert_allclose(hierarchical_risk_parity(past), HierarchicalRiskParity().fit(past).weights_, rtol=1e-9)


@pytest.mark.parametrize("name", ["min_variance", "risk_parity"])
def test_the_rules_come_here_with_one_asset_more_than_many(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = TradingRules(min_cash=0.02, max_weight=0.2)
    weights = {}
    for n_assets in (MANY_ASSETS, N_MANY):
        weeks, past = toy_weeks(1, n_assets), past_of(n_assets)
        choose = BASELINES[name].rule(BaselineInputs(weeks, {}, past[None]), rules)
        weights[n_assets] = choose(0, all_cash(n_assets))
        assert weights[n_assets].sum() == pytest.approx(1.0)
        assert weights[n_assets][-1] == pytest.approx(0.02, abs=1e-6)
    past = past_of(N_MANY)
    expected = minimum_variance(past, 0.98, 0.2) if name == "min_variance" else 0.98 * hierarchical_risk_parity(past)
    np.testing.assert_allclose(weights[N_MANY][:-1], expected, atol=1e-7)
    for function in ("minimum_variance", "hierarchical_risk_parity"):
        monkeypatch.delattr(f"brain_assets.portfolio.many_assets.{function}")
    choose = BASELINES[name].rule(BaselineInputs(toy_weeks(1, MANY_ASSETS), {}, past_of(MANY_ASSETS)[None]), rules)
    np.testing.assert_array_equal(choose(0, all_cash(MANY_ASSETS)), weights[MANY_ASSETS])
