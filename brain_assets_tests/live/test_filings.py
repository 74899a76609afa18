"""What is not taken of company facts: facts that cannot be, parts of a total, and amounts on another scale."""

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.errors import MarketError
from brain_assets.live.company_facts import quarterly_ratios
from brain_assets.live.filings import AMOUNTS, BROKEN, MISDATED, OFF_SCALE
from brain_assets.market.schema import Finding, findings_of
from brain_assets_tests.live.test_company_facts import (
    AUGUST,
    FEBRUARY,
    HALF,
    MAY,
    NINE_MONTHS,
    NOVEMBER,
    Q1,
    Q2,
    Q3,
    YEAR,
    company,
    cut,
    income,
    incomes,
    ordinary_year,
    told,
)

WITH_TAX = "RevenueFromContractWithCustomerIncludingAssessedTax"


def found(facts: dict[str, Any]) -> list[Finding]:
    return findings_of(quarterly_ratios(facts, "CO"))


def stated(facts: dict[str, Any], concept: str = "Revenues") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = facts["facts"]["us-gaap"][concept]["units"]["USD"]
    return listed


# Facts that are none

BROKEN_FACTS: list[Any] = [{"val": value} for value in ("100", None, math.nan, math.inf, True, 10**400)]
BROKEN_FACTS += [{"end": "31.3.2019"}, {"end": "20190-03-31"}, {"start": None}, {"filed": 20190501}]


def replaced(fact: dict[str, Any], change: Any) -> Any:
    return fact | change if isinstance(change, dict) and change else change


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.sampled_from([None, *BROKEN_FACTS, {}, None, 7, "fact"]), min_size=7, max_size=7),
    st.sampled_from(["Revenues", "NetIncomeLoss"]),
)
def test_a_fact_that_is_none_costs_itself_and_is_named(changes: list[Any], concept: str) -> None:
    """Of the year's four facts of a concept any may be broken; others are there twice, so that some remain."""
    facts = ordinary_year()
    listed, sound = stated(facts, concept), copy.deepcopy(facts)
    broken = [position for position in range(len(listed)) if changes[position] is not None]
    stated(sound, concept)[:] = [fact for position, fact in enumerate(listed) if position not in broken]
    listed[:] = [fact if changes[i] is None else replaced(fact, changes[i]) for i, fact in enumerate(listed)]
    pd.testing.assert_frame_equal(quarterly_ratios(facts, "CO"), quarterly_ratios(sound, "CO"))
    findings = found(facts)
    assert sum(finding.n_rows for finding in findings) == len(broken)
    assert {finding[:4] for finding in findings} <= {("rows_taken", "CO", BROKEN, "left out")}
    assert all(finding.first.startswith(f"{concept} ") for finding in findings)
    assert {finding.year for finding in findings} <= {0, 2019, 2020}


def test_facts_none_of_which_is_one_are_refused() -> None:
    facts = ordinary_year()
    for concept in ("Revenues", "NetIncomeLoss"):
        for fact in stated(facts, concept):
            fact["value"] = fact.pop("val")
    with pytest.raises(MarketError, match=r"company facts of CO: expected facts with start, .*, got .*Revenues"):
        quarterly_ratios(facts, "CO")


# Days that cannot be


@pytest.mark.parametrize(
    ("start", "end"),
    [
        *(("0203-04-01", "0203-06-30"), ("1919-04-01", "1919-06-30"), ("0001-01-01", "0001-03-31")),
        *(("9999-10-01", "9999-12-31"), ("0219-04-01", "2019-06-30"), ("2019-06-30", "2019-04-01")),
    ],
)
def test_a_fact_of_a_mistyped_year_is_left_out_and_named(start: str, end: str) -> None:
    facts = ordinary_year()
    expected = told(facts)
    for concept in ("NetIncomeLoss", "Revenues"):
        stated(facts, concept).append(stated(facts, concept)[1] | {"val": 5, "start": start, "end": end})
    assert told(facts) == expected
    first = f"Revenues from {start} to {end} in {stated(facts)[1]['accn']}"
    assert found(facts) == [Finding("rows_taken", "CO", MISDATED, "left out", 2019, 2, first)]


# Totals and their parts

REVENUES = [concept for concept in AMOUNTS["revenue"] if concept != WITH_TAX]
PAIRS = list(itertools.permutations(REVENUES, 2))


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(PAIRS), st.floats(0.001, 0.99), st.integers(1_000, 10**12))
def test_a_part_of_revenue_never_counts_for_the_total(pair: tuple[str, str], share: float, total: int) -> None:
    part, whole = pair
    revenue = {part: {Q1: share * total, Q2: share * total}, whole: {Q2: total}}
    facts = company(("10-Q", AUGUST, revenue | {"NetIncomeLoss": {Q1: total / 8, Q2: total / 8}}))
    assert told(facts) == [(AUGUST, Q2[1], 0.125)]


@pytest.mark.parametrize(("with_tax", "margin"), [(2_000, 0.125), (801, 0.125 * 2_000 / 801), (799, 1.25)])
def test_revenue_with_taxes_is_a_total_only_where_no_tax_could_explain_it(with_tax: float, margin: float) -> None:
    facts = company(("10-Q", MAY, income(200, 250, Q1) | {WITH_TAX: {Q1: with_tax}}))
    assert told(facts) == [(MAY, Q1[1], round(margin, 9))]


# Scales

M = 10**6
FACTORS = [1e-9, 1e-6, 1e-3, 1e3, 1e6]


def quarters_and_year(repeated: Callable[[float], Any], concept: str = "Revenues") -> dict[str, Any]:
    """Three quarters of 2, 3 and 4 million, and a year that repeats them; `repeated` makes its amounts of a concept."""
    amounts = [(Q1, 2 * M, M / 4), (Q2, 3 * M, M / 4), (Q3, 4 * M, M / 4)]
    year = incomes(*amounts, (YEAR, 14 * M, M))
    year[concept] = {period: repeated(amount) for period, amount in year[concept].items()}
    days = (MAY, AUGUST, NOVEMBER)
    filings = [("10-Q", day, incomes(amount)) for day, amount in zip(days, amounts, strict=True)]
    return company(*filings, ("10-K", FEBRUARY, year))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("concept", ["Revenues", "NetIncomeLoss"])
def test_a_filing_on_another_scale_is_left_out_and_named(factor: float, concept: str) -> None:
    facts = quarters_and_year(lambda amount: amount * factor, concept)
    assert told(facts) == told(quarters_and_year(lambda amount: amount))[:3]
    first = f"{concept} in {stated(facts, concept)[-1]['accn']}"
    assert found(facts) == [Finding("rows_taken", "CO", OFF_SCALE, "left out", 2020, 4, first)]
    assert "thousand" in found(facts)[0].sentence


@pytest.mark.parametrize("factor", FACTORS[::4])
def test_a_year_to_date_on_another_scale_than_its_first_quarter_is_left_out(factor: float) -> None:
    filings = [
        ("10-Q", MAY, income(2 * M, M / 4, Q1)),
        ("10-Q", AUGUST, income(5 * M * factor, M / 2, HALF)),
        ("10-Q", NOVEMBER, income(9 * M, M, NINE_MONTHS)),
    ]
    facts = company(*filings)
    assert told(facts) == [(MAY, Q1[1], 0.125)]
    assert [(finding.n_rows, finding.year) for finding in found(facts)] == [(1, 2019)]


@settings(deadline=None, max_examples=25)
@given(st.floats(0.005, 0.49) | st.floats(1.1, 490) | st.floats(2_050, 490_000), st.sampled_from([1, -1]))
def test_what_was_restated_by_another_factor_is_taken(factor: float, sign: int) -> None:
    facts = quarters_and_year(lambda amount: amount * factor * sign, "NetIncomeLoss")
    assert found(facts) == []
    assert len(told(facts)) == 7


def test_facts_cut_off_after_a_day_give_the_rows_and_findings_up_to_that_day() -> None:
    facts = quarters_and_year(lambda amount: amount / 1000)
    stated(facts)[0] |= {"val": None}
    for last_day in (MAY, NOVEMBER, FEBRUARY):
        table, whole = quarterly_ratios(cut(facts, last_day), "CO"), quarterly_ratios(facts, "CO")
        pd.testing.assert_frame_equal(table, whole[whole["filed"] <= last_day])
    assert len(findings_of(quarterly_ratios(cut(facts, NOVEMBER), "CO"))) == 1
