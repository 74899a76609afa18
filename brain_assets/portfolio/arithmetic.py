"""The one market arithmetic: trading rules, from logits to weights, and from one week's close to the next.

Layout: every array is batch-first, ``(..., n_assets)`` or ``(..., n_assets + 1)``; in the latter **cash is the last
column**. Weights are shares of the portfolio's value and sum to 1. One portfolio and a thousand go through the same
lines, and a row's result does not depend on what else is in the batch.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from brain_assets.arrays import BoolArray, FloatArray
from brain_assets.configuration import ModelConfig, build, require
from brain_assets.errors import BrainAssetsError
from brain_assets.store.fingerprint import hash_json

if TYPE_CHECKING:
    from torch import Tensor

Config = TypeVar("Config", bound=ModelConfig)

BASIS_POINT = 1e-4
WEEKS_PER_YEAR = 52

LOGIT_BOUND = 10.0
"""Logits of learned policies lie within it on both sides: 20 apart are as good as certain for a softmax."""

MAX_NEWTON_STEPS = 200  # it needs 2 to 5; more is the bisection that guards it, which runs out of doubles long before


class PortfolioConstraints(ModelConfig):
    """What a portfolio may hold (long only, fully invested with its cash), and what a trade costs."""

    min_cash: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Least share of the value that stays in cash at a trade. The week may drift it below.",
    )
    max_weight: float = Field(
        0.20, gt=0, le=1, description="Largest share of the value in one asset at a trade. Cash has no upper bound."
    )
    cost_bps: float = Field(
        10.0, ge=0, le=1000, description="Cost of every dollar traded, bought or sold, in basis points (1/10,000)."
    )


CONSTRAINTS = PortfolioConstraints()
"""The trading rules of every strategy in this package."""


def policy_options(config: ModelConfig) -> dict[str, Any]:
    """Give what a policy's configuration file holds: how it was trained, and the rules it trades by."""
    return {"training": config.model_dump(), "rules": CONSTRAINTS.model_dump()}


def read_policy_options(config_class: type[Config], options: Mapping[str, Any]) -> tuple[Config, PortfolioConstraints]:
    """Undo `policy_options`, believing nothing; raises `ConfigError`."""
    require(set(options) == {"training", "rules"}, "keys", "training and rules", sorted(map(str, options)))
    for name, part in options.items():
        require(isinstance(part, Mapping), name, "an object", part)
    config = build(config_class, options["training"], complete=True)
    return config, build(PortfolioConstraints, options["rules"], complete=True)


def with_seed(options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Give what `policy_options` gives for a policy's other training of a number, whose seed is larger by so much."""
    training = options["training"]
    return {**options, "training": {**training, "seed": training["seed"] + number}}


def stands_beside(
    policy: Mapping[str, Any], options: Mapping[str, Any], number: int, fingerprint: Mapping[str, Any]
) -> bool:
    """Tell whether a fingerprint is that of a policy with the seed of a number, from its own and `policy_options`."""
    expected = {**policy, "config": hash_json(with_seed(options, number))}
    return all(fingerprint[part] == expected[part] for part in ("code", "config", "data"))


class StepResult(NamedTuple):
    """One step of a portfolio, known in full at the week's last close."""

    net_return: FloatArray
    """Shape (...). Return from the last close before the week to the week's last close, after costs."""
    held_after: FloatArray  # (..., n_assets + 1): weights at the week's last close
    turnover: FloatArray  # (...), in [0, 2]: dollars bought and sold over the value at the week's first open


def project(weights: FloatArray, available: BoolArray, rules: PortfolioConstraints) -> FloatArray:
    """Give the nearest weights, in Euclidean distance, that the rules allow; (..., n_assets + 1), cash last.

    The exact projection onto {w >= 0, sum w = 1, cash >= min_cash, each asset <= max_weight, unavailable = 0}: w_i =
    clip(v_i - tau, lower_i, upper_i) with the one tau that makes the sum 1. The sum falls piecewise linearly in tau, so
    Newton's method, kept inside a bracket, ends in finitely many steps (Cominetti, Mascarenhas & Silva 2014).

    Weights that obey the rules come back unchanged. Bounds hold exactly, the sum to ``1e-15 * (n_assets + 1)``. There
    is always a solution, since cash has no upper bound. Raises `BrainAssetsError` when a weight is not finite.
    """
    n_columns = weights.shape[-1]
    values = weights.reshape(-1, n_columns)
    upper: FloatArray = np.empty(weights.shape)
    upper[..., :-1] = available
    upper[..., :-1] *= rules.max_weight
    upper[..., -1] = 1.0  # of no effect where the sum is 1; spares the search an infinity
    upper = upper.reshape(-1, n_columns)
    lower = np.zeros(n_columns)
    lower[-1] = rules.min_cash
    tolerance = 4.0 * np.finfo(np.float64).eps * values.shape[-1] * max(1.0, float(np.abs(values).max(initial=0.0)))
    tau = np.zeros(len(values))  # all there is to do for rows that obey already
    low, high = values.min(axis=-1) - 1.0, values.max(axis=-1)  # everything at its upper, at its lower bound
    for _ in range(MAX_NEWTON_STEPS):
        projected = (values - tau[:, None]).clip(lower, upper)
        excess = projected.sum(axis=-1) - 1.0
        left = ~(np.abs(excess) <= tolerance)  # NaN is never within
        if not left.any():
            return projected.reshape(weights.shape)
        low, high = np.where(excess > 0.0, tau, low), np.where(excess > 0.0, high, tau)
        n_between = ((projected > lower) & (projected < upper)).sum(axis=-1)  # minus the slope of the sum in tau
        newton = tau + excess / np.maximum(n_between, 1)
        inside = (n_between > 0) & (newton > low) & (newton < high)
        tau = np.where(left, np.where(inside, newton, 0.5 * (low + high)), tau)
    raise BrainAssetsError(
        f"expected finite weights to project, got {values[left][0]}; a logit that is not a number comes from a model "
        "that diverged: train it again with a smaller learning rate."
    )


def target_weights(logits: npt.NDArray[np.floating], available: BoolArray, rules: PortfolioConstraints) -> FloatArray:
    """Turn logits into the weights to trade to: softmax over what is available and cash, then `project`.

    Of `logits`, finite and (..., n_assets + 1), only differences matter; those of unavailable assets are ignored.
    """
    softmax = np.array(logits, dtype=np.float64)
    np.copyto(softmax[..., :-1], -math.inf, where=~available)
    softmax -= softmax.max(axis=-1, keepdims=True)
    np.exp(softmax, out=softmax)
    softmax /= softmax.sum(axis=-1, keepdims=True)
    return project(softmax, available, rules)


def min_cash_odds(rules: PortfolioConstraints) -> float:
    """Give the least cash over the rest, 1e-4 at least; times the number of assets, what cash counts in a softmax."""
    return max(rules.min_cash, 1e-4) / (1.0 - rules.min_cash)


def equal_weight(available: BoolArray, rules: PortfolioConstraints) -> FloatArray:
    """Give the same weight to each asset available, (..., n_assets), as far as the rules allow; the rest is cash."""
    weights = np.zeros((*available.shape[:-1], available.shape[-1] + 1))
    weights[..., :-1] = available / np.maximum(available.sum(axis=-1, keepdims=True), 1)
    return project(weights, available, rules)


def trade_toward(
    held: FloatArray, target: FloatArray, available: BoolArray, rate: float, rules: PortfolioConstraints
) -> FloatArray:
    """Go from the weights held a share `rate` of the way to a target, as far as the rules allow.

    `held` (at the last close) and `target` are (..., n_assets + 1), `rate` is in (0, 1]: with costs it pays to trade
    partially toward an aim (Gârleanu & Pedersen 2013, proposition 2). A portfolio all in cash starts from equal weight:
    it has to trade anyway. What is not available is sold at once.
    """
    if rate == 1.0:
        return target
    new = held[..., -1:] == 1.0
    start = np.where(new, equal_weight(available, rules), held) if new.any() else held
    return project((1.0 - rate) * start + rate * target, available, rules)


def all_cash(n_assets: int) -> FloatArray:
    """Give the weights of a portfolio that holds nothing yet; shape (n_assets + 1,)."""
    weights = np.zeros(n_assets + 1)
    weights[-1] = 1.0
    return weights


def drift(held_assets: FloatArray, pre_open_return: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the weights of assets at the first open, (..., n_assets), and the portfolio's growth until then, (...)."""
    at_open = held_assets * pre_open_return
    growth = 1.0 + at_open.sum(axis=-1)
    at_open += held_assets
    at_open /= growth[..., None]
    return at_open, growth


def trading_cost(turnover: FloatArray, rules: PortfolioConstraints) -> FloatArray:
    """Give what trades cost, in the unit of `turnover`: shares of a value, or dollars; any shape."""
    return rules.cost_bps * BASIS_POINT * turnover


def step(
    held: FloatArray,
    pre_open_return: FloatArray,
    target: FloatArray,
    weekly_return: FloatArray,
    rules: PortfolioConstraints,
) -> StepResult:
    """Take a portfolio through one week: drift to the open, trade there to the target as it is, earn the week.

    `held` are the weights at the last close before the week, like `target` (..., n_assets + 1); the returns are (...,
    n_assets), 0 where nothing is traded.
    """
    target_assets = target[..., :-1]
    at_open, growth_to_open = drift(held[..., :-1], pre_open_return)
    turnover = np.abs(target_assets - at_open).sum(axis=-1)
    earned = target_assets * weekly_return
    growth_of_week = 1.0 + earned.sum(axis=-1)
    held_after = target.copy()
    held_after[..., :-1] += earned
    held_after /= growth_of_week[..., None]
    net_return = growth_to_open * (1.0 - trading_cost(turnover, rules)) * growth_of_week - 1.0
    return StepResult(net_return, held_after, turnover)


def differentiable_weights(logits: "Tensor", available: "Tensor", rules: PortfolioConstraints) -> "Tensor":
    """Turn logits, [B, A + 1], into weights as `target_weights` does, with their derivative."""
    import torch

    of_assets = logits[:, :-1].masked_fill(~available, -torch.inf)
    softmax = torch.softmax(torch.cat([of_assets, logits[:, -1:]], dim=1), dim=1)
    return differentiable_projection(softmax, available, rules)


def differentiable_projection(weights: "Tensor", available: "Tensor", rules: PortfolioConstraints) -> "Tensor":
    """Project weights, [B, A + 1], as `project` does to the bit, with the derivative; of the type of what is given.

    A weight is v - tau between its bounds, and constant at them; tau keeps the sum at 1, so that its derivative is the
    mean of those between.
    """
    import torch

    exact = project(weights.detach().cpu().numpy().astype(np.float64), available.cpu().numpy(), rules)
    between = exact > 0.0
    between[:, :-1] &= exact[:, :-1] < rules.max_weight
    between[:, -1] = exact[:, -1] > rules.min_cash
    moves = torch.from_numpy(between).to(weights.device)
    change = (weights - weights.detach()) * moves  # 0, but its derivative is not
    shift = change.sum(dim=1, keepdim=True) / moves.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.from_numpy(exact).to(weights) + change - moves * shift
