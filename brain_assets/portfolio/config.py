"""Configurations of policies; torch-free, so that the graph can declare them."""

import math
from dataclasses import dataclass

from brain_assets.configuration import option, require, require_count


@dataclass(frozen=True)
class PpoConfig:
    """How a policy is trained; checked on construction."""

    total_steps: int = option(
        100_000, "Weeks lived through, over all episodes; rounded up to whole rollouts of n_envs * n_steps."
    )
    n_envs: int = option(64, "Episodes at once.")
    n_steps: int = option(26, "Weeks of each episode between two updates.")
    batch_size: int = option(
        832, "Weeks a gradient step; at least 2, and a divisor of n_envs * n_steps, so that no batch is a remnant."
    )
    n_epochs: int = option(4, "Passes over a rollout.")
    learning_rate: float = option(2e-3, "Of Adam, falling linearly to 0 over the training.")
    gamma: float = option(
        0.5, "Discount a week, in [0, 1]. Weights of this week touch later weeks through trading costs only."
    )
    gae_lambda: float = option(0.9, "Bias against variance of the advantages, in [0, 1].")
    ent_coef: float = option(0.0, "Weight of the entropy bonus in the loss; 0 or more.")
    clip: float = option(0.2, "Largest change of a probability ratio that still earns; in (0, 1).")
    score_std: float = option(
        3.0, "Standard deviation of the explored scores at the start; in (0, 10]. It is learned from there."
    )
    hidden: int = option(32, "Width of the network's layers.")
    episode_weeks: int = option(52, "Weeks in an episode; all, where there are fewer.")
    seed: int = option(0, "Of all random numbers; 0 to 2**32 - 1.")

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require_count(self.total_steps, "total_steps", 1, 1_000_000_000, "week")
        require_count(self.n_envs, "n_envs", 1, 10_000, "episode")
        require_count(self.n_steps, "n_steps", 1, 10_000, "week")
        require_count(self.n_epochs, "n_epochs", 1, 1_000, "epoch")
        require_count(self.hidden, "hidden", 1, 1_024, "unit")
        require_count(self.episode_weeks, "episode_weeks", 1, 10_000, "week")
        rollout = self.n_envs * self.n_steps
        divides = self.batch_size >= 2 and rollout % self.batch_size == 0
        require(divides, "batch_size", f"at least 2 and a divisor of n_envs * n_steps = {rollout}", self.batch_size)
        require(0 < self.learning_rate < 1, "learning_rate", "more than 0 and less than 1", self.learning_rate)
        require(0 <= self.gamma <= 1, "gamma", "a number in [0, 1]", self.gamma)
        require(0 <= self.gae_lambda <= 1, "gae_lambda", "a number in [0, 1]", self.gae_lambda)
        require(0 <= self.ent_coef < math.inf, "ent_coef", "0 or more", self.ent_coef)
        require(0 < self.clip < 1, "clip", "more than 0 and less than 1", self.clip)
        require(0 < self.score_std <= 10, "score_std", "more than 0, at most 10", self.score_std)
        require(0 <= self.seed < 2**32, "seed", "0 to 2**32 - 1", self.seed)
