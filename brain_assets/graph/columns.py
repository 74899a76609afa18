"""What the columns of each table are, with units and when a row is known, as the UI shows it."""

from collections.abc import Mapping

import dagster as dg

from brain_assets.market.schema import DAY, NUMBER, SCHEMAS, SYMBOL, TEXT

_SYMBOL = (SYMBOL.name, SYMBOL.kind, SYMBOL.meaning)
_WEEK = ("week_start", DAY, "First session of the week.")
_RETURN = "Return of the week, from its first open to its last close, as a fraction"
_SOURCE = "Where it comes from: the snapshot's name, or momentum where there was none yet."

COLUMNS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    **{
        asset: tuple((column.name, column.kind, column.meaning) for column in schema.columns)
        for asset, schema in SCHEMAS.items()
    },
    "walkforward_forecasts": (
        _WEEK,
        _SYMBOL,
        ("lstm", NUMBER, f"{_RETURN}, forecast after the last close before it. Empty: too little history."),
        ("lstm_source", TEXT, _SOURCE),
        ("patchtst", NUMBER, f"{_RETURN}, forecast after the last close before it. Empty: too little history."),
        ("patchtst_source", TEXT, _SOURCE),
        (
            "momentum",
            NUMBER,
            "Return of the four weeks before, as a fraction; known at the last close before.",
        ),
        ("realized", NUMBER, f"{_RETURN}, as it came; known at its last close. Empty: not known."),
    ),
    "backtest": (
        _WEEK,
        ("strategy", TEXT, "A policy, one of its other training seeds, or a rule without learning."),
        ("net_return", NUMBER, "What it earned from the last close before the week to its last close, after costs."),
        ("turnover", NUMBER, "Dollars bought and sold at the first open, over the value there."),
        ("weights", TEXT, "JSON: share of the value in each symbol, and in cash, after trading at the first open."),
    ),
}
"""Asset -> its columns: name, type, meaning."""


def column_schema(asset: str) -> Mapping[str, dg.TableSchema]:
    """Give the metadata that makes the UI show an asset's columns."""
    columns = [dg.TableColumn(name, kind, description) for name, kind, description in COLUMNS[asset]]
    return {"dagster/column_schema": dg.TableSchema(columns)}
