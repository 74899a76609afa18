import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.errors import BrainAssetsError
from brain_assets.portfolio.arithmetic import (
    PortfolioConstraints,
    all_cash,
    equal_weight,
    project,
    step,
    target_weights,
    trade_toward,
)

CONSTRAINTS = PortfolioConstraints()


def project_by_bisection(values: np.ndarray, available: np.ndarray, rules: PortfolioConstraints) -> np.ndarray:
    """The slow reference: bisect tau in w = clip(v - tau, lower, upper) until the sum is 1."""
    lower = np.append(np.zeros(len(available)), rules.min_cash)
    upper = np.append(rules.max_weight * available, np.inf)
    low, high = values.min() - 2.0, values.max() + 2.0
    for _ in range(200):
        tau = 0.5 * (low + high)
        if np.clip(values - tau, lower, upper).sum() > 1.0:
            low = tau
        else:
            high = tau
    return np.clip(values - tau, lower, upper)


@pytest.mark.parametrize(
    ("values", "available", "expected"),
    [
        # Obeys already: unchanged.
        ([0.2, 0.15, 0.1, 0.55], [1, 1, 1], [0.2, 0.15, 0.1, 0.55]),
        # One above the cap by 0.15: the others, cash included, share it equally.
        ([0.35, 0.05, 0.05, 0.55], [1, 1, 1], [0.2, 0.1, 0.1, 0.6]),
        # Unavailable: its 0.15 goes equally to the three others.
        ([0.15, 0.05, 0.1, 0.7], [0, 1, 1], [0.0, 0.1, 0.15, 0.75]),
        # Nothing available: all cash, whatever the scores said.
        ([0.4, 0.3, 0.3, 0.0], [0, 0, 0], [0.0, 0.0, 0.0, 1.0]),
        # Six at 1/6 and no cash: each gives a sixth of the 2 %.
        ([1 / 6] * 6 + [0.0], [1] * 6, [0.98 / 6] * 6 + [0.02]),
        # Cash at its floor and five at the cap are worth 1.02: the fifth, smallest, gives way.
        ([9.0, 9.0, 9.0, 9.0, 8.0, 0.0], [1] * 5, [0.2, 0.2, 0.2, 0.2, 0.18, 0.02]),
    ],
)
def test_projection_by_hand(values: list[float], available: list[int], expected: list[float]) -> None:
    got = project(np.array(values), np.array(available, dtype=bool), CONSTRAINTS)
    np.testing.assert_allclose(got, expected, atol=1e-14)


@st.composite
def projection_inputs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, PortfolioConstraints]:
    n_assets = draw(st.integers(1, 25))
    number = st.one_of(st.floats(-2.0, 2.0), st.sampled_from([0.0, 0.02, 0.2, 1.0 / n_assets]))
    values = draw(st.lists(number, min_size=n_assets + 1, max_size=n_assets + 1))
    available = draw(st.lists(st.booleans(), min_size=n_assets, max_size=n_assets))
    rules = PortfolioConstraints(min_cash=draw(st.floats(0.0, 0.9)), max_weight=draw(st.floats(0.01, 1.0)))
    return np.array(values), np.array(available), rules


@settings(max_examples=100, deadline=None, derandomize=True)
@given(projection_inputs())
def test_projection_obeys_the_rules_and_is_the_nearest(
    inputs: tuple[np.ndarray, np.ndarray, PortfolioConstraints],
) -> None:
    values, available, rules = inputs
    got = project(values, available, rules)
    assert got.sum() == pytest.approx(1.0, abs=1e-12)
    assert got.min() >= 0.0
    assert got[-1] >= rules.min_cash
    assert np.all(got[:-1] <= rules.max_weight)
    assert np.all(got[:-1][~available] == 0.0)
    np.testing.assert_allclose(got, project_by_bisection(values, available, rules), atol=1e-12)
    np.testing.assert_allclose(project(got, available, rules), got, atol=1e-14)


def test_target_weights_by_hand() -> None:
    # exp: 2, 1, (unavailable), 1 of cash: 0.5, 0.25, 0, 0.25; a cap of 0.4 moves 0.1, half to each of the others.
    rules = PortfolioConstraints(max_weight=0.4)
    scores = np.array([np.log(2.0), 0.0, 50.0, 0.0])
    got = target_weights(scores, np.array([True, True, False]), rules)
    np.testing.assert_allclose(got, [0.4, 0.3, 0.0, 0.3], atol=1e-14)
    np.testing.assert_allclose(target_weights(scores + 700.0, np.array([True, True, False]), rules), got, atol=1e-13)
    with pytest.raises(BrainAssetsError, match="expected finite"):
        target_weights(np.array([[0.0, 0.0], [np.nan, 0.0]]), np.array([True]), CONSTRAINTS)


def test_step_by_hand() -> None:
    # $100: 50 in A, 30 in B, 20 cash. At the open A is +10 % (55), B -20 % (24): worth 99.
    # Targets 0.2 and 0.3 of it: turnover |0.2 - 55/99| + |0.3 - 24/99|; at 100 bps, 1 % of that is paid.
    # The week: A +50 %, B -10 %: 1 + 0.1 - 0.03 = 1.07.
    held, pre_open_return = np.array([0.5, 0.3, 0.2]), np.array([0.1, -0.2])
    target, weekly_return = np.array([0.2, 0.3, 0.5]), np.array([0.5, -0.1])
    got = step(held, pre_open_return, target, weekly_return, PortfolioConstraints(cost_bps=100.0))
    turnover = (55 / 99 - 0.2) + (0.3 - 24 / 99)
    assert got.turnover == pytest.approx(turnover, abs=1e-15)
    assert got.net_return == pytest.approx(0.99 * (1 - 0.01 * turnover) * 1.07 - 1, abs=1e-15)
    np.testing.assert_allclose(got.held_after, [0.3 / 1.07, 0.27 / 1.07, 0.5 / 1.07], atol=1e-15)


def test_whatever_is_held_the_rules_are_kept_and_a_row_does_not_depend_on_the_others() -> None:
    """Held above the cap, no longer available, less cash than the rules ask, or nothing but cash."""
    random = np.random.default_rng(1)
    held = random.dirichlet(0.3 * np.ones(9), 200)
    held[::7] = all_cash(8)
    available = random.random((200, 8)) > 0.3
    target = target_weights(3 * random.normal(size=(200, 9)), available, CONSTRAINTS)
    traded = trade_toward(held, target, available, 0.2, CONSTRAINTS)
    np.testing.assert_allclose(traded.sum(axis=1), 1.0)
    assert np.all(traded[:, :-1][~available] == 0.0)
    assert traded.min() >= 0.0
    assert traded[:, :-1].max() <= CONSTRAINTS.max_weight
    assert traded[:, -1].min() >= CONSTRAINTS.min_cash
    for row in range(200):
        alone = trade_toward(held[row], target[row], available[row], 0.2, CONSTRAINTS)
        np.testing.assert_array_equal(traded[row], alone)
    started = 0.8 * equal_weight(available[0], CONSTRAINTS) + 0.2 * target[0]
    np.testing.assert_allclose(traded[0], started)
