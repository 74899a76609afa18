import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from brain_assets.errors import ConfigError
from brain_assets.portfolio.environment import EnvConfig, PortfolioEnv
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.vectorized import VectorizedPortfolioEnv
from brain_assets_tests.portfolio.toy_markets import toy_weeks


def ragged_weeks() -> MarketWeeks:
    weeks = toy_weeks(90, 8, seed=4)
    weeks.available[:] = np.random.default_rng(5).random(weeks.available.shape) > 0.2
    return weeks


def test_equals_single_environments_step_by_step() -> None:
    """400 steps of 12 episodes, with their ends: not a bit differs."""
    weeks, config = ragged_weeks(), EnvConfig(episode_weeks=37)
    scaler = fit_observation_scaler(weeks)
    many = VectorizedPortfolioEnv(weeks, scaler, 12, config)
    singles = [PortfolioEnv(weeks, scaler, config) for _ in range(12)]
    many.seed(0)
    observations = many.reset()
    for i, env in enumerate(singles):
        np.testing.assert_array_equal(env.reset(options={"start": many.start[i]})[0], observations[i])
    random = np.random.default_rng(1)
    n_ended, sums = 0, np.zeros(12)
    for _ in range(400):
        actions = random.normal(scale=random.choice([0.1, 0.5]), size=(12, 9)).astype(np.float32)
        observations, rewards, done, infos = many.step(actions)
        for i, env in enumerate(singles):
            observation, reward, _, truncated, _ = env.step(actions[i])
            sums[i] += reward
            assert rewards[i] == reward
            assert done[i] == truncated
            if truncated:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                assert infos[i]["TimeLimit.truncated"] is True
                assert infos[i]["episode"] == {"r": sums[i], "l": 37}
                observation, _ = env.reset(options={"start": many.start[i]})
                sums[i] = 0.0
                n_ended += 1
            else:
                assert infos[i] == {}
            np.testing.assert_array_equal(observations[i], observation)
    assert n_ended == 12 * (400 // 37)


def test_the_seed_fixes_the_starts() -> None:
    weeks = toy_weeks(200, 3)
    many = VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), 64)
    many.seed(1)
    many.reset()
    first = many.start
    many.reset()
    assert not np.array_equal(many.start, first)
    many.seed(1)
    many.reset()
    np.testing.assert_array_equal(many.start, first)


def test_starts_can_be_given_once() -> None:
    weeks = toy_weeks(200, 3)
    many = VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), 3)
    many.set_options({"start": 11})
    many.reset()
    np.testing.assert_array_equal(many.start, [11, 11, 11])
    many.set_options([{"start": 1}, {"start": 2}, {"start": 149}])
    with pytest.raises(ConfigError, match="from 0 to 148, got 149"):
        many.reset()


def test_sb3_can_wrap_and_evaluate_it() -> None:
    """SB3's own bookkeeping of an episode's reward agrees with ours."""

    class Cash:
        def predict(self, observations: np.ndarray, **_: object) -> tuple[np.ndarray, None]:
            actions = np.full((len(observations), 4), -1.0, dtype=np.float32)
            actions[:, -1] = 1.0
            return actions, None

    weeks = toy_weeks(60, 3)
    many = VecMonitor(VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), 2))
    mean, _ = evaluate_policy(Cash(), many, n_eval_episodes=2)  # type: ignore[arg-type]
    assert mean == pytest.approx(0.0, abs=1e-3)  # cash earns nothing


def test_attributes_of_one_environment_cannot_be_set() -> None:
    weeks = toy_weeks(60, 3)
    many = VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), 2)
    with pytest.raises(NotImplementedError):
        many.set_attr("render_mode", "human")
    with pytest.raises(NotImplementedError):
        many.env_method("render")
    with pytest.raises(ConfigError, match="n_envs"):
        VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), 0)
