import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brain_assets.errors import TableError
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.strategy import (
    TUNING_TRIALS,
    Trial,
    break_even_cost,
    gross_return,
    read_trials,
    record_trial,
    run_equal_weight,
    sharpe_ratio,
    weekly_sharpe_ratios,
)
from brain_assets_tests.portfolio.toy_markets import toy_weeks

OPTIONS = {"training": {"seed": 0, "gamma": 0.5}, "rules": {"cost_bps": 10.0}}


def test_the_same_configuration_in_the_same_year_counts_once(tmp_path: Path) -> None:
    def record(returns: list[float], year: int = 2020, gamma: float = 0.5, forecaster: str | None = "abc") -> None:
        options = {**OPTIONS, "training": {"seed": 0, "gamma": gamma}}
        record_trial(tmp_path / "trials", "ppo", year, np.array(returns), options, forecaster)

    assert read_trials(tmp_path / "trials") == []
    record([0.5, 0.6])
    record([0.01, 0.03, -0.01])  # again: the newest counts
    [trial] = read_trials(tmp_path / "trials")
    assert (trial.family, trial.year, trial.n_weeks) == ("ppo", 2020, 3)
    assert (trial.mean, trial.std) == pytest.approx((0.01, 0.02))  # squares 0, 0.0004, 0.0004 over 2
    record([0.01], year=2021)
    record([0.01], gamma=0.6)
    record([0.01], forecaster=None)  # that is not here
    trials = read_trials(tmp_path / "trials")
    same = [each for each in trials if each.configuration == trial.configuration]
    assert [(each.year, each.std) for each in same] == [(2020, trial.std), (2021, 0.0)]
    assert len({each.configuration for each in trials}) == 3
    content = json.loads((tmp_path / "trials" / f"ppo-{trial.configuration}-2020.json").read_text())
    assert (content["policy"], content["forecaster"]) == (OPTIONS, "abc")


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


def trial(returns: np.ndarray, configuration: str = "a", family: str = "ppo") -> Trial:
    mean, std = float(returns.mean()), float(returns.std(ddof=1))
    return Trial(family=family, configuration=configuration, year=2020, n_weeks=len(returns), mean=mean, std=std)


def test_years_of_a_configuration_are_one_trial() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(0.01, 0.02, 52), random.normal(-0.02, 0.02, 40)
    found = weekly_sharpe_ratios(
        [trial(first), trial(second, "b"), trial(second), trial(first, family="sac"), trial(np.zeros(5), "cash")]
    )
    expected = [each.mean() / each.std(ddof=1) for each in (np.concatenate([first, second]), second, first)]
    np.testing.assert_allclose(found, [*expected, 0.0])
    one = trial(first).replace(n_weeks=1, mean=0.01, std=9.0)  # of one week there is no deviation
    assert weekly_sharpe_ratios([one]).tolist() == [0.0]
    assert len(weekly_sharpe_ratios([one.replace(n_weeks=0)])) == 0


# What is earned


def test_growth_and_returns_before_costs_by_hand() -> None:
    run = run_equal_weight(toy_weeks(52, 5), CONSTRAINTS)
    assert run.cagr == pytest.approx(np.prod(1.0 + run.net_return) - 1.0)
    assert np.isnan(sharpe_ratio(np.full(30, 0.001)))
    before_costs = gross_return(run.net_return, run.turnover, CONSTRAINTS)
    free = run_equal_weight(toy_weeks(52, 5), CONSTRAINTS.replace(cost_bps=0.0))
    np.testing.assert_allclose(before_costs, free.net_return, atol=1e-15)


def test_break_even_cost_by_hand() -> None:
    """Columns: the yardstick; ahead by 1 % on 0.8 more traded; behind on as much; ahead without trading more."""
    gross = np.array([[0.02, 0.03, 0.01, 0.03]])
    turnover = np.array([[0.2, 1.0, 1.0, 0.2]])
    found = break_even_cost(gross, turnover, 0)
    expected = [np.log(1.03 / 1.02) / 0.8 * 10_000, np.log(1.01 / 1.02) / 0.8 * 10_000]  # 121.9 and -123.2
    np.testing.assert_allclose(found, [np.nan, *expected, np.nan])
