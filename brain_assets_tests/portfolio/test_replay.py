"""What is remembered of the market gives SB3's own batches again, to the bit."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.buffers import ReplayBuffer

from brain_assets import registry
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.replay import MarketReplayBuffer
from brain_assets.portfolio.sac import SacConfig
from brain_assets_tests.portfolio.toy_markets import toy_weeks

N_ENVS, N_ASSETS, N_STEPS = 3, 5, 40


def test_batches_are_those_of_sb3_before_and_after_the_buffer_is_full() -> None:
    """Episodes of seven weeks in nine: many end, and some with the last week that there is."""
    weeks = toy_weeks(9, N_ASSETS)
    env = VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), N_ENVS, PortfolioConstraints(), episode_weeks=7)
    env.seed(0)
    spaces = env.observation_space, env.action_space, "cpu", N_ENVS
    ours, theirs = MarketReplayBuffer(75, *spaces, env=env), ReplayBuffer(75, *spaces)
    random, seen = np.random.default_rng(0), env.reset()
    for step in range(N_STEPS):
        action = random.uniform(-1, 1, (N_ENVS, N_ASSETS + 1)).astype(np.float32)
        after, reward, done, infos = env.step(action)
        reached = after.copy()
        for position in np.flatnonzero(done):
            reached[position] = infos[position]["terminal_observation"]
        for buffer in (ours, theirs):
            buffer.add(seen, reached, action, reward, done, infos)
        seen = after
        if step % 10 == 9:
            batches = []
            for buffer in (ours, theirs):
                np.random.seed(step)  # noqa: NPY002 - SB3 draws from here
                batches.append(buffer.sample(500))
            for name in ("observations", "actions", "next_observations", "dones", "rewards"):
                mine, sb3 = (getattr(batch, name).numpy() for batch in batches)
                np.testing.assert_array_equal(mine, sb3, name)
                assert mine.dtype == sb3.dtype
    assert ours.full
    assert ours.pos == theirs.pos == N_STEPS % 25


def test_a_training_ends_in_the_same_bits_as_with_the_buffer_of_sb3(monkeypatch: pytest.MonkeyPatch) -> None:
    weeks = toy_weeks(30, N_ASSETS)
    config = SacConfig(
        total_steps=600, n_envs=4, n_steps=13, batch_size=64, warmup_steps=104, buffer_steps=260, hidden=8
    )
    ours = registry.get("sac").fit(weeks, config, PortfolioConstraints(), [].append, "cpu")

    class Sb3Buffer(ReplayBuffer):
        def __init__(self, *args: Any, env: VectorizedPortfolioEnv, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    monkeypatch.setattr("brain_assets.portfolio.sb3_sac.MarketReplayBuffer", Sb3Buffer)
    theirs = registry.get("sac").fit(weeks, config, PortfolioConstraints(), [].append, "cpu")
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], name)


def test_it_holds_a_twelfth() -> None:
    weeks = toy_weeks(9, N_ASSETS)
    env = VectorizedPortfolioEnv(weeks, fit_observation_scaler(weeks), N_ENVS, PortfolioConstraints())
    spaces = env.observation_space, env.action_space, "cpu", N_ENVS
    ours, theirs = MarketReplayBuffer(300, *spaces, env=env), ReplayBuffer(300, *spaces)
    kept = ours._held.nbytes + ours._held_next.nbytes
    assert 12 * kept == theirs.observations.nbytes + theirs.next_observations.nbytes
