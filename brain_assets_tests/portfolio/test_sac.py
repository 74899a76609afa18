import numpy as np
import pytest
import torch

from brain_assets.portfolio import differentiable
from brain_assets.portfolio.arithmetic import PortfolioConstraints, target_weights

CONSTRAINTS = PortfolioConstraints()


def random_scores(n_rows: int, n_assets: int, std: float) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.normal(0.0, std, (n_rows, n_assets + 1)).astype(np.float32))
    return scores, torch.from_numpy(random.random((n_rows, n_assets)) > 0.2)


@pytest.mark.parametrize("std", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("n_assets", [1, 5, 20])
def test_critics_see_the_weights_that_the_market_trades_to(n_assets: int, std: float) -> None:
    scores, available = random_scores(200, n_assets, std)
    expected = target_weights(scores.numpy(), available.numpy(), CONSTRAINTS)
    np.testing.assert_allclose(
        differentiable.target_weights(scores, available, CONSTRAINTS).numpy(), expected, atol=1e-6
    )


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
