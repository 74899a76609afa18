"""The two sentences, in every case that figures can make."""

from dataclasses import replace

import pandas as pd
import pytest

from brain_assets.market.base import MarketNote
from brain_assets.report.conclusion import conclude
from brain_assets.report.metrics import Estimate
from brain_assets.report.report import Report
from brain_assets_tests.report.toy_results import toy_report

NAN = float("nan")
ABOVE, BELOW, OVER = Estimate(0.021, 0.004, 0.038), Estimate(-0.01, -0.02, -0.001), Estimate(0.004, -0.012, 0.02)
SHORT = Estimate(0.02, NAN, NAN)
NONE = Estimate(NAN, NAN, NAN)
SURVIVORS = "the list of symbols was made with knowledge of who survived"


def report(
    ppo: Estimate | None = None,
    lstm: Estimate | None = None,
    n_trials: int = 1,
    market: str = "sample",
    gross: Estimate = ABOVE,
    break_even: Estimate = SHORT,
) -> Report:
    """A report of three weeks whose policy and forecaster, if there are any, have these figures."""
    columns = {"label": ["PPO", "momentum, top third"], "active_return": [ppo, ABOVE]}
    columns |= {"gross_active_return": [gross, ABOVE], "break_even": [break_even, ABOVE]}
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
    can, cannot = conclude(report(ABOVE, gross=Estimate(0.025, NAN, NAN), break_even=Estimate(23.4, NAN, NAN)))
    assert can == (
        "Over 3 weeks (2020-2021) and after costs, PPO earned 2.1 percentage points a year more than equal weight of "
        "the same symbols (95 % interval +0.4 to +3.8; before costs +2.5, break-even at +23.4 basis points of a dollar "
        "traded)."
    )
    said = conclude(report(OVER, gross=Estimate(-0.001, NAN, NAN), break_even=NONE)).cannot
    assert (
        "that PPO earns more or less than equal weight (95 % interval −1.2 to +2.0; before costs −0.1) or that" in said
    )
    assert cannot == f"It cannot be concluded that anybody would have earned these returns, since {SURVIVORS}."


def test_the_average_of_forecasts_is_named_as_one_reads_it() -> None:
    found = report(OVER, OVER)
    skill = found.forecasts.skill.rename(index={"lstm": "average"}).replace("LSTM", "average")
    can, cannot = conclude(replace(found, forecasts=found.forecasts._replace(skill=skill)))
    assert "or the averaged forecasts from chance" in can
    assert "that the averaged forecasts rank better than chance" in cannot


@pytest.mark.parametrize(
    ("ppo", "lstm", "can", "cannot"),
    [
        (BELOW, None, "PPO earned 1.0 percentage point a year less than equal weight", "anybody"),
        (BELOW, None, "(95 % interval −2.0 to −0.1; before costs +2.1, break-even at ", "anybody"),
        (OVER, None, "tells PPO's return from that of equal weight.", "that PPO earns more or less than equal weight "),
        (
            SHORT,
            SHORT,
            "from that of equal weight or LSTM's forecasts from chance.",
            "(too few weeks for an interval; before costs ",
        ),
        (
            OVER,
            ABOVE,
            "LSTM's forecasts ranked the symbols better than chance (mean rank correlation ",
            "that PPO earns",
        ),
        (
            OVER,
            BELOW,
            "LSTM's forecasts ranked the symbols worse than chance (mean rank correlation ",
            "that PPO earns",
        ),
        (ABOVE, OVER, "PPO earned", "that LSTM's forecasts rank better than chance (95 % interval −0.012 to +0.020)"),
        (None, None, "only benchmark strategies traded, so there is nothing to say about any model.", "anybody"),
    ],
)
def test_what_is_shown_and_what_is_left_open(
    ppo: Estimate | None, lstm: Estimate | None, can: str, cannot: str
) -> None:
    said = conclude(report(ppo, lstm))
    assert can in said.can
    assert cannot in said.cannot
    assert "momentum" not in said.can + said.cannot
    for name, found in (("PPO", ppo), ("LSTM", lstm)):
        assert (f"that {name}" in said.cannot) == (found in (OVER, SHORT))


@pytest.mark.parametrize(
    ("ppo", "n_trials", "words"),
    [
        (ABOVE, 12, "that the lead is no luck of choice, since 12 configurations were tried"),
        (ABOVE, 0, "how many configurations were tried is not recorded"),
        (ABOVE, 1, None),
        (BELOW, 12, None),  # nobody chooses one for that
        (None, 0, None),
    ],
)
def test_what_was_tried_limits_what_a_lead_says(ppo: Estimate | None, n_trials: int, words: str | None) -> None:
    said = conclude(report(ppo, None, n_trials)).cannot
    assert words in said if words else "tried" not in said


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
