from dataclasses import asdict

import pytest

from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.policy import restore_policy, run_policy
from brain_assets.portfolio.ppo import train_ppo
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()
TINY = PpoConfig(total_steps=200, n_envs=4, n_steps=13, batch_size=26, hidden=8)


@pytest.mark.slow
def test_planted_signal_beats_equal_weight_out_of_sample() -> None:
    """Rank correlation 0.15, default config: at least half of what the five best forecasts a week earn above it."""
    weeks = toy_weeks(700, 20, seed=100, rank_correlation=0.15)
    train, later = weeks.select(slice(0, 300)), weeks.select(slice(300, None))
    result = train_ppo(train, PpoConfig(), RULES)
    run = run_policy(
        restore_policy("ppo", PpoConfig(), result.state_dict), result.scaler, later, RULES, PpoConfig().signal_scale
    )
    assert run.annual_growth > run_equal_weight(later, RULES).annual_growth + 0.12


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("total_steps", 0, "at least 1"),
        ("batch_size", 27, "a divisor of n_envs \\* n_steps = 52"),
        ("learning_rate", 0.0, "more than 0"),
        ("gamma", 1.1, r"\[0, 1\]"),
        ("signal_scale", -0.1, r"\[0, 10\]"),
        ("clip", 1.0, "less than 1"),
        ("weight_decay", -0.1, r"\[0, 100\]"),
        ("score_std", 11.0, "at most 10"),
        ("seed", -1, "0 to"),
    ],
)
def test_impossible_configs_are_refused_by_name(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*{expected}"):
        PpoConfig(**{**asdict(TINY), name: value})
