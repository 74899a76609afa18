import json

import numpy as np
import pandas as pd
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.checks import beats_equal_weight, table_weights, weights_verdict

CONSTRAINTS = PortfolioConstraints(max_weight=0.5, min_cash=0.02)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ([0.5, 0.48, 0.02], None),
        ([0.0, 0.0, 1.0], None),
        ([0.6, 0.3, 0.1], "hold more than 50% of one symbol"),
        ([0.5, 0.49, 0.01], "hold less than 2% of cash"),
        ([-0.1, 0.5, 0.6], "are short"),
        ([0.4, 0.4, 0.1], "do not add up to 1"),
        ([np.nan, 0.4, 0.1], "are not finite"),
    ],
)
def test_weights_by_hand(weights: list[float], problem: str | None) -> None:
    found = weights_verdict(np.array([[0.3, 0.3, 0.4], weights]), CONSTRAINTS)
    assert found.passed is (problem is None)
    if problem:
        assert f"1 {problem}" in found.words
        assert "of 2" in found.words


def test_weights_come_out_of_a_backtest_with_cash_last() -> None:
    texts = [json.dumps({"A": 0.4, "cash": 0.6}), json.dumps({"cash": 0.5, "B": 0.5}), json.dumps({"A": 0.5, "B": 0.5})]
    expected = [[0.4, 0.0, 0.6], [0.0, 0.5, 0.5], [0.5, 0.5, 0.0]]
    np.testing.assert_array_equal(table_weights(pd.DataFrame({"weights": texts})), expected)


def test_each_policy_has_to_beat_equal_weight() -> None:
    def table(**returns: float) -> pd.DataFrame:
        return pd.DataFrame({"strategy": list(returns), "net_return": list(returns.values())})

    assert beats_equal_weight(table(ppo=0.2, sac=0.15, equal_weight=0.1)).passed
    found = beats_equal_weight(table(ppo=0.2, sac=0.05, equal_weight=0.1, ppo_seed_1=0.0))
    assert not found.passed
    assert found.words == "ppo +20.0%, sac +5.0%; equal weight +10.0%"
    assert beats_equal_weight(table(equal_weight=0.1)).passed
