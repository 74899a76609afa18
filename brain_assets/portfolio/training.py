"""What all trainings by stable-baselines3 share: one environment, one learning curve, one way to make the bits repeat.

The same weeks, config and rules give the same bits, in any process with the same versions. On a GPU other random
numbers are drawn than on the CPU, so that the policies differ.
"""
# ruff: noqa: TID253 - a callback of SB3 needs its base; loaded by `brain_assets.registry.load` alone

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from torch import nn

from brain_assets.arrays import Float32Array
from brain_assets.device import repeatable
from brain_assets.errors import TrainingError
from brain_assets.memory import keep_freed_memory
from brain_assets.portfolio.actor_critic import ActorCriticConfig
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.environment import VectorizedPortfolioEnv
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.portfolio.policy import OnProgress, PolicyProgress


class _ReportRollouts(BaseCallback):
    """Tells where the training stands after every rollout."""

    def __init__(self, progress: OnProgress) -> None:
        super().__init__()
        self._progress = progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        ended = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(ended)) if ended else math.nan
        self._progress(PolicyProgress(self.num_timesteps, self.model._total_timesteps, mean))


def learn(
    make_model: Callable[[VectorizedPortfolioEnv, Any, PortfolioConstraints, str], BaseAlgorithm],
    weeks: PolicyDataset,
    config: ActorCriticConfig,
    rules: PortfolioConstraints,
    logit_bound: float,
    progress: OnProgress,
    device: str,
) -> dict[str, Float32Array]:
    """Let an algorithm of SB3 learn from weeks that have all gone by, and give the weights of its network.

    `make_model` makes the algorithm for an environment; its policy holds the module that is stored as ``network``.
    Nothing after `weeks` reaches the scaler or the weights. Raises `TrainingError` if a weight is no longer a number.
    """
    scaler = fit_observation_scaler(weeks)
    with repeatable(config.seed, device), keep_freed_memory():
        env = VectorizedPortfolioEnv(
            weeks,
            scaler,
            config.n_envs,
            rules,
            episode_weeks=config.episode_weeks,
            logit_bound=logit_bound,
            signal_scale=config.signal_scale,
            trading_rate=config.trading_rate,
        )
        model = make_model(env, config, rules, device)
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(config.total_steps, callback=_ReportRollouts(progress))
        return finite_weights(model.policy.network)  # type: ignore[arg-type]


def finite_weights(network: nn.Module) -> dict[str, Float32Array]:
    """Copy the weights of a network to the CPU; raises `TrainingError` if one is no longer a number."""
    weights = {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise TrainingError("training: expected finite weights, got some that are not; set a smaller learning_rate.")
    return weights
