"""Yahoo's real faults, by real yfinance from a loopback Yahoo: impossible bars, answers without bars, currencies."""

import datetime
import json

import numpy as np
import pytest

from brain_assets.errors import MarketError
from brain_assets.live.market import IMPOSSIBLE_BARS
from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import Finding, findings_of
from brain_assets_tests.live.loopback_yahoo import (
    FRIDAY,
    MONDAY,
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

SATURDAY = datetime.date(2024, 6, 15)
INF = float("inf")
CLOSED, NO_PRICE, OUTSIDE = IMPOSSIBLE_BARS


# Bars


@pytest.mark.parametrize(
    ("bar", "what"),
    [
        ((TUESDAY, None, None, None, None, None, None), None),  # nothing is known: no bar
        ((TUESDAY, None, None, None, None, None, 0), None),
        ((TUESDAY, 0.0, 13.0, 10.0, 12.0, 12.0, 200), NO_PRICE),
        ((TUESDAY, 11.0, 13.0, 10.0, 12.0, INF, 200), NO_PRICE),
        ((TUESDAY, 11.0, 13.0, 10.0, 12.0, None, 200), NO_PRICE),
        ((TUESDAY, 11.0, 13.0, 10.0, 12.0, 12.0, -200), NO_PRICE),
        ((TUESDAY, 13.039, 13.0, 10.0, 12.0, 12.0, 200), OUTSIDE),
        ((TUESDAY, 11.0, 6.5, 10.0, 12.0, 12.0, 200), OUTSIDE),
    ],
)
def test_an_impossible_bar_has_no_row_and_is_named(yahoo, bar, what):
    yahoo.bars["BBB"] = [PLAIN[0], bar, *PLAIN[2:]]
    frame = market("AAA", "BBB").prices(MONDAY, FRIDAY)
    assert days_of(frame) == [MONDAY, TUESDAY, WEDNESDAY, THURSDAY]
    assert days_of(frame, "BBB") == [MONDAY, WEDNESDAY, THURSDAY]
    found = [] if what is None else [Finding("rows_taken", "BBB", what, "left out", 2024, 1, "2024-06-11")]
    assert findings_of(frame) == found


@pytest.mark.parametrize("opening", [13.012, 9.991])
def test_what_rounding_and_dividends_put_outside_stays(yahoo, opening):
    yahoo.bars["BBB"] = [(TUESDAY, opening, 13.0, 10.0, 12.0, 11.7, 200)]
    frame = market("BBB").prices(MONDAY, FRIDAY)
    assert frame["open"].tolist() == [opening * (11.7 / 12.0)]
    assert findings_of(frame) == []


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


def test_a_delisted_share_whose_latest_bar_is_no_answer_is_not_left_out(yahoo):
    from yfinance.cache import get_tz_cache

    get_tz_cache().store("BBB", "America/New_York")
    yahoo.says["BBB"] = {"range": NOT_FOUND, "latest": (502, "<html>Bad Gateway</html>")}
    assert "(BBB: an answer that is no JSON: '<html>Bad Gateway</html>')" in refusal(MarketError, "AAA", "BBB")


# Currencies


@pytest.mark.parametrize("currency", ["GBp", "usd", None])
def test_quotes_in_another_currency_are_refused_by_name(yahoo, currency):
    yahoo.bars |= {"BBB": PLAIN, "CCC": PLAIN}
    yahoo.currencies |= {"BBB": currency, "CCC": "CAD"}
    message = refusal(MarketError, "AAA", "BBB", "CCC")
    shown = currency or "one that is not named"
    assert f"expected quotes in USD, got BBB in {shown}, CCC in CAD; ask for shares" in message
