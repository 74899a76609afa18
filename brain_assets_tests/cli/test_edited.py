"""Files that were edited, as a user sees it: `status`, `backfill`, `report` and `allocate` say so."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from brain_assets_tests.backfills import brain_assets, outcomes, write_config

pytestmark = pytest.mark.slow

YEARS = "2019-2020"
RESTS = "This rests on raw_prices[2020] stale: prices.csv changed"


class Folders(NamedTuple):
    """A folder of files, and a data folder that was filled from it."""

    root: Path

    @property
    def files(self) -> Path:
        return self.root / "files"

    def copy(self, root: Path) -> "Folders":
        return Folders(Path(shutil.copytree(self.root, root)))

    def say(self, *arguments: str) -> str:
        """Run a command, which must succeed, and give what it prints."""
        market = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(self.files), "BRAIN_SYMBOLS": ""}
        run = brain_assets(self.root / "data", *arguments, **market, BRAIN_LAST_YEAR="2020")
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout

    def backfill(self, *arguments: str) -> dict[tuple[int, str], str]:
        return outcomes(self.say("backfill", YEARS, "--config", str(self.root / "tiny.yaml"), *arguments))

    def stale(self) -> list[str]:
        lines = self.say("status", YEARS, "--config", str(self.root / "tiny.yaml")).splitlines()
        return [line for line in lines if "stale:" in line or "damaged:" in line]


@pytest.fixture(scope="module")
def filled(prices: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Everything was made from one file; nobody changes these folders, tests take a copy."""
    made = Folders(tmp_path_factory.mktemp("filled"))
    made.files.mkdir()
    write_config(made.root / "tiny.yaml")
    prices[prices["date"] < "2021"].to_csv(made.files / "prices.csv", index=False)
    made.backfill()
    return made


def test_edited_row_is_said_by_every_command_until_its_year_is_made_again(filled: Folders, tmp_path: Path) -> None:
    folders = filled.copy(tmp_path / "moved")
    path = folders.files / "prices.csv"
    whole = path.read_bytes()
    rows = pd.read_csv(path)
    rows.loc[(rows["date"] == "2020-07-01") & (rows["symbol"] == "CCC"), "volume"] = 1000.0
    rows.to_csv(path, index=False)
    assert "raw_prices 2020: stale: prices.csv changed" in folders.stale()
    assert folders.say("report").splitlines()[0].startswith(RESTS)
    assert folders.say("allocate", "--date", "2020-11-02").splitlines()[0].startswith(RESTS)
    said = folders.backfill("--assets", "raw_prices")
    assert said[2019, "raw_prices"] == "done already, skipped"
    assert "made in " in said[2020, "raw_prices"]
    assert "(stale: prices.csv changed)" in said[2020, "raw_prices"]
    assert not folders.say("report", "--years", "2019").startswith("This rests")
    assert "walkforward_forecasts[2020] stale: raw_prices[2020] changed" in folders.say("report").splitlines()[0]
    said = folders.backfill()
    assert "(stale: raw_prices[2020] changed)" in said[2020, "lstm_snapshot"]
    assert said[2019, "lstm_snapshot"] == "done already, skipped"
    assert folders.stale() == []
    assert not folders.say("report").startswith("This rests")
    path.write_bytes(whole)
    assert folders.stale() == ["raw_prices 2020: stale: prices.csv changed"]
