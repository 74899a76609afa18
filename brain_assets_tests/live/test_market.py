"""The live market against a loopback Yahoo: real yfinance, real HTTP, answers in Yahoo's shape."""

import datetime
import time
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from brain_assets.errors import EmptyResponseError, MarketError, RateLimitedError, UnknownSymbolError
from brain_assets.live.market import MAX_ATTEMPTS, LiveMarket
from brain_assets_tests.live.loopback_yahoo import (
    FRIDAY,
    MONDAY,
    NEW_YORK,
    PLAIN,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    days_of,
    epoch,
    market,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:yfinance")


def test_one_batch_gives_the_long_schema_in_date_and_symbol_order(yahoo):
    yahoo.bars["BBB"] = [(MONDAY, 1.0, 1.5, 0.5, 1.25, 1.25, 7), (TUESDAY, 2.0, 2.5, 1.5, 2.25, 2.25, 8)]
    frame = market("BBB", "AAA").prices(MONDAY, WEDNESDAY)
    expected = pd.DataFrame(
        {
            "date": pd.Series([MONDAY, MONDAY, TUESDAY, TUESDAY], dtype="datetime64[us]"),
            "symbol": pd.Series(["AAA", "BBB", "AAA", "BBB"], dtype="str"),
            "open": [10.0, 1.0, 11.0, 2.0],
            "high": [12.0, 1.5, 13.0, 2.5],
            "low": [9.0, 0.5, 10.0, 1.5],
            "close": [11.0, 1.25, 12.0, 2.25],
            "volume": [100.0, 7.0, 200.0, 8.0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)
    assert len(yahoo.charts_of("AAA")) == len(yahoo.charts_of("BBB")) == 1


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles"])
def test_dates_are_new_york_s_on_any_machine(yahoo, monkeypatch, zone):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        frame = market("AAA").prices(TUESDAY, FRIDAY)
    time.tzset()
    assert days_of(frame) == [TUESDAY, WEDNESDAY, THURSDAY]
    (query,) = yahoo.charts_of("AAA")
    assert query["period1"] == [str(epoch(TUESDAY, 0, 0))]


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (datetime.datetime(2024, 6, 12, 16, 29, tzinfo=NEW_YORK), TUESDAY),
        (datetime.datetime(2024, 6, 12, 16, 30, tzinfo=NEW_YORK), WEDNESDAY),
        (datetime.datetime(2024, 6, 13, 5, 0, tzinfo=ZoneInfo("Asia/Tokyo")), TUESDAY),  # 16:00 on Wednesday
    ],
)
def test_an_unfinished_session_is_dropped(yahoo, now, last):
    yahoo.bars["AAA"] = PLAIN[:3]
    assert days_of(market("AAA", now=now).prices(MONDAY, FRIDAY))[-1] == last


def test_a_range_without_a_finished_session_asks_nothing(yahoo):
    with pytest.raises(EmptyResponseError, match="expected at least one finished session, got none before 2024-06-12"):
        market("AAA", now=datetime.datetime(2024, 6, 12, 10, tzinfo=NEW_YORK)).prices(WEDNESDAY, FRIDAY)
    with pytest.raises(EmptyResponseError, match="finished session"):
        market("AAA").prices(datetime.date(2024, 6, 15), datetime.date(2024, 6, 17))  # a weekend
    assert yahoo.requests == []


def test_a_symbol_has_no_rows_before_it_was_listed(yahoo):
    yahoo.bars["NEW"] = PLAIN[3:]
    frame = market("AAA", "NEW").prices(MONDAY, datetime.date(2024, 6, 15))
    assert days_of(frame) == [MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY]
    assert days_of(frame, "NEW") == [THURSDAY, FRIDAY]
    assert set(market("AAA", "NEW").prices(MONDAY, WEDNESDAY)["symbol"]) == {"AAA"}
    expected = "expected bars of NEW, got none, though Yahoo knows the symbols; check that they were listed then"
    with pytest.raises(EmptyResponseError, match=expected):
        market("NEW").prices(MONDAY, WEDNESDAY)


@pytest.mark.parametrize("n_unknown", [1, 4])  # yfinance takes a different road for the first two of a process
def test_unknown_symbols_fail_by_name(yahoo, n_unknown):
    names = [f"TYPO{number}" for number in range(n_unknown)]
    with pytest.raises(UnknownSymbolError) as caught:
        market("AAA", *names).prices(MONDAY, WEDNESDAY)
    assert f"got {', '.join(names)}, which it does not" in str(caught.value)
    assert "AAA" not in str(caught.value)


def test_a_symbol_whose_connection_breaks_is_asked_for_once_more(yahoo, monkeypatch):
    import yfinance

    history, left = yfinance.Ticker.history, [ConnectionResetError("reset")]

    def breaking(ticker, **options):
        if left:
            raise left.pop()
        return history(ticker, **options)

    monkeypatch.setattr(yfinance.Ticker, "history", breaking)
    assert days_of(market("AAA").prices(MONDAY, WEDNESDAY)) == [MONDAY, TUESDAY]


def test_symbols_are_yahoo_s_upper_case_once_each():
    assert LiveMarket(("brk-b", "AAA", "BRK-B ")).symbols == ("BRK-B", "AAA")
    with pytest.raises(MarketError, match="expected at least one symbol"):
        LiveMarket(())
    assert len(LiveMarket().symbols) == 20
    assert LiveMarket().last_complete_year() is None


def test_rate_limit_on_one_symbol_is_never_a_partial_answer(yahoo):
    yahoo.bars["BBB"] = PLAIN
    yahoo.limits["BBB"] = 8
    slept = []
    frame = market("AAA", "BBB", sleep=slept.append).prices(MONDAY, WEDNESDAY)
    assert days_of(frame, "BBB") == [MONDAY, TUESDAY]
    assert slept
    assert len(yahoo.charts_of("AAA")) == 1  # only what is missing is asked for again


def test_rate_limited_to_the_end(yahoo):
    yahoo.limits["BBB"] = 10_000
    slept = []
    with pytest.raises(RateLimitedError, match="expected bars of BBB, got 'too many requests' from Yahoo 6 times"):
        market("AAA", "BBB", sleep=slept.append).prices(MONDAY, WEDNESDAY)
    assert len(slept) == MAX_ATTEMPTS - 1
