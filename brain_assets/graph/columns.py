"""What the columns of each table are, with units and when a row is known, as the UI shows it."""

from collections.abc import Mapping, Sequence

import dagster as dg

_DATE, _TEXT, _NUMBER, _COUNT = "datetime64[us]", "str", "float64", "int64"
_SYMBOL = ("symbol", _TEXT, "Ticker, as the market spells it.")
_WEEK = ("week_start", _DATE, "First session of the week.")
_RETURN = "Return of the week, from its first open to its last close, as a fraction"
_SOURCE = "Where it comes from: the snapshot's name, or momentum where there was none yet."

Columns = tuple[tuple[str, str, str], ...]
"""Name, type and meaning of each."""

RAW_COLUMNS: Mapping[str, Columns] = {
    "raw_prices": (
        ("date", _DATE, "Session; the bar is known at its close."),
        _SYMBOL,
        *(
            (
                name,
                _NUMBER,
                f"{words} of the session, in the currency of the source, adjusted for splits and dividends.",
            )
            for name, words in (
                ("open", "First price"),
                ("high", "Highest"),
                ("low", "Lowest"),
                ("close", "Last price"),
            )
        ),
        ("volume", _NUMBER, "Shares traded in the session, adjusted for splits."),
    ),
    "raw_news_sentiment": (
        ("date", _DATE, "Session at whose close the news are known; those after a close belong to the next."),
        _SYMBOL,
        ("sentiment_score", _NUMBER, "Mean score of the news, from -1 (bad) to 1 (good)."),
        ("n_articles", _COUNT, "Articles that it rests on."),
    ),
    "raw_fundamentals": (
        ("filed", _DATE, "Day of the filing; it counts from the session after it."),
        ("period_end", _DATE, "Last day of the fiscal quarter."),
        _SYMBOL,
        ("gross_margin", _NUMBER, "Gross profit over revenue; empty: not filed."),
        ("operating_margin", _NUMBER, "Operating income over revenue; empty: not filed."),
        ("net_margin", _NUMBER, "Net income over revenue; empty: not filed."),
        ("current_ratio", _NUMBER, "Current assets over current liabilities; empty: not filed."),
        ("debt_to_equity", _NUMBER, "Long-term debt over equity of the shareholders; empty: not filed."),
    ),
}
BACKTEST_COLUMNS: Columns = (
    _WEEK,
    ("strategy", _TEXT, "A policy, one of its other training seeds, or a rule without learning."),
    ("net_return", _NUMBER, "What it earned from the last close before the week to its last close, after costs."),
    ("turnover", _NUMBER, "Dollars bought and sold at the first open, over the value there."),
    ("weights", _TEXT, "JSON: share of the value in each symbol, and in cash, after trading at the first open."),
)


def forecast_columns(families: Sequence[str]) -> Columns:
    """Give the columns of a table of forecasts by some forecasters."""
    forecast = f"{_RETURN}, forecast after the last close before it. Empty: too little history."
    pairs = [((family, _NUMBER, forecast), (f"{family}_source", _TEXT, _SOURCE)) for family in families]
    return (
        _WEEK,
        _SYMBOL,
        *(column for pair in pairs for column in pair),
        ("momentum", _NUMBER, "Return of the four weeks before, as a fraction; known at the last close before."),
        ("realized", _NUMBER, f"{_RETURN}, as it came; known at its last close. Empty: not known."),
    )


def column_schema(columns: Columns) -> Mapping[str, dg.TableSchema]:
    """Give the metadata that makes the UI show the columns of a table."""
    return {"dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in columns])}
