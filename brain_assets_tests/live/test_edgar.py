"""Fundamentals from a loopback EDGAR: real HTTP, answers in EDGAR's shape."""

import datetime
import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from brain_assets.errors import MarketError, RateLimitedError, SettingsError
from brain_assets.live import edgar as module
from brain_assets.live.edgar import MAX_ATTEMPTS, EdgarFundamentals
from brain_assets.market.schema import FUNDAMENTAL_TABLE, findings_of
from brain_assets_tests.live.loopback import Answer, serve
from brain_assets_tests.live.test_company_facts import company, income

IDENTITY = "Jane Doe jane@example.org"
YEAR = (datetime.date(2019, 1, 1), datetime.date(2020, 1, 1))

HEAD = "<html><head><title>SEC.gov | Request Rate Threshold Exceeded</title></head><body>"
UNDECLARED = f"{HEAD}<h1>Your Request Originates from an Undeclared Automated Tool</h1></body></html>"
TOO_OFTEN = (
    f"{HEAD}<p>Your request rate has exceeded the SEC's maximum allowable requests per second.</p></body></html>"
)

TICKERS_PATH = "/files/company_tickers.json"
CIKS = {"AAPL": 320193, "BRK-B": 1067983, "BRK-A": 1067983, "GLD": 1222333, "TSM": 1046179}
TICKERS = {str(i): {"cik_str": cik, "ticker": name, "title": name} for i, (name, cik) in enumerate(CIKS.items())}


def facts_path(cik: int) -> str:
    return f"/api/xbrl/companyfacts/CIK{cik:010d}.json"


def quarters(*rows: tuple[str, str, str, float]) -> dict[str, Any]:
    """Company facts of quarters: (first day, last day, filed, net income); revenue is 100 in each."""
    return company(*(("10-Q", filed, income(100, net, (first, last))) for first, last, filed, net in rows))


TWO_YEARS = quarters(
    ("2018-07-01", "2018-09-30", "2018-11-01", 7),
    ("2018-10-01", "2018-12-31", "2019-01-01", 8),
    ("2019-01-01", "2019-03-31", "2019-05-01", 9),
    ("2019-07-01", "2019-09-30", "2019-12-31", 10),
    ("2019-10-01", "2019-12-31", "2020-01-01", 11),
)
IFRS = {"cik": 1046179, "entityName": "TSMC", "facts": {"ifrs-full": {"Revenue": {"units": {"TWD": []}}}}}


def page(text: str, status: int = 200, **headers: str) -> Answer:
    return Answer(status, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class LoopbackEdgar:
    """Answers as www.sec.gov and data.sec.gov do; `before` holds what a path answers first, one answer a request."""

    url = ""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {TICKERS_PATH: TICKERS, facts_path(320193): TWO_YEARS, facts_path(1067983): IFRS}
        self.pages[facts_path(1046179)] = IFRS
        self.before: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, Mapping[str, str]]] = []

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        self.requests.append((path, headers))
        if self.before.get(path):
            return self.before[path].pop(0)
        if "@" not in headers.get("user-agent", ""):
            return page(UNDECLARED, 403)
        if path not in self.pages:
            return page("<Error><Code>NoSuchKey</Code></Error>", 404, Content_Type="application/xml")
        body = json.dumps(self.pages[path]).encode()
        if "gzip" in headers.get("accept-encoding", ""):
            return Answer(200, gzip.compress(body), {"Content-Encoding": "gzip", "Content-Type": "application/json"})
        return Answer(200, body, {"Content-Type": "application/json"})

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def ask(self) -> EdgarFundamentals:
        """Give a source that does not really wait."""
        return EdgarFundamentals(IDENTITY, lambda _: None)


@pytest.fixture
def edgar(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackEdgar]:
    loopback = LoopbackEdgar()
    with serve(loopback.answer) as loopback.url:
        monkeypatch.setattr(module, "TICKERS_URL", loopback.url + TICKERS_PATH)
        monkeypatch.setattr(module, "FACTS_URL", loopback.url + "/api/xbrl/companyfacts/CIK{cik:010d}.json")
        yield loopback


def test_rows_are_those_filed_in_the_range_and_who_files_nothing_is_named(edgar: LoopbackEdgar) -> None:
    """A fund without figures (404), a foreign company (IFRS), a symbol that EDGAR does not know; each is asked once."""
    source = edgar.ask()
    table, _, missing = source.fundamentals(["GLD", "AAPL", "TSM", "NOPE", "AAPL"], *YEAR)
    assert missing == ("GLD", "TSM", "NOPE")
    assert table["filed"].dt.strftime("%Y-%m-%d").tolist() == ["2019-01-01", "2019-05-01", "2019-12-31"]
    assert table["period_end"].dt.strftime("%Y-%m-%d").tolist() == ["2018-12-31", "2019-03-31", "2019-09-30"]
    assert table["net_margin"].tolist() == [0.08, 0.09, 0.1]
    assert set(table["symbol"]) == {"AAPL"}
    table, _, missing = source.fundamentals(["AAPL"], datetime.date(2010, 1, 1), datetime.date(2011, 1, 1))
    pd.testing.assert_frame_equal(table, FUNDAMENTAL_TABLE.empty())
    assert missing == ()  # who filed only outside of the range is there
    assert edgar.paths() == [TICKERS_PATH, facts_path(1222333), facts_path(320193), facts_path(1046179)]
    assert {headers["user-agent"] for _, headers in edgar.requests} == {IDENTITY}


def test_classes_of_shares_are_found_in_every_spelling_and_keep_it(edgar: LoopbackEdgar) -> None:
    edgar.pages[facts_path(1067983)] = quarters(("2019-01-01", "2019-03-31", "2019-04-01", 30))
    spellings = ["BRK-B", "BRK/B", "brk.b"]
    assert edgar.ask().fundamentals(spellings, *YEAR).table["symbol"].tolist() == spellings


@pytest.mark.parametrize("identity", ["", "jane@example.org", "Jane Doe", "J\r\nX: y j@a.org", "José j@a.b"])
def test_an_identity_without_name_or_address_is_refused(identity: str) -> None:
    with pytest.raises(SettingsError) as caught:
        EdgarFundamentals(identity)
    assert str(caught.value) == (
        "BRAIN_EDGAR_IDENTITY: expected your name and e-mail address, as in 'Jane Doe jane@example.org', in plain "
        f"ASCII, since the SEC wants to know who asks, got {identity!r}; set it."
    )


def test_there_are_at_most_10_requests_in_any_second(edgar: LoopbackEdgar) -> None:
    """Each waits for a tenth of a second at least while no other does, those of an instance in another thread too."""
    slept, one_at_a_time = list[float](), threading.Lock()

    def sleep(seconds: float) -> None:
        assert one_at_a_time.acquire(blocking=False)
        time.sleep(0.002)  # so that another would come in
        slept.append(seconds)
        one_at_a_time.release()

    with ThreadPoolExecutor() as threads:
        asked = [
            threads.submit(EdgarFundamentals(IDENTITY, sleep).fundamentals, [f"AAPL{n}", "TSM", "AAPL", "GLD"], *YEAR)
            for n in range(3)
        ]
    assert all(done.result().missing_symbols for done in asked)
    assert len(slept) == len(edgar.requests) == 3 * 4
    assert min(slept) >= 0.1


def test_failures_that_pass_are_waited_out(edgar: LoopbackEdgar) -> None:
    half = Answer(200, b"{", cut_short=True)
    edgar.before[TICKERS_PATH] = [page("busy", 429), page("busy", 503), page(TOO_OFTEN, 403), half]
    edgar.before[facts_path(320193)] = [page("busy", 500)] * (MAX_ATTEMPTS - 1)
    assert len(edgar.ask().fundamentals(["AAPL"], *YEAR).table) == 3
    assert len(edgar.paths()) == 5 + MAX_ATTEMPTS


AAPL, NO_ROWS = facts_path(320193), "expected rows with a ticker and a cik_str, got "
NOT_ACCEPTED = "expected an answer, got 403 Forbidden, which is what the SEC says to those whose identity it does not"
OF_NO_USE = [
    (AAPL, page("", 429), "expected an answer, got told to ask less often (429 Too Many Requests); wait ten minutes"),
    (TICKERS_PATH, page(UNDECLARED, 403), NOT_ACCEPTED),
    (TICKERS_PATH, page("", 403), NOT_ACCEPTED),
    (TICKERS_PATH, page("", 404), "expected an answer, got 404 Not Found;"),  # else nobody would file anything
    (AAPL, page("", 301, Location="/elsewhere"), "expected an answer, got 301 Moved Permanently; check that EDGAR"),
    (
        *(AAPL, page("", 503)),
        f"expected an answer, got none (503 Service Unavailable) in {MAX_ATTEMPTS} attempts; check the connection and "
        "whether the SEC's site is up, then run again.",
    ),
    (AAPL, page('{"cik": 320193,'), "expected JSON, got '{\"cik\": 320193,';"),
    (AAPL, page("[1]"), "expected a JSON object, got '[1]';"),
    (TICKERS_PATH, page('{"0": {"ticker": "AAPL", "cik_str": "320193"}}'), NO_ROWS),
]


@pytest.mark.parametrize(("path", "answer", "said"), OF_NO_USE)
def test_an_answer_of_no_use_is_named_by_its_address(
    edgar: LoopbackEdgar, path: str, answer: Answer, said: str
) -> None:
    edgar.before[path] = [answer] * MAX_ATTEMPTS
    place = "AAPL" if path == AAPL else "ticker table"
    with pytest.raises(RateLimitedError if answer.status == 429 else MarketError) as caught:
        edgar.ask().fundamentals(["AAPL"], *YEAR)
    assert str(caught.value).startswith(f"EDGAR, {place} ({edgar.url}{path}): {said}")
    assert edgar.paths().count(path) == (MAX_ATTEMPTS if answer.status in (429, 503) else 1)
    assert "/elsewhere" not in edgar.paths()


def test_what_was_left_out_is_told_of_the_years_asked_for(edgar: LoopbackEdgar) -> None:
    """A fact filed on 2019-05-01, and one whose filing has no day, which every year is told of."""
    facts = json.loads(json.dumps(TWO_YEARS))
    listed = facts["facts"]["us-gaap"]["NetIncomeLoss"]["units"]["USD"]
    listed[2]["val"] = None
    listed.append({"form": "10-Q"})
    edgar.pages[facts_path(320193)] = facts
    source = edgar.ask()
    for year, years in ((2018, [0]), (2019, [2019, 0])):
        days = (datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1))
        findings = findings_of(source.fundamentals(["AAPL", "TSM"], *days).table)
        assert [(finding.subject, finding.year) for finding in findings] == [("AAPL", each) for each in years]
