"""From the company facts of SEC EDGAR back to the filings that stated them.

EDGAR's companyfacts API gives, by us-gaap concept, every value that any filing stated: (start, end, val, accn, form,
filed); flows have a start, balances only an end. Its fy and fp are the filing's, not the value's, and frame is the
newest filing's: none of the three is used.

Debt is long-term debt with the part of it due within a year, where stated; short-term borrowings and leases are not in
it. Total liabilities never stand in: they are several times larger, and the change-over would look like a company that
took on debt. A company that states none of the debt concepts, as many without debt do, has no such ratio. Companies
without the concepts of a ratio (banks: gross margin, current ratio) have no such ratio either.

Not covered: amounts in other currencies than dollars, IFRS, half-yearly reports.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from brain_assets.errors import MarketError

FORMS = frozenset({"10-K", "10-Q", "10-KT", "10-QT", "8-K"})
"""Reports whose figures count, amendments (10-K/A) as well; an 8-K states figures if it recasts earlier reports. A
proxy statement (DEF 14A) repeats some of them, rounded."""

QUARTER_DAYS = range(80, 126)
"""Lengths of a quarter: 12 weeks are 84 days, and the last one of such a year has up to 17 weeks, 119 days."""

LONGEST_DAYS = 380
"""A year of 53 weeks is 371 days."""


class Definition(NamedTuple):
    """One way to state an amount."""

    concepts: tuple[str, ...]
    """Concepts of us-gaap that add up to it; all must be stated."""

    where_stated: str | None = None
    """One more, added where stated."""


AMOUNTS: Mapping[str, tuple[Definition, ...]] = {
    "revenue": (
        Definition(("Revenues",)),  # the total comes before revenue from contracts, which can be a part of it
        Definition(("RevenueFromContractWithCustomerExcludingAssessedTax",)),
        Definition(("RevenueFromContractWithCustomerIncludingAssessedTax",)),
        Definition(("SalesRevenueNet",)),
        Definition(("SalesRevenueGoodsNet",), "SalesRevenueServicesNet"),
        Definition(("RevenuesNetOfInterestExpense",)),  # banks
    ),
    "cost": (
        Definition(("CostOfRevenue",)),
        Definition(("CostOfGoodsAndServicesSold",)),
        Definition(("CostOfGoodsSold",), "CostOfServices"),
    ),
    "gross_profit": (Definition(("GrossProfit",)),),
    "operating_income": (Definition(("OperatingIncomeLoss",)),),
    "net_income": (Definition(("NetIncomeLoss",)), Definition(("ProfitLoss",))),
    "current_assets": (Definition(("AssetsCurrent",)),),
    "current_liabilities": (Definition(("LiabilitiesCurrent",)),),
    "debt": (
        Definition(("LongTermDebtNoncurrent",), "LongTermDebtCurrent"),
        Definition(("LongTermDebt",)),
        Definition(("LongTermDebtAndCapitalLeaseObligations",), "LongTermDebtAndCapitalLeaseObligationsCurrent"),
    ),
    "equity": (
        Definition(("StockholdersEquity",)),
        Definition(("StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest",)),
    ),
}
"""Amount -> the ways to state it, the better one first; five flows, then balances. Where a filing does not state gross
profit for as many periods, it is revenue less cost."""


def _concepts(ways: Iterable[tuple[Definition, ...]]) -> list[str]:
    each = (definition for definitions in ways for definition in definitions)
    return list(dict.fromkeys(name for concepts, more in each for name in (*concepts, more) if name))


FLOWS, BALANCES = _concepts([*AMOUNTS.values()][:5]), _concepts([*AMOUNTS.values()][5:])
"""Every concept once."""

Span = tuple[datetime.date, datetime.date]
"""First and last day of a flow. Of a balance both are its day."""
Amounts = dict[Span, float]


class Filing(NamedTuple):
    """What one filing states, in dollars."""

    filed: datetime.date
    amounts: dict[str, Amounts]
    """By concept, then period."""


def read_filings(facts: Mapping[str, Any], symbol: str) -> list[Filing]:
    """Sort facts back into the filings that stated them, in the order of their days; amendments last in a day."""
    amounts: dict[tuple[datetime.date, bool, str], dict[str, Amounts]] = defaultdict(lambda: defaultdict(dict))
    for concepts, are_flows in ((FLOWS, True), (BALANCES, False)):
        for concept in concepts:
            for fact in _stated_facts(facts, concept, symbol):
                if (fact.first is not None) is are_flows and fact.last <= fact.filed:
                    first = fact.first or fact.last
                    if not are_flows or QUARTER_DAYS.start <= n_days(first, fact.last) <= LONGEST_DAYS:
                        place = amounts[fact.filed, fact.form.endswith("/A"), fact.accession][concept]
                        place.setdefault((first, fact.last), fact.amount)
    return [Filing(filed, amounts[filed, amends, accession]) for filed, amends, accession in sorted(amounts)]


class _Fact(NamedTuple):
    first: datetime.date | None
    last: datetime.date
    amount: float
    accession: str
    form: str
    filed: datetime.date


def _stated_facts(facts: Mapping[str, Any], concept: str, symbol: str) -> Iterator[_Fact]:
    """Give one concept's facts in dollars, from reports whose figures count."""
    node: object = facts
    where: list[str] = []
    for key in ("facts", "us-gaap", concept, "units", "USD"):
        if not isinstance(node, Mapping):
            raise _refusal(symbol, where, "a JSON object", node)
        if key not in node and key not in ("facts", "units"):
            return  # another taxonomy, another concept, another currency
        where.append(key)
        node = node.get(key)
    if not isinstance(node, list):
        raise _refusal(symbol, where, "a list of facts", node)
    for position, fact in enumerate(node):
        try:
            parsed = _Fact(
                datetime.date.fromisoformat(fact["start"]) if "start" in fact else None,
                datetime.date.fromisoformat(fact["end"]),
                _amount(fact["val"]),
                str(fact["accn"]),
                str(fact["form"]),
                datetime.date.fromisoformat(fact["filed"]),
            )
        except (KeyError, TypeError, ValueError):
            raise _refusal(
                symbol, [*where, str(position)], "a fact with start, end, val, accn, form and filed", fact
            ) from None
        if parsed.form.removesuffix("/A") in FORMS:
            yield parsed


def _amount(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return value


def _refusal(symbol: str, where: list[str], expected: str, got: object) -> MarketError:
    place = f"company facts of {symbol}: expected {expected} at {'/'.join(where) or 'the top'}"
    return MarketError(f"{place}, got {shorten(repr(got))}; use an unchanged answer of EDGAR's companyfacts API.")


def shorten(text: str) -> str:
    """Show how a text begins."""
    return text if len(text) <= 100 else f"{text[:100]}…"


def stated_amounts(filing: Filing, definitions: tuple[Definition, ...]) -> dict[str, Amounts]:
    """Give the amounts by every definition that a filing makes use of, by its concepts."""
    found = {}
    for concepts, where_stated in definitions:
        parts = [filing.amounts.get(concept, {}) for concept in concepts]
        more = filing.amounts.get(where_stated or "", {})
        amounts = {
            span: sum(part[span] for part in parts) + more.get(span, 0)
            for span in parts[0]
            if all(span in part for part in parts)
        }
        if amounts:
            found[" + ".join(concepts)] = amounts
    return found


def n_days(first: datetime.date, last: datetime.date) -> int:
    """Count the days of a period."""
    return (last - first).days + 1
