"""The market as a gymnasium environment: one portfolio, one week a step.

An episode is a run of consecutive weeks that starts all in cash. Its end is a truncation, never a termination: the
market goes on, and so does the value of what is held. `brain_assets.portfolio.vectorized` steps many episodes at once
through the same arithmetic.
"""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from brain_assets.arrays import Float32Array, FloatArray, IntArray
from brain_assets.errors import ConfigError
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, StepResult, TradingRules
from brain_assets.portfolio.market_weeks import MarketWeeks
from brain_assets.portfolio.observations import SIGNAL_SCALE, ObservationBuilder
from brain_assets.store.scaler import Scaler

REWARD_SCALE = 100.0


@dataclass(frozen=True)
class EnvConfig:
    """What an episode is."""

    rules: TradingRules = field(default_factory=TradingRules)
    """What may be held, and what a trade costs."""
    episode_weeks: int = 52
    """Weeks in an episode; at least 1. All weeks, where there are fewer."""
    logit_bound: float = LOGIT_BOUND
    """Logit that an action of 1 stands for; more than 0, at most `LOGIT_BOUND`."""
    signal_scale: float = SIGNAL_SCALE
    """Standard deviation of the signals in an observation."""

    def __post_init__(self) -> None:
        if not 0.0 < self.logit_bound <= LOGIT_BOUND:
            raise ConfigError(
                f"logit_bound: expected more than 0, at most {LOGIT_BOUND:g}, got {self.logit_bound}; correct it."
            )
        if self.episode_weeks < 1:
            raise ConfigError(f"episode_weeks: expected at least 1, got {self.episode_weeks}.")


class Market:
    """The weeks with all that both environments ask of them; holds no state of an episode.

    Parameters
    ----------
    scaler : Scaler
        From `fit_observation_scaler`, on the training weeks.
    """

    def __init__(self, weeks: MarketWeeks, scaler: Scaler, config: EnvConfig) -> None:
        self.weeks = weeks
        self.rules = config.rules
        self.logit_bound = config.logit_bound
        self.episode_weeks = min(config.episode_weeks, len(weeks))
        self.n_starts = len(weeks) - self.episode_weeks + 1
        self._builder = ObservationBuilder(weeks, scaler, config.rules, config.signal_scale)
        limit = np.float32(self._builder.limit)
        self.observation_space = gymnasium.spaces.Box(-limit, limit, (self._builder.size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (weeks.n_assets + 1,), np.float32)

    def observe(self, week: int | IntArray, held: FloatArray) -> Float32Array:
        """Give what is seen at the decision time of `week`.

        After the last week nothing is known of the next: its market features stand in for those to come.
        """
        return self._builder.build(np.minimum(week, len(self.weeks) - 1), held)

    def observe_again(self, week: IntArray, weight_held: Float32Array) -> Float32Array:
        """Give what `observe` gave, from the weights held as they stand in it; see `ObservationBuilder.rebuild`."""
        return self._builder.rebuild(np.minimum(week, len(self.weeks) - 1), weight_held)

    def step(
        self, week: int | IntArray, held: FloatArray, action: npt.NDArray[np.floating]
    ) -> tuple[FloatArray, StepResult]:
        """Trade to what the action says and earn the week; shapes (...), (..., n_assets + 1), (..., n_assets + 1).

        Returns
        -------
        ndarray of float64, shape (...)
            Rewards: 100 * log(1 + net return).
        """
        weeks = self.weeks
        logits = action.astype(np.float64) * self.logit_bound
        target = arithmetic.target_weights(logits, weeks.available.take(week, axis=0), self.rules)
        gap, weekly_return = weeks.gap.take(week, axis=0), weeks.weekly_return.take(week, axis=0)
        result = arithmetic.step(held, gap, target, weekly_return, self.rules)
        return REWARD_SCALE * np.log1p(result.net_return), result

    def check_start(self, start: object) -> int:
        """Give the first week of an episode back, or say why none can start there."""
        if isinstance(start, int | np.integer) and 0 <= start < self.n_starts:
            return int(start)
        raise ConfigError(f"start: expected a week from 0 to {self.n_starts - 1}, got {start!r}; correct the options.")


class PortfolioEnv(gymnasium.Env[Float32Array, npt.NDArray[np.floating]]):
    """One portfolio in the market, a week a step.

    Observation: float32, flat, `brain_assets.portfolio.observations.FEATURES` of asset after asset. Action: a logit an
    asset and one for cash (last), each over their bound. Reward: 100 * log(1 + net return of the week). ``info``
    holds ``net_return``, ``turnover`` and ``cost`` of the step, and ``week``, the position it was taken in.

    Parameters
    ----------
    scaler : Scaler
        From `fit_observation_scaler`, on the training weeks.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (declared by gymnasium)

    def __init__(self, weeks: MarketWeeks, scaler: Scaler, config: EnvConfig | None = None) -> None:
        self._market = Market(weeks, scaler, config or EnvConfig())
        self.observation_space = self._market.observation_space
        self.action_space = self._market.action_space
        self._start_episode(0)

    def _start_episode(self, start: int) -> None:
        self._week = start
        self._last_week = start + self._market.episode_weeks - 1
        self._held = arithmetic.all_cash(self._market.weeks.n_assets)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Start an episode at a random week, or at ``options={"start": week}``.

        Raises `ConfigError` when no episode can start at that week.
        """
        super().reset(seed=seed)
        start = (options or {}).get("start")
        if start is None:
            start = self.np_random.integers(self._market.n_starts)
        self._start_episode(self._market.check_start(start))
        return self._market.observe(self._week, self._held), {"week": self._week}

    def step(self, action: npt.NDArray[np.floating]) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Take the portfolio through a week; see the class for what goes in and out."""
        reward, result = self._market.step(self._week, self._held, action)
        info = {
            "week": self._week,
            "net_return": float(result.net_return),
            "turnover": float(result.turnover),
            "cost": float(result.cost),
        }
        truncated = self._week >= self._last_week
        self._week += 1
        self._held = result.held_after
        return self._market.observe(self._week, self._held), float(reward), False, truncated, info
