"""The cases of ``shared/cases``: each answer of Yahoo and EDGAR comes out as its table says, to the row."""

import json

import pandas as pd
import pytest

from brain_assets.errors import MarketError
from brain_assets.live.company_facts import quarterly_ratios
from brain_assets.market.archive import fetch_prices
from brain_assets.market.schema import added_up, findings_of
from brain_assets_tests.live.loopback_yahoo import LoopbackYahoo, market
from brain_assets_tests.shared_cases import END, START, doubts_of, make_cases, needed, unsaid

pytestmark = [needed, pytest.mark.filterwarnings("ignore::DeprecationWarning:yfinance")]

SPOILED = {"open-just-outside", "open-zero", "adjusted-close-null", "adjusted-close-infinite"}
ELSEWHERE = {"sessions-missing"}  # what is not there is told of by a check of what is stored

YAHOO = [
    *("no-result-and-no-error", "empty-list-of-results", "empty-list", "empty-object", "unauthorized"),
    *("no-data-for-the-range", "delisted-before-the-range", "unknown-symbol", "open-just-outside", "open-zero"),
    *("adjusted-close-null", "adjusted-close-infinite", "days-when-closed", "pence", "sessions-missing"),
]
EDGAR = ["revenues-are-a-part", "value-null", "year-0203", "thousand-times-off"]


def test_every_case_is_tried() -> None:
    known = {f"live/{name}" for name in YAHOO} | {f"edgar/{name}" for name in EDGAR}
    assert known == {name for name in make_cases()[1] if "/" in name}


@pytest.mark.parametrize("name", YAHOO)
def test_an_answer_of_yahoo_comes_out_as_it_should(yahoo: LoopbackYahoo, name: str) -> None:
    cases, every = make_cases()
    expected = every[f"live/{name}"]
    for symbol, answers in json.loads((cases / "live" / name / "answers.json").read_text()).items():
        yahoo.says[symbol] = {kind: (each["status"], json.dumps(each["body"])) for kind, each in answers.items()}
    if expected["outcome"] == "refused" or expected.get("or_refused"):
        with pytest.raises(MarketError) as caught:
            fetch_prices(market("QUAD", "VEGA"), START, END, overlap=False)
        assert unsaid(str(caught.value), expected["contains"]) == []
        return
    frame = fetch_prices(market("QUAD", "VEGA"), START, END, overlap=False)
    base = pd.read_parquet(cases / "base.parquet")
    base = base[base["date"].between("2018-01-01", "2019-12-31") & base["symbol"].isin(list(expected["symbols"]))]
    vega = base[base["symbol"] == "VEGA"]
    first = int(vega["date"].searchsorted(pd.Timestamp("2019-03-12")))
    absent = vega.index[first : first + 13 * 5 : 5] if name in SPOILED else vega.index[[]]
    rows = base.drop(vega.index[380:424] if name == "sessions-missing" else absent)
    pd.testing.assert_frame_equal(frame, rows.reset_index(drop=True), check_dtype=False, check_exact=True)
    findings, doubts = added_up(findings_of(frame)), doubts_of(frame)
    assert len(findings) == (expected["outcome"] == "warns" and name not in ELSEWHERE)
    assert len(doubts) == (name in SPOILED | ELSEWHERE)  # a bar that is left out is one that is not there
    assert unsaid(" ".join([*(finding.sentence for finding in findings), *doubts]), expected["contains"]) == []


@pytest.mark.parametrize("name", EDGAR)
def test_an_answer_of_edgar_comes_out_as_it_should(name: str) -> None:
    cases, every = make_cases()
    expected = every[f"edgar/{name}"]
    table = quarterly_ratios(json.loads((cases / "edgar" / name / "CIK0000999001.json").read_text()), "QUAD")
    newest = table.drop_duplicates("period_end", keep="last").set_index("period_end")["net_margin"].dropna()
    wanted = {pd.Timestamp(day): margin for day, margin in expected["net_margin"].items() if margin is not None}
    assert newest.to_dict() == wanted
    findings = findings_of(table)
    assert len(findings) == (expected["outcome"] == "warns" or name == "value-null")  # what is left out is always said
    assert unsaid(" ".join(finding.sentence for finding in findings), expected["contains"], whole=False) == []
