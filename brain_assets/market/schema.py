"""The schemas of the raw tables: columns with types and meaning, what a sound row is, what to say if it is none.

And findings: what is not as it should be in data that were taken all the same, counted, named, and kept with the table,
as plain lists in ``attrs["findings"]``; so whoever reads the year again is told again. They are counted by calendar
year, since what is fetched may reach back further than what is kept.
"""

import datetime
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray
from brain_assets.errors import TableError
from brain_assets.market.calendar import FIRST_DATE, sessions_between

DAY, TEXT, NUMBER, COUNT = "datetime64[us]", "str", "float64", "int64"

ROUNDING = 1e-3
"""How far outside [low, high] an open or close may lie, relative to it: adjusting for dividends and rounding to
cents, one by one, puts them there."""


@dataclass(frozen=True)
class Rule:
    """What is asked of each row of a table."""

    column: str  # the column that a message names
    expected: str  # in the words of a message
    holds: Callable[[pd.DataFrame], pd.Series | BoolArray]  # from a table to whether each row is so, shape (n_rows,)
    advice: str = "correct the value or remove the row"
    got: str = ""  # what to call it if it is not so; empty: the value in the column


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str
    kind: str  # the type that pandas gives it
    meaning: str  # with its unit and when it is known, as the UI shows it
    expected: str  # what each value is, in the words of a message
    holds: Callable[[pd.Series], pd.Series]  # from values to whether each is so

    @property
    def rule(self) -> Rule:
        """What is asked of each value."""
        return Rule(self.name, self.expected, lambda frame: self.holds(frame[self.name]))


@dataclass(frozen=True)
class TableSchema:
    """A raw table."""

    columns: tuple[Column, ...]
    order: tuple[str, ...]  # the columns that rows are sorted by; no two rows are equal in all of them
    place: str  # how a message names a row, its columns in braces
    rules: tuple[Rule, ...]  # asked in this order, after the rule of each column

    @property
    def types(self) -> dict[str, str]:
        """The type of each column."""
        return {column.name: column.kind for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    @property
    def value_rules(self) -> list[Rule]:
        """What is asked of each value but days and symbols."""
        return [column.rule for column in self.columns if column.kind not in (DAY, TEXT)]

    def empty(self) -> pd.DataFrame:
        """Give a table without rows, its columns and types right: there was nothing, or nobody was asked."""
        return empty_table(self.types)

    def validate(self, frame: pd.DataFrame, origin: str) -> pd.DataFrame:
        """Check a table at the border, and give the same rows and attributes sorted by `order`.

        Raises `TableError`, naming `origin` (a file, or a market and a range), and the first offending row.
        """
        if tuple(frame.columns) != self.names:
            raise TableError(
                f"{origin}: expected the columns {', '.join(self.names)} in this order, got "
                f"{', '.join(map(str, frame.columns))}; rename, add or remove columns."
            )
        for column in self.columns:
            if (found := frame[column.name].dtype) != column.kind:
                raise TableError(
                    f"{origin}: column {column.name}: expected the type {column.kind}, got {found}; convert it."
                )
        frame = frame.sort_values(list(self.order), ignore_index=True)
        expected = f"one row a {', '.join(self.order[:-1])} and {self.order[-1]}"
        one_row = Rule(self.order[0], expected, lambda rows: ~rows.duplicated(list(self.order)), "keep one", "several")
        for rule in (*(column.rule for column in self.columns), one_row, *self.rules):
            wrong = np.flatnonzero(~np.asarray(rule.holds(frame), dtype=bool))
            if len(wrong):
                row = {name: describe(value) for name, value in frame.iloc[wrong[0]].items()}
                raise TableError(
                    f"{origin}: column {rule.column}: expected {rule.expected}, got {rule.got or row[rule.column]} for "
                    f"{self.place.format(**row)}; {rule.advice}."
                )
        return frame


def empty_table(types: Mapping[str, str]) -> pd.DataFrame:
    """Give a table without rows."""
    return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in types.items()})


def describe(value: object) -> str:
    """Show a value in a message: a day without its midnight, and what is not there as nothing."""
    if value == "" or pd.isna(value):
        return "nothing"
    at_midnight = isinstance(value, pd.Timestamp) and value == value.normalize()
    return f"{value:%Y-%m-%d}" if at_midnight else str(value)


def _inside(name: str) -> Rule:
    def holds(bars: pd.DataFrame) -> pd.Series:
        return bars[name].between(bars["low"] * (1 - ROUNDING), bars["high"] * (1 + ROUNDING))

    return Rule(name, "a price between the row's low and high", holds)


OHLC_RULES = (
    Rule("high", "at least the row's low", lambda bars: bars["high"] >= bars["low"]),
    _inside("open"),
    _inside("close"),
)
"""What a session's prices must be beside each other; NaN is not."""

ON_SESSION = Rule(
    "date",
    "a day on which the NYSE was open",
    lambda frame: frame["date"].isin(sessions_between(FIRST_DATE, datetime.date.max).astype("datetime64[us]")),
    "correct the date, or move the row to the session at whose close it is known",
)


def _day(name: str, meaning: str) -> Column:
    return Column(name, DAY, meaning, "a day without a time", lambda days: days == days.dt.normalize())


def _price(name: str, words: str) -> Column:
    meaning = f"{words} of the session, in the currency of the source, adjusted for splits and dividends."
    return Column(name, NUMBER, meaning, "a finite price > 0", lambda prices: (prices > 0) & np.isfinite(prices))


def _ratio(name: str, words: str) -> Column:
    expected = "a finite number, or none where it is not known"
    return Column(name, NUMBER, f"{words}; empty: not filed.", expected, lambda ratios: ~np.isinf(ratios))


SYMBOL = Column(
    "symbol",
    TEXT,
    "Ticker, as the market spells it.",
    "a name without blanks around it",
    lambda symbols: symbols.isin([name for name in symbols.dropna().unique() if name and name == name.strip()]),
)


def _is_one(rows: pd.DataFrame) -> pd.Series:
    names = set(rows["symbol"].dropna().unique())
    several = [
        name
        for name in names
        if set(name) & {*",;|"} or (len(parts := re.split(r"[\s/&+]+", name)) > 1 and names.issuperset(parts))
    ]
    return ~rows["symbol"].isin(several)


ONE_SYMBOL = (SYMBOL.rule, Rule("symbol", "one symbol", _is_one, "write a row for each symbol"))
"""What is asked of the symbol of a row in a user's file; ``AAA/BBB`` are two where both are there alone, too."""

PRICE_TABLE = TableSchema(
    columns=(
        _day("date", "Session; the bar is known at its close."),
        SYMBOL,
        _price("open", "First price"),
        _price("high", "Highest"),
        _price("low", "Lowest"),
        _price("close", "Last price"),
        Column(
            "volume",
            NUMBER,
            "Shares traded in the session, adjusted for splits.",
            "a finite number >= 0",
            lambda volumes: (volumes >= 0) & np.isfinite(volumes),
        ),
    ),
    order=("date", "symbol"),
    place="{date} {symbol}",
    rules=(ON_SESSION,),
)
"""Daily bars. A bar that is not known is an absent row, never NaN."""

NEWS_TABLE = TableSchema(
    columns=(
        _day("date", "Session at whose close the news are known; those after a close belong to the next."),
        SYMBOL,
        Column(
            "sentiment_score",
            NUMBER,
            "Mean score of the news, from -1 (bad) to 1 (good).",
            "a score from -1 to 1",
            lambda scores: scores.between(-1, 1),
        ),
        Column(
            "n_articles",
            COUNT,
            "Articles that it rests on.",
            "a whole number >= 1",
            lambda counts: (counts >= 1) & (counts % 1 == 0),
        ),
    ),
    order=("date", "symbol"),
    place="{date} {symbol}",
    rules=(ON_SESSION,),
)
"""News sentiment: one row a session and symbol with news; a day without has none."""

_RATIO_WORDS = {
    "gross_margin": "Gross profit over revenue",
    "operating_margin": "Operating income over revenue",
    "net_margin": "Net income over revenue",
    "current_ratio": "Current assets over current liabilities",
    "debt_to_equity": "Long-term debt over equity of the shareholders",
}

MARGINS = tuple(name for name in _RATIO_WORDS if name.endswith("margin"))

RATIOS = tuple(_RATIO_WORDS)
"""Shares of the quarter's revenue, then ratios of the balance sheet at its end; NaN: not known, never infinite."""

FUNDAMENTAL_TABLE = TableSchema(
    columns=(
        _day("filed", "Day of the filing; it counts from the session after it."),
        _day("period_end", "Last day of the fiscal quarter."),
        SYMBOL,
        *(_ratio(name, words) for name, words in _RATIO_WORDS.items()),
    ),
    order=("filed", "symbol", "period_end"),
    place="{symbol}, filed {filed}, quarter to {period_end}",
    rules=(Rule("period_end", "a day on or before the filing's", lambda frame: frame["period_end"] <= frame["filed"]),),
)
"""Quarterly ratios: one row a version of a quarter. The first version is dated by the filing that first told its
ratios; a later filing that changes one is a further row, at its own filing date. A row is known once its day is over: a
filing may be accepted after the close."""

SCHEMAS: Mapping[str, TableSchema] = {
    "raw_prices": PRICE_TABLE,
    "raw_news_sentiment": NEWS_TABLE,
    "raw_fundamentals": FUNDAMENTAL_TABLE,
}
"""Asset -> what is asked of its table, whenever it is read."""

RAW = tuple(SCHEMAS)  # what comes from the market

FINDINGS = "findings"  # key in ``DataFrame.attrs``


class Finding(NamedTuple):
    """Rows of one kind in one calendar year that were left out or changed, or are in doubt."""

    check: str  # the check of the asset that shows it: ``rows_taken``, ``symbols_found``, ...
    subject: str  # what it is about: a file's name, or a symbol
    what: str  # what the rows are, after their number: "rows on days when the exchange was closed"
    done: str = ""  # what was done: "left out"; empty: they were taken as they are
    year: int = 0  # 0: of no year; it is said of every one
    n_rows: int = 1
    first: str = ""  # where to look first, with the day; empty: `what` says it

    @property
    def sentence(self) -> str:
        """Say it in one sentence."""
        first = f", the first {self.first}" if self.first else ""
        return f"{self.subject}: {self.n_rows:,} {self.what}{first}" + (f"; {self.done}." if self.done else ".")


def attach(frame: pd.DataFrame, findings: Iterable[Finding]) -> pd.DataFrame:
    """Put findings beside the rows of a table, in place of those that it has; without any, it has no such attribute."""
    frame.attrs = {key: value for key, value in frame.attrs.items() if key != FINDINGS}
    if kept := [list(finding) for finding in findings]:
        frame.attrs[FINDINGS] = kept
    return frame


def findings_of(frame: pd.DataFrame, years: Collection[int] | None = None) -> list[Finding]:
    """Give what was found of a table; `years`: in these calendar years, and what is of none."""
    found = [Finding(*each) for each in frame.attrs.get(FINDINGS, ())]
    return [each for each in found if years is None or each.year in {0, *years}]


def added_up(findings: Iterable[Finding]) -> list[Finding]:
    """Count what is alike in several years once, the first place being that of the earliest year."""
    sums: dict[tuple[str, ...], Finding] = {}
    for finding in sorted(findings, key=lambda each: each.year):
        before = sums.setdefault(finding[:4], finding._replace(n_rows=0))
        sums[finding[:4]] = before._replace(n_rows=before.n_rows + finding.n_rows)
    return list(sums.values())
