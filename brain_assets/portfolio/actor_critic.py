"""What PPO and SAC share: how they are told to train, and how the network that they train, stored whole, acts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from brain_assets import registry
from brain_assets.arrays import Float32Array
from brain_assets.configuration import ModelConfig
from brain_assets.portfolio.arithmetic import CONSTRAINTS, LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import SIGNAL_SCALE, ObservationBuilder, PolicyDataset
from brain_assets.portfolio.policy import Act, ForecasterName, OnProgress, Policy, SignalScale, TradingRate
from brain_assets.store.weights import Scaler

if TYPE_CHECKING:
    from brain_assets.portfolio.networks import LogitNetwork

NETWORKS, TRAINING = "brain_assets.portfolio.networks", "brain_assets.portfolio.training"


class ActorCriticConfig(ModelConfig):
    """What the training of both is told."""

    forecaster: ForecasterName = "lstm"
    total_steps: int = Field(
        50_000, ge=1, le=1_000_000_000, description="Weeks lived through, over all episodes; rounded up to rollouts."
    )
    n_envs: int = Field(64, ge=1, le=10_000, description="Episodes at once.")
    n_steps: int = Field(
        26, ge=1, le=10_000, description="Weeks of each episode between two updates: a rollout has n_envs * n_steps."
    )
    batch_size: int = Field(832, ge=2, le=1_000_000, description="Weeks a gradient step.")
    learning_rate: float = Field(2e-3, gt=0, lt=1, description="Of Adam, falling linearly to 0 over the training.")
    gamma: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Discount a week. Weights of a week touch later weeks through costs, and as far as they are kept.",
    )
    trading_rate: TradingRate = 0.2
    signal_scale: SignalScale = SIGNAL_SCALE
    hidden: int = Field(32, ge=1, le=1_024, description="Width of the network's layers.")
    episode_weeks: int = Field(52, ge=1, le=10_000, description="Weeks in an episode; all, where there are fewer.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of all random numbers.")


class ActorCritic(Policy):
    """A policy whose logits are those of a network over what it sees of each asset."""

    kinds: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    quick: ClassVar[Mapping[str, Any]] = {"total_steps": 200, "n_envs": 4, "n_steps": 26, "hidden": 8}
    algorithm: ClassVar[str]  # what makes it in `brain_assets.portfolio.networks` and `.training`

    def network(self, config: Any) -> "LogitNetwork":
        """Build the network that a configuration describes, untrained."""
        return registry.load(NETWORKS).NETWORKS[self.algorithm](config)

    def layout(self, config: Any) -> Mapping[str, tuple[int, ...]]:
        """Name the network's weights, with their shapes."""
        import torch

        with torch.device("meta"):  # no memory, no numbers
            return {name: tuple(value.shape) for name, value in self.network(config).state_dict().items()}

    def fit(
        self, weeks: PolicyDataset, config: Any, rules: PortfolioConstraints, progress: OnProgress, device: str
    ) -> Mapping[str, Float32Array]:
        """Train the network."""
        training, bound = registry.load(TRAINING), self.logit_bound(config)
        return training.learn(getattr(training, self.algorithm), weeks, config, rules, bound, progress, device)

    def act(self, arrays: Mapping[str, np.ndarray], config: Any, weeks: PolicyDataset) -> Act:
        """Act without exploring: the same observation, the same logits."""
        network = self.network(config).restore(arrays)
        builder = ObservationBuilder(weeks, Scaler.from_arrays(arrays), CONSTRAINTS, config.signal_scale)
        return lambda week, held: network.act(builder.build(week, held))

    def logit_bound(self, config: Any) -> float:  # noqa: ARG002
        """Bound of the logits; those that explore are cut off there by the environment."""
        return LOGIT_BOUND
