import hashlib
import random
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.policy import restore_policy, run_policy
from brain_assets.portfolio.ppo import PpoProgress, PpoResult, train_ppo
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()
TINY = PpoConfig(total_steps=200, n_envs=4, n_steps=13, batch_size=26, hidden=8)


def tiny_training(config: PpoConfig = TINY) -> PpoResult:
    return train_ppo(toy_weeks(60, 3), config, RULES)


def sha256(result: PpoResult) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(result.state_dict.items()):
        digest.update(name.encode() + value.numpy().tobytes())
    digest.update(np.concatenate([result.scaler.mean_, result.scaler.scale_]).tobytes())
    return digest.hexdigest()


def test_the_asset_that_always_wins_is_held_at_its_cap() -> None:
    """Asset 2 earns 2 % every week, the others lose or stay; its forecast says so, nothing else does."""
    weeks = toy_weeks(120, 5)
    weeks.weekly_return[:] = [-0.01, 0.0, 0.02, -0.01, 0.0]
    weeks.weekly_return[:] += np.random.default_rng(0).normal(0.0, 0.005, weeks.weekly_return.shape)
    weeks.gap[:] = 0.0
    weeks.forecast[:] = [-0.01, 0.0, 0.02, -0.01, 0.0]
    train, later = weeks.select(slice(0, 80)), weeks.select(slice(80, None))
    config = replace(PpoConfig(), total_steps=30_000, n_envs=32, batch_size=208)
    result = train_ppo(train, config, RULES)
    run = run_policy(restore_policy(result.state_dict), result.scaler, later, RULES)
    np.testing.assert_allclose(run.weights[:, 2], 0.2, atol=0.002)
    assert run.weights[:, [0, 3]].max() < 0.1  # the losers; untrained, they are at 1/6
    assert run.annual_growth > 0.14  # at most 1.004 a week, 23 % a year; equal weight earns nothing


def test_same_seed_same_bits_in_a_second_process() -> None:
    code = "from brain_assets_tests.portfolio import test_ppo as t; print(t.sha256(t.tiny_training()))"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = sha256(tiny_training())
    assert second.stdout.strip() == here
    assert sha256(tiny_training(replace(TINY, seed=1))) != here


def test_the_random_state_and_torch_settings_of_the_caller_stay() -> None:
    def settings() -> tuple[object, ...]:
        numpy_state = np.random.get_state()  # noqa: NPY002
        return (
            random.getstate(),
            numpy_state[1].tolist(),
            numpy_state[2],
            torch.get_rng_state().tolist(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
        )

    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        before = settings()
        tiny_training()
        assert settings() == before
        with pytest.raises(KeyboardInterrupt):
            train_ppo(toy_weeks(60, 3), TINY, RULES, on_progress=interrupt)
        assert settings() == before
    finally:
        torch.set_num_threads(n_threads)


def interrupt(_: PpoProgress) -> None:
    raise KeyboardInterrupt


def test_progress_is_the_learning_curve() -> None:
    seen: list[PpoProgress] = []
    result = train_ppo(toy_weeks(60, 3), TINY, RULES, on_progress=seen.append)
    assert [point.steps for point in seen] == [52, 104, 156, 208]  # whole rollouts of 4 * 13
    assert [point.total_steps for point in seen] == [200] * 4
    assert np.isnan([point.mean_episode_reward for point in seen]).tolist() == [True, True, True, False]
    np.testing.assert_array_equal(result.learning_curve, seen)
    assert result.n_threads == 1


def test_weeks_without_some_assets_can_be_learned_from() -> None:
    weeks = toy_weeks(60, 3)
    weeks.available[:30, 1] = False
    weeks.available[5] = False
    weeks.forecast[~weeks.available] = np.nan
    result = train_ppo(weeks, TINY, RULES)
    run = run_policy(restore_policy(result.state_dict), result.scaler, weeks, RULES)
    assert np.all(run.weights[:, :-1][~weeks.available] == 0.0)
    np.testing.assert_allclose(run.weights[5], [0.0, 0.0, 0.0, 1.0])


@pytest.mark.slow
def test_planted_signal_beats_equal_weight_out_of_sample() -> None:
    """Rank correlation 0.15, default config: at least half of what the five best forecasts a week earn above it."""
    weeks = toy_weeks(700, 20, seed=100, rank_correlation=0.15)
    train, later = weeks.select(slice(0, 300)), weeks.select(slice(300, None))
    result = train_ppo(train, PpoConfig(), RULES)
    run = run_policy(restore_policy(result.state_dict), result.scaler, later, RULES)
    assert run.annual_growth > run_equal_weight(later, RULES).annual_growth + 0.12


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("total_steps", 0, "at least 1"),
        ("batch_size", 27, "a divisor of n_envs \\* n_steps = 52"),
        ("learning_rate", 0.0, "more than 0"),
        ("gamma", 1.1, r"\[0, 1\]"),
        ("clip", 1.0, "less than 1"),
        ("score_std", 11.0, "at most 10"),
        ("seed", -1, "0 to"),
    ],
)
def test_impossible_configs_are_refused_by_name(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*{expected}"):
        PpoConfig(**{**asdict(TINY), name: value})
