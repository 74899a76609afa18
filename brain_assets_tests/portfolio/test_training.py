"""What holds for the training of every policy family."""

import hashlib
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.errors import ConfigError
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import (
    LOGIT_BOUND,
    PortfolioConstraints,
    all_cash,
    target_weights,
    trade_toward,
)
from brain_assets.portfolio.dataset import SIGNAL_SCALE, ObservationBuilder, PolicyDataset, fit_observation_scaler
from brain_assets.portfolio.direct import DirectConfig
from brain_assets.portfolio.policy import OnProgress, PolicyProgress, PolicyRunner
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig
from brain_assets.portfolio.strategy import StrategyRun, run_equal_weight
from brain_assets.portfolio.training import VectorizedPortfolioEnv, traded_weights
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()
TINY = {
    "ppo": PpoConfig(total_steps=200, n_envs=4, n_steps=13, batch_size=26, hidden=8),
    "sac": SacConfig(total_steps=200, n_envs=4, n_steps=13, batch_size=26, hidden=8, warmup_steps=52, gradient_steps=3),
    "direct": DirectConfig(n_updates=20, n_blocks=4, block_weeks=13),
}
families = pytest.mark.parametrize("family", TINY)


def fit(
    family: str, weeks: PolicyDataset, config: ModelConfig, progress: OnProgress = lambda _: None, device: str = "cpu"
) -> dict[str, np.ndarray]:
    """All arrays of a policy that learned from some weeks, its scaler's among them."""
    learned = registry.get(family).fit(weeks, config, CONSTRAINTS, progress, device)
    return {**learned, **fit_observation_scaler(weeks).arrays}


def train(family: str, weeks: PolicyDataset | None = None, config: ModelConfig | None = None) -> dict[str, np.ndarray]:
    """By default in weeks with so many assets that not each is at its cap."""
    return fit(family, weeks or toy_weeks(60, 10, rank_correlation=0.3), config or TINY[family])


def act(family: str, config: ModelConfig, arrays: dict[str, np.ndarray], weeks: PolicyDataset) -> StrategyRun:
    return PolicyRunner(registry.get(family), arrays, config, weeks, CONSTRAINTS).rollout()


def sha256(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        digest.update(name.encode() + value.tobytes())
    return digest.hexdigest()


@pytest.mark.slow
def test_same_seed_same_bits_in_a_second_process() -> None:
    code = (
        "from brain_assets_tests.portfolio import test_training as t\n"
        "for family in t.TINY: print(family, t.sha256(t.train(family)))"
    )
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = {family: sha256(train(family)) for family in TINY}
    assert dict(line.split() for line in second.stdout.splitlines()) == here
    for family, config in TINY.items():
        assert sha256(train(family, config=config.replace(seed=1))) != here[family]


OTHER = (
    {"total_steps": 52, "n_envs": 2, "n_steps": 26, "batch_size": 13, "learning_rate": 0.01, "gamma": 0.9, "seed": 7}
    | {"signal_scale": 1.0, "hidden": 4, "episode_weeks": 9, "n_epochs": 1, "gae_lambda": 0.1, "ent_coef": 0.3}
    | {"clip": 0.001, "weight_decay": 9.0, "score_std": 1.0, "gradient_steps": 1, "warmup_steps": 13}
    | {"buffer_steps": 52, "tau": 0.5, "target_entropy": 0.1, "score_limit": 1.0, "trading_rate": 0.5}
    | {"n_updates": 2, "n_blocks": 2, "block_weeks": 9, "confidence": 0.0, "penalty": 0.01}
)
"""Another value of every option but the forecaster, whose forecasts are in the weeks."""


@pytest.mark.parametrize(
    ("family", "option"), [(family, name) for family in TINY for name in OTHER if name in TINY[family].model_dump()]
)
def test_every_option_reaches_the_training(family: str, option: str) -> None:
    assert TINY[family].model_dump().keys() - OTHER.keys() == {"forecaster"}
    assert trained_with(family, option) != trained_with(family)


@cache
def trained_with(family: str, option: str | None = None) -> str:
    config = TINY[family].replace(**{"n_updates": 3} if family == "direct" else {})
    return sha256(train(family, config=config if option is None else config.replace(**{option: OTHER[option]})))


@families
def test_progress_is_the_learning_curve(family: str) -> None:
    seen: list[PolicyProgress] = []
    fit(family, toy_weeks(100, 6, rank_correlation=0.5), TINY[family], seen.append)
    n_points, total_steps = (20, 20 * 4 * 13) if family == "direct" else (4, 200)
    assert [point.steps for point in seen] == [52 * done for done in range(1, n_points + 1)]  # rollouts of 4 * 13 weeks
    assert {point.total_steps for point in seen} == {total_steps}
    if family == "direct":
        assert seen[-1].mean_episode_reward > 1.0 > 0.01 > abs(seen[0].mean_episode_reward)
    else:  # the first episode of 52 weeks ends with the last rollout
        assert np.isnan([point.mean_episode_reward for point in seen]).tolist() == [True, True, True, False]


@families
def test_weeks_without_some_assets_can_be_learned_from(family: str) -> None:
    weeks = toy_weeks(60, 3)
    weeks.available[:30, 1] = False
    weeks.available[5] = False
    weeks.forecast[~weeks.available] = np.nan
    weeks.signals[~weeks.available] = np.nan
    run = act(family, TINY[family], train(family, weeks), weeks)
    assert np.all(run.weights[:, :-1][~weeks.available] == 0.0)
    np.testing.assert_allclose(run.weights[5], [0.0, 0.0, 0.0, 1.0])


def announced(n_weeks: int) -> PolicyDataset:
    """Every week another asset earns 2 %, drawn at random, the others lose 0.5 %; the forecast says which."""
    weeks = toy_weeks(n_weeks, 6)
    winner = np.random.default_rng(1).integers(6, size=n_weeks)
    weeks.weekly_return[:] = -0.005
    weeks.weekly_return[np.arange(n_weeks), winner] = 0.02
    weeks.pre_open_return[:] = 0.0
    weeks.forecast[:] = np.sign(weeks.weekly_return) * 0.01
    return weeks


SHORT: dict[str, ModelConfig] = {
    "ppo": PpoConfig(total_steps=14_000, n_envs=32, batch_size=208, hidden=16, learning_rate=6e-3, trading_rate=1.0),
    "sac": SacConfig(total_steps=10_000, n_envs=32, warmup_steps=2_500, learning_rate=5e-3, trading_rate=1.0),
    "direct": DirectConfig(n_updates=40, n_blocks=8, block_weeks=13, learning_rate=0.2),
}


@pytest.mark.parametrize("family", ["ppo", "direct", pytest.param("sac", marks=pytest.mark.slow)])
def test_the_asset_that_wins_is_held_at_its_cap(family: str) -> None:
    weeks = announced(120)
    train_weeks, later = weeks.select(slice(0, 80)), weeks.select(slice(80, None))
    run = act(family, SHORT[family], train(family, train_weeks, SHORT[family]), later)
    wins = later.forecast == later.forecast.max(axis=1, keepdims=True)
    np.testing.assert_allclose(run.weights[:, :-1][wins], 0.2, atol=0.002)
    if family != "direct":  # which has nothing to lose by what is left over
        assert run.weights[:, :-1][later.forecast < 0.0].max() < 0.1  # untrained, they are at 1/6 or 1/7


@pytest.mark.slow
@pytest.mark.parametrize(("family", "lead"), [("ppo", 0.12), ("sac", 0.10)])
def test_an_injected_signal_beats_equal_weight_out_of_sample(family: str, lead: float) -> None:
    """Rank correlation 0.15, traded at once: at least half of what the five best forecasts a week earn above it."""
    weeks, config = toy_weeks(700, 20, seed=100, rank_correlation=0.15), registry.get(family).Config(trading_rate=1.0)
    later = weeks.select(slice(300, None))
    run = act(family, config, train(family, weeks.select(slice(0, 300)), config), later)
    assert run.cagr > run_equal_weight(later, CONSTRAINTS).cagr + lead


@pytest.mark.parametrize(
    ("family", "name", "value", "expected"),
    [
        ("ppo", "batch_size", 27, "a divisor of n_envs \\* n_steps = 52"),
        ("sac", "buffer_steps", 51, "at least 52"),
    ],
)
def test_impossible_configs_are_refused_by_name(family: str, name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*{expected}"):
        TINY[family].replace(**{name: value})


def make_env(weeks: PolicyDataset, n_envs: int = 1, episode_weeks: int = 52) -> VectorizedPortfolioEnv:
    return VectorizedPortfolioEnv(
        weeks, fit_observation_scaler(weeks), n_envs, CONSTRAINTS, episode_weeks=episode_weeks
    )


def test_every_episode_is_the_market_arithmetic_step_by_step() -> None:
    """120 steps of 12 episodes, with their ends: not a bit differs from one portfolio at a time."""
    weeks = toy_weeks(90, 8, seed=4)
    weeks.available[:] = np.random.default_rng(5).random(weeks.available.shape) > 0.2
    env = make_env(weeks, 12, episode_weeks=37)
    builder = ObservationBuilder(weeks, fit_observation_scaler(weeks), CONSTRAINTS, SIGNAL_SCALE)
    env.seed(0)
    seen = env.reset()
    week, held = env.start.copy(), [arithmetic.all_cash(8)] * 12
    for position in range(12):
        np.testing.assert_array_equal(builder.build(int(week[position]), held[position]), seen[position])
    random = np.random.default_rng(1)
    n_ended, sums, even = 0, np.zeros(12), arithmetic.equal_weight(weeks.available, CONSTRAINTS)[:, :-1]
    # log growth of equal weight, set right at the close before the week, without costs
    equal = sum(np.log1p((even * each).sum(axis=1)) for each in (weeks.pre_open_return, weeks.weekly_return))
    for _ in range(120):
        actions = random.normal(scale=random.choice([0.1, 0.5]), size=(12, 9)).astype(np.float32)
        seen, rewards, done, infos = env.step(actions)
        for i, at in enumerate(week):
            logits = actions[i].astype(np.float64) * LOGIT_BOUND
            logits[-1] += np.log(0.02 / 0.98 * max(weeks.available[at].sum(), 1))  # from the least cash
            target = arithmetic.target_weights(logits, weeks.available[at], CONSTRAINTS)
            found = arithmetic.step(held[i], weeks.pre_open_return[at], target, weeks.weekly_return[at], CONSTRAINTS)
            held[i], week[i] = found.held_after, at + 1
            assert rewards[i] == pytest.approx(100.0 * (np.log1p(found.net_return) - equal[at]), rel=1e-12, abs=1e-12)
            sums[i] += rewards[i]
            after = builder.build(min(at + 1, 89), held[i])
            if done[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], after)
                assert infos[i]["TimeLimit.truncated"] is True
                assert infos[i]["episode"] == {"r": sums[i], "l": 37}
                week[i], held[i], sums[i] = env.start[i], arithmetic.all_cash(8), 0.0
                after = builder.build(int(week[i]), held[i])
                n_ended += 1
            else:
                assert infos[i] == {}
            np.testing.assert_array_equal(seen[i], after)
            assert env.observation_space.contains(seen[i])
    assert n_ended == 12 * (120 // 37)


def test_starts_are_random_repeat_with_the_seed_and_reach_both_ends() -> None:
    env = make_env(toy_weeks(60, 3), 64)
    starts = []
    for seed in (1, None, 1, None):
        if seed is not None:
            env.seed(seed)
        env.reset()
        starts.append(env.start.tolist())
    assert starts[:2] == starts[2:]
    assert starts[0] != starts[1]
    assert set(starts[0]) == set(range(9))  # 60 weeks have 9 starts of 52


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
