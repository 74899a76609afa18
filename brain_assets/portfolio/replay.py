"""A replay buffer that remembers the week and the weights held instead of all that was seen.

Of an observation, only the weights held are an episode's own; the rest is the market's, the same for every episode.
SB3's buffer keeps each whole, twice: 2 gigabytes for 500 assets and 40,000 weeks. Here the market's part is looked up
when a batch is drawn, and the batch is the same to the bit.
"""
# ruff: noqa: TID253 - a subclass needs its base; loaded by `brain_assets.registry.load` alone

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from brain_assets.arrays import BoolArray, Float32Array, FloatArray
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.observations import N_FEATURES, WEIGHT_HELD


class MarketReplayBuffer(ReplayBuffer):
    """SB3's `ReplayBuffer` for the environment `env`; whatever ends an episode is a truncation, never its end.

    `buffer_size` are weeks, over all episodes. `optimize_memory_usage` has no effect: it does.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: gymnasium.spaces.Space[Any],
        action_space: gymnasium.spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        *,
        env: VectorizedPortfolioEnv,
    ) -> None:
        # not that of ReplayBuffer, which makes room for the observations
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        self.optimize_memory_usage = optimize_memory_usage
        self.buffer_size = max(buffer_size // n_envs, 1)
        self._env = env
        shape = (self.buffer_size, n_envs)
        self._week = np.zeros(shape, dtype=np.int64)
        self._held, self._held_next = np.zeros((2, *shape, self.obs_shape[0] // N_FEATURES), dtype=np.float32)
        self.actions = np.zeros((*shape, self.action_dim), dtype=np.float32)
        self.rewards = np.zeros(shape, dtype=np.float32)

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: FloatArray,
        done: BoolArray,  # noqa: ARG002 - what ends is cut off, and goes on for the critics
        infos: list[dict[str, Any]],  # noqa: ARG002
    ) -> None:
        """Remember the week that each episode has just gone through."""
        self._week[self.pos] = self._env.week_before
        self._held[self.pos] = _weights_held(obs)
        self._held_next[self.pos] = _weights_held(next_obs)
        self.actions[self.pos] = action
        self.rewards[self.pos] = reward
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full, self.pos = True, 0

    def _get_samples(
        self,
        batch_inds: npt.NDArray[np.integer],
        env: VecNormalize | None = None,  # noqa: ARG002 - ours is none
    ) -> ReplayBufferSamples:
        which = batch_inds, np.random.randint(0, high=self.n_envs, size=len(batch_inds))  # noqa: NPY002 - as SB3 draws
        week = self._week[which]
        data = (
            self._env.observation(week, self._held[which]),
            self.actions[which],
            self._env.observation(week + 1, self._held_next[which]),
            np.zeros((len(batch_inds), 1), dtype=np.float32),
            self.rewards[which].reshape(-1, 1),
        )
        return ReplayBufferSamples(*map(self.to_torch, data))


def _weights_held(observation: Float32Array) -> Float32Array:
    """Give the weights in observations as they stand there; (n_envs, n_assets * N_FEATURES) to (n_envs, n_assets)."""
    return observation.reshape(len(observation), -1, N_FEATURES)[:, :, WEIGHT_HELD]
