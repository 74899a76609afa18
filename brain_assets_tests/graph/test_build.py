"""What some settings stand for, side by side in one process: years, stores, run configurations, families of others."""

import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.test_utils import freeze_time

from brain_assets.errors import SettingsError, StorageError
from brain_assets.graph.build import WALKFORWARD, build_definitions, open_project
from brain_assets.graph.project import Project, table_store
from brain_assets.graph.years import Years
from brain_assets.market.sample import SampleMarket
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.worlds import DEFS


@pytest.fixture
def projects(tmp_path: Path) -> dict[str, Project]:
    sample: dict[str, Any] = {"market": "sample", "symbols": "AAPL,KO", "first_year": "1990", "bootstrap_years": "3"}
    made_up: dict[str, Any] = {"market": "simulator", "symbols": "AAA,BBB,CCC", "last_year": "2021"}
    return {
        name: open_project(read_settings(data_dir=str(tmp_path / name), **values))
        for name, values in {"sample": sample, "made_up": made_up}.items()
    }


def materialize(project: Project, instance: dg.DagsterInstance, year: int) -> None:
    job = project.definitions.resolve_job_def("walkforward")
    chosen = [dg.AssetKey("raw_prices")]
    assert job.execute_in_process(instance=instance, partition_key=str(year), asset_selection=chosen).success


@pytest.mark.wings
def test_two_markets_in_one_process_share_nothing(projects: dict[str, Project]) -> None:
    sample, made_up = projects["sample"], projects["made_up"]
    assert (sample.years.existing()[0], sample.years.last()) == (1992, 2022)
    assert (made_up.years.existing()[0], made_up.years.last()) == (2019, 2021)
    with dg.DagsterInstance.ephemeral() as one, dg.DagsterInstance.ephemeral() as other:
        materialize(sample, one, 1992)
        materialize(made_up, other, 2019)
        materialize(sample, one, 1993)
        for project, instance, years in ((sample, one, {"1992", "1993"}), (made_up, other, {"2019"})):
            assert instance.get_materialized_partitions(dg.AssetKey("raw_prices")) == years
            tables = (project.definitions.resources or {})["table_io"].store
            stored = tables.read("raw_prices", sorted(map(int, years)))
            assert tuple(stored["symbol"].unique()) == project.settings.symbols
            assert stored["date"].min().year == project.settings.first_year
            written = sorted(path.name for path in (Path(project.settings.data_dir) / "raw" / "prices").iterdir())
            assert written == [f"{year}.parquet" for year in sorted(years)]


@pytest.mark.wings
def test_what_follows_from_settings_is_each_projects_own(projects: dict[str, Project], tmp_path: Path) -> None:
    owned = open_project(read_settings(data_dir=str(tmp_path), market="sample", owners=("team:risk",)))
    specs = owned.definitions.resolve_all_asset_specs()
    assert {(*spec.owners, spec.tags["market"]) for spec in specs} == {("team:risk", "sample")}
    resources = [project.definitions.resources or {} for project in projects.values()]
    folders = {each["snapshot_io"].storages["lstm"].folder for each in resources}
    assert folders == {tmp_path / name / "models" / "lstm" for name in projects}


@pytest.mark.wings
def test_a_data_folder_and_its_files_can_be_moved_and_symbols_named_in_any_order(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("here", "there")}
    for folder in files.values():
        folder.mkdir()
    frame = pd.DataFrame({"value": [1.5]})
    asked = {"market": "files", "files_dir": files["here"], "symbols": ("AAA", "BBB"), "data_dir": tmp_path / "data"}
    table_store(read_settings(**asked)).write("backtest", 2020, frame)
    asked["data_dir"] = (tmp_path / "data").rename(tmp_path / "restored")
    moved = table_store(read_settings(**asked | {"files_dir": files["there"], "symbols": ("BBB", "AAA")}))
    pd.testing.assert_frame_equal(moved.read("backtest", [2020]), frame)
    assert str(tmp_path) not in (tmp_path / "restored" / "market.json").read_text()
    with pytest.raises(StorageError, match="expected results of the market asked for"):
        table_store(read_settings(**asked | {"symbols": ("AAA",)})).read("backtest", [2020])


@pytest.mark.wings
def test_each_family_goes_to_its_own_repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repos = {family: f"user/models-of-{family}" for family in FAMILIES}
    for family, repo in repos.items():
        monkeypatch.setenv(f"HF_{family.upper()}_MODEL_REPO", repo)
    settings = read_settings(data_dir=str(tmp_path), storage_backend="hf", hf_token="hf_any")
    storages = build_definitions(settings).resources["snapshot_io"].storages
    assert {family: storage.repo.repo for family, storage in storages.items()} == repos
    settings = read_settings(data_dir=str(tmp_path), storage_backend="local")
    storages = build_definitions(settings).resources["snapshot_io"].storages
    assert {storage.hub for storage in storages.values()} == {None}


NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))


@pytest.mark.parametrize(
    ("now", "keys"),
    [
        (datetime.datetime(2021, 12, 31, 23, 59, 59, tzinfo=NEW_YORK), [2019, 2020]),
        (datetime.datetime(2022, 1, 1, 0, 0, 0, tzinfo=NEW_YORK), [2019, 2020, 2021]),
        (datetime.datetime(2022, 1, 1, 0, 0, 0, tzinfo=datetime.UTC), [2019, 2020]),  # still 2021 in New York
        (datetime.datetime(2019, 6, 1, tzinfo=NEW_YORK), []),
    ],
)
def test_unfinished_year_is_never_a_partition(now: datetime.datetime, keys: list[int]) -> None:
    for last_year in (None, "2035"):  # not even where it is asked for
        years = Years.of(read_settings(market="simulator", last_year=last_year), SimulatorMarket())
        with freeze_time(now):
            assert years.existing() == keys


def test_last_year_and_market_bound_the_years() -> None:
    with freeze_time(datetime.datetime(2026, 3, 1, tzinfo=NEW_YORK)):
        years = Years.of(read_settings(market="simulator", last_year="2021"), SimulatorMarket())
        assert years.existing() == [2019, 2020, 2021]
        years = Years.of(read_settings(market="sample"), SampleMarket())
        assert years.existing() == [2019, 2020, 2021, 2022]
        settings = read_settings(market="sample", first_year="1990", bootstrap_years="3", last_year="1994")
        assert Years.of(settings, SampleMarket()).existing() == [1992, 1993, 1994]


def test_market_that_ends_before_the_bootstrap_window_does_is_one_sentence() -> None:
    settings = read_settings(market="sample", first_year="2021")
    with pytest.raises(
        SettingsError, match=r"expected a bootstrap window of 4 years that ends by 2022.* got 2021; set"
    ):
        Years.of(settings, SampleMarket())


def test_a_week_that_straddles_new_year_declares_the_older_snapshot_it_needs() -> None:
    graph = DEFS.resolve_asset_graph()
    for child, parent in (("walkforward_forecasts", "lstm_snapshot"), ("backtest", "ppo_policy")):
        with partition_loading_context():
            needs = graph.get_parents_partitions(dg.AssetKey(child), "2025").parent_partitions
        years = {need.partition_key for need in needs if need.asset_key == dg.AssetKey(parent)}
        assert years == {"2023", "2024"}  # the week of 2024-12-30 begins before the cut-off of 2024


@pytest.mark.parametrize(
    ("job", "asset", "values", "sentence"),
    [
        (WALKFORWARD, "patchtst_snapshot", {"d_model": 6, "n_heads": 4}, "n_heads: expected a divisor of d_model = 6"),
        (WALKFORWARD, "walkforward_forecasts", {"average": ["lstn"]}, "average: expected forecasters among lstm, "),
        (WALKFORWARD, "ppo_policy", {"n_seeds": 0}, "n_seeds: expected greater than or equal to 1, got 0"),
        (WALKFORWARD, "lstm_snapshot", {"target": "foo"}, "Literal['raw', 'demeaned', 'ranked'] got foo"),
        (WALKFORWARD, "raw_news_sentiment", {"batch_size": 0}, "batch_size: expected greater than or equal to 1"),
        pytest.param(
            *("weekly_weights", "target_weights", {"max_model_age_days": 0}, "max_model_age_days: expected greater"),
            marks=pytest.mark.wings,
        ),
        (WALKFORWARD, "ppo_policy", {"device": "gpu"}, "Value at path root:ops:ppo_policy:config:device"),
    ],
)
def test_what_is_impossible_is_refused_before_a_run_begins(
    job: str, asset: str, values: dict[str, Any], sentence: str
) -> None:
    wrong = {"ops": {asset: {"config": values}}}
    with pytest.raises(dg.DagsterInvalidConfigError) as caught:
        dg.validate_run_config(DEFS.resolve_job_def(job), wrong)
    assert sentence in str(caught.value)
    with dg.DagsterInstance.ephemeral() as instance:  # as the launchpad does, in the code location: no run is stored
        with pytest.raises(dg.DagsterInvalidConfigError):
            instance.create_run_for_job(DEFS.resolve_job_def(job), run_config=wrong)
        assert instance.get_runs_count() == 0


PLUGINS = "examples.pls_forecaster,examples.momentum_policy"
MADE = ("pls_snapshot", "momentum_rank_policy")


@pytest.mark.wings
def test_assets_follow_from_registration_and_are_of_their_own_settings_only() -> None:
    ours, theirs = projects = open_project(read_settings()), open_project(read_settings(plugins=PLUGINS))
    keys = [{asset.key.to_user_string() for asset in project.definitions.assets} for project in projects]
    assert keys[1] - keys[0] == {*MADE, "pls_model"}
    graph = theirs.definitions.resolve_asset_graph()
    pls, policy = (graph.get(dg.AssetKey(name)) for name in MADE)
    assert {key.to_user_string() for key in pls.parent_keys} == {"raw_prices"}  # it sees returns alone
    assert dg.AssetKey("walkforward_forecasts") in policy.parent_keys
    assert pls.code_version == theirs.settings.families.forecasters["pls"].code_version
    assert str(pls.description).startswith("PLS forecaster of weekly returns")
    assert {key.name for key in pls.check_keys} == {
        key.name for key in graph.get(dg.AssetKey("lstm_snapshot")).check_keys
    }
    for project, has in ((ours, False), (theirs, True)):
        known = project.definitions.resolve_asset_graph()
        schema = known.get(dg.AssetKey("walkforward_forecasts")).metadata["dagster/column_schema"]
        columns = {column.name for column in schema.columns}
        assert ({"pls", "pls_source"} <= columns) is has
        for name, needed in (("walkforward_forecasts", MADE[0]), ("backtest", MADE[1]), ("target_weights", MADE[0])):
            assert (dg.AssetKey(needed) in known.get(dg.AssetKey(name)).parent_keys) is has
        assert project.definitions.resolve_job_def("walkforward").has_node_named(MADE[0]) is has
        assert ("pls" in (project.definitions.resources or {})["snapshot_io"].storages) is has
