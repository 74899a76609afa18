"""Tables and sentences of a report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.portfolio.strategy import annual_return
from brain_assets.portfolio.trials import TUNING_TRIALS
from brain_assets.report.metrics import Estimate, worst_drawdowns
from brain_assets.report.tables import (
    basis_points,
    forecaster_table,
    monthly_returns,
    monthly_table,
    percent,
    points,
    policy_table,
    probability,
    risk_table,
    seeds_sentence,
    strategy_table,
    trials_sentence,
    yearly_returns,
    yearly_table,
)
from brain_assets_tests.report.toy_results import toy_report

NAN = float("nan")


def cells(table: pd.DataFrame, name: str) -> dict[str, str]:
    [row] = table[table.iloc[:, 0] == name].to_dict("records")
    return {str(head): cell for head, cell in row.items()}


def test_numbers_in_words() -> None:
    assert [percent(0.1234), percent(-0.05), percent(NAN)] == ["12.3 %", "−5.0 %", "–"]
    assert [points(Estimate(value, NAN, NAN)) for value in (0.012, -0.012, NAN)] == ["+1.2 pp", "−1.2 pp", "–"]
    assert points(Estimate(-0.0004, -0.01, 0.0004)) == "0.0 pp\n[−1.0, 0.0]"
    assert percent(-0.0004) == "0.0 %"
    assert points(Estimate(0.012, -0.01, 0.03)) == "+1.2 pp\n[−1.0, +3.0]"
    assert [probability(value) for value in (0.5, 0.9999, 0.0001, NAN)] == ["50.0 %", "> 99.9 %", "< 0.1 %", "–"]


def test_headline_figures() -> None:
    table, policy = strategy_table(toy_report()), toy_report().strategies.loc["ppo"]
    found = cells(table, "PPO")
    assert found["CAGR"].startswith(percent(policy["annual_return"].value) + "\n[")
    value, low, high = policy["sharpe"]
    assert found["Sharpe ratio a year"] == f"{value:.2f}\n[{low:+.2f}, {high:+.2f}]".replace("-", "−")
    assert found["turnover a year"] == "5.2 ×"
    assert found["active return"] == points(policy["active_return"])
    assert found["gross active return"] == points(policy["gross_active_return"])
    for column in ("active return", "gross active return", "break-even cost"):
        assert cells(table, "equal weight")[column] == "–"
    assert found["break-even cost"] == "–"  # trades as much as equal weight
    assert basis_points(Estimate(12.34, -3.0, 30.0)) == "12.3 bp\n[−3.0, +30.0]"


def test_policies_show_seeds_and_trials() -> None:
    found, policy = cells(policy_table(toy_report()), "PPO"), toy_report().policies.loc["ppo"]
    annual = annual_return(toy_report().seeds["ppo"].to_numpy())
    assert found["training seeds"] == "3"
    assert found["CAGR over seeds"] == (f"{percent(annual.mean())}\n{percent(annual.min())} to {percent(annual.max())}")
    tried = 2 + sum(TUNING_TRIALS[family] for family in ("lstm", "patchtst", "ppo", "sac"))  # two are recorded
    assert found["deflated Sharpe ratio"] == f"{probability(policy['deflated_sharpe'])}\n{tried} tried"
    assert cells(policy_table(toy_report()), "SAC")["training seeds"] == "1"


def test_too_few_seeds_are_said_and_what_to_do() -> None:
    report = toy_report()
    assert seeds_sentence(report) == (
        "SAC was trained from one seed only, which does not tell skill from luck in training: set n_seeds: 3 in the "
        "policy's run configuration."
    )
    enough = replace(report, strategies=report.strategies.loc[["ppo"]])
    assert seeds_sentence(enough).startswith("Mean over training seeds")
    two = replace(enough, seeds={"ppo": report.seeds["ppo"].iloc[:, :2]})
    assert "PPO was trained from 2 seeds only" in seeds_sentence(two)


def test_years_with_their_weeks() -> None:
    found = cells(yearly_table(toy_report()), "PPO")
    assert list(found) == ["strategy", "2020\n53 weeks", "2021\n7 weeks"]
    assert found["2021\n7 weeks"] == percent(np.prod(1 + toy_report().returns["ppo"][53:]) - 1)


def test_months_multiply_to_the_year_and_hold_the_weeks_that_end_in_them() -> None:
    monthly, yearly = monthly_returns(toy_report(), "ppo"), yearly_returns(toy_report()).loc["PPO"]
    np.testing.assert_allclose((1 + monthly).prod(axis=1), 1 + yearly)
    assert monthly["Jan"][2020] == pytest.approx(np.prod(1 + toy_report().returns["ppo"][:5]) - 1)  # from 2019-12-30
    assert cells(monthly_table(toy_report(), "ppo"), "2021")["Dec"] == "–"


def test_risk_by_hand() -> None:
    net = pd.DataFrame({"equal_weight": [0.01, -0.01, 0.02, 0.0], "ppo": [0.02, -0.03, 0.02, 0.01]})
    index = toy_report().returns.index[:4]
    weights = pd.DataFrame([[0.4, 0.4, 0.2]] * 4, index, ["AAA", "BBB", "cash"])
    few = replace(toy_report(), returns=net.set_index(index), weights={"ppo": weights, "equal_weight": weights})
    found = cells(risk_table(replace(few, strategies=few.strategies.loc[["equal_weight", "ppo"]])), "PPO")
    active = np.array([0.01, -0.02, 0.0, 0.01])
    assert found == {
        "strategy": "PPO",
        "Sortino ratio a year": f"{0.005 / np.sqrt(0.03**2 / 3) * 52**0.5:.2f}",
        "best week": "2.0 %",
        "worst week": "−3.0 %",
        "hit rate": "75.0 %",
        "skew": found["skew"],
        "VaR 95 %, a week": "3.0 %",
        "CVaR 95 %, a week": "3.0 %",
        "tracking error a year": percent(active.std(ddof=1) * 52**0.5),
        "information ratio a year": "0.00",
        "symbols held, effective": "2.00",
    }


def test_worst_drawdowns_by_hand() -> None:
    weeks = pd.date_range("2020-01-06", periods=8, freq="7D")
    found = worst_drawdowns(pd.Series([0.1, -0.1, 0.2, -0.2, -0.1, 0.5, -0.05, 0.01], weeks), count=2)
    assert found["depth"].tolist() == pytest.approx([0.8 * 0.9 - 1, -0.1])
    days = found[["start", "lowest", "recovered"]].apply(lambda days: days.dt.strftime("%m-%d")).to_numpy().tolist()
    assert days == [["01-27", "02-03", "02-10"], ["01-13", "01-13", "01-20"]]
    assert found["weeks"].tolist() == [2, 1]
    last = worst_drawdowns(pd.Series([0.1, -0.1, 0.01], weeks[:3]))
    assert last["recovered"].isna().all()
    assert worst_drawdowns(pd.Series([0.1], weeks[:1])).empty


def test_forecasters_and_words() -> None:
    table = forecaster_table(toy_report())
    assert cells(table, "4-week momentum")["mean rank correlation"].startswith("−1.000")
    assert cells(table, "4-week momentum")["t statistic"] == "–"  # it never varies
    lstm = toy_report().forecasts.skill.loc["lstm"]
    assert cells(table, "LSTM")["t statistic"] == f"{lstm['t_statistic']:.2f}"
    assert cells(table, "LSTM")["smallest detectable"] == f"{lstm['smallest_detectable']:.3f}"
    assert trials_sentence(toy_report()).endswith(
        "185 configurations were tried: 2 recorded in these years, 183 to choose the defaults of these families, which "
        "benchmarks/README.md lists."
    )
    assert trials_sentence(replace(toy_report(), n_trials=0)).endswith("is not recorded, so nothing is deflated.")
    assert trials_sentence(replace(toy_report(), n_trials=1)).endswith("was tried, so both are the same.")
