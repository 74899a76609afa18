"""What is stale by its files: real files, a real instance, the status and the backfill that follow from an edit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from brain_assets.graph.backfill import Backfill
from brain_assets.graph.status import State, StatusReader
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import END, FIRST_DAY
from brain_assets_tests.graph.test_checks import definitions
from brain_assets_tests.graph.worlds import RAW, PoolHere, run_year, world

YEARS = (2019, 2020, 2021)
MADE = ("made", "reused", "failed")


class Folders:
    """Files, and what was made of them."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.files, self.instance, self._data = root / "files", instance, root / "data"

    @property
    def defs(self) -> dg.Definitions:
        """Of a process that has just begun."""
        market = FilesMarket(self.files, (), self._data / "cache" / "files.json")
        return definitions(world(market, self._data / "models", TableStore(self._data, {"market": "files"})))

    def backfill(self) -> dict[tuple[str, int], str]:
        """Make the raw years that are not done; gives how each ended."""
        defs = self.defs
        events = Backfill(defs, self.instance, RAW).run(YEARS, PoolHere(defs, self.instance))
        return {(event.asset, event.year): event.kind for event in events if event.kind in MADE}

    def stale(self) -> dict[tuple[str, int], str]:
        """Give the reasons of the raw years that are not done, all of which must be stale."""
        reader = StatusReader(self.defs, self.instance, {})
        found = {(name, year): reader.read(name, year) for name in RAW for year in YEARS}
        assert {status.state for status in found.values()} <= {State.DONE, State.STALE}
        return {unit: status.reason for unit, status in found.items() if status.state is State.STALE}


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


def list_later(rows: pd.DataFrame) -> pd.DataFrame:
    """Give CCC another name in 2018."""
    return rows.assign(symbol=rows["symbol"].mask((rows["symbol"] == "CCC") & (rows["date"].str[:4] == "2018"), "NEW"))


@pytest.mark.parametrize(
    ("edit", "years"),
    [
        pytest.param(list_later, [2019], id="renamed symbol in the bootstrap"),
        pytest.param(lambda rows: rows[rows["date"] != "2019-12-31"], [2019, 2020], id="last bars of a year"),
    ],
)
def test_edit_makes_its_year_stale_until_it_is_fetched_again_and_so_does_taking_it_back(
    folders: Folders, edit: Callable[[pd.DataFrame], pd.DataFrame], years: list[int]
) -> None:
    path = folders.files / "prices.csv"
    before = path.read_bytes()
    expected = {("raw_prices", year): "prices.csv changed" for year in years}
    edit(pd.read_csv(path)).to_csv(path, index=False)
    for _ in range(2):
        assert folders.stale() == expected
        assert set(folders.backfill()) == set(expected)
        assert folders.stale() == folders.backfill() == {}
        path.write_bytes(before)


def test_row_that_a_fetch_refuses_makes_its_year_stale_though_no_row_can_be_taken(folders: Folders) -> None:
    whole = (folders.files / "prices.csv").read_text()
    (folders.files / "prices.csv").write_text(whole + "2020-07-04,AAA,1,1,1,one,1\n")
    assert folders.stale() == {("raw_prices", 2020): "prices.csv changed"}
    assert folders.backfill()["raw_prices", 2020] == "failed"
    (folders.files / "prices.csv").write_text(whole)
    assert folders.stale() == {}
