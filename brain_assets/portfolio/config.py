"""Configurations of policies; torch-free, so that the graph can declare them."""

import math
from dataclasses import dataclass

from brain_assets.configuration import option, require, require_count

SIGNAL_SCALE = 0.3
"""Less than 1, as a policy has a few hundred weeks to learn from, and signals that say little but tell assets apart (a
margin is its company's for years) invite it to learn which asset did well in them.

Smaller inputs need larger weights to do the same harm, and PatchTST's forecasts have the signals in them already. Over
equal weight, in later weeks of toy markets whose signals say nothing: PPO 0.157 a year at 1, 0.176 at 0.3 (mean of
three), SAC 0.06 and 0.16 (of two). The price is paid where only the news says something: both earn 0.04 there.
"""


@dataclass(frozen=True)
class PolicyConfig:
    """What every policy's training is told; checked on construction."""

    total_steps: int = option(100_000, "Weeks lived through, over all episodes; rounded up to whole rollouts.")
    n_envs: int = option(64, "Episodes at once.")
    n_steps: int = option(26, "Weeks of each episode between two updates: a rollout has n_envs * n_steps.")
    batch_size: int = option(832, "Weeks a gradient step.")
    learning_rate: float = option(2e-3, "Of Adam, falling linearly to 0 over the training.")
    gamma: float = option(
        0.5, "Discount a week, in [0, 1]. Weights of this week touch later weeks through trading costs only."
    )
    signal_scale: float = option(
        SIGNAL_SCALE, "Standard deviation of news and ratios in what it sees, in [0, 10]; that of forecasts is 1."
    )
    hidden: int = option(32, "Width of the network's layers.")
    episode_weeks: int = option(52, "Weeks in an episode; all, where there are fewer.")
    seed: int = option(0, "Of all random numbers; 0 to 2**32 - 1.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_count(self.total_steps, "total_steps", 1, 1_000_000_000, "week")
        require_count(self.n_envs, "n_envs", 1, 10_000, "episode")
        require_count(self.n_steps, "n_steps", 1, 10_000, "week")
        require_count(self.batch_size, "batch_size", 2, 1_000_000, "week")
        require(0 < self.learning_rate < 1, "learning_rate", "more than 0 and less than 1", self.learning_rate)
        require(0 <= self.gamma <= 1, "gamma", "a number in [0, 1]", self.gamma)
        require(0 <= self.signal_scale <= 10, "signal_scale", "a number in [0, 10]", self.signal_scale)
        require_count(self.hidden, "hidden", 1, 1_024, "unit")
        require_count(self.episode_weeks, "episode_weeks", 1, 10_000, "week")
        require(0 <= self.seed < 2**32, "seed", "0 to 2**32 - 1", self.seed)


@dataclass(frozen=True)
class PpoConfig(PolicyConfig):
    """How a policy is trained by PPO; batch_size must divide n_envs * n_steps, so that no batch is a remnant."""

    n_epochs: int = option(4, "Passes over a rollout.")
    gae_lambda: float = option(0.9, "Bias against variance of the advantages, in [0, 1].")
    ent_coef: float = option(0.0, "Weight of the entropy bonus in the loss; 0 or more.")
    clip: float = option(0.2, "Largest change of a probability ratio that still earns; in (0, 1).")
    weight_decay: float = option(1.0, "Of AdamW: by this times the learning rate weights shrink at every step.")
    score_std: float = option(
        3.0, "Standard deviation of the explored scores at the start; in (0, 10]. It is learned from there."
    )

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        require_count(self.n_epochs, "n_epochs", 1, 1_000, "epoch")
        rollout = self.n_envs * self.n_steps
        divides = rollout % self.batch_size == 0
        require(divides, "batch_size", f"a divisor of n_envs * n_steps = {rollout}", self.batch_size)
        require(0 <= self.gae_lambda <= 1, "gae_lambda", "a number in [0, 1]", self.gae_lambda)
        require(0 <= self.ent_coef < math.inf, "ent_coef", "0 or more", self.ent_coef)
        require(0 < self.clip < 1, "clip", "more than 0 and less than 1", self.clip)
        require(0 <= self.weight_decay <= 100, "weight_decay", "a number in [0, 100]", self.weight_decay)
        require(0 < self.score_std <= 10, "score_std", "more than 0, at most 10", self.score_std)


@dataclass(frozen=True)
class SacConfig(PolicyConfig):
    """How a policy is trained by SAC."""

    total_steps: int = option(40_000, "Weeks lived through, over all episodes; rounded up to whole rollouts.")
    n_steps: int = option(13, "Weeks of each episode between two updates: a rollout has n_envs * n_steps.")
    batch_size: int = option(256, "Weeks a gradient step, drawn from all in the buffer.")
    learning_rate: float = option(1e-3, "Of Adam, falling linearly to 0 over the training.")
    gradient_steps: int = option(26, "Gradient steps after each rollout.")
    warmup_steps: int = option(20_000, "Weeks lived through at random before the first gradient step.")
    buffer_steps: int = option(100_000, "Weeks that are remembered, the newest; at least a rollout.")
    tau: float = option(0.02, "Share by which the target critics follow the critics each gradient step; in (0, 1].")
    target_entropy: float = option(
        -1.0, "Entropy of an action that exploration is held at, nats a score over its limit; less than log 2, all."
    )
    ent_coef: float = option(0.02, "Weight of the entropy at the start; it is learned from there.")
    score_limit: float = option(3.0, "Bound of the scores, both sides; in (0, 10].")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        super().__post_init__()
        require_count(self.gradient_steps, "gradient_steps", 1, 100_000, "step")
        require_count(self.warmup_steps, "warmup_steps", 1, 1_000_000_000, "week")
        rollout = self.n_envs * self.n_steps
        require_count(self.buffer_steps, "buffer_steps", rollout, 10_000_000, "week")
        require(0 < self.tau <= 1, "tau", "more than 0, at most 1", self.tau)
        bounded = -20 <= self.target_entropy < math.log(2)
        require(bounded, "target_entropy", "a number from -20 to less than log 2", self.target_entropy)
        require(0 < self.ent_coef < math.inf, "ent_coef", "more than 0", self.ent_coef)
        require(0 < self.score_limit <= 10, "score_limit", "more than 0, at most 10", self.score_limit)
