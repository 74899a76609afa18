"""The two sentences, in every case that figures can make."""

from dataclasses import replace

import pandas as pd
import pytest

from brain_assets.market.base import MarketNote
from brain_assets.portfolio.metrics import Estimate
from brain_assets.report.conclusion import conclude
from brain_assets.report.report import Report
from brain_assets_tests.report.toy_results import toy_report

NAN = float("nan")
ABOVE, BELOW, OVER = Estimate(0.021, 0.004, 0.038), Estimate(-0.01, -0.02, -0.001), Estimate(0.004, -0.012, 0.02)
SHORT = Estimate(0.02, NAN, NAN)
SURVIVORS = "the list of symbols was made with knowledge of who survived"


def report(
    ppo: Estimate | None = None, lstm: Estimate | None = None, n_trials: int = 1, market: str = "sample"
) -> Report:
    """A report of three weeks whose policy and forecaster, if there are any, have these figures."""
    strategies = pd.DataFrame(
        {"label": ["PPO", "momentum, top third"], "excess": [ppo, ABOVE]}, ["ppo", "momentum_top"]
    )
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


def test_a_policy_that_is_ahead() -> None:
    can, cannot = conclude(report(ABOVE))
    assert can == (
        "Over 3 weeks (2020-2021) and after costs, PPO earned 2.1 percentage points a year more than equal weight of "
        "the same symbols (95 % interval +0.4 to +3.8)."
    )
    assert cannot == (f"It cannot be concluded that anybody would have earned these returns, since {SURVIVORS}.")


def test_a_policy_that_is_behind() -> None:
    can, cannot = conclude(report(BELOW))
    assert "PPO earned 1.0 percentage point a year less than equal weight" in can
    assert "(95 % interval −2.0 to −0.1)" in can
    assert "PPO" not in cannot


def test_a_policy_that_cannot_be_told_from_equal_weight() -> None:
    can, cannot = conclude(report(OVER))
    assert can.endswith("nothing was found that tells PPO's return from that of equal weight.")
    assert "that PPO earns more or less than equal weight (95 % interval −1.2 to +2.0)" in cannot


def test_too_few_weeks() -> None:
    can, cannot = conclude(report(SHORT, SHORT))
    assert can.endswith(
        "nothing was found that tells PPO's return from that of equal weight or LSTM's forecasts from chance."
    )
    assert "equal weight (too few weeks for an interval), that LSTM's forecasts rank" in cannot


@pytest.mark.parametrize(("found", "word"), [(ABOVE, "better"), (BELOW, "worse")])
def test_forecasts_that_are_not_chance(found: Estimate, word: str) -> None:
    can, cannot = conclude(report(OVER, found))
    assert f"LSTM's forecasts ranked the symbols {word} than chance (mean rank correlation " in can
    assert "LSTM" not in cannot
    assert "PPO" not in can


def test_forecasts_that_may_be_chance() -> None:
    can, cannot = conclude(report(ABOVE, OVER))
    assert "LSTM" not in can
    assert "that LSTM's forecasts rank better than chance (95 % interval −0.012 to +0.020)" in cannot


def test_rules_and_momentum_are_no_findings() -> None:
    can, cannot = conclude(report())
    assert can.endswith("only rules without learning traded, so there is nothing to say about any model.")
    assert "momentum" not in can + cannot


def test_what_was_tried_limits_what_a_lead_says() -> None:
    assert (
        "that the lead is no luck of choice, since 12 configurations were tried" in conclude(report(ABOVE, None, 12))[1]
    )
    assert "luck" not in conclude(report(ABOVE, None, 1))[1]
    assert "luck" not in conclude(report(BELOW, None, 12))[1]  # nobody chooses one for that
    assert "how many configurations were tried is not recorded" in conclude(report(ABOVE, None, 0))[1]
    assert "recorded" not in conclude(report(None, None, 0))[1]


@pytest.mark.parametrize(
    ("market", "words"),
    [
        ("simulator", "anything about a real market, since this one is made up."),
        ("files", "since it is not known who is missing from the files."),
        ("live", f"since {SURVIVORS}."),
    ],
)
def test_the_market_limits_it_too(market: str, words: str) -> None:
    assert conclude(report(OVER, market=market)).cannot.endswith(words)


@pytest.mark.parametrize("ppo", [ABOVE, BELOW, OVER, SHORT, None])
@pytest.mark.parametrize("lstm", [ABOVE, BELOW, OVER, SHORT, None])
@pytest.mark.parametrize("n_trials", [0, 1, 5])
def test_they_are_two_sentences_whatever_the_figures(ppo, lstm, n_trials) -> None:
    for sentence in conclude(replace(report(ppo, lstm), n_trials=n_trials)):
        assert sentence.endswith(".")
        assert ". " not in sentence
        assert "nan" not in sentence
        assert "  " not in sentence
