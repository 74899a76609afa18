"""What a policy does, in a few numbers, and when they say that it does nothing worth the name.

The numbers are of the policy as it acts, without exploring, on the weeks that it learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from brain_assets.arrays import FloatArray
from brain_assets.market.signals import SIGNALS
from brain_assets.portfolio.arithmetic import PortfolioConstraints, equal_weight, target_weights
from brain_assets.portfolio.observations import MARKET_FEATURES, varied_in_training
from brain_assets.store.scaler import Scaler

if TYPE_CHECKING:
    from brain_assets.portfolio.dataset import PolicyDataset
    from brain_assets.portfolio.strategy import StrategyRun

AT_BOUND = 0.99
"""A logit is at its bound from this share of it on."""

MIN_DISTANCE = 0.05
"""Share of the value. The targets of an untrained network of ours are equal weight itself."""

WORTH_FOLLOWING = 0.05
"""Mean weekly rank correlation of forecasts from which on whoever stays at equal weight has missed something."""

MAX_SATURATION = 0.9

MIN_TURNOVER = 1e-3
"""Of the value, a week. Fixed targets take several times as much, only to undo the drift."""


def policy_diagnostics(
    run: StrategyRun, logits: FloatArray, logit_bound: float | None, weeks: PolicyDataset, rules: PortfolioConstraints
) -> dict[str, float]:
    """Measure what a policy did, from its run and the logits, (n_weeks, n_assets + 1), from which it decided.

    ``mean_turnover``: dollars traded over the value at the week's first open, mean over all weeks but the first, which
    buys what it starts with. ``distance_to_equal_weight``: half the sum of absolute differences between its targets and
    the weights of equal weight, cash included; mean over all weeks, in [0, 1]. Where logits have a bound (on both
    sides) also ``action_spread``: standard deviation of the logits of the available assets, mean over the weeks with
    two or more (0 if there is none); and ``saturation``: share of the logits of available assets that are at a bound.
    """
    available = weeks.available
    targets = target_weights(logits, available & np.isfinite(logits[:, :-1]), rules)
    apart = np.abs(targets - equal_weight(available, rules)).sum(axis=1) / 2
    diagnostics = {
        "mean_turnover": float(run.turnover[1:].mean()) if len(weeks) > 1 else 0.0,
        "distance_to_equal_weight": float(apart.mean()),
    }
    if logit_bound is None:
        return diagnostics
    given = np.where(available, logits[:, :-1], np.nan)
    several = given[available.sum(axis=1) >= 2]
    return {
        "action_spread": float(np.nanstd(several, axis=1).mean()) if len(several) else 0.0,
        **diagnostics,
        "saturation": float((np.abs(given[available]) >= AT_BOUND * logit_bound).mean()),
    }


def degeneracy(training: Mapping[str, Any]) -> str | None:
    """Say why a policy is degenerate, from ``metadata["training"]`` of its snapshot; None: it is not.

    To stay at equal weight is what policies are made to do where nothing speaks for a tilt.
    """
    distance, turnover = float(training["distance_to_equal_weight"]), float(training["mean_turnover"])
    saturation = float(training.get("saturation", 0.0))  # none where logits have no bound
    skill = float(training["forecast_rank_correlation"] or 0.0)  # none where it is not known
    problems = {
        f"The policy is uniform: its targets are {distance:.2%} of the value away from equal weight, less than "
        f"{MIN_DISTANCE:.0%}, although the forecasts that it follows have a rank correlation of {skill:.3f}.": (
            distance < MIN_DISTANCE and skill >= WORTH_FOLLOWING
        ),
        f"The policy never trades: {turnover:.3%} of the value a week, less than {MIN_TURNOVER:.1%}, although what it "
        "sees changes every week.": turnover < MIN_TURNOVER,
        f"The policy is saturated: {saturation:.0%} of its logits are at their bounds, more than {MAX_SATURATION:.0%}, "
        "so that they hardly tell one asset from another.": saturation > MAX_SATURATION,
    }
    return next((problem for problem, found in problems.items() if found), None)


def uninformative_features(scaler: Scaler) -> list[str]:
    """Name the signals that say nothing: not known in any training week, or without any difference between assets."""
    varied = dict(zip(MARKET_FEATURES, varied_in_training(scaler), strict=True))
    return [name for name in SIGNALS if not varied[name]]
