"""A data folder in a notebook: `docs/notebook.md`, the example, and what each name gives on a finished backfill."""

import logging
import re
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient
from upath import UPath

import brain_assets as ba
from brain_assets.errors import BrainAssetsError, RunError, TrainingError
from brain_assets.graph.assets import models
from brain_assets.portfolio.strategy import CASH
from brain_assets_tests.backfills import REPOSITORY, YEARS, Finished
from brain_assets_tests.conftest import SYMBOLS, TINY
from brain_assets_tests.graph.worlds import HERE, NAMES
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import DATE, REPO, publish

pytestmark = pytest.mark.wings
GIVEN: dict[str, Any] = {"market": "simulator", "symbols": SYMBOLS, "last_year": YEARS[-1], "config": TINY}


@pytest.fixture
def study(finished: Finished) -> ba.Study:
    opened = ba.open(str(finished.data_dir))
    assert isinstance(opened, ba.Study)
    return opened


def stored(finished: Finished, name: str, *years: int) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(finished.data_dir / name / f"{year}.parquet") for year in years])


def test_tables_have_names_and_dates_and_leave_the_bootstrap_window_out(study: ba.Study, finished: Finished) -> None:
    assert repr(study) == f"Study of market simulator in {finished.data_dir}: backtests of 2020 to 2021"
    forecasts = study.forecasts()
    expected = stored(finished, "forecasts", 2020, 2021).set_index(["week_start", "symbol"])
    pd.testing.assert_frame_equal(forecasts, expected)
    pd.testing.assert_frame_equal(study.forecasts("2020-2021"), forecasts)
    assert len(study.forecasts(2021)) + len(study.forecasts(range(2019, 2021))) == len(forecasts)
    assert study.forecasts(bootstrap=True).index[0][0] == pd.Timestamp("2016-01-11")
    rows = stored(finished, "backtests", 2020, 2021)
    returns = study.backtest()
    assert (returns.index.name, returns.columns.name, returns.index.min().year) == ("week_start", "strategy", 2020)
    for name, own in rows.groupby("strategy"):
        np.testing.assert_array_equal(returns[name].dropna(), own["net_return"])
    held = study.weights("equal_weight", 2021)
    assert [*held.columns] == [*SYMBOLS, CASH]
    assert [*held.index] == [*study.backtest(2021)["equal_weight"].dropna().index]
    np.testing.assert_allclose(held.sum(axis=1), 1.0)
    assert len(study.table("raw_prices", 2019)) > 4 * 250


def test_a_snapshot_forecasts_from_tables_what_the_walk_forward_did(
    study: ba.Study, caplog: pytest.LogCaptureFixture
) -> None:
    prices = study.table("raw_prices")
    signals = {"news": study.table("raw_news_sentiment"), "fundamentals": study.table("raw_fundamentals")}
    for family, given in (("lstm", {}), ("patchtst", signals)):
        walked = study.forecasts(2021)
        walked = walked.loc[walked[f"{family}_source"] == "snapshot-2020-12-31", family].unstack()
        caplog.clear()
        forecasts = study.snapshot(family, 2020).forecast(prices, **given)
        assert caplog.messages == []
        pd.testing.assert_frame_equal(forecasts, walked, check_names=False)
        assert (forecasts.index.name, forecasts.columns.name) == ("week_start", "symbol")
    with caplog.at_level(logging.WARNING):
        alone = study.snapshot("patchtst", 2020).forecast(prices)
    assert caplog.messages[0].startswith("patchtst snapshot-2020-12-31 learned from news_sentiment, gross_margin")
    assert alone.shape == forecasts.shape
    assert np.isfinite(alone.to_numpy()).all()
    assert not alone.equals(forecasts)


def test_a_bucket_is_read_as_a_folder_is(study: ba.Study, finished: Finished) -> None:
    url = "memory://of-the-test/of-a-study"
    for path in (each for each in finished.data_dir.rglob("*") if each.is_file()):
        name = path.relative_to(finished.data_dir)
        if name.parts[0] != "dagster":
            UPath(f"{url}/{name}").parent.mkdir(parents=True, exist_ok=True)
            UPath(f"{url}/{name}").write_bytes(path.read_bytes())
    elsewhere = ba.open(url)
    assert elsewhere.backtest().equals(ba.open(finished.data_dir).backtest())
    assert elsewhere.snapshot("ppo", 2021).files == study.snapshot("ppo", 2021).files


def test_a_hub_repo_gives_snapshots(study: ba.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    files = study.snapshot("lstm", 2019).files
    with LoopbackHub() as hub:
        publish(hub, {DATE: files})
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        opened = ba.open(f"hf://{REPO}")
        assert opened.snapshot("lstm", 2019).files == files
        with pytest.raises(BrainAssetsError, match=r"^user/lstm@snapshot-2019-12-31/metadata.json: expected family pp"):
            opened.snapshot("ppo", 2019)


def test_charts_are_the_reports_own(study: ba.Study) -> None:
    returns = study.backtest()
    together = returns[(1 + returns).cumprod().dropna(axis="columns").columns]
    lines = {line.name: line for line in study.plot_equity().data}
    np.testing.assert_allclose(lines["equal weight"].y, (1 + together["equal_weight"]).cumprod(), atol=5e-5)
    assert lines["PPO"].x[0] == "2020-01-06"
    [lstm] = [each for each in study.plot_rank_correlation(2021).data if each.name == "LSTM"]
    assert np.round(lstm.x) == [2021]


def test_the_main_job_runs_from_python_by_the_driver_of_the_command_line(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = finished.copy(tmp_path)
    study = ba.run(2019, 2021, folder=str(data), **GIVEN)
    assert f"0 made, 0 run without change, {3 * len(NAMES)} done before, 0 not done" in capsys.readouterr().out
    status = study.status()
    assert (sorted(status.index), [*status.columns]) == (sorted(NAMES), [*YEARS])
    assert set(status.to_numpy().ravel()) == {"done"}
    asked_for_defaults = ba.open(data).status()
    assert asked_for_defaults.loc["lstm_snapshot", 2020] == "stale: trained with another configuration"

    def fails(*_: Any, **__: Any) -> None:
        raise TrainingError("lstm: expected luck, got none.")

    monkeypatch.setenv("BRAIN_PLUGINS", HERE)
    monkeypatch.setattr(models, "train_snapshot", fails)
    (data / "models/lstm/snapshot-2021-12-31/metadata.json").unlink()
    with pytest.raises(RunError, match="expected all years of all assets to be made, got none of lstm_snapshot 2021; "):
        ba.run(2019, 2021, folder=data, engine="here", **GIVEN)
    assert "lstm: expected luck, got none." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("study.forecasts(2019)", "walkforward_forecasts: expected years after 2019, got 2019; 2019 holds the"),
        ("study.backtest(2030)", r"backtest\[2030\] is not materialized"),
        ("study.backtest('20')", "years: expected 2021 or 2019-2022, got 20; correct it"),
        ("study.weights('pp')", "strategy: expected one of .*ppo.*, got 'pp'"),
        ("study.table('mine')", "mine: expected years after 2019, got none; make them with run"),
        ("study.snapshot('lstm', 2001)", "snapshot-2001-12-31: expected a snapshot, but there is none"),
        ("ba.open('nowhere')", "nowhere: expected a data folder, got nothing there"),
        ("ba.open('s3:///key')", "folder: expected a bucket"),
        ("ba.open(study.settings.data_dir, market='sample')", "expected results of the market asked for"),
        ("ba.run(2019, market='simulator', folder='unmade', jobs=0)", "jobs: expected 1 or more, got 0"),
        ("ba.run(2021, 2019, market='simulator', folder='unmade')", "expected the earlier year first, got 2021-2019"),
        ("ba.testing.world(families=('lstn',))", "families: expected some of lstm, .*, got lstn"),
    ],
)
def test_bad_input_is_a_sentence(
    study: ba.Study, call: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BrainAssetsError, match=words):
        eval(call, {"study": study, "ba": ba})


@pytest.mark.slow
def test_every_snippet_of_the_page_runs(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (REPOSITORY / "docs" / "notebook.md").read_text()
    monkeypatch.chdir(tmp_path)
    finished.copy(tmp_path).rename(tmp_path / "demo")
    (tmp_path / "data").mkdir()
    (tmp_path / "demo").rename(tmp_path / "data/demo")
    names: dict[str, Any] = {"given": GIVEN}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        small = block.replace('2022, market="sample"', "2021, **given")  # what the folder of the test is of
        exec(small, names)
    assert names["wealth"].index.min().year == 2020
    assert names["rank_correlation"].between(-1, 1).all()
    for name in ("test_one_year", "test_years_that_follow_each_other"):
        exec(f"{name}()", names)
    for code in re.findall(r"`(study\.[^`]*\))`", page):
        eval(code, names)


@pytest.mark.slow
def test_the_example_runs_in_a_kernel_and_is_kept_without_outputs() -> None:
    notebook = nbformat.read(REPOSITORY / "examples" / "study.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(REPOSITORY)}}).execute()
    said = "".join(output.text for output in cells[0].outputs if output.output_type == "stream")
    assert "2020 backtest               made in" in said
    assert "24 made, 0 run without change, 0 done before, 0 not done" in said
    assert "\x1b" not in said  # plain lines: a live one would be shown a thousand times
    for cell in cells[-2:]:
        assert "application/vnd.plotly.v1+json" in cell.outputs[-1].data
