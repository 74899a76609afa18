"""Quarterly ratios from company facts: each awkward truth on facts typed by hand, then on two companies' real ones."""

import datetime
import json
import math
from typing import Any

import pandas as pd
import pytest

from brain_assets.errors import MarketError
from brain_assets.live.company_facts import quarterly_ratios
from brain_assets.market.schema import FUNDAMENTAL_TABLE
from brain_assets_tests.backfills import REPOSITORY

NAN = math.nan

Q1, Q2 = ("2019-01-01", "2019-03-31"), ("2019-04-01", "2019-06-30")
Q3, Q4 = ("2019-07-01", "2019-09-30"), ("2019-10-01", "2019-12-31")
HALF, NINE_MONTHS, YEAR = (Q1[0], Q2[1]), (Q1[0], Q3[1]), (Q1[0], Q4[1])
MAY, AUGUST, NOVEMBER, FEBRUARY = "2019-05-01", "2019-08-01", "2019-11-01", "2020-02-01"

Period = tuple[str, str] | str
"""First and last day of a flow, the day of a balance."""


def company(*filings: tuple[str, str, dict[str, dict[Period, float]]]) -> dict[str, Any]:
    """Facts of a company whose filings (form, day, amounts by concept and period) came in this order."""
    concepts: dict[str, Any] = {}
    for number, (form, filed, stated) in enumerate(filings):
        for concept, amounts in stated.items():
            listed = concepts.setdefault(concept, {"label": concept, "description": "", "units": {"USD": []}})
            for period, amount in amounts.items():
                first, last = (None, period) if isinstance(period, str) else period
                fact = {"end": last, "val": amount, "accn": f"0000000001-19-{number:06}", "fy": 1999, "fp": "Q3"}
                fact |= {"form": form, "filed": filed} | ({"start": first} if first else {})
                listed["units"]["USD"].append(fact)
    return {"cik": 1, "entityName": "Company", "facts": {"us-gaap": concepts}}


def income(revenue: float, net: float, period: Period, revenue_concept: str = "Revenues") -> dict[str, Any]:
    return {revenue_concept: {period: revenue}, "NetIncomeLoss": {period: net}}


def incomes(*rows: tuple[Period, float, float], revenue_concept: str = "Revenues") -> dict[str, Any]:
    """Revenue and net income of several periods."""
    return {
        revenue_concept: {period: revenue for period, revenue, _ in rows},
        "NetIncomeLoss": {period: net for period, _, net in rows},
    }


def told(facts: dict[str, Any], ratio: str = "net_margin") -> list[tuple[str, str, float]]:
    """(filed, period_end, ratio) of every row, ratios to nine digits."""
    table = quarterly_ratios(facts, "CO")
    days = zip(table["filed"].dt.strftime("%Y-%m-%d"), table["period_end"].dt.strftime("%Y-%m-%d"), strict=True)
    return [(*pair, round(value, 9)) for pair, value in zip(days, table[ratio], strict=True)]


def cut(facts: dict[str, Any], last_day: str) -> dict[str, Any]:
    """What the API would have said on a day."""
    early = {
        name: {
            "units": {unit: [fact for fact in stated if fact["filed"] <= last_day] for unit, stated in units.items()}
        }
        for name, units in ((name, concept["units"]) for name, concept in facts["facts"]["us-gaap"].items())
    }
    return {"facts": {"us-gaap": early}}


def year_to_date(first: str, *lasts: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Filings of a year that state the first quarter, then only years to date, then the year."""
    amounts = ((100, 10), (220, 34), (360, 62), (560, 122))
    days = (("10-Q", MAY), ("10-Q", AUGUST), ("10-Q", NOVEMBER), ("10-K", FEBRUARY))
    return [(*day, income(*each, (first, last))) for day, each, last in zip(days, amounts, lasts, strict=True)]


def four_margins(*ends: str) -> list[tuple[str, str, float]]:
    return list(zip((MAY, AUGUST, NOVEMBER, FEBRUARY), ends, (0.1, 0.2, 0.2, 0.3), strict=True))


ORDINARY = year_to_date(Q1[0], Q1[1], Q2[1], Q3[1], Q4[1])
ORDINARY_MARGINS = four_margins(Q1[1], Q2[1], Q3[1], Q4[1])


def ordinary_year() -> dict[str, Any]:
    return company(*ORDINARY)


# Margins, case by case

CONTRACTS = "RevenueFromContractWithCustomerExcludingAssessedTax"
LATER, BEFORE = "2021-02-01", ("2018-01-01", "2018-03-31")


def filing(
    filed: str, period: Period, revenue: float, net: float, form: str = "10-Q"
) -> tuple[str, str, dict[str, Any]]:
    return form, filed, income(revenue, net, period)


FIRST, FIRST_TOLD = filing(MAY, Q1, 100, 10), (MAY, Q1[1], 0.1)
CASES: dict[str, tuple[list[tuple[str, str, dict[str, Any]]], list[tuple[str, str, float]]]] = {
    "no revenue: not known": ([filing(MAY, Q1, 0, -3), filing(AUGUST, Q2, 100, 10)], [(AUGUST, Q2[1], 0.1)]),
    "the total counts for more than revenue from contracts": (
        [("10-Q", MAY, income(200, 20, Q1) | {CONTRACTS: {Q1: 50}})],
        [FIRST_TOLD],
    ),
    "the concept stated for more periods counts for more": (
        [("10-Q", MAY, incomes((BEFORE, 100, 20), (Q1, 200, 20), revenue_concept=CONTRACTS) | {"Revenues": {Q1: 5}})],
        [(MAY, BEFORE[1], 0.2), FIRST_TOLD],
    ),
    "the fourth quarter is the year less three quarters": (
        [
            *(filing(day, quarter, 100, 10) for day, quarter in ((MAY, Q1), (AUGUST, Q2), (NOVEMBER, Q3))),
            filing(FEBRUARY, YEAR, 560, 108, "10-K"),
        ],
        [FIRST_TOLD, (AUGUST, Q2[1], 0.1), (NOVEMBER, Q3[1], 0.1), (FEBRUARY, Q4[1], 0.3)],
    ),
    "half-yearly reports have no quarters": (
        [filing(AUGUST, HALF, 220, 34), filing(FEBRUARY, YEAR, 560, 122, "10-K")],
        [],
    ),
    "who states nothing of ours has no rows": ([("10-Q", MAY, {"InterestExpense": {Q1: 1}})], []),
    "a misdated end is no further quarter": (
        [
            *(FIRST, filing(FEBRUARY, (Q1[0], "2019-03-30"), 100, 10, "10-K")),
            filing("2020-03-01", ("2019-01-03", "2019-03-30"), 100, 12, "10-K/A"),
        ],
        [FIRST_TOLD, ("2020-03-01", Q1[1], 0.12)],
    ),
    "a restated income alone is set against the revenue stated before": (
        [FIRST, ("10-Q", NOVEMBER, {"NetIncomeLoss": {Q1: 12}})],
        [FIRST_TOLD, (NOVEMBER, Q1[1], 0.12)],
    ),
    "a restatement is a new row at its filing date and changes nothing before": (
        [FIRST, filing(AUGUST, Q2, 100, 30), filing(FEBRUARY, Q1, 10, 2, "8-K")],
        [FIRST_TOLD, (AUGUST, Q2[1], 0.3), (FEBRUARY, Q1[1], 0.2)],
    ),
    "of two filings of one day the amendment counts": (
        [filing(MAY, Q1, 100, 20, "10-Q/A"), FIRST],
        [(MAY, Q1[1], 0.2)],
    ),
    "proxy statements and foreign reports do not count": (
        [FIRST, *(filing(FEBRUARY, Q1, 100, 99, form) for form in ("DEF 14A", "20-F", "6-K"))],
        [FIRST_TOLD],
    ),
    "quarters stated only as years to date are differences: 24 / 120, 28 / 140 and 60 / 200": (
        ORDINARY,
        ORDINARY_MARGINS,
    ),
    "a fiscal year may end in September, and have a quarter of 14 weeks and 53 in all": (
        year_to_date("2016-09-25", "2016-12-31", "2017-04-01", "2017-07-01", "2017-09-30"),
        four_margins("2016-12-31", "2017-04-01", "2017-07-01", "2017-09-30"),
    ),
    "quarters may have 12 weeks, and the last one 17": (
        year_to_date("2018-12-30", "2019-03-23", "2019-06-15", "2019-09-07", "2020-01-04"),
        four_margins("2019-03-23", "2019-06-15", "2019-09-07", "2020-01-04"),
    ),
    "a difference uses no part filed after the whole: the quarter is told once the year is stated again": (
        [ORDINARY[3], filing("2020-11-01", NINE_MONTHS, 360, 62), ("10-K", LATER, ORDINARY[3][2])],
        [(LATER, Q4[1], 0.3)],
    ),
    "a stated quarter counts for more than a computed one": (
        [*ORDINARY[:3], ("10-K", FEBRUARY, incomes((YEAR, 560, 122), (Q4, 201, 80.4)))],
        [*ORDINARY_MARGINS[:3], (FEBRUARY, Q4[1], 0.4)],
    ),
    "a computed quarter stays if the year alone is restated, under a new rule or in the year's amendment": (
        [*ORDINARY, filing("2020-03-01", YEAR, 660, 222, "10-K/A"), filing(LATER, YEAR, 300, 100, "10-K")],
        ORDINARY_MARGINS,
    ),
    "a computed quarter stays if the part of the year alone is restated": (
        [*ORDINARY, filing("2020-11-01", NINE_MONTHS, 400, 80), ("10-K", LATER, ORDINARY[3][2])],
        ORDINARY_MARGINS,
    ),
    "a quarter is computed anew once year and nine months are restated": (
        [*ORDINARY, filing("2020-11-01", NINE_MONTHS, 400, 80), filing(LATER, YEAR, 600, 180, "10-K")],
        [*ORDINARY_MARGINS, (LATER, Q4[1], 0.5)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_net_margins_are_told_once_each_as_the_filings_state_them(case: str) -> None:
    filings, expected = CASES[case]
    assert told(company(*filings)) == expected


# Ratios


def test_ratios_of_a_quarter_are_dated_by_its_filing() -> None:
    flows = {"Revenues": 200, "GrossProfit": 80, "OperatingIncomeLoss": 30, "NetIncomeLoss": -10}
    balances = {"AssetsCurrent": 90, "LiabilitiesCurrent": 60, "LongTermDebt": 50, "StockholdersEquity": 200}
    stated = {name: {Q1: amount} for name, amount in flows.items()} | {
        name: {Q1[1]: amount} for name, amount in balances.items()
    }
    expected = pd.DataFrame(
        [(pd.Timestamp(MAY), pd.Timestamp(Q1[1]), "CO", 0.4, 0.15, -0.05, 1.5, 0.25)],
        columns=list(FUNDAMENTAL_TABLE.names),
    ).astype(FUNDAMENTAL_TABLE.types)
    pd.testing.assert_frame_equal(quarterly_ratios(company(("10-Q", MAY, stated)), "CO"), expected)
    for below in (0, -40):  # a ratio to nothing or to a deficit is not known
        stated["StockholdersEquity"] = {Q1[1]: below}
        assert math.isnan(quarterly_ratios(company(("10-Q", MAY, stated)), "CO")["debt_to_equity"].item())


def test_gross_profit_that_is_not_stated_is_revenue_less_cost() -> None:
    for costs in ({"CostOfRevenue": 150}, {"CostOfGoodsSold": 150}, {"CostOfGoodsSold": 110, "CostOfServices": 40}):
        stated = {"Revenues": {Q1: 200}} | {concept: {Q1: amount} for concept, amount in costs.items()}
        assert told(company(("10-Q", MAY, stated)), "gross_margin") == [(MAY, Q1[1], 0.25)]


@pytest.mark.parametrize(("revenue_before", "computed"), [(900, True), (901, False)])
def test_a_quarter_is_computed_across_concepts_only_if_they_agreed_before(revenue_before: int, computed: bool) -> None:
    """Else one of them may be only a part of the other."""
    year_before = ("2018-01-01", "2018-12-31")
    facts = company(
        ("10-K", "2019-02-01", income(900, 90, year_before, "SalesRevenueNet")),
        ("10-Q", NOVEMBER, income(360, 62, NINE_MONTHS, "SalesRevenueNet")),
        ("10-K", FEBRUARY, incomes((year_before, revenue_before, 90), (YEAR, 560, 122))),
    )
    assert told(facts) == ([(FEBRUARY, Q4[1], 0.3)] if computed else [])


DEBT = {"StockholdersEquity": 100, "LongTermDebtNoncurrent": 40, "LongTermDebtCurrent": 5, "LongTermDebt": 45.2}
DEBT["Liabilities"] = 300  # never stand in for debt


@pytest.mark.parametrize(
    ("stated", "ratio"),
    [
        (("LongTermDebtNoncurrent", "Liabilities"), 0.4),
        (("LongTermDebt",), 0.452),
        (("LongTermDebt", "LongTermDebtNoncurrent", "LongTermDebtCurrent"), 0.45),
        (("Liabilities",), NAN),
    ],
)
def test_debt_is_long_term_debt_with_what_is_due_within_a_year(stated: tuple[str, ...], ratio: float) -> None:
    balance = {name: {Q1[1]: DEBT[name]} for name in ("StockholdersEquity", *stated)}
    [(*_, value)] = told(company(("10-Q", MAY, income(100, 10, Q1) | balance)), "debt_to_equity")
    assert value == pytest.approx(ratio, nan_ok=True)


def test_of_a_year_to_date_and_twelve_months_the_year_to_date_counts() -> None:
    """The months before its year may have been restated: 24 / 120, where 12 months less three quarters are 30 / 125."""
    third, fourth = ("2018-07-01", "2018-09-30"), ("2018-10-01", "2018-12-31")
    twelve = (third[0], Q2[1])
    facts = company(
        ("10-Q", "2018-11-01", income(100, 10, third)),
        ("10-K", "2019-02-01", income(100, 10, fourth)),
        ("10-Q", MAY, income(100, 10, Q1)),
        ("10-Q", AUGUST, incomes((twelve, 425, 60), (HALF, 220, 34))),
        ("10-Q/A", NOVEMBER, income(425, 61, twelve)),
    )
    assert [row for row in told(facts) if row[1] == Q2[1]] == [(AUGUST, Q2[1], 0.2)]


# What is not company facts


@pytest.mark.parametrize(
    ("facts", "place"),
    [
        ({}, "expected a JSON object at facts, got None"),
        ({"facts": {"us-gaap": {"Revenues": {}}}}, "expected a JSON object at facts/us-gaap/Revenues/units, got None"),
        (
            {"facts": {"us-gaap": {"Revenues": {"units": {"USD": {}}}}}},
            "expected a list of facts at facts/us-gaap/Revenues/units/USD, got {}",
        ),
    ],
)
def test_another_shape_is_named_by_symbol_and_place(facts: dict[str, Any], place: str) -> None:
    with pytest.raises(MarketError) as caught:
        quarterly_ratios(facts, "CO")
    assert str(caught.value) == f"company facts of CO: {place}; use an unchanged answer of EDGAR's companyfacts API."


# Real filings

FOLDER = REPOSITORY.parent / "shared" / "data" / "edgar"
COMPANIES = {"AAPL": 320193, "NVDA": 1045810}


def real_facts(symbol: str) -> dict[str, Any]:
    path = FOLDER / f"CIK{COMPANIES[symbol]:010d}.json"
    if not path.is_file():
        pytest.skip(f"no real company facts at {path}")
    facts: dict[str, Any] = json.loads(path.read_text())
    return facts


@pytest.fixture(scope="module")
def real_ratios() -> dict[str, pd.DataFrame]:
    return {symbol: quarterly_ratios(real_facts(symbol), symbol) for symbol in COMPANIES}


# Millions of dollars, as the companies' income statements and earnings releases have them.
# fmt: off
KNOWN = [
    # symbol, first filed, quarter to, revenue, gross profit, operating income, net income
    ("AAPL", "2017-11-03", "2017-09-30", 52_579, 19_931, 13_120, 10_714),  # 53 weeks; operating income: computed
    ("AAPL", "2018-11-05", "2018-09-29", 62_900, 24_084, 16_118, 14_125),  # the year under another concept
    ("AAPL", "2021-10-29", "2021-09-25", 83_360, 35_174, 23_786, 20_551),  # from here on computed
    ("AAPL", "2023-02-03", "2022-12-31", 117_154, 50_332, 36_016, 29_998),  # 14 weeks
    ("AAPL", "2024-11-01", "2024-09-28", 94_930, 43_879, 29_591, 14_736),
    ("NVDA", "2021-02-26", "2021-01-31", 5_003, 3_156, 1_507, 1_457),  # the year under another concept; 53 weeks
    ("NVDA", "2022-08-31", "2022-07-31", 6_704, 2_915, 499, 656),
    ("NVDA", "2024-02-21", "2024-01-28", 22_103, 16_791, 13_614, 12_285),  # published 13,615: rounded
]
# fmt: on


def test_ratios_are_those_of_the_published_quarters_and_every_quarter_is_there_once(
    real_ratios: dict[str, pd.DataFrame],
) -> None:
    margins = ["gross_margin", "operating_margin", "net_margin"]
    for symbol, filed, period_end, revenue, *incomes_of_quarter in KNOWN:
        table = real_ratios[symbol]
        first = table[table["period_end"] == period_end].iloc[0]
        assert first["filed"] == pd.Timestamp(filed)
        expected = [income_of_quarter / revenue for income_of_quarter in incomes_of_quarter]
        assert first[margins].tolist() == pytest.approx(expected, abs=1e-12), (symbol, period_end)
    for table in real_ratios.values():
        first = table.drop_duplicates("period_end").sort_values("period_end")
        since = first[first["period_end"] >= "2009-09-01"]
        assert len(since) >= 65
        assert set(since["period_end"].diff().dt.days.dropna()) <= {91, 98}
        assert since[[*margins, "current_ratio"]].notna().all(axis=None)
        assert (since["filed"] - since["period_end"]).dt.days.between(18, 60).all()


@pytest.mark.parametrize("symbol", COMPANIES)
@pytest.mark.slow
def test_real_facts_cut_off_on_a_day_give_the_rows_up_to_that_day(
    real_ratios: dict[str, pd.DataFrame], symbol: str
) -> None:
    facts, table = real_facts(symbol), real_ratios[symbol]
    stated = facts["facts"]["us-gaap"]["NetIncomeLoss"]["units"]["USD"]
    for day in sorted({fact["filed"] for fact in stated})[::7]:
        for last_day in (str(datetime.date.fromisoformat(day) - datetime.timedelta(days=1)), day):
            expected = table[table["filed"] <= last_day].reset_index(drop=True)
            pd.testing.assert_frame_equal(quarterly_ratios(cut(facts, last_day), symbol), expected, check_exact=True)
