"""Tables and sentences of a report."""

from dataclasses import replace

import numpy as np
import pytest

from brain_assets.portfolio.report_tables import (
    forecaster_table,
    glossary,
    percent,
    points,
    policy_table,
    probability,
    seeds_sentence,
    strategy_table,
    trials_sentence,
    yearly_table,
)
from brain_assets_tests.portfolio.toy_results import toy_report

NAN = float("nan")


def cells(table, name: str) -> dict[str, str]:
    [row] = [row for row in table.rows if row.name == name]
    return dict(zip(table.heads[1:], (cell.words for cell in row.cells), strict=True))


def test_numbers_in_words() -> None:
    assert [percent(0.1234), percent(-0.05), percent(NAN)] == ["12.3 %", "−5.0 %", "–"]
    assert [points(0.012), points(-0.012), points(NAN)] == ["+1.2 pp", "−1.2 pp", "–"]
    assert [probability(value) for value in (0.5, 0.9999, 0.0001, NAN)] == ["50.0 %", "> 99.9 %", "< 0.1 %", "–"]


def test_headline_figures() -> None:
    table, policy = strategy_table(toy_report()), toy_report().strategies[0]
    found = cells(table, "PPO")
    assert found["return a year"].startswith(percent(policy.annual_return.value) + " [")
    assert found["Sharpe ratio"] == (
        f"{policy.sharpe.value:.2f} [{policy.sharpe.low:+.2f}, {policy.sharpe.high:+.2f}]".replace("-", "−")
    )
    assert found["turnover a year"] == "5.2 ×"
    assert found["return less equal weight's"].startswith(points(policy.excess.value))
    assert cells(table, "equal weight")["return less equal weight's"] == "–"
    assert [row.strong for row in table.rows] == [True, True, False, False]


def test_policies_show_seeds_and_trials() -> None:
    found = cells(policy_table(toy_report()), "PPO")
    policy = toy_report().policies[0]
    assert found["training seeds"] == "3"
    annual = policy.seed_annual_returns
    assert found["return a year over seeds"] == (
        f"{percent(annual.mean())} {percent(annual.min())} to {percent(annual.max())}"
    )
    assert found["deflated Sharpe ratio"] == f"{probability(policy.deflated_sharpe)} 2 tried"
    assert cells(policy_table(toy_report()), "SAC")["training seeds"] == "1"


@pytest.mark.parametrize(
    ("n_trials", "words"),
    [
        (0, "How many configurations were tried is not recorded, so nothing is deflated."),
        (1, "One configuration was tried, so both are the same."),
        (7, "7 configurations were tried, as recorded."),
    ],
)
def test_the_number_of_trials_is_said(n_trials: int, words: str) -> None:
    assert trials_sentence(replace(toy_report(), n_trials=n_trials)).endswith(words)


def test_too_few_seeds_are_said_and_what_to_do() -> None:
    assert seeds_sentence(toy_report()) == (
        "SAC was trained from one seed only, which does not tell skill from luck in training: set n_seeds: 3 in the "
        "policy's run configuration."
    )
    enough = replace(toy_report(), policies=toy_report().policies[:1])
    assert seeds_sentence(enough).startswith("Mean over training seeds")
    two = replace(toy_report().policies[0], seed_returns=toy_report().policies[0].seed_returns[:, :2])
    assert "PPO was trained from 2 seeds only" in seeds_sentence(replace(toy_report(), policies=(two,)))


def test_years_with_their_weeks() -> None:
    table = yearly_table(toy_report())
    assert [row.name for row in table.rows] == ["2020", "2021"]
    found = cells(table, "2021")
    assert found["weeks"] == "7"
    value = np.prod(1 + toy_report().strategies[0].net_returns[53:]) - 1
    assert found["PPO"] == percent(value)
    [cell] = [cell for head, cell in zip(table.heads[1:], table.rows[1].cells, strict=True) if head == "PPO"]
    assert np.sign(cell.tint) == np.sign(value)


def test_forecasters_and_words() -> None:
    assert cells(forecaster_table(toy_report()), "momentum")["mean rank correlation"].startswith("−1.000")
    assert dict(glossary(toy_report()))["this market"] == toy_report().market.caveat
    assert "left out" not in dict(glossary(toy_report()))["weeks"]
    assert "208 weeks" in dict(glossary(replace(toy_report(), weeks_left_out=208)))["weeks"]
