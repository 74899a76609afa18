import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import TableError
from brain_assets.portfolio.trials import TUNING_TRIALS, Trial, read_trials, record_trial, trial_of

OPTIONS = {"training": {"seed": 0, "gamma": 0.5}, "rules": {"cost_bps": 10.0}}


def test_a_trial_by_hand() -> None:
    trial = trial_of("ppo", 2020, np.array([0.01, 0.03, -0.01]), OPTIONS, "abc")
    assert (trial.family, trial.year, trial.n_weeks) == ("ppo", 2020, 3)
    assert trial.mean == pytest.approx(0.01)
    assert trial.std == pytest.approx(0.02)  # squares 0, 0.0004, 0.0004 over 2
    assert trial_of("ppo", 2020, np.array([0.01]), OPTIONS, "abc").std == 0.0


def test_what_makes_a_configuration_another() -> None:
    returns = np.array([0.01, 0.02])
    first = trial_of("ppo", 2020, returns, OPTIONS, "abc").configuration
    assert trial_of("ppo", 2021, returns * 2, OPTIONS, "abc").configuration == first
    other = {**OPTIONS, "training": {"seed": 0, "gamma": 0.6}}
    assert (
        len({first, *(trial_of("ppo", 2020, returns, *of).configuration for of in ((other, "abc"), (OPTIONS, "d")))})
        == 3
    )


def test_the_same_configuration_in_the_same_year_counts_once(tmp_path: Path) -> None:
    assert read_trials(tmp_path / "trials") == []
    first = Trial(family="ppo", configuration="aaaaaaaaaaaa", year=2020, n_weeks=52, mean=0.001, std=0.02)
    trials = [first, first.replace(year=2021), first.replace(family="sac", mean=0.003)]
    for trial in (*trials, *trials):
        record_trial(tmp_path / "trials", trial, OPTIONS, "abc")
    assert read_trials(tmp_path / "trials") == trials
    again = first.replace(mean=0.002, std=0.03)
    record_trial(tmp_path / "trials", again, OPTIONS, None)  # of a forecaster that is not here
    assert read_trials(tmp_path / "trials") == [again, *trials[1:]]
    content = json.loads((tmp_path / "trials" / "ppo-aaaaaaaaaaaa-2020.json").read_text())
    assert (content["policy"], content["forecaster"]) == (OPTIONS, None)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"trial": {"family": "ppo"}}'])
def test_a_damaged_record_is_named_and_not_passed_over(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ppo-aaaaaaaaaaaa-2020.json"
    path.write_text(content)
    with pytest.raises(TableError, match=f"{path}: expected the record of a configuration"):
        read_trials(tmp_path)


def test_what_was_tried_for_the_defaults_is_what_the_page_of_it_says() -> None:
    """Each comparison there ends with such a line; a family has as many as it was compared in."""
    page = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
    counted: Counter[str] = Counter()
    for family, count in re.findall(r"^Trials of `(\w+)`: (\d+)$", page, re.MULTILINE):
        counted[family] += int(count)
    assert dict(counted) == dict(TUNING_TRIALS)
    assert page.count("Trials of") == len(re.findall("^Trials of `", page, re.MULTILINE))
