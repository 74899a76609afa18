"""`brain-assets report`, as its users run it."""

import re
from pathlib import Path

import dagster as dg
import pytest

from brain_assets_tests.backfills import brain_assets, shared_backfill


@pytest.mark.slow
def test_report_prints_the_conclusion_and_the_figures_and_where_it_lies(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    data = shared_backfill(tmp_path_factory).copy(tmp_path)
    done = brain_assets(data, "report", "--years", "2020-2021")
    assert done.returncode == 0, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert words.startswith("Over 104 weeks (2020-2021) and after costs, ")
    assert "It cannot be concluded " in words
    assert "anything about a real market, since this one is made up." in words
    for label in ("PPO", "SAC", "equal weight", "buy and hold"):
        assert label in words
    path = data / "reports" / "simulator-2020-2021.html"
    assert re.search(rf"{re.escape(str(path))}, 2\.\d MB, in [0-9.]+ s", done.stdout)
    assert "<title>Backtest of 2020-2021, market simulator</title>" in path.read_text(encoding="utf-8")
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("report"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.metadata["path"].value == str(path)
    assert "rank_correlation" in event.asset_materialization.metadata
