"""One table, written in every form that the rules of ``docs/your-own-data.md`` name, reads back equal to the bit."""

import datetime
import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.user_files.market import FilesMarket

START, END = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)
SYMBOLS = ("AAA", "BR.B", "T")


def base_table() -> pd.DataFrame:
    """Bars of three symbols on 70 sessions, with four decimals."""
    days = sessions_between(START, END)[:70].astype("datetime64[us]")
    rng = np.random.default_rng(5)
    parts = []
    for symbol in SYMBOLS:
        close = (1500 * np.exp(rng.normal(0, 0.02, len(days)).cumsum())).round(4)
        prices = {"open": close, "high": (close * 1.01).round(4), "low": (close * 0.99).round(4), "close": close}
        parts.append(pd.DataFrame({"date": days, "symbol": symbol, **prices, "volume": 1e6 + np.arange(len(days))}))
    return pd.concat(parts).astype({"symbol": "str"}).sort_values(["date", "symbol"], ignore_index=True)


BASE = base_table()
NAMES = {
    "date": ["date", "datetime", "timestamp", "day", "<date>"],
    "symbol": ["symbol", "ticker", "tic", "stock", "name", "<ticker>"],
    "volume": ["volume", "vol", "<vol>", "6. volume"],
    **{name: [name, f"<{name}>", f" {name} "] for name in PRICE_FIELDS[:-1]},
}
CASES = (str.lower, str.upper, str.title)
DAYS = (
    *("%Y-%m-%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00.000Z", "%Y-%m-%d 00:00:00-05:00", "%Y%m%d", "%Y/%m/%d"),
    *("%d.%m.%Y", "%m/%d/%Y", "%d-%b-%Y", "%s", "ms"),
)
SEPARATORS = ((",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", "."))
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
SPLITS = ("one", "symbols", "years", "wide", "wide by ticker")
ADJUSTED = (None, "Adj Close", "adjusted_close", "AdjClose", "all")


def days_as_text(days: pd.Series, form: str) -> pd.Series:
    if form in ("%s", "ms"):
        return ((days - pd.Timestamp(0)) // pd.Timedelta(seconds=1) * (1000 if form == "ms" else 1)).astype(str)
    return days.dt.strftime(form)


def with_adjusted(table: pd.DataFrame, way: str | None) -> pd.DataFrame:
    """Put prices as traded, twice as high, where a file says how to adjust them; to halve changes no bit."""
    if way is None:
        return table
    names = PRICE_FIELDS[:-1]
    raw = table.assign(**{name: table[name] * 2 for name in names})
    adjusted = {f"adj_{name}": table[name] for name in PRICE_FIELDS} if way == "all" else {way: table["close"]}
    return raw.assign(**adjusted)


def parts_of(table: pd.DataFrame, split: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give the stems of files, and what is in each."""
    if split == "symbols":
        for symbol, rows in table.groupby("symbol"):
            yield f"daily_{symbol}", rows.drop(columns="symbol")
    elif split == "years":
        yield "early/prices", table[:77]
        yield "late/prices", table[77:]
    else:
        yield "prices", table


def wide(table: pd.DataFrame, by_ticker: bool) -> pd.DataFrame:
    values = [name for name in table.columns if name not in ("date", "symbol")]
    found = table.rename(columns={"date": "Date"}).pivot(index="Date", columns="symbol", values=values)
    found = found.rename_axis(columns=["Price", "Ticker"])
    return found.swaplevel(axis=1).sort_index(axis=1) if by_ticker else found


@st.composite
def forms(draw: st.DrawFn) -> dict[str, Any]:
    choose = {
        "days": DAYS,
        "separator": SEPARATORS,
        "encoding": ENCODINGS,
        "split": SPLITS,
        "adjusted": ADJUSTED,
        "case": CASES,
        "ending": (".csv", ".txt", ".tsv", ".CSV", ".csv.gz", ".parquet"),
        "thousands": (False, True),
    }
    form: dict[str, Any] = {name: draw(st.sampled_from(values)) for name, values in choose.items()}
    form["names"] = {name: draw(st.sampled_from(ways)) for name, ways in NAMES.items()}
    form["seed"] = draw(st.integers(0, 2**16))
    return form


def write(folder: Path, form: dict[str, Any]) -> None:
    separator, decimal = form["separator"]
    table = with_adjusted(BASE, form["adjusted"])
    table = table.sample(frac=1, random_state=form["seed"])
    for stem, rows in parts_of(table, form["split"]):
        path = folder / f"{stem}{form['ending']}"
        path.parent.mkdir(exist_ok=True)
        is_wide = form["split"].startswith("wide")
        rows = rows.assign(date=days_as_text(rows["date"], form["days"]))
        if is_wide:
            rows = wide(rows, form["split"] == "wide by ticker")
        else:
            names = [form["case"](form["names"].get(name, name)) for name in rows.columns]
            rows = rows.set_axis(names, axis=1).sample(frac=1, axis=1, random_state=form["seed"])
        if path.suffix == ".parquet":
            rows.to_parquet(path, index=is_wide)
            continue
        if form["thousands"] and not is_wide:
            numbers = rows.select_dtypes("number")
            signs = str.maketrans(",.", ".,") if decimal == "," else {}
            rows = rows.assign(**{name: [f"{value:,}".translate(signs) for value in numbers[name]] for name in numbers})
        text = rows.to_csv(index=is_wide, sep=separator, decimal=decimal).encode(form["encoding"])
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.slow
@given(forms())
@settings(max_examples=20, deadline=None)
def test_table_in_any_form_reads_back_equal(form: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), form)
        found = FilesMarket(Path(name)).prices(START, END)
    found.attrs = {}
    pd.testing.assert_frame_equal(found, BASE, check_exact=True)
