"""The other future: what changes and what does not, whatever is asked for at once."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import ProofError
from brain_assets.market.signals import RATIO_LIMITS
from brain_assets.prove.perturbation import ADDED, FuturePerturbation, RecordedMarket
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import SYMBOLS

AFTER = datetime.date(2020, 7, 2)
START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)


def score(titles):
    raise AssertionError("a market of scores asks for none")


@pytest.fixture(scope="module")
def perturbed() -> RecordedMarket:
    return RecordedMarket(SimulatorMarket(SYMBOLS, seed=1), START, END).perturbed(AFTER, seed=4)


def halves(frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    early = frame[column] <= pd.Timestamp(AFTER)
    return frame[early].reset_index(drop=True), frame[~early].reset_index(drop=True)


def test_bars_after_the_date_are_others_and_still_bars(market: SimulatorMarket, perturbed: RecordedMarket) -> None:
    before, after = (halves(each.prices(START, END), "date") for each in (market, perturbed))
    pd.testing.assert_frame_equal(before[0], after[0], check_exact=True)
    [gone] = set(SYMBOLS) - set(after[1]["symbol"])  # a fifth of six
    assert set(after[1]["symbol"]) == {*SYMBOLS, *ADDED} - {gone}
    assert sorted([*SYMBOLS, *ADDED])[0] == ADDED[0]
    assert sorted([*SYMBOLS, *ADDED])[-1] == ADDED[1]
    late = after[1]
    assert (late["high"] >= late[["open", "close"]].max(axis=1)).all()
    assert (late["low"] <= late[["open", "close"]].min(axis=1)).all()
    both = before[1].merge(late, on=["date", "symbol"], suffixes=("", "_other"))
    for name in ("open", "close", "volume"):
        assert (both[name] != both[f"{name}_other"]).all()
    assert not np.allclose(both["open_other"] / both["open"], both["close_other"] / both["close"])


def test_scores_and_filings_after_the_date_are_others(market: SimulatorMarket, perturbed: RecordedMarket) -> None:
    tables = [
        (each.news_sentiment(START, END, score).table, each.fundamentals(START, END).table)
        for each in (market, perturbed)
    ]
    for position, column in enumerate(("date", "filed")):
        before, after = (halves(pair[position], column) for pair in tables)
        pd.testing.assert_frame_equal(before[0], after[0], check_exact=True)
        assert set(ADDED) <= set(after[1]["symbol"])
    news = halves(tables[0][0], "date")[1].merge(halves(tables[1][0], "date")[1], on=["date", "symbol"])
    assert (news["sentiment_score_x"] != news["sentiment_score_y"]).all()
    assert (news["n_articles_x"] < news["n_articles_y"]).all()
    filings = halves(tables[1][1], "filed")[1]
    assert (filings["period_end"] < "2020-01-01").any()  # quarters that were known are restated
    assert filings["net_margin"].between(*RATIO_LIMITS["net_margin"]).all()


def test_a_recording_says_what_the_market_says(market: SimulatorMarket) -> None:
    recorded = RecordedMarket(market, START, END)
    june, july = datetime.date(2020, 6, 1), datetime.date(2020, 7, 1)
    pd.testing.assert_frame_equal(recorded.prices(june, july), market.prices(june, july))
    pd.testing.assert_frame_equal(
        recorded.news_sentiment(june, july, score).table, market.news_sentiment(june, july, score).table
    )
    pd.testing.assert_frame_equal(recorded.fundamentals(june, july).table, market.fundamentals(june, july).table)
    assert not recorded.perturbed(AFTER, 4).prices(july, END).equals(recorded.perturbed(AFTER, 5).prices(july, END))


def test_a_date_without_symbols_is_refused() -> None:
    with pytest.raises(ProofError, match=r"--after: expected a date with bars in the 30 days up to it, got 2020-07-02"):
        FuturePerturbation.of([], AFTER, 0)
