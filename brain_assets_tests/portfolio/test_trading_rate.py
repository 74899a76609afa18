"""Trading toward a target: what is done, by hand, and that training and acting do the same."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.errors import PolicyError
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import PortfolioConstraints, all_cash, equal_weight, target_weights, trade_toward
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.observations import ObservationBuilder, fit_observation_scaler
from brain_assets.portfolio.policy import Act, OnProgress, Policy, PolicyRunner
from brain_assets.portfolio.sb3_sac import traded_weights
from brain_assets.portfolio.strategy import StrategyRun
from brain_assets_tests.portfolio.toy_markets import toy_weeks

FREE = PortfolioConstraints(min_cash=0.0, max_weight=1.0, cost_bps=0.0)


class Slow(Policy):
    """Says what a test says, and trades the rate that it says."""

    name, label, code_version, forecaster = "slow", "Slow", "1", "lstm"
    Config = ModelConfig

    def __init__(self, said: np.ndarray, rate: float) -> None:
        self.said, self.rate = said, rate

    def fit(
        self, weeks: PolicyDataset, config: ModelConfig, rules: PortfolioConstraints, progress: OnProgress, device: str
    ) -> Mapping[str, np.ndarray]:
        return {}

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        return lambda week, held: self.said[week]

    def trading_rate(self, config: ModelConfig) -> float:
        return self.rate


def rollout(said: np.ndarray, rate: float, weeks: PolicyDataset, rules: PortfolioConstraints) -> StrategyRun:
    return PolicyRunner(Slow(said, rate), {}, ModelConfig(), weeks, rules).rollout()


def test_three_weeks_by_hand_with_drift() -> None:
    """A quarter of the way each week, from what the last week's returns have made of the weights."""
    weeks = toy_weeks(3, 2)
    weeks.pre_open_return[:] = 0.0
    weeks.weekly_return[:] = [[0.2, -0.1], [0.0, 0.5], [0.0, 0.0]]
    said = np.log(np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    run = rollout(said, 0.25, weeks, FREE)
    first = 0.75 * np.array([0.5, 0.5, 0.0]) + 0.25 * np.array([0.7, 0.2, 0.1])  # in cash: it starts at equal weight
    np.testing.assert_allclose(run.weights[0], first)
    held = first * [1.2, 0.9, 1.0] / (first @ [1.2, 0.9, 1.0])
    second = 0.75 * held + 0.25 * np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(run.weights[1], second)
    held = second * [1.0, 1.5, 1.0] / (second @ [1.0, 1.5, 1.0])
    np.testing.assert_allclose(run.weights[2], 0.75 * held + 0.25 * np.array([0.1, 0.1, 0.8]))
    np.testing.assert_allclose(run.turnover[2], 0.25 * np.abs(held - [0.1, 0.1, 0.8])[:2].sum())


def test_rate_one_is_the_target_to_the_bit() -> None:
    random = np.random.default_rng(0)
    held = random.dirichlet(np.ones(9), 50)
    available = random.random((50, 8)) > 0.2
    target = target_weights(random.normal(size=(50, 9)), available, CONSTRAINTS)
    assert trade_toward(held, target, available, 1.0, CONSTRAINTS) is target


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


def test_an_asset_at_minus_infinity_is_sold_at_once() -> None:
    said = np.zeros((2, 4))
    said[1, 0] = -np.inf
    weights = rollout(said, 0.1, toy_weeks(2, 3), FREE).weights
    assert weights[0, 0] > 0.3
    assert weights[1, 0] == 0.0


@pytest.mark.parametrize("rate", [1.0, 0.2])
def test_the_environment_trades_as_the_runner_does_step_by_step(rate: float) -> None:
    weeks = toy_weeks(52, 8, seed=4)
    weeks.available[:] = np.random.default_rng(5).random(weeks.available.shape) > 0.2
    actions = np.random.default_rng(1).normal(scale=0.1, size=(52, 1, 9)).astype(np.float32)
    said = 10.0 * actions[:, 0].astype(np.float64)
    said[:, -1] += np.log(0.02 / 0.98 * weeks.available.sum(axis=1))  # counted from the least cash
    run = rollout(said, rate, weeks, CONSTRAINTS)
    scaler = fit_observation_scaler(weeks)
    env = VectorizedPortfolioEnv(weeks, scaler, 1, CONSTRAINTS, trading_rate=rate)
    env.reset()
    rewards = np.array([env.step(action)[1][0] for action in actions])
    equal = arithmetic.equal_weight(weeks.available, CONSTRAINTS)[:, :-1]
    growth = [np.log1p((equal * each).sum(axis=1)) for each in (weeks.pre_open_return, weeks.weekly_return)]
    np.testing.assert_array_equal(rewards, 100.0 * (np.log1p(run.net_return) - (growth[0] + growth[1])))


def test_turnover_falls_with_the_rate() -> None:
    weeks = toy_weeks(200, 10)
    said = 100.0 * np.concatenate([weeks.forecast, np.zeros((200, 1))], axis=1)
    turnover = [rollout(said, rate, weeks, CONSTRAINTS).turnover[1:].mean() for rate in (1.0, 0.5, 0.2, 0.1)]
    assert turnover[1] < 0.6 * turnover[0]
    assert turnover[2] < 0.5 * turnover[1]
    assert turnover[3] < turnover[2]


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_none_is_one_sentence(rate: float) -> None:
    with pytest.raises(PolicyError, match=r"^slow: expected a trading rate in \(0, 1\], got .*; correct its"):
        rollout(np.zeros((2, 4)), rate, toy_weeks(2, 3), CONSTRAINTS)


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


@pytest.mark.parametrize("family", ["ppo", "sac"])
def test_ours_take_it_from_their_configuration(family: str) -> None:
    policy = registry.get(family)
    assert policy.trading_rate(policy.Config(trading_rate=0.35)) == 0.35
