"""What is stale by its files: real files, a real instance, the status and the backfill that follow from an edit."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.status import State, StatusReader, rests_on
from brain_assets.graph.tasks import ENDS
from brain_assets.market.archive import differing_rows
from brain_assets.market.members import MEMBERS
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import END, FIRST_DAY
from brain_assets_tests.graph.test_checks import definitions
from brain_assets_tests.graph.worlds import RAW, PoolHere, run_year, world

YEARS = (2019, 2020, 2021)
Edit = Callable[[pd.DataFrame], pd.DataFrame]


class Folders:
    """Files, and what was made of them."""

    adjust_splits = False

    def __init__(self, root: Path, instance: dg.DagsterInstance, symbols: tuple[str, ...] = ()) -> None:
        self.files, self.instance, self._data, self._symbols = root / "files", instance, root / "data", symbols

    @property
    def defs(self) -> dg.Definitions:
        """Of a process that has just begun."""
        memory = self._data / "cache" / "files.json"
        market = FilesMarket(self.files, self._symbols, memory, adjust_splits=self.adjust_splits)
        tables = TableStore(self._data, {"market": "files"})
        return definitions(world(market, self._data / "models", tables))

    def backfill(self) -> dict[tuple[str, int], str]:
        """Make the raw years that are not done; gives how each ended."""
        defs = self.defs
        job = Backfill(defs, self.instance, RAW)
        events = [event for event in job.run(YEARS, PoolHere(defs, self.instance)) if event.kind in ENDS]
        return {(event.asset, event.year): event.kind for event in events if event.kind != "done"}

    def stale(self) -> dict[tuple[str, int], str]:
        """Give the reasons of the raw years that are not done, all of which must be stale."""
        reader = StatusReader(self.defs, self.instance, {})
        found = {(name, year): reader.read(name, year) for name in RAW for year in YEARS}
        assert {status.state for status in found.values()} <= {State.DONE, State.STALE}
        return {unit: status.reason for unit, status in found.items() if status.state is State.STALE}

    def edit(self, name: str, change: Edit) -> None:
        path = self.files / name
        change(pd.read_csv(path)).to_csv(path, index=False)


@pytest.fixture
def folders(market: SimulatorMarket, prices: pd.DataFrame, tmp_path: Path) -> Iterator[Folders]:
    """Prices and ratios, a file each, of which every raw year was made."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Folders(tmp_path / "here", instance)
        made.files.mkdir(parents=True)
        prices.to_csv(made.files / "prices.csv", index=False)
        market.fundamentals(FIRST_DAY, END).table.to_csv(made.files / "fundamentals.csv", index=False)
        for year in YEARS:
            run_year(year, made.defs.resources or {}, instance, RAW)
        assert made.stale() == {}
        yield made


def on(day: str, symbol: str = "CCC") -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: (rows["date"] == day) & (rows["symbol"] == symbol)


def set_volume(day: str, symbol: str = "CCC") -> Edit:
    return lambda rows: rows.assign(volume=rows["volume"].mask(on(day, symbol)(rows), 1000.0))


def remove(day: str) -> Edit:
    return lambda rows: rows[~on(day)(rows)]


def list_later(rows: pd.DataFrame) -> pd.DataFrame:
    """Give CCC another name in 2018."""
    return rows.assign(symbol=rows["symbol"].mask((rows["symbol"] == "CCC") & (rows["date"].str[:4] == "2018"), "NEW"))


@pytest.mark.parametrize(
    ("edit", "reasons"),
    [
        pytest.param(set_volume("2020-07-01"), {2020: " in 2020 (1 row)"}, id="changed"),
        pytest.param(remove("2020-07-01"), {2020: " in 2020 (1 row)"}, id="removed"),
        pytest.param(set_volume("2017-07-03"), {2019: " in 2017 (1 row)"}, id="bootstrap"),
        pytest.param(list_later, {2019: " in 2018 (502 rows)"}, id="renamed symbol"),
        pytest.param(remove("2019-12-31"), {2019: " in 2019 (1 row)", 2020: ""}, id="last bar of a year"),
        pytest.param(lambda rows: rows[rows["date"] != "2021-03-04"], {2021: " in 2021 (6 rows)"}, id="session"),
    ],
)
def test_edit_makes_its_year_stale_until_it_is_fetched_again_and_so_does_taking_it_back(
    folders: Folders, edit: Edit, reasons: dict[int, str]
) -> None:
    before = (folders.files / "prices.csv").read_bytes()
    expected = {("raw_prices", year): f"prices.csv changed{words}" for year, words in reasons.items()}
    folders.edit("prices.csv", edit)
    assert folders.stale() == expected
    assert set(folders.backfill()) == set(expected)
    assert folders.stale() == {}
    assert folders.backfill() == {}
    (folders.files / "prices.csv").write_bytes(before)
    assert folders.stale() == expected
    assert set(folders.backfill()) == set(expected)
    assert folders.stale() == {}


def test_who_could_be_chosen_is_stored_anew_though_no_bar_changed(folders: Folders) -> None:
    universe = folders.files / "universe.csv"
    for last in ("2020-06-30", "2020-05-29", None):
        if last:
            universe.write_text(f"symbol,from,to\nAAA,2015-01-01,{last}\nBBB,2015-01-01,\n")
        else:
            universe.unlink()
        assert ("raw_prices", 2020) in folders.backfill()
        stored = (folders.defs.resources or {})["table_io"].store.read_year("raw_prices", 2020)
        assert [span[1] for span in stored.attrs.get(MEMBERS, {}).get("AAA", [])] == ([last] if last else [])
        assert folders.stale() == {}


def split_by_symbol(files: Path) -> None:
    rows = pd.read_csv(files / "prices.csv")
    (files / "prices.csv").unlink()
    for symbol, part in rows.groupby("symbol"):
        part.sample(frac=1.0, random_state=0).to_csv(files / f"prices_{symbol}.csv", index=False)


@pytest.mark.parametrize(
    "move",
    [
        pytest.param(split_by_symbol, id="split"),
        pytest.param(lambda files: (files / "prices.csv").rename(files / "prices-of-mine.csv"), id="renamed"),
        pytest.param(lambda files: os.utime(files / "prices.csv", (1, 1)), id="touched"),
    ],
)
def test_same_rows_in_other_files_are_not_stale(folders: Folders, move: Callable[[Path], object]) -> None:
    move(folders.files)
    assert folders.stale() == {}
    assert folders.backfill() == {}
    moved = Folders(folders.files.parent.rename(folders.files.parent.with_name("elsewhere")), folders.instance)
    assert moved.stale() == {}


def test_files_that_come_go_or_change_together_are_named(folders: Folders) -> None:
    split_by_symbol(folders.files)
    for symbol in ("AAA", "BBB", "CCC", "DDD"):
        folders.edit(f"prices_{symbol}.csv", set_volume("2020-07-01", symbol))
    (folders.files / "fundamentals.csv").rename(folders.files / "fundamentals.csv.old")
    found = folders.stale()
    assert {unit: words for unit, words in found.items() if unit[0] == "raw_fundamentals"}.keys() == {
        ("raw_fundamentals", year) for year in YEARS
    }
    assert found["raw_fundamentals", 2021].startswith("fundamentals.csv changed in 2021 (")
    assert found["raw_prices", 2020] == (
        "prices.csv, prices_AAA.csv, prices_BBB.csv and 4 more changed in 2020 (4 rows)"
    )
    assert folders.backfill().keys() == found.keys()
    (folders.files / "fundamentals.csv.old").rename(folders.files / "fundamentals.csv")
    folders.edit("prices_AAA.csv", set_volume("2020-07-02", "AAA"))
    assert folders.stale()["raw_prices", 2020] == "prices_AAA.csv changed in 2020 (1 row)"


def test_same_files_that_are_read_otherwise_are_stale(folders: Folders) -> None:
    folders.adjust_splits = True
    assert folders.stale() == {("raw_prices", year): "BRAIN_ADJUST_SPLITS changed" for year in YEARS}
    assert set(folders.backfill().values()) == {"reused"}  # there was no split
    assert folders.stale() == {}


def test_year_whose_run_does_not_say_what_it_was_made_from_is_fetched_once_more(folders: Folders) -> None:
    folders.instance.report_runless_asset_event(dg.AssetMaterialization("raw_prices", partition="2020"))
    assert folders.stale() == {("raw_prices", 2020): "it is not recorded what it was made from"}
    assert folders.backfill() == {("raw_prices", 2020): "reused"}
    assert folders.stale() == {}


def test_file_that_is_no_table_any_more_is_named_and_what_is_stored_stays(
    folders: Folders, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folders.files / "prices.csv").read_text()
    (folders.files / "prices.csv").write_text(whole.replace("close", "end", 1))
    assert folders.stale() == {}
    assert "raw_prices waits: prices.csv: expected the columns " in caplog.text
    (folders.files / "prices.csv").write_text(whole)
    assert folders.stale() == {}


def test_row_that_a_fetch_refuses_makes_its_year_stale_though_no_row_can_be_taken(folders: Folders) -> None:
    whole = (folders.files / "prices.csv").read_text()
    (folders.files / "prices.csv").write_text(whole + "2020-07-04,AAA,1,1,1,one,1\n")
    assert folders.stale() == {("raw_prices", 2020): "prices.csv changed in 2020"}
    assert folders.backfill()["raw_prices", 2020] == "failed"
    (folders.files / "prices.csv").write_text(whole)
    assert folders.stale() == {}


def test_symbol_that_a_new_file_writes_otherwise_makes_the_years_stale_that_it_is_joined_in(folders: Folders) -> None:
    rows = pd.read_csv(folders.files / "prices.csv").replace({"symbol": {"AAA": "aaa"}})
    rows[rows["date"] < "2021"].to_csv(folders.files / "prices.csv", index=False)
    rows[rows["date"] >= "2021"].to_csv(folders.files / "prices-b.csv", index=False)
    folders.backfill()
    assert folders.stale() == {}
    folders.edit("prices-b.csv", lambda later: later.replace({"symbol": {"aaa": "AAA"}}))
    found = folders.stale()
    assert found["raw_prices", 2020] == "prices.csv changed in 2020 (506 rows)"
    assert {year for name, year in found if name == "raw_prices"} == {2019, 2020, 2021}
    assert "failed" not in folders.backfill().values()
    assert folders.stale() == {}


def test_headlines_that_changed_are_named_without_being_scored(folders: Folders) -> None:
    titles = pd.DataFrame({"published": ["2020-06-10T10:00:00Z"], "symbol": "AAA", "title": "x"})
    titles.to_csv(folders.files / "headlines.csv", index=False)
    assert folders.stale() == {("raw_news_sentiment", 2020): "headlines.csv changed in 2020"}


def test_asset_without_years_names_what_it_rests_on_of_its_years_and_those_before(folders: Folders) -> None:
    folders.edit("prices.csv", set_volume("2020-07-01"))
    for last, expected in ((2019, []), (2020, [("raw_prices", 2020)]), (2021, [("raw_prices", 2020)])):
        found = rests_on(folders.defs, folders.instance, "report", range(2019, last + 1))
        assert [unit for unit, status in found.items() if status.state is State.STALE] == expected
        assert next(iter(found)) == ("raw_fundamentals", 2019)
        assert {year for _, year in found} == set(range(2019, last + 1))


def test_differing_rows_are_those_changed_added_and_removed() -> None:
    old = pd.DataFrame({"day": [1, 2, 3, 4], "symbol": ["A", "A", "A", "B"], "close": [1.0, 2.0, float("nan"), 4.0]})
    new = pd.DataFrame({"day": [4, 3, 2, 5], "symbol": ["B", "A", "A", "A"], "close": [4.0, float("nan"), 2.5, 5.0]})
    found = differing_rows(old, new, ["day", "symbol"])
    assert sorted(zip(found["day"], found["symbol"], strict=True)) == [(1, "A"), (2, "A"), (5, "A")]
    assert differing_rows(old, old[::-1], ["day", "symbol"]).empty
