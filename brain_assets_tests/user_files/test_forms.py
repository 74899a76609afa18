"""One table, written in every form that the rules of ``docs/your-own-data.md`` name, reads back equal to the bit."""

import datetime
import gzip
import tempfile
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
DAYS = ["%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00.000Z", "%Y-%m-%d 00:00:00-05:00", "%Y%m%d", "%Y/%m/%d", "%s", "ms"]
CHOICES = {
    "days": ("%Y-%m-%d", *DAYS, "%d.%m.%Y", "%m/%d/%Y", "%d-%b-%Y"),
    "separator": ((",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")),
    "encoding": ("utf-8", "utf-8-sig", "utf-16"),
    "split": ("one", "symbols", "years", "wide", "wide by ticker"),
    "adjusted": (None, "Adj Close", "adjusted_close", "AdjClose", "all"),
    "case": (str.lower, str.upper, str.title),
    "ending": (".csv", ".txt", ".tsv", ".CSV", ".csv.gz", ".parquet"),
    "thousands": (False, True),
}
FORMS = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in CHOICES.items()}
    | {"names": st.fixed_dictionaries({name: st.sampled_from(ways) for name, ways in NAMES.items()})}
    | {"seed": st.integers(0, 2**16)}
)


def parts_of(table: pd.DataFrame, form: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Give what is in each file, by its stem; prices as traded are twice as high, and to halve changes no bit."""
    names, way, split = PRICE_FIELDS[:-1], form["adjusted"], form["split"]
    if way is not None:
        adjusted = {f"adj_{name}": table[name] for name in PRICE_FIELDS} if way == "all" else {way: table["close"]}
        table = table.assign(**{name: table[name] * 2 for name in names}, **adjusted)
    table = table.sample(frac=1, random_state=form["seed"])
    if form["days"] in ("%s", "ms"):
        seconds = (table["date"] - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
        table["date"] = (seconds * (1000 if form["days"] == "ms" else 1)).astype(str)
    else:
        table["date"] = table["date"].dt.strftime(form["days"])
    if split == "symbols":
        return {f"daily_{symbol}": rows.drop(columns="symbol") for symbol, rows in table.groupby("symbol")}
    if split == "years":
        return {"early/prices": table[:77], "late/prices": table[77:]}
    if not split.startswith("wide"):
        return {"prices": table}
    values = [name for name in table.columns if name not in ("date", "symbol")]
    wide = table.rename(columns={"date": "Date"}).pivot(index="Date", columns="symbol", values=values)
    wide = wide.rename_axis(columns=["Price", "Ticker"])
    return {"prices": wide.swaplevel(axis=1).sort_index(axis=1) if split == "wide by ticker" else wide}


def write(path: Path, rows: pd.DataFrame, form: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    is_wide, (separator, decimal) = form["split"].startswith("wide"), form["separator"]
    if not is_wide:
        names = [form["case"](form["names"].get(name, name)) for name in rows.columns]
        rows = rows.set_axis(names, axis=1).sample(frac=1, axis=1, random_state=form["seed"])
    if path.suffix == ".parquet":
        rows.to_parquet(path, index=is_wide)
        return
    if form["thousands"] and not is_wide:
        numbers = rows.select_dtypes("number")
        signs = str.maketrans(",.", ".,") if decimal == "," else {}
        rows = rows.assign(**{name: [f"{value:,}".translate(signs) for value in numbers[name]] for name in numbers})
    text = rows.to_csv(index=is_wide, sep=separator, decimal=decimal).encode(form["encoding"])
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.mark.slow
@given(FORMS)
@settings(max_examples=20, deadline=None)
def test_table_in_any_form_reads_back_equal(form: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for stem, rows in parts_of(BASE, form).items():
            write(Path(folder) / f"{stem}{form['ending']}", rows, form)
        found = FilesMarket(Path(folder)).prices(START, END)
    found.attrs = {}
    pd.testing.assert_frame_equal(found, BASE, check_exact=True)
