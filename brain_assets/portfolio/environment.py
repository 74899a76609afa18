"""The market as an environment: many portfolios at once, a week a step, behind stable-baselines3's `VecEnv` interface.

An episode is a run of consecutive weeks that starts all in cash. Its end is a truncation, never a termination: the
market goes on, and so does the value of what is held. An episode that ends is started anew in the same step: the
observation returned is the new episode's first, the old one's last is ``info["terminal_observation"]``.
"""
# ruff: noqa: TID253 - a subclass needs its base; loaded by `brain_assets.registry.load` alone

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.observations import SIGNAL_SCALE, ObservationBuilder
from brain_assets.store.scaler import Scaler

REWARD_SCALE = 100.0


class VectorizedPortfolioEnv(VecEnv):
    """`n_envs` portfolios in the same market, each in an episode of `episode_weeks` (all, where there are fewer).

    Observation: float32, flat, `brain_assets.portfolio.observations.FEATURES` of asset after asset. Action: a logit an
    asset and one for cash (last, counted from that of the least cash beside equal weight), each over their bound
    `logit_bound`; of the way to the target that they say the share `trading_rate` is traded. Reward: 100 * log(growth
    of the week after costs, over that of equal weight before costs): no action has a part in the latter, so the best
    ones are those of the growth alone, and found with less noise.
    ``infos`` are empty dicts except where an episode ended: ``terminal_observation``, ``TimeLimit.truncated`` (always
    true) and ``episode`` (``r``: sum of its rewards, ``l``: its weeks), as SB3's `Monitor` would put it.
    """

    render_mode: str | None = None

    def __init__(
        self,
        weeks: PolicyDataset,
        scaler: Scaler,
        n_envs: int,
        rules: PortfolioConstraints,
        *,
        episode_weeks: int = 52,
        logit_bound: float = LOGIT_BOUND,
        signal_scale: float = SIGNAL_SCALE,
        trading_rate: float = 1.0,
    ) -> None:
        self._weeks, self._rules, self._logit_bound, self._rate = weeks, rules, logit_bound, trading_rate
        self._episode_weeks = min(episode_weeks, len(weeks))
        self._n_starts = len(weeks) - self._episode_weeks + 1
        self._builder = ObservationBuilder(weeks, scaler, rules, signal_scale)
        equal = arithmetic.equal_weight(weeks.available, rules)[:, :-1]
        returns = weeks.pre_open_return, weeks.weekly_return
        n_available = np.maximum(weeks.available.sum(axis=1), 1)
        self._least_cash: FloatArray = np.log(arithmetic.min_cash_odds(rules) * n_available)
        self._equal_weight_growth: FloatArray = np.add(*(np.log1p((equal * each).sum(axis=1)) for each in returns))
        limit = np.float32(self._builder.limit)
        super().__init__(
            n_envs,
            gymnasium.spaces.Box(-limit, limit, (self._builder.size,), np.float32),
            gymnasium.spaces.Box(-1.0, 1.0, (weeks.n_assets + 1,), np.float32),
        )
        self._random = np.random.default_rng()
        self._actions: npt.NDArray[np.floating] = np.zeros((n_envs, weeks.n_assets + 1))
        self.start: IntArray = np.zeros(n_envs, dtype=np.int64)
        """First week of each running episode."""
        self._week = self.start.copy()
        self._held: FloatArray = np.tile(arithmetic.all_cash(weeks.n_assets), (n_envs, 1))
        self._episode_reward: FloatArray = np.zeros(n_envs)

    def _observe(self, week: IntArray, held: FloatArray) -> Float32Array:
        # after the last week nothing is known of the next: its market features stand in for those to come
        return self._builder.build(np.minimum(week, len(self._weeks) - 1), held)

    def _start_episodes(self, which: BoolArray) -> None:
        start = self._random.integers(self._n_starts, size=int(which.sum()))
        self.start[which] = start
        self._week[which] = start
        self._held[which] = arithmetic.all_cash(self._weeks.n_assets)
        self._episode_reward[which] = 0.0

    def reset(self) -> Float32Array:
        """Start all episodes, at random weeks."""
        if self._seeds[0] is not None:
            self._random = np.random.default_rng(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self._start_episodes(np.ones(self.num_envs, dtype=np.bool_))
        return self._observe(self._week, self._held)

    def step_async(self, actions: npt.NDArray[np.floating]) -> None:
        """Take note of the actions; shape (n_envs, n_assets + 1)."""
        self._actions = actions

    def step_wait(self) -> tuple[Float32Array, FloatArray, BoolArray, list[dict[str, Any]]]:
        """Trade every portfolio toward what its action says and earn the week; episodes that ended start anew."""
        week, weeks, rules = self._week, self._weeks, self._rules
        logits = self._actions.astype(np.float64) * self._logit_bound
        logits[:, -1] += self._least_cash.take(week)
        available = weeks.available.take(week, axis=0)
        target = arithmetic.target_weights(logits, available, rules)
        traded = arithmetic.trade_toward(self._held, target, available, self._rate, rules)
        pre_open_return, weekly_return = (
            each.take(week, axis=0) for each in (weeks.pre_open_return, weeks.weekly_return)
        )
        result = arithmetic.step(self._held, pre_open_return, traded, weekly_return, rules)
        reward = REWARD_SCALE * (np.log1p(result.net_return) - self._equal_weight_growth.take(week))
        self._held = result.held_after
        self._week += 1
        self._episode_reward += reward
        done = self._week - self.start >= self._episode_weeks
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            self._end_episodes(done, infos)
        return self._observe(self._week, self._held), reward, done, infos

    def _end_episodes(self, done: BoolArray, infos: list[dict[str, Any]]) -> None:
        """Fill the infos of ended episodes and start them anew."""
        ended = np.flatnonzero(done)
        last = self._observe(self._week[ended], self._held[ended])
        for position, observation in zip(ended.tolist(), last, strict=True):
            infos[position] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": True,
                "episode": {"r": float(self._episode_reward[position]), "l": self._episode_weeks},
            }
        self._start_episodes(done)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Give an attribute of this object once for each environment asked for."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: the environments are rows of arrays, not objects with attributes."""
        raise NotImplementedError(f"cannot set {attr_name!r}: the environments are rows of arrays; make a new one.")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Refuse: the environments are rows of arrays, not objects with methods."""
        raise NotImplementedError(f"cannot call {method_name!r}: the environments are rows of arrays.")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:  # noqa: ARG002
        """Say that none is wrapped."""
        return [False] * len(list(self._get_indices(indices)))
