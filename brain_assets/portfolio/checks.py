"""What is asked of weights and of a backtest."""

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.check_result import CheckResult, listed
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, is_benchmark, is_top
from brain_assets.portfolio.seeds import family_of_seed
from brain_assets.portfolio.weights_table import weights_table

ROUNDING = 1e-9


def weights_verdict(
    weights: FloatArray, rules: PortfolioConstraints, max_weight: FloatArray | None = None
) -> CheckResult:
    """Check weights traded to, (n, n_assets + 1), cash last, against the trading rules; `max_weight`: (n,), if others.

    A weight may exceed its bound by rounding.
    """
    assets, cash = weights[:, :-1], weights[:, -1]
    bound = rules.max_weight if max_weight is None else max_weight
    broken = {
        "are not finite": ~np.isfinite(weights).all(axis=1),
        "do not add up to 1": np.abs(weights.sum(axis=1) - 1) > ROUNDING,
        "are short": (weights < -ROUNDING).any(axis=1),
        f"hold more than {rules.max_weight:.0%} of one symbol": assets.max(axis=1, initial=0.0) > bound + ROUNDING,
        f"hold less than {rules.min_cash:.0%} of cash": cash < rules.min_cash - ROUNDING,
    }
    named = [f"{int(rows.sum())} {rule}" for rule, rows in broken.items() if rows.any()]
    expected = f"expected weights that keep the rules, got {listed(named)} of {len(weights)}; do not use them."
    return CheckResult(not named, expected if named else f"{len(weights):,} sets of weights keep the trading rules")


def backtest_weights_verdict(table: pd.DataFrame, rules: PortfolioConstraints) -> CheckResult:
    """Check the weights of a backtest; `is_top` may hold the same of so few that each exceeds the cap on one asset."""
    weights = weights_table(table["weights"]).to_numpy()
    alike = table["strategy"].map(is_top).to_numpy() / np.maximum((weights[:, :-1] > 0.0).sum(axis=1), 1)
    return weights_verdict(weights, rules, np.maximum(rules.max_weight, alike))


def beats_equal_weight(table: pd.DataFrame) -> CheckResult:
    """Compare the return of each policy in a backtest with that of equal weight, on the same weeks, after costs."""
    equal = growth(table, EQUAL_WEIGHT)
    names = sorted(set(table["strategy"]))
    policies = {name: growth(table, name) for name in names if not is_benchmark(name) and family_of_seed(name) is None}
    if not policies:
        return CheckResult(True, "no policy was finished before these weeks")
    words = ", ".join(f"{family} {value:+.1%}" for family, value in policies.items())
    return CheckResult(min(policies.values()) > equal, f"{words}; equal weight {equal:+.1%}")
