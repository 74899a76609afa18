import json

import numpy as np
import pandas as pd
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.checks import backtest_weights_verdict, beats_equal_weight, weights_verdict

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


def test_weights_of_a_backtest_have_cash_last_and_a_third_of_few_symbols_may_exceed_the_cap() -> None:
    weights = {
        "ppo": {"A": 0.4, "cash": 0.6},
        "ppo_seed_1": {"cash": 0.5, "B": 0.5},
        "lstm_top": {"A": 0.98, "cash": 0.02},
    }
    table = pd.DataFrame({"strategy": list(weights), "weights": [json.dumps(each) for each in weights.values()]})
    assert backtest_weights_verdict(table, CONSTRAINTS).words == "3 sets of weights keep the trading rules"
    for concentrated, name in ((0, "ppo"), (2, "lstm_top")):
        table.loc[concentrated, "weights"] = '{"A": 0.6, "B": 0.38, "cash": 0.02}'
        found = backtest_weights_verdict(table, CONSTRAINTS).words
        assert f"got {1 if name == 'ppo' else 2} hold more than 50% of one symbol of 3" in found


def test_each_policy_has_to_beat_equal_weight() -> None:
    def table(**returns: float) -> pd.DataFrame:
        return pd.DataFrame({"strategy": list(returns), "net_return": list(returns.values())})

    assert beats_equal_weight(table(ppo=0.2, sac=0.15, equal_weight=0.1)).passed
    found = beats_equal_weight(table(ppo=0.2, sac=0.05, equal_weight=0.1, ppo_seed_1=0.0))
    assert not found.passed
    assert found.words == "ppo +20.0%, sac +5.0%; equal weight +10.0%"
    assert beats_equal_weight(table(equal_weight=0.1)).passed
