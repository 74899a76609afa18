"""The other future: what changes and what does not, whatever is asked for at once."""

import datetime

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import ProofError
from brain_assets.market.calendar import week_times
from brain_assets.market.signals import RATIO_LIMITS
from brain_assets.proofs.corruption import ADDED, CorruptedMarket, Corruption, FetchedOnce
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import SYMBOLS

AFTER = datetime.date(2020, 7, 2)
START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)


def score(titles):
    raise AssertionError("a market of scores asks for none")


@pytest.fixture(scope="module")
def corrupted() -> CorruptedMarket:
    return CorruptedMarket(SimulatorMarket(SYMBOLS, seed=1), AFTER, seed=4)


def halves(frame: pd.DataFrame, column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    early = frame[column] <= pd.Timestamp(AFTER)
    return frame[early].reset_index(drop=True), frame[~early].reset_index(drop=True)


def test_bars_after_the_date_are_others_and_still_bars(market: SimulatorMarket, corrupted: CorruptedMarket) -> None:
    before, after = (halves(each.prices(START, END), "date") for each in (market, corrupted))
    pd.testing.assert_frame_equal(before[0], after[0], check_exact=True)
    [gone] = corrupted.corruption.dropped  # a fifth of six
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


def test_a_row_is_the_same_however_much_is_asked_for(corrupted: CorruptedMarket) -> None:
    august, september = datetime.date(2020, 8, 1), datetime.date(2020, 9, 1)
    whole = corrupted.prices(START, END)
    inside = (whole["date"] >= pd.Timestamp(august)) & (whole["date"] < pd.Timestamp(september))
    pd.testing.assert_frame_equal(corrupted.prices(august, september), whole[inside].reset_index(drop=True))
    other = CorruptedMarket(SimulatorMarket(SYMBOLS, seed=1), AFTER, seed=5)
    assert not other.prices(august, september).equals(corrupted.prices(august, september))


def test_scores_and_filings_after_the_date_are_others(market: SimulatorMarket, corrupted: CorruptedMarket) -> None:
    tables = [
        (each.news_sentiment(START, END, score).table, each.fundamentals(START, END).table)
        for each in (market, corrupted)
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


def test_whoever_is_fetched_once_says_the_same(market: SimulatorMarket) -> None:
    once = FetchedOnce(market, START, END, START)
    june, july = datetime.date(2020, 6, 1), datetime.date(2020, 7, 1)
    pd.testing.assert_frame_equal(once.prices(june, july), market.prices(june, july))
    pd.testing.assert_frame_equal(
        once.news_sentiment(june, july, score).table, market.news_sentiment(june, july, score).table
    )
    pd.testing.assert_frame_equal(once.fundamentals(june, july).table, market.fundamentals(june, july).table)


def test_a_date_without_symbols_is_refused() -> None:
    with pytest.raises(ProofError, match=r"--after: expected a date with bars in the 30 days up to it, got 2020-07-02"):
        Corruption.of([], AFTER, 0)


def test_times_of_a_week_are_the_calendars_whatever_day_it_is_named_by() -> None:
    named = np.array(["2020-07-06", "2020-07-10", "2020-01-02", "2021-01-04"], dtype="datetime64[D]")
    decided, opened, closed = week_times(named)
    assert [str(day) for day in decided] == ["2020-07-02", "2020-07-02", "2019-12-27", "2020-12-31"]
    assert [str(day) for day in opened] == ["2020-07-06", "2020-07-06", "2019-12-30", "2021-01-04"]
    assert [str(day) for day in closed] == ["2020-07-10", "2020-07-10", "2020-01-03", "2021-01-08"]
