import numpy as np
import pytest
import torch

from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import TradingRules, target_weights
from brain_assets.portfolio.sac import SacConfig
from brain_assets.portfolio.sb3_sac import tradable_weights
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets_tests.portfolio.test_training import act, fit
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()


def random_scores(n_rows: int, n_assets: int, std: float) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    scores = torch.from_numpy(random.normal(0.0, std, (n_rows, n_assets + 1)).astype(np.float32))
    return scores, torch.from_numpy(random.random((n_rows, n_assets)) > 0.2)


@pytest.mark.parametrize("std", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("n_assets", [1, 5, 20])
def test_critics_see_the_weights_that_the_market_trades_to(n_assets: int, std: float) -> None:
    scores, available = random_scores(200, n_assets, std)
    expected = target_weights(scores.numpy(), available.numpy(), RULES)
    np.testing.assert_allclose(tradable_weights(scores, available, RULES).numpy(), expected, atol=1e-6)


def test_weights_have_the_derivatives_of_finite_differences() -> None:
    """At scores of which some weights are at the cap, some at 0 because unavailable, and cash is at its floor."""
    scores, available = random_scores(40, 6, 1.5)
    worth = torch.from_numpy(np.random.default_rng(1).normal(size=7).astype(np.float32))
    scores.requires_grad_()
    (tradable_weights(scores, available, RULES) @ worth).sum().backward()
    base = scores.detach().numpy().astype(np.float64)
    n_capped = (target_weights(base, available.numpy(), RULES)[:, :-1] == RULES.max_weight).sum()
    assert 20 < n_capped < 200
    wanted = np.empty(base.shape)
    for column in range(7):
        moved = []
        for step in (1e-6, -1e-6):
            changed = base.copy()
            changed[:, column] += step
            moved.append(target_weights(changed, available.numpy(), RULES) @ worth.numpy().astype(np.float64))
        wanted[:, column] = (moved[0] - moved[1]) / 2e-6
    assert scores.grad is not None
    np.testing.assert_allclose(scores.grad.numpy(), wanted, atol=1e-4)


@pytest.mark.slow
def test_planted_signal_beats_equal_weight_out_of_sample() -> None:
    """Rank correlation 0.15, default config: well above equal weight."""
    weeks = toy_weeks(700, 20, seed=100, rank_correlation=0.15)
    train, later = weeks.select(slice(0, 300)), weeks.select(slice(300, None))
    run = act("sac", SacConfig(), fit("sac", train, SacConfig()), later)
    assert run.annual_growth > run_equal_weight(later, RULES).annual_growth + 0.10


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("total_steps", 0, "at least 1"),
        ("batch_size", 1, "at least 2"),
        ("learning_rate", 0.0, "more than 0"),
        ("gamma", 1.1, "at least 0, at most 1"),
        ("signal_scale", -0.1, "at least 0, at most 10"),
        ("gradient_steps", 0, "at least 1"),
        ("warmup_steps", 0, "at least 1"),
        ("buffer_steps", 100, "at least 832"),
        ("tau", 0.0, "more than 0"),
        ("target_entropy", 0.7, "at least -20, less than 0.693"),
        ("score_limit", 11.0, "at most 10"),
        ("seed", -1, "at least 0, less than 4,294,967,296"),
    ],
)
def test_impossible_configs_are_refused_by_name(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*{expected}"):
        SacConfig(**{name: value})
