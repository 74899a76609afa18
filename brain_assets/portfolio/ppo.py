"""PPO: a policy by proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from brain_assets import registry
from brain_assets.configuration import require
from brain_assets.portfolio.actor_critic import ActorCritic, ActorCriticConfig


class PpoConfig(ActorCriticConfig):
    """How a policy is trained by PPO; batch_size must divide n_envs * n_steps, so that no batch is a remnant."""

    n_epochs: int = Field(4, ge=1, le=1_000, description="Passes over a rollout.")
    gae_lambda: float = Field(0.9, ge=0, le=1, description="Bias against variance of the advantages.")
    ent_coef: float = Field(0.0, ge=0, description="Weight of the entropy bonus in the loss.")
    clip: float = Field(0.2, gt=0, lt=1, description="Largest change of a probability ratio that still earns.")
    weight_decay: float = Field(
        1.0, ge=0, le=100, description="Of AdamW: by this times the learning rate weights shrink at every step."
    )
    score_std: float = Field(
        3.0,
        gt=0,
        le=10,
        description="Standard deviation of the explored logits at the start. It is learned from there.",
    )

    @model_validator(mode="after")
    def _whole_batches(self) -> Self:
        rollout = self.n_envs * self.n_steps
        divides = rollout % self.batch_size == 0
        require(divides, "batch_size", f"a divisor of n_envs * n_steps = {rollout}", self.batch_size)
        return self


@registry.register
class Ppo(ActorCritic):
    """PPO policy over weekly weights, trained on a forecaster's forecasts, signals and weeks up to 31 December."""

    name, label, code_version = "ppo", "PPO", "7"
    Config = PpoConfig
    algorithm = "ppo"
    forecaster = PpoConfig().forecaster
    quick: ClassVar[Mapping[str, Any]] = {**ActorCritic.quick, "batch_size": 52}
