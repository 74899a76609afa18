"""Files in the shapes of some forty tools and sites: each is read, warned of or refused as the table of cases says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import BrainAssetsError
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import added_up, findings_of
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.shared_cases import END, SCRIPT, START, doubts_of, make_cases, needed, unsaid

# by the names of their functions, so that nothing is written when tests are collected
FOUND = re.findall(r"^def (\w+)\(folder: Path, bars", SCRIPT.read_text(), re.MULTILINE) if SCRIPT.exists() else []
NAMES = [name.replace("_", "-") for name in FOUND if "__" not in name]


@needed
def test_all_cases_are_known() -> None:
    assert len(NAMES) == 57


@needed
@pytest.mark.parametrize("name", NAMES)
def test_case_comes_out_as_its_table_says(name: str) -> None:
    cases, every = make_cases()
    expected = every[name]
    table, said = run(cases / name, expected)
    if table is None:
        assert expected["outcome"] == "refused" or expected.get("or_refused"), said
    else:
        assert expected["outcome"] == "warns" or (expected["outcome"] == "reads" and not findings_of(table)), said
    assert unsaid(said, expected["contains"]) == [], said
    assert [word for word in expected["not_contains"] if word.lower() in said.lower()] == []
    if table is not None and "asset" not in expected:
        assert_bars(table, pd.read_parquet(cases / "base.parquet"), expected)


def run(folder: Path, expected: dict[str, Any]) -> tuple[pd.DataFrame | None, str]:
    """Give the table that comes of a case, or None, and what is said."""
    symbols = tuple(filter(None, expected.get("env", {}).get("BRAIN_SYMBOLS", "").split(",")))
    market = FilesMarket(folder, symbols)
    fetch = {
        "raw_prices": lambda: market.prices(START, END),
        "raw_news_sentiment": lambda: market.news_sentiment(START, END, lambda titles: np.zeros(len(titles))).table,
        "raw_fundamentals": lambda: market.fundamentals(START, END).table,
    }[expected.get("asset", "raw_prices")]
    try:
        market.last_complete_year()
        table = fetch()
    except BrainAssetsError as error:
        return None, str(error)
    return table, " ".join([*(finding.sentence for finding in added_up(findings_of(table))), *doubts_of(table)])


def assert_bars(table: pd.DataFrame, base: pd.DataFrame, expected: dict[str, Any]) -> None:
    """Compare with the rows of the base table, but for those that must not be there, or whose numbers are wrong."""
    spelled = {way.lower(): symbol for symbol, ways in expected["symbols"].items() for way in ways}
    rows = base[base["date"].between("2018-01-01", "2019-12-31") & base["symbol"].isin(list(expected["symbols"]))]
    absent = {tuple(place) for place in expected.get("without", ())}
    days = rows["date"].dt.strftime("%Y-%m-%d")
    rows = rows[[place not in absent for place in zip(days, rows["symbol"], strict=True)]]
    found = table.assign(symbol=[spelled.get(name.lower(), f"unknown {name}") for name in table["symbol"]])
    assert set(found["symbol"]) == set(rows["symbol"])
    rows, found = (
        part[~part["symbol"].isin(expected.get("unchecked", ()))].sort_values(["date", "symbol"], ignore_index=True)
        for part in (rows, found)
    )
    assert found[["date", "symbol"]].astype(str).equals(rows[["date", "symbol"]].astype(str))
    np.testing.assert_allclose(found[list(PRICE_FIELDS)], rows[list(PRICE_FIELDS)], rtol=1e-6)
