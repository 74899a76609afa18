"""The live market against a loopback Yahoo: real yfinance, real HTTP, answers and faults in Yahoo's shape."""

import datetime
import json
import time
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import EmptyResponseError, MarketError, RateLimitedError, UnknownSymbolError
from brain_assets.live.market import IMPOSSIBLE_BARS, MAX_ATTEMPTS, LiveMarket
from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import Finding, findings_of
from brain_assets_tests.live.loopback_yahoo import (
    FRIDAY,
    MONDAY,
    NEW_YORK,
    PLAIN,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    LoopbackYahoo,
    days_of,
    epoch,
    market,
)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:yfinance")


def test_one_batch_gives_the_long_schema_without_rows_before_a_symbol_was_listed(yahoo):
    yahoo.bars["NEW"] = [(TUESDAY, 2.0, 2.5, 1.5, 2.25, 2.25, 8)]
    frame = market("NEW", "AAA").prices(MONDAY, WEDNESDAY)
    expected = pd.DataFrame(
        {
            "date": pd.Series([MONDAY, TUESDAY, TUESDAY], dtype="datetime64[us]"),
            "symbol": pd.Series(["AAA", "AAA", "NEW"], dtype="str"),
            "open": [10.0, 11.0, 2.0],
            "high": [12.0, 13.0, 2.5],
            "low": [9.0, 10.0, 1.5],
            "close": [11.0, 12.0, 2.25],
            "volume": [100.0, 200.0, 8.0],
        }
    )
    pd.testing.assert_frame_equal(frame, expected)
    assert len(yahoo.charts_of("AAA")) == len(yahoo.charts_of("NEW")) == 1
    assert set(market("AAA", "NEW").prices(MONDAY, TUESDAY)["symbol"]) == {"AAA"}
    expected = "expected bars of NEW, got none, though Yahoo knows the symbols; check that they were listed then"
    with pytest.raises(EmptyResponseError, match=expected):
        market("NEW").prices(MONDAY, TUESDAY)


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


def test_a_rate_limit_is_waited_out_or_refused_and_never_a_partial_answer(yahoo):
    yahoo.bars["BBB"] = PLAIN
    yahoo.limits["BBB"] = 8
    slept = []
    frame = market("AAA", "BBB", sleep=slept.append).prices(MONDAY, WEDNESDAY)
    assert days_of(frame, "BBB") == [MONDAY, TUESDAY]
    assert slept
    assert len(yahoo.charts_of("AAA")) == 1  # only what is missing is asked for again
    yahoo.limits["CCC"] = 10_000
    slept.clear()
    with pytest.raises(RateLimitedError, match="expected bars of CCC, got 'too many requests' from Yahoo 6 times"):
        market("AAA", "CCC", sleep=slept.append).prices(MONDAY, WEDNESDAY)
    assert len(slept) == MAX_ATTEMPTS - 1


SATURDAY = datetime.date(2024, 6, 15)
INF = float("inf")
CLOSED, NO_PRICE, OUTSIDE = IMPOSSIBLE_BARS


# Bars


@pytest.mark.parametrize(
    ("bar", "what"),
    [
        *(((TUESDAY, *[None] * 5, volume), None) for volume in (None, 0)),  # nothing is known: no bar
        *(((TUESDAY, 11.0, 13.0, 10.0, 12.0, close, 200), NO_PRICE) for close in (INF, None)),
        ((TUESDAY, 0.0, 13.0, 10.0, 12.0, 12.0, 200), NO_PRICE),
        ((TUESDAY, 11.0, 13.0, 10.0, 12.0, 12.0, -200), NO_PRICE),
        ((TUESDAY, 13.039, 13.0, 10.0, 12.0, 12.0, 200), OUTSIDE),
        ((TUESDAY, 11.0, 6.5, 10.0, 12.0, 12.0, 200), OUTSIDE),
    ],
)
def test_an_impossible_bar_has_no_row_and_is_named_but_for_what_rounding_and_dividends_put_outside(yahoo, bar, what):
    rounded = [(WEDNESDAY, 13.012, 13.0, 10.0, 12.0, 11.7, 200), (THURSDAY, 9.991, 13.0, 10.0, 12.0, 11.7, 200)]
    yahoo.bars["BBB"] = [PLAIN[0], bar, *rounded]
    frame = market("AAA", "BBB").prices(MONDAY, FRIDAY)
    assert days_of(frame) == [MONDAY, TUESDAY, WEDNESDAY, THURSDAY]
    assert days_of(frame, "BBB") == [MONDAY, WEDNESDAY, THURSDAY]
    opens = frame.loc[frame["symbol"] == "BBB", "open"].tolist()
    assert opens == [PLAIN[0][1], 13.012 * (11.7 / 12.0), 9.991 * (11.7 / 12.0)]
    found = [] if what is None else [Finding("rows_taken", "BBB", what, "left out", 2024, 1, "2024-06-11")]
    assert findings_of(frame) == found


DAYS = sessions_between(datetime.date(2022, 12, 1), datetime.date(2023, 2, 1)).astype("datetime64[us]")


def test_bars_are_adjusted_as_yfinance_adjusts_them_to_the_bit(yahoo):
    import yfinance

    rng = np.random.default_rng(1)
    close = np.round(rng.uniform(5, 500, len(DAYS)), 2)
    ohlc = [np.round(close * factor, 2) for factor in (1.001, 1.02, 0.98, 1.0)]
    adjusted = close * rng.uniform(0.3, 1.0, len(DAYS))
    columns = [[day.astype(object).date() for day in DAYS], *ohlc, adjusted, rng.integers(0, 10**9, len(DAYS))]
    yahoo.bars["AAA"] = list(zip(*(np.asarray(column).tolist() for column in columns), strict=True))
    frame = market("AAA").prices(datetime.date(2022, 12, 1), datetime.date(2023, 2, 1))
    theirs = yfinance.Ticker("AAA").history(start="2022-12-01", end="2023-02-01", actions=False)
    assert len(frame) == len(DAYS)
    for name in PRICE_FIELDS:
        assert frame[name].to_numpy().tobytes() == theirs[name.capitalize()].to_numpy(np.float64).tobytes()


@pytest.mark.parametrize(("day", "is_refused"), [(MONDAY, False), (TUESDAY, True), (WEDNESDAY, True)])
def test_raw_closes_never_pass_for_adjusted_ones(yahoo, monkeypatch, day, is_refused):
    """Where Yahoo gives no adjusted closes, yfinance puts the raw ones there. Before Monday there is no bar."""
    dividend = {"amount": 1.0, "date": epoch(day)}
    yahoo.events["BBB"] = {"dividends": {str(epoch(day)): dividend}}
    yahoo.bars["BBB"] = [*PLAIN[:3], (THURSDAY, None, None, None, None, None, None), PLAIN[4]]
    bare = LoopbackYahoo.chart

    def without_adjusted_closes(self, symbol, bars):
        answer = json.loads(bare(self, symbol, bars))
        del answer["chart"]["result"][0]["indicators"]["adjclose"]
        return json.dumps(answer)

    monkeypatch.setattr(LoopbackYahoo, "chart", without_adjusted_closes)
    if is_refused:
        with pytest.raises(MarketError, match=r"bars of BBB, got .*\(BBB: closes that are not adjusted for the div"):
            market("AAA", "BBB").prices(MONDAY, SATURDAY)
    else:
        assert days_of(market("AAA", "BBB").prices(MONDAY, SATURDAY), "BBB") == [MONDAY, TUESDAY, WEDNESDAY, FRIDAY]


# Answers without bars

NOT_FOUND = (404, LoopbackYahoo.error("Not Found", "No data found, symbol may be delisted"))
NO_RANGE = (400, LoopbackYahoo.error("Bad Request", "Data doesn't exist for startDate = 1, endDate = 2"))
META = {"currency": "USD", "instrumentType": "EQUITY", "exchangeTimezoneName": "America/New_York"}
META["validRanges"] = ["1d"]
NOTHING = {"open": [], "high": [], "low": [], "close": [], "volume": []}
NO_REASON = "an answer with neither bars nor a reason"


def chart(**result):
    return json.dumps({"chart": {"result": [{"meta": META} | result], "error": None}})


EMPTY = chart(timestamp=[], indicators={"quote": [NOTHING], "adjclose": [{"adjclose": []}]})
WITHOUT_BARS = [
    (200, '{"chart": {"result": null, "error": null}}', NO_REASON),
    (200, "[1]", NO_REASON),
    (401, LoopbackYahoo.error("Unauthorized", "Invalid Crumb"), "Yahoo says 'Invalid Crumb'"),
    (200, chart(indicators={"quote": [NOTHING]}), "an answer that is no chart of prices; KeyError: 'timestamp'"),
    (200, EMPTY, "an answer without a bar"),
    (200, "<html>\n<b>Consent</b></html>", "an answer that is no JSON: '<html> <b>Consent</b></html>'"),
    (200, "Will be right back", "YFDataException: *** YAHOO! FINANCE IS CURRENTLY DOWN! ***"),
]


def refusal(kind, *symbols):
    with pytest.raises(MarketError) as caught:
        market(*symbols).prices(MONDAY, WEDNESDAY)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(("status", "text", "reason"), WITHOUT_BARS)
def test_an_answer_without_bars_fails_and_names_the_symbol(yahoo, status, text, reason):
    yahoo.bars |= {"BBB": PLAIN, "CCC": PLAIN}
    yahoo.says["BBB"] = yahoo.says["CCC"] = {"range": (status, text)}
    message = refusal(MarketError, "AAA", "BBB", "CCC")
    assert f"expected bars of BBB, CCC, got no usable answer (BBB: {reason}); check the connection" in message


@pytest.mark.parametrize("answer", [NOT_FOUND, NO_RANGE, (200, NOT_FOUND[1])])
@pytest.mark.parametrize("remembered", [True, False])
def test_a_share_that_yahoo_says_has_no_bars_in_the_range_has_no_rows(yahoo, answer, remembered):
    from yfinance.cache import get_tz_cache

    if remembered:
        get_tz_cache().store("BBB", "America/New_York")
    yahoo.bars["BBB"] = PLAIN
    yahoo.says["BBB"] = {"range": answer}
    frame = market("AAA", "BBB").prices(MONDAY, WEDNESDAY)
    assert set(frame["symbol"]) == {"AAA"}
    assert findings_of(frame) == []
    if remembered and answer is NOT_FOUND:  # but not if its latest bar is no answer
        yahoo.says["BBB"]["latest"] = (502, "<html>Bad Gateway</html>")
        assert "(BBB: an answer that is no JSON: '<html>Bad Gateway</html>')" in refusal(MarketError, "AAA", "BBB")


# Currencies


@pytest.mark.parametrize("currency", ["GBp", "usd", None])
def test_quotes_in_another_currency_are_refused_by_name(yahoo, currency):
    yahoo.bars |= {"BBB": PLAIN, "CCC": PLAIN}
    yahoo.currencies |= {"BBB": currency, "CCC": "CAD"}
    message = refusal(MarketError, "AAA", "BBB", "CCC")
    shown = currency or "one that is not named"
    assert f"expected quotes in USD, got BBB in {shown}, CCC in CAD; ask for shares" in message
