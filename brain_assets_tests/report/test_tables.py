"""Tables and sentences of a report, and the two that conclude, in every case that figures can make."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.base import MarketNote
from brain_assets.portfolio.strategy import TUNING_TRIALS, annual_return
from brain_assets.report.metrics import Estimate, worst_drawdowns
from brain_assets.report.report import Report
from brain_assets.report.tables import (
    conclude,
    forecaster_table,
    monthly_returns,
    percent,
    points,
    policy_table,
    probability,
    risk_table,
    seeds_sentence,
    strategy_table,
    trials_sentence,
    yearly_returns,
)
from brain_assets_tests.report.toy_results import toy_report

NAN = float("nan")
ABOVE, BELOW, OVER = Estimate(0.021, 0.004, 0.038), Estimate(-0.01, -0.02, -0.001), Estimate(0.004, -0.012, 0.02)
SHORT = Estimate(0.02, NAN, NAN)
SURVIVORS = "the list of symbols was made with knowledge of who survived"


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
    report = toy_report()
    table, policy = strategy_table(report), report.strategies.loc["ppo"]
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
    dear = report.strategies.assign(break_even=[Estimate(12.34, -3.0, 30.0)] * len(report.strategies))
    assert cells(strategy_table(replace(report, strategies=dear)), "PPO")["break-even cost"] == "12.3 bp\n[−3.0, +30.0]"


def test_policies_show_seeds_and_trials_and_where_seeds_are_too_few() -> None:
    report = toy_report()
    found, policy = cells(policy_table(report), "PPO"), report.policies.loc["ppo"]
    annual = annual_return(report.seeds["ppo"].to_numpy())
    assert found["training seeds"] == "3"
    assert found["CAGR over seeds"] == (f"{percent(annual.mean())}\n{percent(annual.min())} to {percent(annual.max())}")
    tried = 2 + sum(TUNING_TRIALS[family] for family in ("lstm", "patchtst", "ppo", "sac"))  # two are recorded
    assert found["deflated Sharpe ratio"] == f"{probability(policy['deflated_sharpe'])}\n{tried} tried"
    assert cells(policy_table(report), "SAC")["training seeds"] == "1"
    assert seeds_sentence(report) == (
        "SAC was trained from one seed only, which does not tell skill from luck in training: set n_seeds: 3 in the "
        "policy's run configuration."
    )
    enough = replace(report, strategies=report.strategies.loc[["ppo"]])
    assert seeds_sentence(enough).startswith("Mean over training seeds")
    two = replace(enough, seeds={"ppo": report.seeds["ppo"].iloc[:, :2]})
    assert "PPO was trained from 2 seeds only" in seeds_sentence(two)


def test_months_multiply_to_the_year_and_hold_the_weeks_that_end_in_them() -> None:
    monthly, yearly = monthly_returns(toy_report(), "ppo"), yearly_returns(toy_report()).loc["PPO"]
    np.testing.assert_allclose((1 + monthly).prod(axis=1), 1 + yearly)
    np.testing.assert_allclose((1 + yearly).prod(), (1 + toy_report().returns["ppo"]).prod())
    assert monthly["Jan"][2020] == pytest.approx(np.prod(1 + toy_report().returns["ppo"][:5]) - 1)  # from 2019-12-30


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


# What can be concluded


def report_with(
    ppo: Estimate | None = None, lstm: Estimate | None = None, n_trials: int = 1, market: str = "sample"
) -> Report:
    """A report of three weeks whose policy and forecaster, if there are any, have these figures."""
    columns = {"label": ["PPO", "momentum, top third"], "active_return": [ppo, ABOVE]}
    columns |= {
        "gross_active_return": [Estimate(0.025, NAN, NAN), ABOVE],
        "break_even": [Estimate(23.4, NAN, NAN), ABOVE],
    }
    strategies = pd.DataFrame(columns, ["ppo", "momentum_top"])
    names = ["lstm", "momentum"]
    skill = pd.DataFrame({"label": ["LSTM", "momentum"], "rank_correlation": [lstm, ABOVE]}, names)
    forecasts = toy_report().forecasts._replace(skill=skill if lstm else skill.drop("lstm"))
    return replace(
        toy_report(),
        market=MarketNote(market, "Closes only."),
        returns=toy_report().returns.iloc[[0, 1, -1]],
        strategies=(strategies if ppo else strategies.drop("ppo")).assign(is_policy=lambda table: table.index == "ppo"),
        forecasts=forecasts,
        n_trials=n_trials,
    )


def test_both_sentences_as_they_read() -> None:
    can, cannot = conclude(report_with(ABOVE))
    assert can == (
        "Over 3 weeks (2020-2021) and after costs, PPO earned 2.1 percentage points a year more than equal weight of "
        "the same symbols (95 % interval +0.4 to +3.8; before costs +2.5, break-even at +23.4 basis points of a dollar "
        "traded)."
    )
    assert cannot == f"It cannot be concluded that anybody would have earned these returns, since {SURVIVORS}."


@pytest.mark.parametrize(
    ("ppo", "lstm", "can", "cannot"),
    [
        (BELOW, None, "PPO earned 1.0 percentage point a year less than equal weight", "anybody"),
        (SHORT, SHORT, "or the forecasts of LSTM from chance.", "points a year: too few weeks for one), that"),
        (OVER, ABOVE, "the forecasts of LSTM ranked the symbols better than chance (mean ", "that PPO earns"),
        (OVER, BELOW, "the forecasts of LSTM ranked the symbols worse than chance (mean ", "that PPO earns more or"),
        (ABOVE, OVER, "PPO earned", "LSTM rank better than chance (95 % interval of the mean rank correlation: −0.0"),
        (None, None, "only benchmark strategies traded, so there is nothing to say about any model.", "anybody"),
    ],
)
def test_what_is_shown_and_what_is_left_open(
    ppo: Estimate | None, lstm: Estimate | None, can: str, cannot: str
) -> None:
    said = conclude(report_with(ppo, lstm))
    assert can in said.can
    assert cannot in said.cannot
    assert "momentum" not in said.can + said.cannot
    for name, found in (("PPO", ppo), ("the forecasts of LSTM", lstm)):
        assert (f"that {name}" in said.cannot) == (found in (OVER, SHORT))


@pytest.mark.parametrize(
    ("ppo", "n_trials", "market", "words"),
    [
        (ABOVE, 12, "live", f"no luck of choice, since 12 configurations were tried .*, since {SURVIVORS}"),
        (ABOVE, 0, "sample", f"how many configurations were tried is not recorded .*, since {SURVIVORS}"),
        (ABOVE, 1, "files", "concluded that anybody .* since it is not known who is missing from the files"),
        (BELOW, 12, "simulator", "concluded anything about a real market, since this one is made up"),
        (None, 0, "simulator", "concluded anything about a real market, since this one is made up"),
    ],
)
def test_what_was_tried_and_the_market_limit_it(ppo: Estimate | None, n_trials: int, market: str, words: str) -> None:
    assert re.search(rf"{words}\.$", conclude(report_with(ppo, None, n_trials, market)).cannot)


def test_they_are_two_sentences_whatever_the_figures() -> None:
    figures = [ABOVE, BELOW, OVER, SHORT, None]
    for ppo, lstm, n_trials in itertools.product(figures, figures, (0, 1, 5)):
        for sentence in conclude(report_with(ppo, lstm, n_trials)):
            assert sentence.endswith(".")
            assert not re.search(r"\. |nan|  ", sentence)


def test_all_models_that_are_not_told_from_nothing_are_named_together() -> None:
    found = report_with(OVER, OVER)
    policies = pd.concat([found.strategies.loc[["ppo"]].assign(label=label) for label in ("PPO", "SAC", "Direct")])
    skill = found.forecasts.skill.rename(index={"lstm": "average"}).replace("LSTM", "average")
    can, cannot = conclude(replace(found, strategies=policies, forecasts=found.forecasts._replace(skill=skill)))
    assert "nothing was found that tells the return of PPO, SAC, or Direct from that of equal weight, or the" in can
    assert ", or the forecasts of the average from chance" in can
    shown = "; ".join(["−1.2 to +2.0"] * 3)
    unit = "percentage points a year"
    assert f"that PPO, SAC, or Direct earns more or less than equal weight (95 % interval, {unit}: {shown})" in cannot
    assert "that the forecasts of the average rank better than chance" in cannot
