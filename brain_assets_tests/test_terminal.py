"""Options that become part of a run configuration."""

import pytest

from brain_assets.errors import ConfigError
from brain_assets.terminal import with_seeds


def test_seeds_are_added_to_both_policies_and_win_over_the_file() -> None:
    given = {
        "ops": {"sac_policy": {"config": {"total_steps": 5, "n_seeds": 2}}, "lstm_snapshot": {"config": {"window": 9}}}
    }
    assert with_seeds(given, 10, ("ppo", "sac")) == {
        "ops": {
            "ppo_policy": {"config": {"n_seeds": 10}},
            "sac_policy": {"config": {"total_steps": 5, "n_seeds": 10}},
            "lstm_snapshot": {"config": {"window": 9}},
        }
    }
    assert given["ops"]["sac_policy"]["config"]["n_seeds"] == 2
    assert with_seeds(given, None, ("ppo", "sac")) is given


@pytest.mark.parametrize("given", [{"ops": [1]}, {"ops": {"ppo_policy": 3}}, {"ops": {"ppo_policy": {"config": "x"}}}])
def test_a_file_that_has_no_mapping_there_is_one_sentence(given: dict[str, object]) -> None:
    with pytest.raises(
        ConfigError, match=r"^--config: \w+: expected a mapping, got (list|int|str); correct the file\."
    ):
        with_seeds(given, 2, ("ppo", "sac"))
