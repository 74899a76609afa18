"""The schemas of the raw tables: columns with types and meaning, what a sound row is, what to say if it is none."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
class Column:
    """One column of a table."""

    name: str
    kind: str
    """The type that pandas gives it."""
    meaning: str
    """With its unit and when it is known, as the UI shows it."""
    rule: str
    """What each value is, in the words of a message."""
    holds: Callable[[pd.Series], pd.Series]
    """From values to whether each is so."""


@dataclass(frozen=True)
class RowRule:
    """What is asked of whole rows."""

    holds: Callable[[pd.DataFrame], pd.Series | BoolArray]
    """From a table to whether each row is so, shape (n_rows,)."""
    message: str
    """What to say of the first that is not: ``{place}`` names it, other names in braces are its columns."""


@dataclass(frozen=True)
class TableSchema:
    """A raw table."""

    columns: tuple[Column, ...]
    order: tuple[str, ...]
    """The columns that rows are sorted by."""
    place: str
    """How a message names a row, its columns in braces."""
    rules: tuple[RowRule, ...]
    """Asked in this order, after the rule of each column."""

    @property
    def types(self) -> dict[str, str]:
        """The type of each column."""
        return {column.name: column.kind for column in self.columns}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    def empty(self) -> pd.DataFrame:
        """Give a table without rows, its columns and types right: there was nothing, or nobody was asked."""
        return pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in self.types.items()})

    def validate(self, frame: pd.DataFrame, origin: str) -> pd.DataFrame:
        """Check a table at the border, and give the same rows and attributes sorted by `order`.

        Raises
        ------
        TableError
            Naming `origin` (a file, or a market and a range), what was expected, and the first offending row.
        """
        if tuple(frame.columns) != self.names:
            raise TableError(
                f"{origin}: expected the columns {', '.join(self.names)} in this order, got "
                f"{', '.join(map(str, frame.columns))}; rename, add or remove columns."
            )
        for column in self.columns:
            self._check_type(frame, column, origin)
        frame = frame.sort_values(list(self.order), ignore_index=True)
        for column in self.columns:
            self._refuse_values(frame, column, ~column.holds(frame[column.name]), origin)
        for rule in self.rules:
            self._refuse_rows(frame, ~rule.holds(frame), f"{origin}: ", rule.message)
        return frame

    def _check_type(self, frame: pd.DataFrame, column: Column, origin: str) -> None:
        values = frame[column.name]
        if values.dtype == column.kind:
            return
        if values.dtype == object and column.kind == NUMBER:  # a text among numbers is named with its row
            self._refuse_values(frame, column, pd.to_numeric(values, errors="coerce").isna() & values.notna(), origin)
        raise TableError(
            f"{origin}: column {column.name}: expected the type {column.kind}, got {values.dtype}; convert it."
        )

    def _refuse_values(self, frame: pd.DataFrame, column: Column, wrong: pd.Series, origin: str) -> None:
        for value in frame.loc[wrong, column.name].iloc[:1]:
            start = f"{origin}: column {column.name}: expected {column.rule}, got {value}"
            self._refuse_rows(frame, wrong, start, " for {place}; correct the value or remove the row.")

    def _refuse_rows(self, frame: pd.DataFrame, wrong: pd.Series | BoolArray, start: str, message: str) -> None:
        for row in frame[wrong].iloc[:1].to_dict("records"):
            shown = {name: value.date() if isinstance(value, pd.Timestamp) else value for name, value in row.items()}
            raise TableError(start + message.format(place=self.place.format(**shown), **shown))


def ohlc_rules(bars: pd.DataFrame) -> list[tuple[str, str, pd.Series]]:
    """Give a column, what a session's prices must be in it, in words, and whether each bar's is so; NaN is not."""
    low, high = bars["low"] * (1 - ROUNDING), bars["high"] * (1 + ROUNDING)
    return [
        ("high", "at least the row's low", bars["high"] >= bars["low"]),
        *(
            (name, "a price between the row's low and high", (bars[name] >= low) & (bars[name] <= high))
            for name in ("open", "close")
        ),
    ]


def _day(name: str, meaning: str) -> Column:
    return Column(name, DAY, meaning, "a day without a time", lambda days: days == days.dt.normalize())


def _price(name: str, words: str) -> Column:
    meaning = f"{words} of the session, in the currency of the source, adjusted for splits and dividends."
    return Column(name, NUMBER, meaning, "a finite price > 0", lambda prices: (prices > 0) & np.isfinite(prices))


def _ratio(name: str, words: str) -> Column:
    rule = "a finite number, or none where it is not known"
    return Column(name, NUMBER, f"{words}; empty: not filed.", rule, lambda ratios: ~np.isinf(ratios))


def _one_row(words: str, key: Sequence[str], advice: str) -> RowRule:
    message = f"expected one row a {words}, got several for {{place}}; {advice}."
    return RowRule(lambda frame: ~frame.duplicated(list(key)), message)


def _on_sessions(frame: pd.DataFrame) -> BoolArray:
    days = frame["date"].to_numpy().astype("datetime64[D]")
    return np.isin(days, sessions_between(FIRST_DATE, datetime.date.max))


SYMBOL = Column("symbol", TEXT, "Ticker, as the market spells it.", "a name", lambda symbols: symbols.str.len() > 0)

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
    rules=(
        _one_row("date and symbol", ("date", "symbol"), "remove the duplicates"),
        RowRule(
            _on_sessions,
            "expected trading days of the NYSE, got a bar on {date}, when it was closed; remove the row or correct its "
            "date.",
        ),
    ),
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
        Column("n_articles", COUNT, "Articles that it rests on.", "a whole number >= 1", lambda counts: counts >= 1),
    ),
    order=("date", "symbol"),
    place="{date} {symbol}",
    rules=(
        _one_row("date and symbol", ("date", "symbol"), "put them into one"),
        RowRule(
            _on_sessions,
            "column date: expected a day on which the NYSE was open, got {place}, when it was closed; move the row to "
            "the session at whose close it is known.",
        ),
    ),
)
"""News sentiment: one row a session and symbol with news; a day without has none."""

_RATIO_WORDS = {
    "gross_margin": "Gross profit over revenue",
    "operating_margin": "Operating income over revenue",
    "net_margin": "Net income over revenue",
    "current_ratio": "Current assets over current liabilities",
    "debt_to_equity": "Long-term debt over equity of the shareholders",
}

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
    rules=(
        _one_row("filing day, quarter and symbol", ("filed", "period_end", "symbol"), "keep one"),
        RowRule(
            lambda frame: frame["period_end"] <= frame["filed"],
            "column period_end: expected a day on or before the filing's, got {period_end} for {place}; correct the "
            "dates.",
        ),
    ),
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

RAW = tuple(SCHEMAS)
"""What comes from the market."""
