"""The tables after a backfill: forecasters beside yardsticks, within the 80 columns of a terminal."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.cli_run import print_results
from brain_assets.forecasting.metrics import mean_skill, weekly_rank_correlation
from brain_assets.forecasting.yardsticks import YARDSTICKS
from brain_assets.parquet import encode_table
from brain_assets.registry import families_of
from brain_assets.terminal import console
from brain_assets_tests.report.toy_results import forecast_table

N_WEEKS, N_SYMBOLS = 52, 12


def year_of_forecasts(year: int, n_bootstrap: int) -> pd.DataFrame:
    table = forecast_table(N_WEEKS, 0.3, n_bootstrap, first=np.datetime64(f"{year}-01-06"))
    random = np.random.default_rng(year)
    own = {name: random.normal(size=len(table)) for name in YARDSTICKS}
    source = table["lstm_source"].map(lambda name: name if name == "momentum" else f"lstm {name}, patchtst {name}")
    return table.assign(average=table["lstm"] + table["patchtst"], average_source=source, **own)


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "forecasts").mkdir()
    for year, n_bootstrap in ((2019, N_WEEKS), (2020, 0), (2021, 2)):
        (tmp_path / f"forecasts/{year}.parquet").write_bytes(encode_table(year_of_forecasts(year, n_bootstrap)))
    monkeypatch.setattr(console, "width", 80)
    with console.capture() as captured:
        print_results(tmp_path, [2019, 2020, 2021, 2022], families_of())
    return captured.get().splitlines()


def cells(lines: list[str], year: str) -> dict[str, list[str]]:
    rows = [re.split(" {2,}", line.strip()) for line in lines if line.strip().startswith(f"{year} ")]
    return {row[1]: row[2:] for row in rows if row[1] != "–"}  # as in the table of portfolios, of which there are none


def test_forecasters_stand_beside_yardsticks_within_80_columns(lines: list[str]) -> None:
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert not any("…" in line for line in lines)
    table, found = year_of_forecasts(2020, 0), cells(lines, "2020")
    names = ["LSTM", "PatchTST", "average", *(each.label for each in YARDSTICKS.values())]
    assert list(found)[:2] == names[:2]
    assert list(found)[-4:] == names[2:]
    shape = (N_WEEKS, N_SYMBOLS)
    wide = {name: table[name].to_numpy().reshape(shape) for name in ("lstm", "average", "reversal", "realized")}
    for name, label in (("lstm", "LSTM"), ("average", "average"), ("reversal", "1-week reversal")):
        skill = mean_skill(weekly_rank_correlation(wide[name], wide["realized"]))
        expected = [f"{skill.rank_correlation:+.3f}", f"{skill.t_statistic:+.1f}", f"{skill.smallest_detectable:.3f}"]
        assert found[label][-3:] == expected
    assert found["LSTM"][:3] == ["–"] * 3  # there is no snapshot to tell losses of


def test_a_year_without_models_has_yardsticks_alone_and_all_years_those_of_models(lines: list[str]) -> None:
    first = cells(lines, "2019")
    assert first["LSTM"] == ["–"] * 6
    assert "average" not in first
    assert first["4-week momentum"][0] != "–"
    assert cells(lines, "2022")["LSTM"] == ["–"] * 6
    tables = [year_of_forecasts(2020, 0), year_of_forecasts(2021, 2).iloc[2 * N_SYMBOLS :]]
    for name, label in (("patchtst", "PatchTST"), ("momentum_12_1", "12-1 momentum")):
        wide = [
            np.concatenate([table[column].to_numpy().reshape(-1, N_SYMBOLS) for table in tables])
            for column in (name, "realized")
        ]
        skill = mean_skill(weekly_rank_correlation(*wide))
        assert cells(lines, "all")[label][0] == f"{skill.rank_correlation:+.3f}"
        assert cells(lines, "all")[label][2] == f"{skill.smallest_detectable:.3f}"
