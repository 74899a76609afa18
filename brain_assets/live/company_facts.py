"""From the company facts of SEC EDGAR to quarterly ratios, dated by filing, as first reported.

Layout: the facts are sorted back into filings (`brain_assets.live.filings`), and the filings are read once, in the
order of their days. Each changes what is known of the quarters that it states; a quarter whose ratios are then others
than before gets a row with that day. So a row depends on the filings up to its day and on nothing later.

What a filing states under several concepts of one meaning: the concept that it states for the most periods counts; in
doubt the one of the filing before, then the order of the definitions. One that another shows to be a part of the total
(a segment's revenue) does not count. A ratio is that of the figures stated last: both
of one filing, unless it states only one of them for a quarter, say a restated income; then the other is the last one
stated.

Quarters that no filing states are computed: what a year to date (half, nine months, year) has more than the part of it
that ends one quarter earlier, which is a shorter year to date, or quarters in a row. Three rules keep that honest. The
part must be known when the filing states the longer period. Both must be of the same concepts, or of such that agreed
on some period of this company. And once computed, a quarter is computed anew only if *both* have been restated since:
a restated year alone (a new accounting rule applied to a 10-K/A, a discontinued business) less quarters under the old
rule is nobody's quarter. A quarter that a filing does state counts for more than a computed one.
"""

import datetime
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brain_assets.live.filings import FLOWS, QUARTER_DAYS, Amounts, Filing, Span, n_days, read_filings, stated_amounts
from brain_assets.market.schema import FUNDAMENTAL_TABLE, RATIOS, attach

PARTS = {
    "gross_margin": ("gross_profit", "revenue"),
    "operating_margin": ("operating_income", "revenue"),
    "net_margin": ("net_income", "revenue"),
    "current_ratio": ("current_assets", "current_liabilities"),
    "debt_to_equity": ("debt", "equity"),
}
"""Ratio -> the amounts above and below."""

MISDATED_DAYS = 7
"""Filers get a date wrong by up to a week: ends that are as close are the same end, the first one seen."""


class _Stated(NamedTuple):
    """A ratio of one period as stated last, not yet divided."""

    concepts: str
    numerator: float
    denominator: float

    def value(self) -> float:
        """Divide; NaN where the denominator is not above zero: the ratio of a deficit says the opposite of its size."""
        return self.numerator / self.denominator if self.denominator > 0 else math.nan

    def differs(self, other: "_Stated") -> bool:
        """Tell whether the amounts are others, whatever the concepts."""
        return self[1:] != other[1:]


class _Computed(NamedTuple):
    """What a quarter was computed from: a period from `first` on, of which a part ends one quarter earlier."""

    first: datetime.date
    total: _Stated
    part: _Stated


def quarterly_ratios(facts: Mapping[str, Any], symbol: str) -> pd.DataFrame:
    """Give the ratios of every quarter as its filings told them, one after the other.

    Of an answer of EDGAR's companyfacts API. A quarter has a row at the first filing that tells any of its ratios, and
    one more at each filing that changes one; each row holds all that was known of the quarter on that day. Margins are
    of the quarter alone. NaN: not stated yet, or a denominator (revenue, current liabilities, equity) that is zero or
    negative. Facts cut off after a day give exactly the rows up to that day. No rows: the company states nothing in
    us-gaap and dollars, quarter by quarter. Facts that were left out are among its findings
    (`brain_assets.market.schema.Finding`), by the year of their filing. Raises `MarketError`, naming the symbol and the
    place, for what the API does not give.
    """
    filings, findings = read_filings(facts, symbol)
    known = _Knowledge()
    told: dict[datetime.date, list[float]] = {}
    rows: list[tuple[Any, ...]] = []
    for filed, of_day in groupby(filings, key=lambda filing: filing.filed):
        for filing in of_day:
            known.add(filing)
        for period_end in sorted(known.ends):
            ratios = known.ratios(period_end)
            if not np.array_equal(ratios, told.get(period_end, [math.nan] * len(RATIOS)), equal_nan=True):
                told[period_end] = ratios
                rows.append((filed, period_end, symbol, *ratios))
    frame = pd.DataFrame(rows, columns=list(FUNDAMENTAL_TABLE.names)).astype(FUNDAMENTAL_TABLE.types)
    return attach(FUNDAMENTAL_TABLE.validate(frame, f"company facts of {symbol}"), findings)


class _Knowledge:
    """What the filings so far tell of a company's quarters."""

    def __init__(self) -> None:
        self._ratios = {name: _Ratio() for name in PARTS}
        self.ends: dict[datetime.date, list[datetime.date]] = {}  # as first dated -> every date that it was given
        self._firsts: dict[datetime.date, list[datetime.date]] = defaultdict(list)  # an end -> where its periods begin
        self._choices: dict[str, str] = {}

    def ratios(self, period_end: datetime.date) -> list[float]:
        """Give the five ratios of a quarter; NaN where not known."""
        found = [self._ratios[name].at(self.ends[period_end]) for name in RATIOS]
        return [math.nan if stated is None else stated.value() for stated in found]

    def add(self, filing: Filing) -> None:
        """Take in one more filing, no earlier than those before."""
        spans = self._corrected_spans(filing)
        stated = stated_amounts(filing)
        concept, revenue = self._choose("revenue", stated["revenue"])
        for cost_concept, cost in stated["cost"].items():
            profit = {span: revenue[span] - cost[span] for span in cost.keys() & revenue.keys()}
            stated["gross_profit"][f"{concept} less {cost_concept}"] = profit
        chosen = {name: self._choose(name, candidates) for name, candidates in stated.items()}
        for name, ratio in self._ratios.items():
            (above, numerators), (below, denominators) = (chosen[part] for part in PARTS[name])
            ratio.add(above, _dated(numerators, spans), below, _dated(denominators, spans))

    def _choose(self, amount: str, candidates: dict[str, Amounts]) -> tuple[str, Amounts]:
        """Pick the concept stated for the most periods; in doubt that of the filing before, then the first."""
        if not any(candidates.values()):
            return "", {}
        before = self._choices.get(amount)
        chosen = max(candidates, key=lambda concept: (len(candidates[concept]), concept == before))
        self._choices[amount] = chosen
        return chosen, candidates[chosen]

    def _corrected_spans(self, filing: Filing) -> dict[Span, Span]:
        """Give, for each period of a flow, the period as it was first dated; those dated so come last, and win."""
        stated = {span for concept in FLOWS for span in filing.amounts.get(concept, {})}
        uses = Counter(last for _, last in stated)
        corrected = {}
        for first, last in sorted(stated, key=lambda span: (-uses[span[1]], span)):
            end = _nearest(last, self.ends)
            if last not in self.ends.setdefault(end, []):
                self.ends[end].append(last)
            start = _nearest(first, self._firsts[end])
            if start not in self._firsts[end]:
                self._firsts[end].append(start)
            corrected[first, last] = start, end
        return dict(sorted(corrected.items(), key=lambda item: item[0] == item[1]))


class _Ratio:
    """One ratio: what was last stated of it, period by period; of a margin, also the quarters that follow from it."""

    def __init__(self) -> None:
        self._stated: dict[Span, _Stated] = {}
        self._numerators: dict[Span, tuple[str, float]] = {}
        self._denominators: dict[Span, tuple[str, float]] = {}
        self._quarters: dict[datetime.date, _Stated] = {}  # by the last day
        self._lasts: dict[datetime.date, set[datetime.date]] = defaultdict(set)  # a first day -> last days from there
        self._computed: dict[datetime.date, _Computed | None] = {}  # None: a filing states the quarter itself
        self._agreeing: set[frozenset[str]] = set()

    def at(self, days: Sequence[datetime.date]) -> _Stated | None:
        """Give the ratio of a quarter by the days that its end was given as, the first one first; None: not known."""
        balances = (self._stated[day, day] for day in days if (day, day) in self._stated)
        return self._quarters.get(days[0]) or next(balances, None)

    def add(self, above: str, numerators: Amounts, below: str, denominators: Amounts) -> None:
        """Take in what one more filing states above and below; then compute what quarters it leaves out."""
        self._numerators |= {span: (above, amount) for span, amount in numerators.items()}
        self._denominators |= {span: (below, amount) for span, amount in denominators.items()}
        touched = dict.fromkeys((*numerators, *denominators))
        both = [span for span in touched if span in self._numerators and span in self._denominators]
        for span in both:
            (over, numerator), (under, denominator) = self._numerators[span], self._denominators[span]
            self._state(span, _Stated(f"{over} / {under}", numerator, denominator))
        for first, last in sorted(both, reverse=True):  # of a year to date and twelve months, the shorter first
            if n_days(first, last) >= QUARTER_DAYS.stop:
                self._compute(first, last)

    def _state(self, span: Span, new: _Stated) -> None:
        first, last = span
        old = self._stated.get(span, new)
        if not new.differs(old):
            self._agreeing.add(frozenset((old.concepts, new.concepts)))
        self._stated[span] = new
        self._lasts[first].add(last)
        if n_days(first, last) in QUARTER_DAYS:
            self._quarters[last] = new
            self._computed[last] = None

    def _compute(self, first: datetime.date, last: datetime.date) -> None:
        """Compute the last quarter of a longer period, if the rules of this module allow it."""
        total, pieces = self._stated[first, last], self._pieces(first, last)
        if not pieces or not all(frozenset((total.concepts, piece.concepts)) in self._agreeing for piece in pieces):
            return
        above, below = sum(piece.numerator for piece in pieces), sum(piece.denominator for piece in pieces)
        now = _Computed(first, total, _Stated(total.concepts, above, below))
        before = self._computed.get(last, now)
        if before is None or before.first != first:
            return
        if before is now or (now.total.differs(before.total) and now.part.differs(before.part)):
            self._computed[last] = now
            self._quarters[last] = _Stated(total.concepts, total.numerator - above, total.denominator - below)

    def _pieces(self, first: datetime.date, last: datetime.date) -> list[_Stated]:
        """Give what was stated of a period up to its last quarter, in as few pieces as can be; none: not all of it."""
        pieces = []
        while n_days(first, last) not in QUARTER_DAYS:
            ends = [
                (end, start)
                for start in _close(first)
                for end in self._lasts.get(start, ())
                if (last - end).days >= QUARTER_DAYS.start
            ]
            if not ends:
                return []
            end, start = max(ends)
            pieces.append(self._stated[start, end])
            first = end + datetime.timedelta(days=1)
        return pieces


def _dated(amounts: Amounts, spans: dict[Span, Span]) -> Amounts:
    """Give flows by their periods as first dated; of two for one period, that of the later in `spans`."""
    balances = {span: amount for span, amount in amounts.items() if span not in spans}
    return {spans[span]: amounts[span] for span in spans if span in amounts} | balances


def _close(day: datetime.date) -> list[datetime.date]:
    """Give the days that a misdated day may stand for, itself first, then the nearest."""
    shifts = sorted(range(-MISDATED_DAYS, MISDATED_DAYS + 1), key=abs)
    return [day + datetime.timedelta(days=shift) for shift in shifts]


def _nearest(day: datetime.date, known: Iterable[datetime.date]) -> datetime.date:
    """Give the known day that a misdated one stands for; itself if there is none."""
    return next((close for close in _close(day) if close in known), day)
