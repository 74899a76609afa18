"""The gradient of `direct` is that of the market's arithmetic, and where it leads to is known on toy markets."""

import numpy as np
import pytest
import torch

from brain_assets import registry
from brain_assets.portfolio import arithmetic, direct
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import N_MARKET_FEATURES, PolicyDataset, fit_observation_scaler
from brain_assets.portfolio.direct import DirectConfig, Market
from brain_assets.portfolio.policy import PolicyRunner
from brain_assets.portfolio.strategy import run_equal_weight, run_strategy
from brain_assets.portfolio.training import REWARD_SCALE, VectorizedPortfolioEnv
from brain_assets_tests.portfolio.toy_markets import toy_weeks

FAMILY = registry.get("direct")
CONSTRAINTS = PortfolioConstraints()
DEAR = PortfolioConstraints(cost_bps=80.0, max_weight=0.3)


def ragged(n_weeks: int, n_assets: int) -> PolicyDataset:
    weeks = toy_weeks(n_weeks, n_assets, seed=4)
    weeks.available[:] = np.random.default_rng(5).random(weeks.available.shape) > 0.2
    return weeks


def some_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        "slopes": random.normal(size=N_MARKET_FEATURES).astype(np.float32),
        "persistence": np.array([0.4], dtype=np.float32),
    }


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_the_gradient_is_that_of_finite_differences(rate: float) -> None:
    """With costs that hurt, weights at the cap and at zero, and assets that come and go."""
    weeks, config = ragged(12, 6), DirectConfig(trading_rate=rate)
    learned = [torch.tensor(value, dtype=torch.float64) for value in some_arrays().values()]

    def value(slopes: torch.Tensor, persistence: torch.Tensor) -> torch.Tensor:
        market, first = Market(weeks, config, DEAR), np.zeros(1, dtype=np.int64)
        return market.pass_through(first, slopes, persistence).mean()

    exact = torch.autograd.grad(value(*(each.requires_grad_() for each in learned)), learned)
    with torch.no_grad():
        for each, gradient in zip(learned, exact, strict=True):
            for i in range(len(each)):
                step = torch.zeros_like(each)
                step[i] = 1e-6
                up, down = (value(*(x + s if x is each else x for x in learned)) for s in (step, -step))
                assert float(gradient[i]) == pytest.approx(float(up - down) / 2e-6, rel=1e-5, abs=1e-9)
    assert min(float(gradient.abs().max()) for gradient in exact) > 1e-5


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_what_it_trains_on_is_the_arithmetic_and_the_environment_step_by_step(rate: float) -> None:
    weeks, config, arrays = ragged(60, 7), DirectConfig(trading_rate=rate, block_weeks=60), some_arrays()
    market, first = Market(weeks, config, DEAR), np.zeros(1, dtype=np.int64)
    found = market.pass_through(first, *(torch.tensor(value, dtype=torch.float64) for value in arrays.values()))

    start = arithmetic.equal_weight(weeks.available, DEAR)[0]
    runner = PolicyRunner(FAMILY, {**arrays, **fit_observation_scaler(weeks).arrays}, config, weeks, DEAR)
    run = run_strategy(weeks, DEAR, runner.choose, start)
    advantage = np.log1p(run.net_return) - np.log1p(run_equal_weight(weeks, DEAR, start).net_return)
    np.testing.assert_allclose(found[0], advantage, rtol=0, atol=1e-12)
    assert run.weights[:, :-1].max() == pytest.approx(0.3)

    env = VectorizedPortfolioEnv(
        weeks, fit_observation_scaler(weeks), 1, DEAR, episode_weeks=60, logit_bound=1.0, trading_rate=rate
    )
    env.reset()
    env._held[0] = start
    parts = Market(weeks, config.replace(block_weeks=5), DEAR)  # blocks go on from what was held there last
    learned = [torch.tensor(value, dtype=torch.float64) for value in arrays.values()]
    by_part = [parts.pass_through(np.array([week]), *learned)[0] for week in range(0, 60, 5)]
    np.testing.assert_allclose(torch.cat(by_part), found[0])
    for week in range(60):
        np.testing.assert_allclose(market.held[week], env._held[0], rtol=0, atol=1e-12)
        reward = env.step(runner.logits[week][None])[1][0] / REWARD_SCALE + env._equal_weight_growth[week]
        assert reward == pytest.approx(np.log1p(run.net_return[week]), abs=1e-12)


def test_luck_is_measured_against_as_many_directions_as_there_are() -> None:
    assert direct.standard_errors(1, 0.95) == pytest.approx(1.96, abs=0.001)  # a normal's, both sides
    assert direct.standard_errors(2, 0.95) == pytest.approx((-2.0 * np.log(0.05)) ** 0.5)
    weeks = toy_weeks(60, 3)
    assert Market(weeks, DirectConfig(), CONSTRAINTS).n_directions == N_MARKET_FEATURES + 1
    weeks.signals[:] = 0.0
    assert Market(weeks, DirectConfig(), CONSTRAINTS).n_directions == 4
