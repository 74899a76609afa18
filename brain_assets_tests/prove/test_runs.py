"""The other future: what changes and what does not, whatever is asked for at once."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import SettingsError
from brain_assets.market.signals import RATIO_LIMITS
from brain_assets.prove.runs import ADDED, RecordedMarket
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import SYMBOLS

AFTER = datetime.date(2020, 7, 2)
START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)
JUNE, JULY = datetime.date(2020, 6, 1), datetime.date(2020, 7, 1)


def score(titles):
    raise AssertionError("a market of scores asks for none")


def halves(frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    early = frame[column] <= pd.Timestamp(AFTER)
    return frame[early].reset_index(drop=True), frame[~early].reset_index(drop=True)


def test_what_comes_after_the_date_is_other_and_still_a_market(market: SimulatorMarket) -> None:
    recorded = RecordedMarket(market, START, END)
    perturbed = recorded.perturbed(AFTER, seed=4)
    pd.testing.assert_frame_equal(recorded.prices(JUNE, JULY), market.prices(JUNE, JULY))
    (early, before), (same, late) = (halves(each.prices(START, END), "date") for each in (market, perturbed))
    pd.testing.assert_frame_equal(early, same, check_exact=True)
    [gone] = set(SYMBOLS) - set(late["symbol"])  # a fifth of six
    assert sorted(set(late["symbol"])) == [ADDED[0], *(symbol for symbol in SYMBOLS if symbol != gone), ADDED[1]]
    assert (late["high"] >= late[["open", "close"]].max(axis=1)).all()
    assert (late["low"] <= late[["open", "close"]].min(axis=1)).all()
    both = before.merge(late, on=["date", "symbol"], suffixes=("", "_other"))
    for name in ("open", "close", "volume"):
        assert (both[name] != both[f"{name}_other"]).all()
    assert not np.allclose(both["open_other"] / both["open"], both["close_other"] / both["close"])
    news = [halves(each.news_sentiment(START, END, score).table, "date") for each in (market, perturbed)]
    filings = [halves(each.fundamentals(START, END).table, "filed") for each in (market, perturbed)]
    for before, after in (news, filings):
        pd.testing.assert_frame_equal(before[0], after[0], check_exact=True)
        assert set(ADDED) <= set(after[1]["symbol"])
    both = news[0][1].merge(news[1][1], on=["date", "symbol"])
    assert (both["sentiment_score_x"] != both["sentiment_score_y"]).all()
    assert (both["n_articles_x"] < both["n_articles_y"]).all()
    assert (filings[1][1]["period_end"] < "2020-01-01").any()  # quarters that were known are restated
    assert filings[1][1]["net_margin"].between(*RATIO_LIMITS["net_margin"]).all()
    assert not perturbed.prices(JULY, END).equals(recorded.perturbed(AFTER, seed=5).prices(JULY, END))
    words = r"--after: expected a date with bars in the 30 days up to it, got 2019-07-01"
    with pytest.raises(SettingsError, match=words):
        recorded.perturbed(datetime.date(2019, 7, 1))
