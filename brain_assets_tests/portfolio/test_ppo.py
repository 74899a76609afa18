import pytest

from brain_assets.errors import ConfigError
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.strategy import run_equal_weight
from brain_assets_tests.portfolio.test_training import act, fit
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()
TINY = PpoConfig(total_steps=200, n_envs=4, n_steps=13, batch_size=26, hidden=8)


@pytest.mark.slow
def test_planted_signal_beats_equal_weight_out_of_sample() -> None:
    """Rank correlation 0.15, default config: at least half of what the five best forecasts a week earn above it."""
    weeks = toy_weeks(700, 20, seed=100, rank_correlation=0.15)
    train, later = weeks.select(slice(0, 300)), weeks.select(slice(300, None))
    run = act("ppo", PpoConfig(), fit("ppo", train, PpoConfig()), later)
    assert run.annual_growth > run_equal_weight(later, RULES).annual_growth + 0.12


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("total_steps", 0, "at least 1"),
        ("batch_size", 27, "a divisor of n_envs \\* n_steps = 52"),
        ("learning_rate", 0.0, "more than 0"),
        ("n_envs", 0, "at least 1"),
        ("episode_weeks", 0, "at least 1"),
        ("gamma", 1.1, "at least 0, at most 1"),
        ("signal_scale", -0.1, "at least 0, at most 10"),
        ("clip", 1.0, "less than 1"),
        ("weight_decay", -0.1, "at least 0, at most 100"),
        ("score_std", 11.0, "at most 10"),
        ("seed", -1, "at least 0, less than 4,294,967,296"),
    ],
)
def test_impossible_configs_are_refused_by_name(name: str, value: float, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: expected .*{expected}"):
        TINY.replace(**{name: value})
