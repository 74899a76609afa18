import re

import numpy as np
import pytest

from brain_assets.portfolio.arithmetic import PortfolioConstraints, equal_weight
from brain_assets.portfolio.diagnostics import degeneracy, policy_diagnostics
from brain_assets.portfolio.strategy import StrategyRun
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()
LIVELY = {"action_spread": 1.0, "mean_turnover": 0.1, "distance_to_equal_weight": 0.3, "saturation": 0.1}
LIVELY["forecast_rank_correlation"] = 0.05


def test_metadata_by_hand() -> None:
    weeks = toy_weeks(3, 3)
    weeks.available[1, 2] = weeks.available[2, 1:] = False
    # Equal weight: 0.2 each, as the cap has it; what is not available goes to cash.
    weights = np.array([[0.2, 0.1, 0.0, 0.7], [0.2, 0.2, 0.0, 0.6], [0.0, 0.0, 0.0, 1.0]])
    run = StrategyRun(weights, np.zeros(3), np.array([0.9, 0.1, 0.3]), np.zeros(3), weights[-1])
    logits = np.array([[1.0, 2.0, 3.0, 99.0], [0.0, -2.0, 9.0, 99.0], [2.98, 9.0, 9.0, -99.0]])
    got = policy_diagnostics(run, logits, 3.0, weeks, CONSTRAINTS)
    assert got["action_spread"] == pytest.approx((np.sqrt(2 / 3) + 1.0) / 2)  # the last week has one asset
    assert got["mean_turnover"] == pytest.approx(0.2)  # not the first week, which buys what it starts with
    assert got["distance_to_equal_weight"] == pytest.approx((0.6 + 0.4 + 0.0) / 3)  # targets: twice all in cash
    assert got["saturation"] == pytest.approx(2 / 6)  # 3.0 and 2.98 of six that count
    unbounded = policy_diagnostics(run, logits, None, weeks, CONSTRAINTS)
    assert unbounded == {name: got[name] for name in ("mean_turnover", "distance_to_equal_weight")}
    assert degeneracy({**LIVELY, **unbounded}) is None


def test_one_week_and_one_asset_have_diagnostics_too() -> None:
    weeks = toy_weeks(1, 1)
    weights = equal_weight(weeks.available, CONSTRAINTS)
    run = StrategyRun(weights, np.zeros(1), np.array([0.2]), np.zeros(1), weights[-1])
    got = policy_diagnostics(run, np.zeros((1, 2)), 3.0, weeks, CONSTRAINTS)
    assert set(got.values()) == {0.0}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"distance_to_equal_weight": 0.0499}, "The policy is uniform: its targets are 4.99% .*, less than 5%.* 0.050"),
        ({"distance_to_equal_weight": 0.0, "forecast_rank_correlation": 0.0499}, None),  # nothing speaks for a tilt
        ({"distance_to_equal_weight": 0.0, "forecast_rank_correlation": None}, None),
        ({"distance_to_equal_weight": 0.05}, None),
        ({"saturation": 0.91}, "The policy is saturated: 91% of its logits are at their bounds, more than 90%"),
        ({"saturation": 0.9}, None),
        ({"mean_turnover": 0.0009}, r"The policy never trades: 0.090% of the value a week, less than 0.1%"),
        ({"mean_turnover": 0.001}, None),
    ],
)
def test_degenerate_is_said_in_one_sentence(changed: dict, expected: str | None) -> None:
    got = degeneracy({**LIVELY, **changed})
    if expected is None:
        assert got is None
    else:
        assert re.match(expected, str(got))
