import warnings

import gymnasium.utils.env_checker
import numpy as np
import pytest
import stable_baselines3.common.env_checker

from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, TradingRules
from brain_assets.portfolio.environment import EnvConfig, PortfolioEnv
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets_tests.portfolio.toy_markets import toy_weeks


def make_env(n_weeks: int = 80, n_assets: int = 6, config: EnvConfig | None = None) -> PortfolioEnv:
    weeks = toy_weeks(n_weeks, n_assets)
    return PortfolioEnv(weeks, fit_observation_scaler(weeks), config)


def test_gymnasium_checker_passes_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # An environment made without gymnasium.make has no spec; the checker would warn of that.
        gymnasium.register("portfolio-check-v0", make_env)
        try:
            env = gymnasium.make("portfolio-check-v0", disable_env_checker=True).unwrapped
            gymnasium.utils.env_checker.check_env(env)
        finally:
            del gymnasium.registry["portfolio-check-v0"]


def test_sb3_checker_passes_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stable_baselines3.common.env_checker.check_env(make_env())


def test_first_step_by_hand() -> None:
    env = make_env(n_assets=2, config=EnvConfig(TradingRules(max_weight=0.5)))
    weeks = toy_weeks(80, 2)
    env.reset(options={"start": 7})
    # Scores log 2, 0, 0: softmax 0.5, 0.25, 0.25, which the rules allow; all was cash: 0.75 is bought at 10 bps.
    action = np.array([np.log(2.0), 0.0, 0.0]) / LOGIT_BOUND
    _, reward, terminated, truncated, info = env.step(action)
    week = 1.0 + 0.5 * weeks.weekly_return[7, 0] + 0.25 * weeks.weekly_return[7, 1]
    assert reward == pytest.approx(100.0 * np.log((1.0 - 0.00075) * week), abs=1e-12)
    assert info["turnover"] == pytest.approx(0.75)
    assert info["week"] == 7
    assert (terminated, truncated) == (False, False)


@pytest.mark.parametrize(("n_weeks", "expected"), [(80, 52), (52, 52), (10, 10)])
def test_an_episode_is_a_year_of_weeks_and_is_truncated(n_weeks: int, expected: int) -> None:
    env = make_env(n_weeks)
    env.reset(seed=0)
    for length in range(1, expected + 1):
        observation, _, terminated, truncated, _ = env.step(np.zeros(7, dtype=np.float32))
        assert not terminated
        assert truncated == (length == expected)
        assert env.observation_space.contains(observation)


def test_starts_are_random_repeat_with_the_seed_and_reach_both_ends() -> None:
    env = make_env(60)
    first = [env.reset(seed=3)[1]["week"], *(env.reset()[1]["week"] for _ in range(200))]
    again = [env.reset(seed=3)[1]["week"], *(env.reset()[1]["week"] for _ in range(200))]
    assert first == again
    assert set(first) == set(range(9))  # 60 weeks have 9 starts of 52


@pytest.mark.parametrize("start", [-1, 29, "today"])
def test_a_start_outside_the_weeks_is_refused(start: object) -> None:
    with pytest.raises(ConfigError, match="expected a week from 0 to 28"):
        make_env().reset(options={"start": start})


def test_episode_weeks_are_checked() -> None:
    with pytest.raises(ConfigError, match="episode_weeks"):
        EnvConfig(episode_weeks=0)
