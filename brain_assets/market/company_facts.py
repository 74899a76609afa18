"""From the company facts of SEC EDGAR to quarterly ratios, dated by filing, as first reported.

Layout: EDGAR's companyfacts API gives, by us-gaap concept, every value that any filing stated: (start, end, val, accn,
form, filed); flows have a start, balances only an end. Its fy and fp are the filing's, not the value's, and frame is
the newest filing's: none of the three is used. The facts are sorted back into filings, and the filings are read once,
in the order of their days. Each changes what is known of the quarters that it states; a quarter whose ratios are then
others than before gets a row with that day. So a row depends on the filings up to its day and on nothing later.

What a filing states under several concepts of one meaning: the concept that it states for the most periods counts; in
doubt the one of the filing before, then the order below. A ratio is that of the figures stated last: both of one
filing, unless it states only one of them for a quarter, say a restated income; then the other is the last one stated.

Quarters that no filing states are computed: what a year to date (half, nine months, year) has more than the part of it
that ends one quarter earlier, which is a shorter year to date, or quarters in a row. Three rules keep that honest. The
part must be known when the filing states the longer period. Both must be of the same concepts, or of such that agreed
on some period of this company. And once computed, a quarter is computed anew only if *both* have been restated since:
a restated year alone (a new accounting rule applied to a 10-K/A, a discontinued business) less quarters under the old
rule is nobody's quarter. A quarter that a filing does state counts for more than a computed one.

Debt is long-term debt with the part of it due within a year, where stated; short-term borrowings and leases are not in
it. Total liabilities never stand in: they are several times larger, and the change-over would look like a company that
took on debt. A company that states none of the debt concepts, as many without debt do, has no such ratio. Companies
without the concepts of a ratio (banks: gross margin, current ratio) have no such ratio either.

Not covered: amounts in other currencies than dollars, IFRS, half-yearly reports.
"""

import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from brain_assets.errors import MarketError
from brain_assets.market.schema import FUNDAMENTAL_TABLE, RATIOS

FORMS = frozenset({"10-K", "10-Q", "10-KT", "10-QT", "8-K"})
"""Reports whose figures count, amendments (10-K/A) as well; an 8-K states figures if it recasts earlier reports. A
proxy statement (DEF 14A) repeats some of them, rounded."""

QUARTER_DAYS = range(80, 126)
"""Lengths of a quarter: 12 weeks are 84 days, and the last one of such a year has up to 17 weeks, 119 days."""

LONGEST_DAYS = 380
"""A year of 53 weeks is 371 days."""

MISDATED_DAYS = 7
"""Filers get a date wrong by up to a week: ends that are as close are the same end, the first one seen."""


class Definition(NamedTuple):
    """One way to state an amount."""

    concepts: tuple[str, ...]
    """Concepts of us-gaap that add up to it; all must be stated."""

    where_stated: str | None = None
    """One more, added where stated."""


REVENUE = (
    Definition(("Revenues",)),
    Definition(("RevenueFromContractWithCustomerExcludingAssessedTax",)),
    Definition(("RevenueFromContractWithCustomerIncludingAssessedTax",)),
    Definition(("SalesRevenueNet",)),
    Definition(("SalesRevenueGoodsNet",), "SalesRevenueServicesNet"),
    Definition(("RevenuesNetOfInterestExpense",)),  # banks
)
"""The total comes before revenue from contracts, which can be a part of it."""

COST = (
    Definition(("CostOfRevenue",)),
    Definition(("CostOfGoodsAndServicesSold",)),
    Definition(("CostOfGoodsSold",), "CostOfServices"),
)
GROSS_PROFIT = (Definition(("GrossProfit",)),)
"""Where a filing does not state it for as many periods: revenue less `COST`."""

OPERATING_INCOME = (Definition(("OperatingIncomeLoss",)),)
NET_INCOME = (Definition(("NetIncomeLoss",)), Definition(("ProfitLoss",)))
CURRENT_ASSETS = (Definition(("AssetsCurrent",)),)
CURRENT_LIABILITIES = (Definition(("LiabilitiesCurrent",)),)
DEBT = (
    Definition(("LongTermDebtNoncurrent",), "LongTermDebtCurrent"),
    Definition(("LongTermDebt",)),
    Definition(("LongTermDebtAndCapitalLeaseObligations",), "LongTermDebtAndCapitalLeaseObligationsCurrent"),
)
EQUITY = (
    Definition(("StockholdersEquity",)),
    Definition(("StockholdersEquityIncludingPortionAttributableToNoncontrollingInterest",)),
)

_FLOWS = (*REVENUE, *COST, *GROSS_PROFIT, *OPERATING_INCOME, *NET_INCOME)
_BALANCES = (*CURRENT_ASSETS, *CURRENT_LIABILITIES, *DEBT, *EQUITY)

_Span = tuple[datetime.date, datetime.date]
"""First and last day of a flow. Of a balance both are its day."""
_Amounts = dict[_Span, float]
_ONE_DAY = datetime.timedelta(days=1)


class _Filing(NamedTuple):
    """What one filing states, in dollars."""

    filed: datetime.date
    amounts: dict[str, _Amounts]
    """By concept, then period."""


class _Stated(NamedTuple):
    """A ratio of one period as stated last, not yet divided."""

    concepts: str
    numerator: float
    denominator: float

    def value(self) -> float:
        """Divide; NaN where the denominator is not above zero: the ratio of a deficit says the opposite of its size."""
        return self.numerator / self.denominator if self.denominator > 0 else math.nan


class _Computed(NamedTuple):
    """What a quarter was computed from."""

    first: datetime.date
    """First day of the longer period; its last is the quarter's."""
    total: _Stated
    part: _Stated


def quarterly_ratios(facts: Mapping[str, Any], symbol: str) -> pd.DataFrame:
    """Give the ratios of every quarter as its filings told them, one after the other.

    Parameters
    ----------
    facts : mapping
        An answer of EDGAR's companyfacts API, as parsed from JSON.
    symbol : str
        Goes into the rows and messages.

    Returns
    -------
    DataFrame
        A validated fundamentals table. A quarter has a row at the first filing that tells any of its ratios, and one
        more at each filing that changes one; each row holds all that was known of the quarter on that day. Margins are
        of the quarter alone. NaN: not stated yet, or a denominator (revenue, current liabilities, equity) that is zero
        or negative. Facts cut off after a day give exactly the rows up to that day. No rows: the company states
        nothing in us-gaap and dollars, quarter by quarter.

    Raises
    ------
    MarketError
        The mapping is not what the API gives; names the symbol, the place in it and what was there.
    """
    known = _Knowledge()
    told: dict[datetime.date, list[float]] = {}
    rows: list[tuple[Any, ...]] = []
    for filed, filings in groupby(_read_filings(facts, symbol), key=lambda filing: filing.filed):
        for filing in filings:
            known.add(filing)
        for period_end in known.quarter_ends():
            ratios = known.ratios(period_end)
            if not _same(ratios, told.get(period_end, [math.nan] * len(RATIOS))):
                told[period_end] = ratios
                rows.append((filed, period_end, symbol, *ratios))
    if not rows:
        return FUNDAMENTAL_TABLE.empty()
    frame = pd.DataFrame(rows, columns=list(FUNDAMENTAL_TABLE.names)).astype(FUNDAMENTAL_TABLE.types)
    return FUNDAMENTAL_TABLE.validate(frame, f"company facts of {symbol}")


class _Knowledge:
    """What the filings so far tell of a company's quarters."""

    def __init__(self) -> None:
        self._margins = {name: _Margin() for name in RATIOS[:3]}
        self._balances = {name: _Ratio() for name in RATIOS[3:]}
        self._ends: dict[datetime.date, list[datetime.date]] = {}  # as first dated -> every date that it was given
        self._firsts: dict[datetime.date, list[datetime.date]] = defaultdict(list)  # an end -> where its periods begin
        self._choices: dict[tuple[Definition, ...], str] = {}

    def quarter_ends(self) -> list[datetime.date]:
        """Give the days, as first dated, on which some flow ends that was stated so far."""
        return sorted(self._ends)

    def ratios(self, period_end: datetime.date) -> list[float]:
        """Give the five ratios of a quarter; NaN where not known."""
        margins = [margin.quarters.get(period_end) for margin in self._margins.values()]
        days = self._ends[period_end]
        balances = [
            next((ratio.stated[day, day] for day in days if (day, day) in ratio.stated), None)
            for ratio in self._balances.values()
        ]
        return [math.nan if stated is None else stated.value() for stated in (*margins, *balances)]

    def add(self, filing: _Filing) -> None:
        """Take in one more filing, no earlier than those before."""
        spans = self._corrected_spans(filing)
        revenue_concepts, revenue = self._choose(REVENUE, _candidates(filing, REVENUE))
        profits = _candidates(filing, GROSS_PROFIT)
        for concepts, cost in _candidates(filing, COST).items():
            profits[f"{revenue_concepts} less {concepts}"] = {
                span: revenue[span] - cost[span] for span in cost if span in revenue
            }
        numerators = (
            self._choose(GROSS_PROFIT, profits),
            self._choose(OPERATING_INCOME, _candidates(filing, OPERATING_INCOME)),
            self._choose(NET_INCOME, _candidates(filing, NET_INCOME)),
        )
        revenue = _dated(revenue, spans)
        for margin, (concepts, amounts) in zip(self._margins.values(), numerators, strict=True):
            margin.add(concepts, _dated(amounts, spans), revenue_concepts, revenue)
        pairs = ((CURRENT_ASSETS, CURRENT_LIABILITIES), (DEBT, EQUITY))
        for balances, (above, below) in zip(self._balances.values(), pairs, strict=True):
            balances.add(
                *self._choose(above, _candidates(filing, above)), *self._choose(below, _candidates(filing, below))
            )

    def _choose(self, amount: tuple[Definition, ...], candidates: dict[str, _Amounts]) -> tuple[str, _Amounts]:
        """Pick the concepts stated for the most periods; in doubt those of the filing before, then the first."""
        if not any(candidates.values()):
            return "", {}
        before = self._choices.get(amount)
        chosen = max(candidates, key=lambda concepts: (len(candidates[concepts]), concepts == before))
        self._choices[amount] = chosen
        return chosen, candidates[chosen]

    def _corrected_spans(self, filing: _Filing) -> dict[_Span, _Span]:
        """Give, for each period of a flow, the period as it was first dated; those dated so come last, and win."""
        stated = {span for concept in _concepts(_FLOWS) for span in filing.amounts.get(concept, {})}
        uses = Counter(last for _, last in stated)
        corrected = {}
        for first, last in sorted(stated, key=lambda span: (-uses[span[1]], span)):
            end = _nearest(last, self._ends)
            if last not in self._ends.setdefault(end, []):
                self._ends[end].append(last)
            start = _nearest(first, self._firsts[end])
            if start not in self._firsts[end]:
                self._firsts[end].append(start)
            corrected[first, last] = start, end
        return dict(sorted(corrected.items(), key=lambda item: item[0] == item[1]))


class _Ratio:
    """One ratio: what was last stated of it, period by period."""

    def __init__(self) -> None:
        self.stated: dict[_Span, _Stated] = {}
        self._numerators: dict[_Span, tuple[str, float]] = {}
        self._denominators: dict[_Span, tuple[str, float]] = {}

    def add(self, concepts: str, numerators: _Amounts, below: str, denominators: _Amounts) -> None:
        """Take in what one more filing states of the numerator, and of the denominator below it."""
        self._numerators |= {span: (concepts, amount) for span, amount in numerators.items()}
        self._denominators |= {span: (below, amount) for span, amount in denominators.items()}
        for span in dict.fromkeys((*numerators, *denominators)):
            if span in self._numerators and span in self._denominators:
                (above, numerator), (under, denominator) = self._numerators[span], self._denominators[span]
                self._state(span, _Stated(f"{above} / {under}", numerator, denominator))

    def _state(self, span: _Span, new: _Stated) -> None:
        self.stated[span] = new


class _Margin(_Ratio):
    """One margin, and the quarters that follow from it."""

    def __init__(self) -> None:
        super().__init__()
        self.quarters: dict[datetime.date, _Stated] = {}
        self._lasts: dict[datetime.date, set[datetime.date]] = defaultdict(set)  # a first day -> last days from there
        self._computed: dict[datetime.date, _Computed | None] = {}  # None: a filing states the quarter itself
        self._agreeing: set[frozenset[str]] = set()

    def add(self, concepts: str, numerators: _Amounts, below: str, denominators: _Amounts) -> None:
        """Take in what one more filing states; then compute what quarters it leaves out."""
        super().add(concepts, numerators, below, denominators)
        stated = {span for span in (*numerators, *denominators) if span in self.stated}
        for first, last in sorted(stated, reverse=True):  # of a year to date and twelve months, the shorter first
            if _n_days(first, last) >= QUARTER_DAYS.stop:
                self._compute(first, last)

    def _state(self, span: _Span, new: _Stated) -> None:
        first, last = span
        old = self.stated.get(span, new)
        if not _differ(old, new):
            self._agreeing.add(frozenset((old.concepts, new.concepts)))
        super()._state(span, new)
        self._lasts[first].add(last)
        if _n_days(first, last) in QUARTER_DAYS:
            self.quarters[last] = new
            self._computed[last] = None

    def _compute(self, first: datetime.date, last: datetime.date) -> None:
        """Compute the last quarter of a longer period, if the rules of this module allow it."""
        total, part = self.stated[first, last], self._part(first, last)
        if part is None or not all(frozenset((total.concepts, piece.concepts)) in self._agreeing for piece in part):
            return
        now = _Computed(
            first,
            total,
            _Stated(total.concepts, sum(piece.numerator for piece in part), sum(piece.denominator for piece in part)),
        )
        before = self._computed.get(last, now)
        if before is None or before.first != first:
            return
        if before is now or (_differ(now.total, before.total) and _differ(now.part, before.part)):
            self._computed[last] = now
            self.quarters[last] = _Stated(
                total.concepts, total.numerator - now.part.numerator, total.denominator - now.part.denominator
            )

    def _part(self, first: datetime.date, last: datetime.date) -> list[_Stated] | None:
        """Give what was stated of a period up to its last quarter, in as few pieces as can be; None: not all of it."""
        pieces = []
        while _n_days(first, last) not in QUARTER_DAYS:
            found = [
                (end, start)
                for start in _close(first)
                for end in self._lasts.get(start, ())
                if (last - end).days >= QUARTER_DAYS.start
            ]
            if not found:
                return None
            end, start = max(found)
            pieces.append(self.stated[start, end])
            first = end + _ONE_DAY
        return pieces


def _read_filings(facts: Mapping[str, Any], symbol: str) -> list[_Filing]:
    """Sort facts back into the filings that stated them, in the order of their days; amendments last in a day."""
    amounts: dict[tuple[datetime.date, bool, str], dict[str, _Amounts]] = defaultdict(lambda: defaultdict(dict))
    for kind, definitions in (("flow", _FLOWS), ("balance", _BALANCES)):
        for concept in _concepts(definitions):
            for fact in _stated_facts(facts, concept, symbol):
                if (fact.first is None) is (kind == "balance") and fact.last <= fact.filed:
                    first = fact.first or fact.last
                    if kind == "balance" or QUARTER_DAYS.start <= _n_days(first, fact.last) <= LONGEST_DAYS:
                        place = amounts[fact.filed, fact.form.endswith("/A"), fact.accession][concept]
                        place.setdefault((first, fact.last), fact.amount)
    return [_Filing(filed, amounts[filed, amends, accession]) for filed, amends, accession in sorted(amounts)]


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
    shown = repr(got)
    return MarketError(
        f"company facts of {symbol}: expected {expected} at {'/'.join(where) or 'the top'}, got "
        f"{shown[:100]}{'…' if len(shown) > 100 else ''}; use an unchanged answer of EDGAR's companyfacts API."
    )


def _concepts(definitions: Iterable[Definition]) -> list[str]:
    """Name every concept once."""
    names = (name for each in definitions for name in (*each.concepts, each.where_stated) if name)
    return list(dict.fromkeys(names))


def _candidates(filing: _Filing, definitions: tuple[Definition, ...]) -> dict[str, _Amounts]:
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


def _dated(amounts: _Amounts, spans: dict[_Span, _Span]) -> _Amounts:
    """Give amounts by their periods as first dated; of two for one period, that of the later in `spans`."""
    return {spans[span]: amounts[span] for span in spans if span in amounts}


def _differ(one: _Stated, other: _Stated) -> bool:
    return (one.numerator, one.denominator) != (other.numerator, other.denominator)


def _same(ratios: list[float], others: list[float]) -> bool:
    """Compare, NaN being equal to NaN."""
    return all(one == other or (one != one and other != other) for one, other in zip(ratios, others, strict=True))


def _n_days(first: datetime.date, last: datetime.date) -> int:
    return (last - first).days + 1


def _close(day: datetime.date) -> list[datetime.date]:
    """Give the days that a misdated day may stand for, itself first, then the nearest."""
    shifts = sorted(range(-MISDATED_DAYS, MISDATED_DAYS + 1), key=abs)
    return [day + datetime.timedelta(days=shift) for shift in shifts]


def _nearest(day: datetime.date, known: Iterable[datetime.date]) -> datetime.date:
    """Give the known day that a misdated one stands for; itself if there is none."""
    return next((close for close in _close(day) if close in known), day)
