import numpy as np
import torch

from brain_assets.portfolio import differentiable
from brain_assets.portfolio.arithmetic import PortfolioConstraints, all_cash, project, target_weights, trade_toward
from brain_assets.portfolio.dataset import ObservationBuilder, fit_observation_scaler
from brain_assets.portfolio.training import traded_weights
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()


def random_scores(n_rows: int, n_assets: int, std: float) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.normal(0.0, std, (n_rows, n_assets + 1)).astype(np.float32))
    return scores, torch.from_numpy(random.random((n_rows, n_assets)) > 0.2)


def test_weights_are_those_that_the_market_trades_to_to_the_bit() -> None:
    random = np.random.default_rng(0)
    weights, available = random.dirichlet(np.full(9, 0.4), size=50), random.random((50, 8)) > 0.2
    found = differentiable.project(torch.from_numpy(weights), torch.from_numpy(available), CONSTRAINTS).numpy()
    np.testing.assert_array_equal(found, project(weights, available, CONSTRAINTS))
    assert {0.0, 0.2} <= set(found.ravel())


def test_weights_have_the_derivatives_of_finite_differences() -> None:
    """At scores of which some weights are at the cap, some at 0 because unavailable, and cash is at its floor."""
    scores, available = random_scores(40, 6, 1.5)
    worth = torch.from_numpy(np.random.default_rng(1).normal(size=7).astype(np.float32))
    scores.requires_grad_()
    (differentiable.target_weights(scores, available, CONSTRAINTS) @ worth).sum().backward()
    base = scores.detach().numpy().astype(np.float64)
    n_capped = (target_weights(base, available.numpy(), CONSTRAINTS)[:, :-1] == CONSTRAINTS.max_weight).sum()
    assert 20 < n_capped < 200
    wanted = np.empty(base.shape)
    for column in range(7):
        moved = []
        for step in (1e-6, -1e-6):
            changed = base.copy()
            changed[:, column] += step
            moved.append(target_weights(changed, available.numpy(), CONSTRAINTS) @ worth.numpy().astype(np.float64))
        wanted[:, column] = (moved[0] - moved[1]) / 2e-6
    assert scores.grad is not None
    np.testing.assert_allclose(scores.grad.numpy(), wanted, atol=1e-4)


def test_what_the_critics_of_sac_see_is_what_is_traded_with_its_derivative() -> None:
    weeks = toy_weeks(30, 5)
    weeks.available[::3, 1] = False
    random, rate = np.random.default_rng(2), 0.3
    builder = ObservationBuilder(weeks, fit_observation_scaler(weeks), CONSTRAINTS, 0.3)
    held = random.dirichlet(np.ones(6), 30)
    held[0] = all_cash(5)
    target = target_weights(random.normal(size=(30, 6)), weeks.available, CONSTRAINTS)
    seen = torch.from_numpy(builder.build(np.arange(30), held))
    asked = torch.from_numpy(target.astype(np.float32)).requires_grad_()
    traded = traded_weights(asked, seen, torch.from_numpy(weeks.available), rate, CONSTRAINTS)
    expected = trade_toward(held, target, weeks.available, rate, CONSTRAINTS)
    np.testing.assert_allclose(traded.detach().numpy(), expected, atol=1e-6)
    traded[:, 0].sum().backward()
    assert asked.grad is not None
    np.testing.assert_allclose(asked.grad.numpy(), np.tile([rate, 0, 0, 0, 0, 0], (30, 1)))
