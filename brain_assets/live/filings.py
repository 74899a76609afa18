"""From the company facts of SEC EDGAR back to the filings that stated them.

EDGAR's companyfacts API gives, by us-gaap concept, every value that any filing stated: (start, end, val, accn, form,
filed); flows have a start, balances only an end. Its fy and fp are the filing's, not the value's, and frame is the
newest filing's: none of the three is used. Facts that cannot be are left out, one by one: those without a value or a
day, of a day that is mistyped, and on another scale than the filings before: there dollars, here thousands of them.

Debt is long-term debt with the part of it due within a year, where stated; short-term borrowings and leases are not in
it. Total liabilities never stand in: they are several times larger, and the change-over would look like a company that
took on debt. A company that states none of the debt concepts, as many without debt do, has no such ratio. Companies
without the concepts of a ratio (banks: gross margin, current ratio) have no such ratio either.

Not covered: amounts in other currencies than dollars, IFRS, half-yearly reports.
"""

import datetime
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from brain_assets.errors import MarketError
from brain_assets.market.schema import ROUNDING, Finding

FORMS = frozenset({"10-K", "10-Q", "10-KT", "10-QT", "8-K"})
"""Reports whose figures count, amendments (10-K/A) as well; an 8-K states figures if it recasts earlier reports. A
proxy statement (DEF 14A) repeats some of them, rounded."""

QUARTER_DAYS = range(80, 126)
"""Lengths of a quarter: 12 weeks are 84 days, and the last one of such a year has up to 17 weeks, 119 days."""

LONGEST_DAYS = 380  # a year of 53 weeks is 371 days

OLDEST = datetime.timedelta(days=20 * 366)
"""How long before its filing a period may lie. Filings repeat five years, at times ten; what is older is mistyped."""

SAME_SCALE = 0.1
"""How far from a power of 1000 an amount may be, and still be the same one on another scale; half to twice as much."""

BROKEN, MISDATED, OFF_SCALE = (
    "facts without a day, an amount or a filing",
    "facts with a day missing, out of order, after the filing, or more than 20 years before it",
    "facts a thousand times larger or smaller than earlier filings have them, or a power of that",
)
"""What is left out."""

AMOUNTS: Mapping[str, Mapping[str, str]] = {
    "revenue": {
        "Revenues": "",
        "RevenueFromContractWithCustomerExcludingAssessedTax": "",
        "RevenueFromContractWithCustomerIncludingAssessedTax": "",
        "SalesRevenueNet": "",
        "SalesRevenueGoodsNet": "SalesRevenueServicesNet",
        "RevenuesNetOfInterestExpense": "",  # banks
    },
    "cost": {"CostOfRevenue": "", "CostOfGoodsAndServicesSold": "", "CostOfGoodsSold": "CostOfServices"},
    "gross_profit": {"GrossProfit": ""},
    "operating_income": {"OperatingIncomeLoss": ""},
    "net_income": {"NetIncomeLoss": "", "ProfitLoss": ""},
    "current_assets": {"AssetsCurrent": ""},
    "current_liabilities": {"LiabilitiesCurrent": ""},
    "debt": {
        "LongTermDebtNoncurrent": "LongTermDebtCurrent",
        "LongTermDebt": "",
        "LongTermDebtAndCapitalLeaseObligations": "LongTermDebtAndCapitalLeaseObligationsCurrent",
    },
    "equity": {
        "StockholdersEquity": "",
        "StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest": "",
    },
}
"""Amount -> the concepts of us-gaap that state it, the better one first, each with one more that is added where stated;
five flows, then balances. Where a filing does not state gross profit for as many periods, it is revenue less cost."""

TOTALS = ("revenue", "cost")
"""Of these a concept is a part, and does not count, if the same filing states more for a period by another."""

UNTAXED = {"RevenueFromContractWithCustomerIncludingAssessedTax": 0.25}
"""What is left of an amount at the least without the taxes in it: those on tobacco are over half."""


_CONCEPTS = [
    list(dict.fromkeys(name for way in ways for concept in way.items() for name in concept if name))
    for ways in ([*AMOUNTS.values()][:5], [*AMOUNTS.values()][5:])
]
FLOWS, BALANCES = _CONCEPTS  # every concept once
Span = tuple[datetime.date, datetime.date]  # first and last day of a flow. Of a balance both are its day.
Amounts = dict[Span, float]


class Filing(NamedTuple):
    """What one filing states, in dollars."""

    filed: datetime.date
    accession: str
    amounts: dict[str, Amounts]  # by concept, then period


_LeftOut = dict[tuple[str, int], list[str]]  # what facts are, and the year of their filing -> where they stand


def read_filings(facts: Mapping[str, Any], symbol: str) -> tuple[list[Filing], list[Finding]]:
    """Sort facts back into the filings that stated them, in the order of their days; amendments last in a day.

    Tells what was left out as well, by the year of the filing. Raises `MarketError` if the facts are not in the API's
    shape, or none of them is.
    """
    amounts: dict[tuple[datetime.date, bool, str], dict[str, Amounts]] = defaultdict(lambda: defaultdict(dict))
    left_out: _LeftOut = defaultdict(list)
    n_read = 0
    stated = [(name, fact) for name in (*FLOWS, *BALANCES) for fact in _facts(facts, name, symbol)]
    for concept, fact in stated:
        told = fact if isinstance(fact, Mapping) else {}
        if "form" in told and str(told["form"]).removesuffix("/A") not in FORMS:
            continue
        try:
            start = datetime.date.fromisoformat(fact["start"]) if "start" in fact else None
            last, filed = (datetime.date.fromisoformat(fact[name]) for name in ("end", "filed"))
            amount, accession, is_amended = _amount(fact["val"]), str(fact["accn"]), str(fact["form"]).endswith("/A")
        except (KeyError, TypeError, ValueError, OverflowError):
            year = str(told.get("filed"))[:4]
            left_out[BROKEN, int(year) if year.isdecimal() else 0].append(f"{concept} {shorten(repr(fact))}")
            continue
        n_read += 1
        first, is_flow = start or last, concept in FLOWS
        if (start is not None) is not is_flow or not first <= last <= filed or filed - first > OLDEST:
            left_out[MISDATED, filed.year].append(f"{concept} from {first} to {last} in {accession}")
        elif not is_flow or QUARTER_DAYS.start <= n_days(first, last) <= LONGEST_DAYS:
            amounts[filed, is_amended, accession][concept].setdefault((first, last), amount)
    if left_out and not n_read:
        broken = next(iter(left_out.values()))[0]
        raise _refusal(symbol, ["facts", "us-gaap"], "facts with start, end, val, accn, form and filed", broken)
    filings = [Filing(key[0], key[2], amounts[key]) for key in sorted(amounts)]
    _leave_out_other_scales(filings, left_out)
    kinds = sorted(left_out.items(), key=lambda item: (BROKEN, MISDATED, OFF_SCALE).index(item[0][0]))
    return filings, [
        Finding("rows_taken", symbol, what, "left out", year, len(places), places[0]) for (what, year), places in kinds
    ]


def _leave_out_other_scales(filings: list[Filing], left_out: _LeftOut) -> None:
    """Leave out facts on another scale than earlier ones; of a concept of which a filing has none on the same, all."""
    known: dict[tuple[str, datetime.date], Amounts] = defaultdict(dict)  # by concept and first day
    for filed, accession, stated in filings:
        for concept, amounts in stated.items():
            before = {span: known[concept, span[0]] for span in amounts if amounts[span] and known[concept, span[0]]}
            scales = {span: _scale(span, amounts[span], before[span]) for span in before}
            off = [span for span, scale in scales.items() if abs(scale - round(scale)) < SAME_SCALE and round(scale)]
            same = any(round(scale) == 0 for scale in scales.values())
            for span in off if same or not off else [*amounts]:
                left_out[OFF_SCALE, filed.year].append(f"{concept} in {accession}")
                del amounts[span]
            for span in amounts:
                if amounts[span]:
                    known[concept, span[0]][span] = amounts[span]


def _scale(span: Span, amount: float, known: Amounts) -> float:
    """Compare the amount of a day with that of the same period, or of the longest from the same first day; in 1000s."""
    other = span if span in known else max(known)
    return math.log(abs(amount / n_days(*span)) / abs(known[other] / n_days(*other)), 1000)


def _facts(facts: Mapping[str, Any], concept: str, symbol: str) -> list[Any]:
    node: object = facts
    where: list[str] = []
    for key in ("facts", "us-gaap", concept, "units", "USD"):
        if not isinstance(node, Mapping):
            raise _refusal(symbol, where, "a JSON object", node)
        if key not in node and key not in ("facts", "units"):
            return []  # another taxonomy, another concept, another currency
        where.append(key)
        node = node.get(key)
    if not isinstance(node, list):
        raise _refusal(symbol, where, "a list of facts", node)
    return node


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


def stated_amounts(filing: Filing) -> dict[str, dict[str, Amounts]]:
    """Give each of the `AMOUNTS` by every concept of it that a filing states; parts of a total are left out."""
    found: dict[str, dict[str, Amounts]] = {}
    for name, concepts in AMOUNTS.items():
        found[name] = {
            concept: {span: amount + filing.amounts.get(more, {}).get(span, 0) for span, amount in stated.items()}
            for concept, more in concepts.items()
            if (stated := filing.amounts.get(concept))
        }
    for name in TOTALS:
        totals = {concept: amounts for concept, amounts in found[name].items() if not _is_part(amounts, found[name])}
        found[name] = totals or found[name]  # each a part of another: not so clear
    return found


def _is_part(amounts: Amounts, found: dict[str, Amounts]) -> bool:
    """Tell whether some concept has more for one of the periods, by more than rounding or taxes explain."""
    return any(
        amounts[span] < other[span] * UNTAXED.get(concepts, 1 - ROUNDING)
        for concepts, other in found.items()
        for span in amounts.keys() & other.keys()
    )


def n_days(first: datetime.date, last: datetime.date) -> int:
    """Count the days of a period."""
    return (last - first).days + 1
