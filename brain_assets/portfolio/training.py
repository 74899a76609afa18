"""Training of PPO and SAC, as stable-baselines3 does it, in the market as an environment.

What SB3 trains is the very module of `brain_assets.portfolio.networks` that is stored: a policy class shows it to each
algorithm. The same weeks, config and rules give the same bits, in any process with the same versions. On a GPU other
random numbers are drawn than on the CPU, so that the policies differ.
"""
# ruff: noqa: TID253 - subclasses of SB3 need their bases; loaded by `brain_assets.registry.load` alone

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution, SquashedDiagGaussianDistribution
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy, BaseModel, BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn
from torch.optim import AdamW

from brain_assets.arrays import BoolArray, Float32Array, FloatArray, IntArray
from brain_assets.device import keep_freed_memory, repeatable
from brain_assets.portfolio import arithmetic, dataset
from brain_assets.portfolio.actor_critic import ActorCriticConfig
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.networks import PpoNetwork, SacNetwork, by_asset, by_kind, with_least_cash
from brain_assets.portfolio.policy import OnProgress, PolicyProgress
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig
from brain_assets.store.weights import Scaler

REWARD_SCALE = 100.0


class VectorizedPortfolioEnv(VecEnv):
    """`n_envs` portfolios in the same market, each in an episode of `episode_weeks` (all, where there are fewer).

    An episode is a run of consecutive weeks that starts all in cash. Its end is a truncation, never a termination: the
    market goes on, and so does the value of what is held. Action: a logit an asset and one for cash (last, counted from
    that of the least cash beside equal weight), each over their bound. Reward: 100 * log(growth of the week after
    costs, over that of equal weight before costs): no action has a part in the latter, so the best ones are those of
    the growth alone, and found with less noise.
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
        signal_scale: float = dataset.SIGNAL_SCALE,
        trading_rate: float = 1.0,
    ) -> None:
        self._weeks, self._rules, self._logit_bound, self._rate = weeks, rules, logit_bound, trading_rate
        self._episode_weeks = min(episode_weeks, len(weeks))
        self._n_starts = len(weeks) - self._episode_weeks + 1
        self._builder = dataset.ObservationBuilder(weeks, scaler, rules, signal_scale)
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
        self.start: IntArray = np.zeros(n_envs, dtype=np.int64)  # first week of each running episode
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
            ended = np.flatnonzero(done)
            last = self._observe(self._week[ended], self._held[ended])
            for position, observation in zip(ended.tolist(), last, strict=True):
                infos[position] = {
                    "terminal_observation": observation,
                    "TimeLimit.truncated": True,
                    "episode": {"r": float(self._episode_reward[position]), "l": self._episode_weeks},
                }
            self._start_episodes(done)
        return self._observe(self._week, self._held), reward, done, infos

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def get_attr(self, attr_name: str, indices: object = None) -> list[Any]:  # noqa: ARG002
        """Give an attribute of this object for each environment."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, *_: Any, **__: Any) -> Any:
        """Refuse: the environments are rows of arrays, not objects with attributes and methods."""
        raise NotImplementedError

    env_method = env_is_wrapped = set_attr


def learn(
    make_model: Callable[[VectorizedPortfolioEnv, Any, PortfolioConstraints, str], BaseAlgorithm],
    weeks: PolicyDataset,
    config: ActorCriticConfig,
    rules: PortfolioConstraints,
    logit_bound: float,
    progress: OnProgress,
    device: str,
) -> dict[str, Float32Array]:
    """Let an algorithm, `ppo` or `sac`, learn from weeks that have all gone by, and give the weights of its network."""
    scaler = dataset.fit_observation_scaler(weeks)
    with repeatable(config.seed, device), keep_freed_memory():
        options = {name: getattr(config, name) for name in ("episode_weeks", "signal_scale", "trading_rate")}
        env = VectorizedPortfolioEnv(weeks, scaler, config.n_envs, rules, logit_bound=logit_bound, **options)
        model = make_model(env, config, rules, device)
        model.set_logger(Logger(folder=None, output_formats=[]))
        model.learn(config.total_steps, callback=_ReportRollouts(progress))
        network: nn.Module = model.policy.network  # type: ignore[assignment]
        return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


class _ReportRollouts(BaseCallback):
    def __init__(self, progress: OnProgress) -> None:
        super().__init__()
        self._progress = progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        ended = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(ended)) if ended else math.nan
        self._progress(PolicyProgress(self.num_timesteps, self.model._total_timesteps, mean))


# PPO (Schulman et al. 2017, arXiv:1707.06347)


def ppo(env: VectorizedPortfolioEnv, config: PpoConfig, rules: PortfolioConstraints, device: str) -> PPO:  # noqa: ARG001
    """Make the algorithm."""
    return PPO(
        SharedPpoPolicy,
        env,
        learning_rate=lambda remaining: config.learning_rate * max(remaining, 0.0),  # the last rollout overshoots
        n_steps=config.n_steps,
        batch_size=config.batch_size,
        n_epochs=config.n_epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip,
        ent_coef=config.ent_coef,
        policy_kwargs={
            "config": config,
            "optimizer_class": AdamW,
            "optimizer_kwargs": {"eps": 1e-5, "weight_decay": config.weight_decay},
        },
        stats_window_size=config.n_envs,
        seed=config.seed,
        device=device,
    )


class SharedPpoPolicy(ActorCriticPolicy):
    """Shows SB3 a `PpoNetwork`; actions are tilts over `LOGIT_BOUND`."""

    def __init__(self, *args: Any, config: PpoConfig, **kwargs: Any) -> None:
        self._config = config
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = PpoNetwork(self._config)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def get_distribution(self, obs: PyTorchObs) -> DiagGaussianDistribution:
        """Give the distribution of actions; [B, A * F] to a diagonal Gaussian over [B, A + 1]."""
        tilts = self.network.tilts(obs)  # type: ignore[arg-type]  # our observations are one tensor
        log_std = by_kind(self.network.log_std, tilts.shape[1] - 1) - math.log(LOGIT_BOUND)
        distribution: DiagGaussianDistribution = self.action_dist  # type: ignore[assignment]  # actions are a Box
        return distribution.proba_distribution(tilts / LOGIT_BOUND, log_std)

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Give the critic's values; [B, A * F] to [B, 1]."""
        return self.network.values(obs)  # type: ignore[arg-type]

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Give actions, values and log probabilities; [B, A * F] to [B, A + 1], [B, 1] and [B]."""
        distribution = self.get_distribution(obs)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs), distribution.log_prob(actions)

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Give values, log probabilities and entropies; [B, 1], [B] and [B]."""
        distribution = self.get_distribution(obs)
        return self.predict_values(obs), distribution.log_prob(actions), distribution.entropy()


# SAC (Haarnoja et al. 2018, arXiv:1812.05905)
#
# An action is a tilt an asset over their bound, within [-1, 1] by tanh. The critics do not see it, but the weights that
# it is traded at: the market's own arithmetic stands between actor and critics, with its exact derivative, so that they
# need not learn a softmax and a projection from noisy rewards. The buffer holds random weeks at first: those tell best
# what each asset is worth, since nothing else decides what is held in them.


def sac(env: VectorizedPortfolioEnv, config: SacConfig, rules: PortfolioConstraints, device: str) -> SAC:
    """Make the algorithm: gradient_steps batches after each rollout, which is n_steps weeks of n_envs episodes."""
    return SAC(
        SharedSacPolicy,
        env,
        learning_rate=lambda remaining: config.learning_rate * max(remaining, 0.0),
        # no more than are lived through: the buffer asks for its memory at once
        buffer_size=min(config.buffer_steps, config.total_steps + config.n_envs * config.n_steps),
        learning_starts=config.warmup_steps,
        batch_size=config.batch_size,
        tau=config.tau,
        gamma=config.gamma,
        train_freq=config.n_steps,
        gradient_steps=config.gradient_steps,
        ent_coef=f"auto_{config.ent_coef}",
        target_entropy=config.target_entropy * get_action_dim(env.action_space),
        policy_kwargs={"config": config, "rules": rules, "optimizer_kwargs": {"fused": True}},
        stats_window_size=config.n_envs,
        seed=config.seed,
        device=device,
    )


class SharedSacPolicy(SACPolicy):
    """Shows SB3 a `SacNetwork`."""

    def __init__(self, *args: Any, config: SacConfig, rules: PortfolioConstraints, **kwargs: Any) -> None:
        self._config, self._rules = config, rules
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.network = SacNetwork(self._config)
        critics, targets = (
            _Critics(self, networks, self._config, self._rules)
            for networks in (self.network.critics, copy.deepcopy(self.network.critics))
        )
        targets.set_training_mode(False)
        actor = _Actor(self, self.network)
        acting = [value for name, value in self.network.named_parameters() if not name.startswith("critics.")]
        rate = lr_schedule(1)
        actor.optimizer = self.optimizer_class(acting, lr=rate, **self.optimizer_kwargs)  # type: ignore[call-arg]
        critics.optimizer = self.optimizer_class(critics.parameters(), lr=rate, **self.optimizer_kwargs)  # type: ignore[call-arg]
        self.actor, self.critic, self.critic_target = actor, critics, targets  # type: ignore[assignment]


class _Actor(BasePolicy):
    """Shows SB3 the tilts of a `SacNetwork` as actions."""

    def __init__(self, policy: SACPolicy, network: SacNetwork) -> None:
        super().__init__(policy.observation_space, policy.action_space, squash_output=True)
        self.network = network
        self._distribution = SquashedDiagGaussianDistribution(get_action_dim(policy.action_space))

    def forward(self, obs: Tensor, deterministic: bool = False) -> Tensor:
        """Give actions; [B, A * F] to [B, A + 1]."""
        return self._distribution.actions_from_params(*self.network.gaussian(obs), deterministic=deterministic)

    def action_log_prob(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Give explored actions and their log probabilities; [B, A * F] to [B, A + 1] and [B]."""
        return self._distribution.log_prob_from_params(*self.network.gaussian(obs))

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        return self(observation, deterministic)


class _Critics(BaseModel):
    """Shows SB3 the critics of a `SacNetwork`, to which it gives actions."""

    def __init__(
        self, policy: SACPolicy, networks: nn.ModuleList, config: SacConfig, rules: PortfolioConstraints
    ) -> None:
        super().__init__(policy.observation_space, policy.action_space)
        self.networks, self._config, self._rules = networks, config, rules

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Estimate what actions are worth, once a critic; [B, A * F] and [B, A + 1] to [B, 1] each."""
        available = by_asset(obs)[:, :, dataset.AVAILABLE] > 0.5  # [B, A]
        logits = with_least_cash(actions * self._config.score_limit, available)  # [B, A + 1]
        target = arithmetic.differentiable_weights(logits, available, self._rules)  # [B, A + 1]
        weights = traded_weights(target, obs, available, self._config.trading_rate, self._rules)  # [B, A + 1]
        # where it is the actor that learns, SB3 throws away what the critics would learn: it need not be worked out
        self.networks.requires_grad_(not actions.requires_grad)
        values = tuple(network(obs, weights, self._rules.max_weight) for network in self.networks)
        self.networks.requires_grad_(True)
        return values


def traded_weights(
    target: Tensor, observation: Tensor, available: Tensor, rate: float, rules: PortfolioConstraints
) -> Tensor:
    """Go toward targets as `brain_assets.portfolio.arithmetic.trade_toward` does; [B, A + 1], [B, A * F], bool [B, A].

    The derivative is `rate`: exact where the way there keeps the rules.
    """
    if rate == 1.0:
        return target
    seen = by_asset(observation)[:, :, dataset.WEIGHT_HELD].cpu().numpy().astype(np.float64)  # [B, A]
    held = np.tile(arithmetic.all_cash(seen.shape[1]), (len(seen), 1))  # [B, A + 1]
    held[:, :-1] = seen * rules.max_weight
    held[:, -1] -= held[:, :-1].sum(axis=1)
    traded = arithmetic.trade_toward(held, target.detach().cpu().numpy(), available.cpu().numpy(), rate, rules)
    way = rate * target
    return way + (torch.from_numpy(traded.astype(np.float32)).to(way) - way).detach()
