"""Postgres in place of SQLite: moving over, and what is said if the server cannot be used."""

import re
from pathlib import Path

import dagster as dg
import pytest

from brain_assets_tests.backfills import ASSETS, YEARS, brain_assets, contents, identities, outcomes, shared_backfill
from brain_assets_tests.backfills import weights as weights_of
from brain_assets_tests.graph.worlds import MODELS
from brain_assets_tests.postgres import home_on_postgres, postgres_url


@pytest.mark.slow
def test_moving_to_an_empty_server_trains_nothing_and_ends_green(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = shared_backfill(tmp_path_factory)
    data, home = finished.copy(tmp_path), home_on_postgres(tmp_path / "home")
    years, config = f"{YEARS[0]}-{YEARS[-1]}", ("--config", str(finished.config))
    tables = {str(path.relative_to(data)): path for path in data.rglob("*.parquet")}
    models, rows = identities(weights_of(data)), contents(tables)
    with postgres_url() as url:
        variables = {"DAGSTER_HOME": str(home), "DAGSTER_POSTGRES_URL": url}
        adopted = brain_assets(data, "adopt", **variables)
        assert adopted.returncode == 0, adopted.stderr
        assert f"{3 * len(MODELS)} adopted" in adopted.stdout
        backfill = brain_assets(data, "backfill", years, *config, **variables)
        assert backfill.returncode == 0, backfill.stdout + backfill.stderr
        said = outcomes(backfill.stdout)
        computed = {asset for (_, asset), words in said.items() if words.startswith("made")}
        assert computed == {"walkforward_forecasts", "backtest"}
        assert all(said[year, asset].startswith("run, nothing had changed") for year in YEARS for asset in MODELS)
        assert f"6 made, {3 * len(ASSETS) - 6} run without change, 0 done before, 0 not done" in backfill.stdout
        again = brain_assets(data, "backfill", years, *config, **variables)
        assert f"0 made, 0 run without change, {3 * len(ASSETS)} done before, 0 not done" in again.stdout
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for asset in ASSETS:
                assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {str(year) for year in YEARS}
    assert identities(weights_of(data)) == models
    assert contents(tables) == rows  # what was computed again is the same to the byte
    assert not list(home.rglob("*.db"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", r"/dagster\.yaml: expected what Dagster can open, got: .*(DAGSTER_POSTGRES_URL|dagster_postgres)"),
        pytest.param(
            "postgresql+psycopg2://brain@127.0.0.1:1/dagster",
            ": expected Dagster's record, got: .*Connection refused",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_record_that_cannot_be_opened_is_one_sentence(tmp_path: Path, url: str, said: str) -> None:
    """The variable is not set, or dagster-postgres is not installed; or the server is down."""
    if url:
        pytest.importorskip("dagster_postgres", reason="no dagster-postgres: pip install 'brain_assets[postgres]'")
    home, variables = home_on_postgres(tmp_path / "home"), {"DAGSTER_POSTGRES_URL": url} if url else {}
    failed = brain_assets(tmp_path / "data", "status", DAGSTER_HOME=str(home), **variables)
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "Traceback" not in failed.stderr
    assert re.match(f"error: {home}{said}", failed.stderr.splitlines()[-1])
