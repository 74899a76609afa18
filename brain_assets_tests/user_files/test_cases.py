"""Files in the shapes of some forty tools and sites: each is read, warned of or refused as the table of cases says.

``../shared/cases/make_cases.py`` writes them, and what must come of each; its README says what they are.
"""

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import BrainAssetsError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.findings import added_up, findings_of
from brain_assets.market.price_checks import price_verdicts
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.backfills import REPOSITORY

SCRIPT = REPOSITORY / ".." / "shared" / "cases" / "make_cases.py"
START, END = datetime.date(2018, 1, 1), datetime.date(2020, 1, 1)
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="../shared/cases is not there")


def names() -> list[str]:
    """Give the cases of files, by the names of their functions, so that nothing is written when tests are collected."""
    found = re.findall(r"^def (\w+)\(folder: Path, bars", SCRIPT.read_text(), re.MULTILINE) if SCRIPT.exists() else []
    return [name.replace("_", "-") for name in found if "__" not in name]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases") / "out"
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, cwd=folder.parent, env={**os.environ})
    return folder


def test_all_cases_are_known() -> None:
    assert len(names()) == 57


@pytest.mark.parametrize("name", names())
def test_case_comes_out_as_its_table_says(cases: Path, name: str) -> None:
    expected = json.loads((cases / "expected.json").read_text())[name]
    table, said = run(cases / name, expected)
    if table is None:
        assert expected["outcome"] == "refused" or expected.get("or_refused"), said
    else:
        assert expected["outcome"] == "warns" or (expected["outcome"] == "reads" and not findings_of(table)), said
    for words in expected["contains"]:
        assert any(is_said(word, said) for word in ([words] if isinstance(words, str) else words)), (words, said)
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
    return table, " ".join([*(finding.sentence for finding in added_up(findings_of(table))), *checked(table)])


def checked(table: pd.DataFrame) -> Sequence[str]:
    """Give what the checks of prices warn of."""
    if "close" not in table:
        return []
    verdicts = price_verdicts(table, sessions_between(START, END)).values()
    return [verdict.words for verdict in verdicts if not verdict.passed]


def is_said(word: str, said: str) -> bool:
    """Find a word in a sentence; numbers and names in capitals stand alone: 10 is not in 2019-10-07."""
    pattern = rf"(?<![\w.-]){re.escape(word)}(?![\w-])" if word.upper() == word else re.escape(word)
    return re.search(pattern, said, re.IGNORECASE) is not None


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
