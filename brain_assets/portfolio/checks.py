"""What is asked of weights and of a backtest."""

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray
from brain_assets.check_result import CheckResult, listed
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, is_benchmark
from brain_assets.portfolio.seeds import family_of_seed
from brain_assets.portfolio.weights_table import weights_table

ROUNDING = 1e-9


def weights_verdict(weights: FloatArray, rules: PortfolioConstraints) -> CheckResult:
    """Check weights traded to, (n, n_assets + 1), cash last, against the trading rules."""
    assets, cash = weights[:, :-1], weights[:, -1]
    broken = {
        "are not finite": ~np.isfinite(weights).all(axis=1),
        "do not add up to 1": np.abs(weights.sum(axis=1) - 1) > ROUNDING,
        "are short": (weights < -ROUNDING).any(axis=1),
        f"hold more than {rules.max_weight:.0%} of one symbol": (assets > rules.max_weight + ROUNDING).any(axis=1),
        f"hold less than {rules.min_cash:.0%} of cash": cash < rules.min_cash - ROUNDING,
    }
    named = [f"{int(rows.sum())} {rule}" for rule, rows in broken.items() if rows.any()]
    expected = f"expected weights that keep the rules, got {listed(named)} of {len(weights)}; do not use them."
    return CheckResult(not named, expected if named else f"{len(weights):,} sets of weights keep the trading rules")


def table_weights(table: pd.DataFrame) -> FloatArray:
    """Give the weights of a backtest as an array, a row a week and strategy, cash last; 0 where none is held."""
    return weights_table(table["weights"]).to_numpy()


def beats_equal_weight(table: pd.DataFrame) -> CheckResult:
    """Compare the return of each policy in a backtest with that of equal weight, on the same weeks, after costs."""
    equal = growth(table, EQUAL_WEIGHT)
    names = sorted(set(table["strategy"]))
    policies = {name: growth(table, name) for name in names if not is_benchmark(name) and family_of_seed(name) is None}
    if not policies:
        return CheckResult(True, "no policy was finished before these weeks")
    words = ", ".join(f"{family} {value:+.1%}" for family, value in policies.items())
    return CheckResult(min(policies.values()) > equal, f"{words}; equal weight {equal:+.1%}")
