"""Files of who could be chosen when, ``universe*``: symbol, from and to, as memberships of an index are published."""

import datetime
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from brain_assets.market.file_table import FileTable
from brain_assets.market.file_values import parse_days
from brain_assets.market.members import Members
from brain_assets.market.schema import DAY, ONE_SYMBOL, TEXT, Rule
from brain_assets.market.table_files import read_files

LAYOUT = {"from": DAY, "symbol": TEXT, "to": TEXT}

_RULES = (
    *ONE_SYMBOL,
    Rule("to", "the last day as YYYY-MM-DD, or nothing where it goes on", lambda rows: ~rows["unreadable"]),
    Rule("to", "a day on or after the first", lambda rows: ~(rows["last"] < rows["from"])),
)


def read_universe(paths: Sequence[Path], names: Sequence[str]) -> FileTable:
    """Read memberships, first and last day included; symbols are written as in `names`, whatever their case.

    Raises `TableError` for all that is wrong, in any year.
    """
    table = read_files(paths, LAYOUT)
    table.refuse_files()
    written = table.frame["to"].astype("str")
    last = parse_days(pa.chunked_array([pa.array(written)])).values
    rows = table.frame.assign(last=last, unreadable=last.isna() & written.notna())
    table = replace(table, frame=rows).judged(_RULES).joined(names)
    table.refuse(datetime.date.min, datetime.date.max)
    return table


def members_of(universe: FileTable, start: datetime.date, end: datetime.date) -> Members:
    """Give the memberships from `start` up to but not including `end`: what came later is cut off."""
    first, last = pd.Timestamp(start), pd.Timestamp(end - datetime.timedelta(days=1))
    rows = universe.frame[["symbol", "from", "last"]].astype({"symbol": "str"})
    rows = rows.assign(**{"from": rows["from"].clip(lower=first), "last": rows["last"].fillna(last).clip(upper=last)})
    rows = rows[rows["from"] <= rows["last"]].sort_values(["symbol", "from"])
    days = rows.assign(**{name: rows[name].dt.strftime("%Y-%m-%d") for name in ("from", "last")})
    return {str(symbol): spans[["from", "last"]].to_numpy().tolist() for symbol, spans in days.groupby("symbol")}
