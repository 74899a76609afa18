"""What the columns of each table are, with units and when a row is known, as the UI shows it."""

from collections.abc import Mapping, Sequence

import dagster as dg

from brain_assets.market.schema import DAY, NUMBER, SCHEMAS, SYMBOL, TEXT

_SYMBOL = (SYMBOL.name, SYMBOL.kind, SYMBOL.meaning)
_WEEK = ("week_start", DAY, "First session of the week.")
_RETURN = "Return of the week, from its first open to its last close, as a fraction"
_SOURCE = "Where it comes from: the snapshot's name, or momentum where there was none yet."

Columns = tuple[tuple[str, str, str], ...]
"""Name, type and meaning of each."""

RAW_COLUMNS: Mapping[str, Columns] = {
    asset: tuple((column.name, column.kind, column.meaning) for column in schema.columns)
    for asset, schema in SCHEMAS.items()
}
BACKTEST_COLUMNS: Columns = (
    _WEEK,
    ("strategy", TEXT, "A policy, one of its other training seeds, or a rule without learning."),
    ("net_return", NUMBER, "What it earned from the last close before the week to its last close, after costs."),
    ("turnover", NUMBER, "Dollars bought and sold at the first open, over the value there."),
    ("weights", TEXT, "JSON: share of the value in each symbol, and in cash, after trading at the first open."),
)


def forecast_columns(families: Sequence[str]) -> Columns:
    """Give the columns of a table of forecasts by some forecasters."""
    forecast = f"{_RETURN}, forecast after the last close before it. Empty: too little history."
    pairs = [((family, NUMBER, forecast), (f"{family}_source", TEXT, _SOURCE)) for family in families]
    return (
        _WEEK,
        _SYMBOL,
        *(column for pair in pairs for column in pair),
        ("momentum", NUMBER, "Return of the four weeks before, as a fraction; known at the last close before."),
        ("realized", NUMBER, f"{_RETURN}, as it came; known at its last close. Empty: not known."),
    )


def column_schema(columns: Columns) -> Mapping[str, dg.TableSchema]:
    """Give the metadata that makes the UI show the columns of a table."""
    return {"dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in columns])}
