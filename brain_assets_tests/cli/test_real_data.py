"""Real bars, ragged symbols and all, through the whole main job."""

import pandas as pd
import pytest

from brain_assets_tests.backfills import ASSETS, REPOSITORY, brain_assets, write_config

REAL_DATA = REPOSITORY.parent / "shared" / "data" / "real"


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real bars in {REAL_DATA.name}/")
def test_real_bars_run_through_from_2019_to_2023(tmp_path):
    config, data = write_config(tmp_path / "tiny.yaml"), tmp_path / "data"
    files = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(REAL_DATA), "BRAIN_SYMBOLS": "", "BRAIN_LAST_YEAR": ""}
    run = brain_assets(data, "backfill", "2019-2023", "--config", str(config), **files)
    assert run.returncode == 0, run.stderr
    assert f"{5 * len(ASSETS)} made, 0 run without change, 0 done before, 0 not done" in run.stdout
    rows = {year: pd.read_parquet(data / "forecasts" / f"{year}.parquet") for year in range(2019, 2024)}
    bootstrap, later = rows[2019], rows[2020]
    # DIS is known from 2019-06-13 on, a Thursday: the first week with a close before it begins on the 17th
    assert bootstrap.loc[bootstrap["symbol"] == "DIS", "week_start"].min() == pd.Timestamp("2019-06-17")
    # SBUX is gone after Thursday 2020-07-02, the last session of its week; it was tradable then, so the next week has a
    # row, whose return never came to be known
    last = later[later["symbol"] == "SBUX"].iloc[-1]
    assert last["week_start"] == pd.Timestamp("2020-07-06")
    assert pd.isna(last["realized"])
    assert "SBUX" not in set(rows[2021]["symbol"])
    weights = pd.read_parquet(data / "backtests" / "2021.parquet")["weights"]
    assert not weights.str.contains("SBUX").any()
    assert weights.str.contains("DIS").any()
