"""Yahoo on this machine: answers in the shape of its chart API."""

import datetime
import json
from collections import Counter
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from brain_assets.live.market import LiveMarket
from brain_assets_tests.live.loopback import Answer

NEW_YORK = ZoneInfo("America/New_York")
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (datetime.date(2024, 6, day) for day in range(10, 15))
LONG_AFTER = datetime.datetime(2024, 9, 2, 12, tzinfo=NEW_YORK)

# date, open, high, low, close, adjusted close, volume: already adjusted for splits, as Yahoo's quotes are
PLAIN = [
    (MONDAY, 10.0, 12.0, 9.0, 11.0, 11.0, 100),
    (TUESDAY, 11.0, 13.0, 10.0, 12.0, 12.0, 200),
    (WEDNESDAY, 12.0, 14.0, 11.0, 13.0, 13.0, 300),
    (THURSDAY, 13.0, 15.0, 12.0, 14.0, 14.0, 400),
    (FRIDAY, 14.0, 16.0, 13.0, 15.0, 15.0, 500),
]


def epoch(day, hour=9, minute=30):
    return int(datetime.datetime(day.year, day.month, day.day, hour, minute, tzinfo=NEW_YORK).timestamp())


class LoopbackYahoo:
    """Answers as query1/query2.finance.yahoo.com do; `limits` holds how many 429s a symbol has left to give."""

    def __init__(self):
        self.url = ""
        self.bars = {}
        self.events = {}
        self.currencies = {}
        self.limits = Counter()
        self.says = {}  # symbol -> "range" or "latest" -> (status, text): instead of its bars
        self.requests = []

    def __call__(self, path, headers):
        parts = urlsplit(path)
        host, _, path = parts.path.removeprefix("/").partition("/")
        status, text = self.answer(host, f"/{path}", parse_qs(parts.query))
        return Answer(status, text.encode())

    def answer(self, host, path, query):
        self.requests.append((host, path, query))
        if path == "/v1/test/getcrumb":
            return 200, "crumb"
        if not path.startswith("/v8/finance/chart/"):
            return 404, json.dumps({"quoteSummary": {"result": None, "error": {"code": "Not Found"}}})
        symbol = path.rsplit("/", 1)[1]
        if self.limits[symbol] > 0:
            self.limits[symbol] -= 1
            return 429, "Too Many Requests\r\n"
        if said := self.says.get(symbol, {}).get("range" if "period1" in query else "latest"):
            return said
        if symbol not in self.bars:
            return 404, self.error("Not Found", "No data found, symbol may be delisted")
        if "period1" not in query:
            return 200, self.chart(symbol, self.bars[symbol][-1:])
        start, end = int(query["period1"][0]), int(query["period2"][0])
        chosen = [bar for bar in self.bars[symbol] if start <= epoch(bar[0]) < end]
        if not chosen:
            return 400, self.error("Bad Request", f"Data doesn't exist for startDate = {start}, endDate = {end}")
        return 200, self.chart(symbol, chosen)

    @staticmethod
    def error(code, description):
        return json.dumps({"chart": {"result": None, "error": {"code": code, "description": description}}})

    def chart(self, symbol, bars):
        days, opens, highs, lows, closes, adjusted, volumes = zip(*bars, strict=True)
        session = {"timezone": "EDT", "start": epoch(days[-1]), "end": epoch(days[-1], 16, 0), "gmtoffset": -14400}
        meta = {"currency": self.currencies.get(symbol, "USD"), "symbol": symbol, "instrumentType": "EQUITY"}
        meta |= {"gmtoffset": -14400, "timezone": "EDT", "exchangeTimezoneName": "America/New_York", "priceHint": 2}
        meta |= {"currentTradingPeriod": dict.fromkeys(("pre", "regular", "post"), session)}
        meta |= {"dataGranularity": "1d", "validRanges": ["1d", "max"]}
        quote = {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volumes}
        result = {
            "meta": meta,
            "timestamp": [epoch(day) for day in days],
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": adjusted}]},
        }
        if symbol in self.events:
            result["events"] = self.events[symbol]
        return json.dumps({"chart": {"result": [result], "error": None}})

    def charts_of(self, symbol):
        return [q for _, path, q in self.requests if path == f"/v8/finance/chart/{symbol}" and "period1" in q]


def forget_everything():
    """Put yfinance's process-wide state back to that of a fresh process."""
    import yfinance.base
    from yfinance.cache import _CookieCacheManager, _TzCacheManager
    from yfinance.data import SingletonMeta, YfData

    SingletonMeta._instances.clear()
    YfData.cache_get.cache_clear()
    _TzCacheManager._tz_cache = None
    _CookieCacheManager._Cookie_cache = None
    yfinance.base._tz_info_fetch_ctr = 0


def market(*symbols, now=LONG_AFTER, sleep=None):
    def never(seconds):
        raise AssertionError(f"slept {seconds} seconds without a rate limit")

    return LiveMarket(symbols, clock=lambda: now, sleep=sleep or never)


def days_of(frame, symbol="AAA"):
    return [stamp.date() for stamp in frame.loc[frame["symbol"] == symbol, "date"]]
