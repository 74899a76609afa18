"""SAC: a policy by soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905)."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from brain_assets import registry
from brain_assets.configuration import require
from brain_assets.portfolio.actor_critic import ActorCritic, ActorCriticConfig
from brain_assets.portfolio.policy import ForecasterName


class SacConfig(ActorCriticConfig):
    """How a policy is trained by SAC."""

    forecaster: ForecasterName = "patchtst"
    total_steps: int = Field(
        20_000, ge=1, le=1_000_000_000, description="Weeks lived through, over all episodes; rounded up to rollouts."
    )
    n_steps: int = Field(
        13, ge=1, le=10_000, description="Weeks of each episode between two updates: a rollout has n_envs * n_steps."
    )
    batch_size: int = Field(256, ge=2, le=1_000_000, description="Weeks a gradient step, drawn from all in the buffer.")
    gradient_steps: int = Field(26, ge=1, le=100_000, description="Gradient steps after each rollout.")
    warmup_steps: int = Field(
        10_000, ge=1, le=1_000_000_000, description="Weeks lived through at random before the first gradient step."
    )
    buffer_steps: int = Field(
        100_000, ge=1, le=10_000_000, description="Weeks that are remembered, the newest; at least a rollout."
    )
    tau: float = Field(
        0.02, gt=0, le=1, description="Share by which the target critics follow the critics each gradient step."
    )
    target_entropy: float = Field(
        -1.0,
        ge=-20,
        lt=math.log(2),
        description="Entropy of an action that exploration is held at, nats a logit; log 2 would be all there is.",
    )
    ent_coef: float = Field(0.02, gt=0, description="Weight of the entropy at the start; it is learned from there.")
    score_limit: float = Field(3.0, gt=0, le=10, description="Bound of the logits, both sides.")

    @model_validator(mode="after")
    def _room_for_a_rollout(self) -> Self:
        rollout = self.n_envs * self.n_steps
        require(self.buffer_steps >= rollout, "buffer_steps", f"at least {rollout} weeks", self.buffer_steps)
        return self


@registry.register
class Sac(ActorCritic):
    """SAC policy over weekly weights, trained on a forecaster's forecasts, signals and weeks up to 31 December."""

    name, label, code_version = "sac", "SAC", "5"
    Config = SacConfig
    algorithm = "sac"
    forecaster = SacConfig().forecaster
    quick: ClassVar[Mapping[str, Any]] = {
        **ActorCritic.quick,
        "batch_size": 32,
        "warmup_steps": 104,
        "gradient_steps": 2,
    }

    def logit_bound(self, config: SacConfig) -> float:
        """Bound of the logits, by tanh."""
        return config.score_limit
