"""Many episodes of the market at once, as arrays, behind stable-baselines3's `VecEnv` interface.

The market arithmetic is that of `brain_assets.portfolio.environment`; here it gets a leading axis of n_envs. An episode
that ends is started anew in the same step: the observation returned is the new episode's first, the old one's last is
``info["terminal_observation"]``.
"""
# ruff: noqa: TID253 - a subclass needs its base; loaded by `brain_assets.registry.load` alone

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.errors import ConfigError
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.environment import EnvConfig, Market
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.store.scaler import Scaler


class VectorizedPortfolioEnv(VecEnv):
    """`n_envs` portfolios in the same market, each in an episode of its own.

    Spaces, rewards and the meaning of an action are those of `PortfolioEnv`. ``infos`` are empty dicts except where an
    episode ended: ``terminal_observation``, ``TimeLimit.truncated`` (always true) and ``episode`` (``r``: sum of its
    rewards, ``l``: its weeks), as SB3's `Monitor` would put it.

    Parameters
    ----------
    scaler : Scaler
        From `fit_observation_scaler`, on the training weeks.
    n_envs : int
        Episodes at once; at least 1.
    """

    render_mode: str | None = None

    def __init__(self, weeks: MarketWeeks, scaler: Scaler, n_envs: int, config: EnvConfig | None = None) -> None:
        if n_envs < 1:
            raise ConfigError(f"n_envs: expected at least 1, got {n_envs}.")
        self._market = Market(weeks, scaler, config or EnvConfig())
        super().__init__(n_envs, self._market.observation_space, self._market.action_space)
        self._random = np.random.default_rng()
        self._actions: npt.NDArray[np.floating] = np.zeros((n_envs, weeks.n_assets + 1))
        self._start: IntArray = np.zeros(n_envs, dtype=np.int64)
        self._week = self._start.copy()
        self.week_before: IntArray = self._start.copy()
        """Week that each portfolio went through in the last step."""
        self._held: FloatArray = np.tile(arithmetic.all_cash(weeks.n_assets), (n_envs, 1))
        self._episode_reward: FloatArray = np.zeros(n_envs)

    @property
    def start(self) -> IntArray:
        """First week of each running episode; shape (n_envs,)."""
        return self._start.copy()

    def observation(self, week: IntArray, weight_held: Float32Array) -> Float32Array:
        """Give observations again, from their weeks and the weights held that stood in them."""
        return self._market.observe_again(week, weight_held)

    def _start_episodes(self, which: BoolArray, start: IntArray) -> None:
        self._start[which] = start
        self._week[which] = start
        self._held[which] = arithmetic.all_cash(self._market.weeks.n_assets)
        self._episode_reward[which] = 0.0

    def reset(self) -> Float32Array:
        """Start all episodes, at random weeks or where ``set_options({"start": week})`` said; once, as SB3 has it."""
        if self._seeds[0] is not None:
            self._random = np.random.default_rng(self._seeds[0])
        start = self._random.integers(self._market.n_starts, size=self.num_envs)
        for position, options in enumerate(self._options):
            if "start" in options:
                start[position] = self._market.check_start(options["start"])
        self._reset_seeds()
        self._reset_options()
        self._start_episodes(np.ones(self.num_envs, dtype=np.bool_), start)
        return self._market.observe(self._week, self._held)

    def step_async(self, actions: npt.NDArray[np.floating]) -> None:
        """Take note of the actions; shape (n_envs, n_assets + 1)."""
        self._actions = actions

    def step_wait(self) -> tuple[Float32Array, FloatArray, BoolArray, list[dict[str, Any]]]:
        """Take every portfolio through its week; episodes that ended start anew."""
        reward, result = self._market.step(self._week, self._held, self._actions)
        self._held = result.held_after
        self.week_before = self._week.copy()
        self._week += 1
        self._episode_reward += reward
        done = self._week - self._start >= self._market.episode_weeks
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            self._end_episodes(done, infos)
        return self._market.observe(self._week, self._held), reward, done, infos

    def _end_episodes(self, done: BoolArray, infos: list[dict[str, Any]]) -> None:
        """Fill the infos of ended episodes and start them anew."""
        ended = np.flatnonzero(done)
        last = self._market.observe(self._week[ended], self._held[ended])
        for position, observation in zip(ended.tolist(), last, strict=True):
            infos[position] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": True,
                "episode": {"r": float(self._episode_reward[position]), "l": self._market.episode_weeks},
            }
        self._start_episodes(done, self._random.integers(self._market.n_starts, size=len(ended)))

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Give an attribute of this object once for each environment asked for."""
        value = getattr(self, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the environments are rows of arrays, not objects with attributes."""
        raise NotImplementedError(f"cannot set {attr_name!r}: the environments are rows of arrays; make a new one.")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: the environments are rows of arrays, not objects with methods."""
        raise NotImplementedError(f"cannot call {method_name!r}: the environments are rows of arrays.")

    def env_is_wrapped(
        self,
        wrapper_class: type[Any],  # noqa: ARG002 (the interface is SB3's)
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Say that none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Give no images: there is nothing to see."""
        return [None] * self.num_envs
