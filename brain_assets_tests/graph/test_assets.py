"""Every asset really runs: real Dagster, small but real models, prices that move, several years."""

import copy
import datetime
import hashlib
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import torch
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from brain_assets.errors import ConfigError, SnapshotError
from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import weekly_correlations
from brain_assets.forecasting.yardsticks import YARDSTICKS, column_label
from brain_assets.graph.checks import (
    BACKTEST_CHECKS,
    FORECAST_CHECKS,
    FORECASTER_CHECKS,
    POLICY_CHECKS,
    PRICE_CHECKS,
    SIGNAL_CHECKS,
)
from brain_assets.graph.io_managers import TableIOManager
from brain_assets.graph.runs import PROCESS_TAG
from brain_assets.graph.status import StatusReader
from brain_assets.graph.tasks import Task
from brain_assets.graph.work import Worker
from brain_assets.market.calendar import sessions_between
from brain_assets.portfolio.baselines import benchmark_strategies, is_tenth, is_top
from brain_assets.portfolio.trials import read_trials
from brain_assets.progress import overheard
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import FORECASTERS, SYMBOLS, TINY_LSTM, TINY_PPO
from brain_assets_tests.graph.test_checks import evaluations
from brain_assets_tests.graph.worlds import (
    MODELS,
    POLICY_ASSETS,
    PROJECT,
    RAW,
    RUN_CONFIG,
    SNAPSHOTS,
    TABLES,
    YEARLY,
    metadata_of,
    run_year,
    world,
)

YEARS = (2019, 2020, 2021)
CHECKS = {
    "raw_prices": PRICE_CHECKS,
    "raw_news_sentiment": SIGNAL_CHECKS,
    "raw_fundamentals": SIGNAL_CHECKS,
    **dict.fromkeys(SNAPSHOTS, FORECASTER_CHECKS),
    "walkforward_forecasts": FORECAST_CHECKS,
    **dict.fromkeys(POLICY_ASSETS, POLICY_CHECKS),
    "backtest": BACKTEST_CHECKS,
}
BENCHMARKS = [name for name in benchmark_strategies((*FORECASTERS, "average")) if not is_tenth(name)]


def test_one_partition_materializes_to_memory(market: SimulatorMarket) -> None:
    """Dagster's own in-memory IO managers hand over what the same run has made."""
    result = dg.materialize_to_memory(YEARLY, partition_key="2019", resources={"market": market}, run_config=RUN_CONFIG)
    forecasts = result.output_for_node("walkforward_forecasts")
    for family in FORECASTERS:
        assert set(forecasts[f"{family}_source"]) == {"momentum"}  # the year's own snapshot is never used on it
    assert forecasts["week_start"].min() == pd.Timestamp("2016-01-11")
    assert result.output_for_node("raw_prices")["symbol"].nunique() == len(SYMBOLS)


@pytest.fixture(scope="module")
def three_years(
    market: SimulatorMarket, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[int, dg.ExecuteInProcessResult], Path, MemoryTableStore]:
    folder, tables = tmp_path_factory.mktemp("memory") / "models", MemoryTableStore()
    resources = world(market, folder, tables)
    return {year: run_year(year, resources) for year in YEARS}, folder, tables


@pytest.fixture
def after_the_first(market: SimulatorMarket, three_years: tuple, tmp_path: Path) -> tuple[Mapping[str, Any], Path]:
    """The same world when its first year was done and no other begun."""
    _, folder, tables = three_years
    models = tmp_path / "first"
    shutil.copytree(folder, models, ignore=shutil.ignore_patterns("*2020-12-31", "*2021-12-31"))
    return world(market, models, copied(tables, TABLES, (2019,))), models


def copied(tables: MemoryTableStore, names: Sequence[str] = TABLES, years: Sequence[int] = YEARS) -> MemoryTableStore:
    own = MemoryTableStore()
    for name, year in itertools.product(names, years):
        own.write(name, year, tables.read_year(name, year))
    return own


def run_one(
    name: str, year: int, resources: Mapping[str, Any], instance: dg.DagsterInstance | None = None, **config: Any
) -> dict[str, Any]:
    """Make a year of an asset; gives what its materialization shows."""
    options = {"ops": {name: {"config": config}}} if config else None
    return metadata_of(run_year(year, resources, instance, [name], options), name)


def test_seeds_that_an_io_manager_would_not_keep_are_refused(after_the_first: tuple) -> None:
    resources = {**after_the_first[0], "snapshot_io": dg.InMemoryIOManager()}
    with pytest.raises(ConfigError, match="n_seeds: expected 1, as this IO manager keeps one model, got 2"):
        run_one("ppo_policy", 2019, resources, **TINY_PPO, n_seeds=2)


def test_every_check_is_made_for_every_year_and_carries_it(three_years: tuple) -> None:
    for year, result in three_years[0].items():
        found = evaluations(result)
        assert set(found) == {(asset, name) for asset, checks in CHECKS.items() for name in checks}
        for (asset, name), evaluation in found.items():
            check = CHECKS[asset][name]
            assert (evaluation.blocking, evaluation.partition) == (check.blocks, str(year))
            assert evaluation.passed or not check.blocks
            assert evaluation.description
            expected = dg.AssetCheckSeverity.ERROR if check.blocks else dg.AssetCheckSeverity.WARN
            assert evaluation.severity == expected


def test_columns_are_described_as_they_are_stored(three_years: tuple) -> None:
    for asset in (each for each in YEARLY if each.key.to_user_string() in TABLES):
        stored = three_years[2].read_year(asset.key.to_user_string(), 2021)
        shown = asset.metadata_by_key[asset.key]["dagster/column_schema"].columns
        assert [(column.name, column.type) for column in shown] == [
            (name, str(kind)) for name, kind in stored.dtypes.items()
        ]
        assert all(column.description for column in shown)


def test_every_year_gets_the_right_window(three_years: tuple) -> None:
    results, _, _ = three_years
    for year, first in ((2019, "2016-01-04"), (2020, "2020-01-02"), (2021, "2021-01-04")):
        prices = metadata_of(results[year], "raw_prices")
        assert prices["first_date"] == first
        assert prices["last_date"] == f"{year}-12-31"
        scheduled = len(sessions_between(datetime.date.fromisoformat(first), datetime.date(year + 1, 1, 1)))
        assert prices["sessions"] == f"{scheduled} of {scheduled}"
        filed_from = "2015-01-01" if year == 2019 else first  # the first week knows the last filing before it
        for name, column, start in (("raw_news_sentiment", "date", first), ("raw_fundamentals", "filed", filed_from)):
            signals = metadata_of(results[year], name)
            assert start <= signals[f"first_{column}"] <= signals[f"last_{column}"] <= f"{year}-12-31"
            assert (signals["symbols"], signals["source"]) == (len(SYMBOLS), "made up")
        for name in SNAPSHOTS:
            data = metadata_of(results[year], name)["training_data"]
            assert data["first_session"] == "2016-01-04"
            assert data["last_session"] == f"{year}-12-31"
            assert data["first_validation_week"] <= f"{year}-01-07"
            assert f"{year}-12-24" < data["last_validation_target"] == data["last_training_target"] <= f"{year}-12-31"
        for name in ("ppo_policy", "sac_policy", "direct_policy"):
            policy = metadata_of(results[year], name)["training_data"]
            assert policy["first_week"] == "2016-02-08"
            assert policy["last_week"] <= f"{year}-12-31"


def test_forecasts_come_from_the_snapshot_of_the_year_before(three_years: tuple) -> None:
    results, _, tables = three_years
    for family in FORECASTERS:
        sources = {
            year: metadata_of(results[year], "walkforward_forecasts")["weeks_by_source"][family] for year in YEARS
        }
        assert set(sources[2019]) == {"momentum"}
        assert sources[2020] == {"momentum": 1, "snapshot-2019-12-31": 52}  # the week of 2019-12-30 straddles New Year
        assert sources[2021] == {"snapshot-2020-12-31": 52}  # the last week of 2020 ended on New Year's Eve
    shown = metadata_of(results[2021], "walkforward_forecasts")
    newest = ", ".join(f"{family} snapshot-2020-12-31" for family in FORECASTERS)
    assert shown["weeks_by_source"]["average"] == {newest: 52}
    for year, name in itertools.product((2020, 2021), ("lstm", "patchtst", "average", *YARDSTICKS)):
        shown = metadata_of(results[year], "walkforward_forecasts")
        weekly = weekly_correlations(tables.read_year("walkforward_forecasts", year))[name].to_numpy()
        mean, t_statistic, detectable, _ = mean_skill(weekly)  # those of the tables that a command prints
        line = next(each.data for each in shown["skill"].records if each.data["forecast"] == column_label(name))
        assert (line["rank correlation"], line["t"]) == (f"{mean:+.3f}", f"{t_statistic:+.1f}")
        assert line["detectable"] == f"{detectable:.3f}"
        assert shown.get(f"eval/{name}_rank_correlation", round(mean, 6)) == round(mean, 6)
    shown = metadata_of(results[2019], "walkforward_forecasts")
    assert [each.data["forecast"] for each in shown["skill"].records] == [each.label for each in YARDSTICKS.values()]
    assert not [key for key in shown if key.startswith("eval/")]


def test_what_is_averaged_is_configured(three_years: tuple, market: SimulatorMarket) -> None:
    resources = world(market, three_years[1], copied(three_years[2], RAW))
    tables = resources["table_io"].store

    def run(*average: str) -> pd.DataFrame:
        run_one("walkforward_forecasts", 2021, resources, average=list(average))
        return tables.read_year("walkforward_forecasts", 2021)

    assert set(run("patchtst:3")["average_source"]) == {"patchtst snapshot-2020-12-31, patchtst snapshot-2019-12-31"}
    assert "average" not in run()
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"average: expected forecasters among .* got 'none'"):
        run("none")


def test_policies_trade_the_year_after_beside_every_baseline(three_years: tuple) -> None:
    results, _, tables = three_years
    shown = {year: metadata_of(results[year], "backtest") for year in YEARS}
    assert shown[2019]["rules_left_out"] == ", ".join(name for name in BENCHMARKS if name != "equal_weight")
    assert shown[2020]["rules_left_out"] == shown[2021]["rules_left_out"] == "none"
    # the first week of 2020 begins before New Year, when no model was finished
    assert [shown[year]["weeks_left_out"] for year in YEARS] == ["0", "1", "0"]
    assert set(tables.read_year("backtest", 2019)["strategy"]) == {"equal_weight"}  # no policy was finished before it
    for year, n_weeks in ((2020, 52), (2021, 52)):
        table = tables.read_year("backtest", year)
        assert list(table.columns) == ["week_start", "strategy", "net_return", "turnover", "weights"]
        n_by_strategy = table.groupby("strategy")["week_start"].nunique().to_dict()
        assert n_by_strategy == dict.fromkeys(("ppo", "sac", "direct", *BENCHMARKS), n_weeks)
        for strategy, weights in zip(table["strategy"], table["weights"].map(pd.io.json.ujson_loads), strict=True):
            assert sum(weights.values()) == pytest.approx(1)
            assert weights["cash"] >= 0.02 - 1e-9
            most = 0.49 if is_top(strategy) else 0.2  # a third of six symbols is two
            assert max(weight for name, weight in weights.items() if name != "cash") <= most + 1e-9


def test_a_year_goes_on_from_the_end_of_the_year_before_and_is_stale_when_that_is_made_anew(
    market: SimulatorMarket, three_years: tuple, tmp_path: Path
) -> None:
    results, folder, tables = three_years
    begun = {year: metadata_of(results[year], "backtest")["begins_in"] for year in YEARS}
    assert begun == {2019: "cash", 2020: "cash", 2021: "what was held at the end of 2020"}
    bought = [tables.read_year("backtest", year).groupby("strategy")["turnover"].first() for year in YEARS]
    assert bought[1].min() > 0.2  # equal weight, too: it traded in 2019 alone, and is compared from 2020 on
    assert bought[2]["buy_and_hold"] < 0.02  # to the least cash, and below the cap
    own = copied(tables, [name for name in TABLES if name != "backtest"])
    shutil.copytree(folder, tmp_path / "models")
    resources = world(market, tmp_path / "models", own)
    defs = dg.Definitions(YEARLY, resources=resources)

    def made(year: int) -> str:
        said: list[str] = []
        with overheard(lambda line, _level: said.append(line)):
            shown = run_one("backtest", year, resources, instance)["begins_in"]
        alone = "backtest[2021]: every strategy begins in cash, since there is no backtest[2020]"
        assert (alone in said) == (year == 2021 and shown == "cash")
        return shown

    def state() -> str:
        return StatusReader(defs, instance, None).read("backtest", 2021).reason

    with dg.DagsterInstance.ephemeral() as instance:
        assert (made(2021), state()) == ("cash", "")
        assert (made(2020), state()) == ("cash", "made before backtest[2020]")
        assert (made(2021), state()) == ("what was held at the end of 2020", "")
        pd.testing.assert_frame_equal(own.read_year("backtest", 2021), tables.read_year("backtest", 2021))
        other = dg.AssetMaterialization("backtest", partition="2020", tags={DATA_VERSION_TAG: "other"})
        instance.report_runless_asset_event(other)
        assert state() == "backtest[2020] changed"


def test_other_seeds_are_trained_beside_the_policy_and_trade_beside_it(
    market: SimulatorMarket, three_years: tuple, tmp_path: Path
) -> None:
    results, folder, tables = three_years
    shutil.copytree(folder, tmp_path / "models")
    resources, tables = world(market, tmp_path / "models", tables), copy.deepcopy(tables)
    resources = {**resources, "table_io": TableIOManager(tables, tmp_path)}
    thrice = {"ops": {"ppo_policy": {"config": {**TINY_PPO, "n_seeds": 3}}}}
    run = run_year(2020, resources, names=["ppo_policy"], run_config=thrice)
    made = metadata_of(run, "ppo_policy")
    folders = [tmp_path / "models" / "seeds" / number / "ppo" / "snapshot-2020-12-31" for number in "12"]
    assert made["other_seeds"] == [str(folder) for folder in folders]
    assert made["reused"] is False
    assert made["fingerprint"] == metadata_of(results[2020], "ppo_policy")["fingerprint"]  # the policy is the same
    assert data_version(run, "ppo_policy") != data_version(results[2020], "ppo_policy")  # and what trades is not
    assert [json.loads((folder / "config.json").read_text())["training"]["seed"] for folder in folders] == [1, 2]
    assert run_one("ppo_policy", 2020, resources, **TINY_PPO, n_seeds=3)["reused"] is True
    stamps = [(folder / "weights.pt").stat().st_mtime_ns for folder in folders]
    assert run_one("ppo_policy", 2020, resources, **TINY_PPO, n_seeds=3, force=True)["reused"] is False
    assert all((folder / "weights.pt").stat().st_mtime_ns > old for folder, old in zip(folders, stamps, strict=True))
    shown = run_one("backtest", 2021, resources)
    traded = tables.read_year("backtest", 2021)
    weekly = traded.loc[traded["strategy"] == "ppo", "net_return"]
    assert shown["seeds_left_out"] == "none"
    lines = {record.data["strategy"]: record.data for record in shown["strategies"].records}
    assert float(lines["ppo"]["Sharpe ratio"]) == round(weekly.mean() / weekly.std() * 52**0.5, 2)
    assert float(lines["ppo"]["active return"].removesuffix(" pp")) == round(100 * shown["eval/ppo_active_return"], 1)
    assert lines["equal_weight"]["break-even"] == "–"
    assert set(traded["strategy"]) == {"ppo", "sac", "direct", "ppo_seed_1", "ppo_seed_2", *BENCHMARKS}
    shutil.rmtree(folders[1])
    assert run_one("backtest", 2021, resources)["seeds_left_out"] == "ppo_seed_2"
    assert set(tables.read_year("backtest", 2021)["strategy"]) == {"ppo", "sac", "direct", "ppo_seed_1", *BENCHMARKS}
    [direct, ppo, sac] = read_trials(tmp_path / "trials")  # another seed is no other configuration
    assert (ppo.family, ppo.year, ppo.n_weeks, sac.family, direct.family) == ("ppo", 2021, 52, "sac", "direct")


def test_other_seeds_that_a_worker_has_trained_are_found(
    market: SimulatorMarket, three_years: tuple, tmp_path: Path
) -> None:
    """A forced run trains the policy again, and takes the seeds that were trained for it."""
    _, folder, tables = three_years
    shutil.copytree(folder, tmp_path / "models")
    resources = world(market, tmp_path / "models", tables)
    weights = [tmp_path / "models" / "seeds" / number / "ppo" / "snapshot-2020-12-31" / "weights.pt" for number in "12"]
    options = {**TINY_PPO, "n_seeds": 3, "force": True}
    project = replace(PROJECT, market=market, definitions=dg.Definitions(resources=resources))
    with dg.DagsterInstance.ephemeral() as instance:
        worker = Worker(project, instance)
        stamps = []
        for force in (True, False, True):
            for number in (1, 2):
                task = Task("ppo_policy", 2020, {**options, "force": force}, seed=number)
                worker.do(task, lambda _line, _level: None)
            stamps.append([path.stat().st_mtime_ns for path in weights])
    assert stamps[0] == stamps[1]
    assert all(new > old for old, new in zip(*stamps[1:], strict=True))
    made = dg.materialize(
        YEARLY,
        selection=["ppo_policy"],
        partition_key="2020",
        resources=dict(resources),
        run_config={"ops": {"ppo_policy": {"config": options}}},
        tags={PROCESS_TAG: "1@here"},
    )
    assert metadata_of(made, "ppo_policy")["reused"] is False
    assert [path.stat().st_mtime_ns for path in weights] == stamps[-1]
    seeds = [resources["snapshot_io"].storages["ppo"].of_seed(number) for number in (1, 2)]
    assert [seed.load_snapshot(cutoff_of_year(2020)).config["training"]["seed"] for seed in seeds] == [1, 2]


def data_version(result: dg.ExecuteInProcessResult, name: str) -> str:
    [event] = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(name)]
    return str((event.materialization.tags or {})[DATA_VERSION_TAG])


def test_a_trial_names_the_configuration_of_the_forecaster_that_it_traded_on(three_years: tuple) -> None:
    """In the first week of 2020 it was momentum."""
    folder = three_years[1]
    for family, forecaster in (("ppo", "lstm"), ("sac", "patchtst"), ("direct", "boosting")):
        [trial] = (folder.parent / "trials").glob(f"{family}-*-2020.json")
        metadata = json.loads((folder / forecaster / "snapshot-2019-12-31" / "metadata.json").read_text())
        assert json.loads(trial.read_text())["forecaster"] == metadata["fingerprint"]["config"]


def test_a_policy_of_the_year_before_that_is_gone_is_named_and_no_older_one_trades(
    market: SimulatorMarket, three_years: tuple, tmp_path: Path
) -> None:
    _, folder, tables = three_years
    shutil.copytree(folder, tmp_path / "models")
    shutil.rmtree(tmp_path / "models" / "sac" / "snapshot-2020-12-31")
    with pytest.raises(SnapshotError, match="sac/snapshot-2020-12-31: expected a snapshot, but there is none; train"):
        run_year(2021, world(market, tmp_path / "models", tables), names=["backtest"])


def test_materializations_carry_figures_and_pictures(three_years: tuple) -> None:
    results, folder, _ = three_years
    for name, key in (
        *((name, "learning_curve") for name in MODELS if name not in SNAPSHOTS[2:]),
        ("walkforward_forecasts", "rank_correlation"),
        ("backtest", "equity"),
    ):
        shown = metadata_of(results[2020], name)
        assert shown[key].startswith("![")
        assert len(shown[key]) < 1000  # else the UI shows a link in place of the picture
        assert list(shown).index(key) < 2
        plots = {name: value for name, value in shown.items() if isinstance(value, float)}
        assert plots == {name: round(value, 6) for name, value in plots.items()}
    model = metadata_of(results[2020], "lstm_snapshot")
    assert model["snapshot"] == str(folder / "lstm" / "snapshot-2020-12-31")
    assert 0.5 < model["validation/loss"] < 2
    assert 0.5 < model["validation/loss_of_zero"] < 2
    assert model["reused"] is False
    assert metadata_of(results[2021], "ridge_snapshot")["feature_weights"].schema.columns[-1].name == "2021"


def test_same_fingerprint_is_not_trained_again_unless_forced(
    three_years: tuple, after_the_first: tuple[Mapping[str, Any], Path]
) -> None:
    first, (resources, folder) = three_years[0][2019], after_the_first
    weights = folder / "lstm" / "snapshot-2019-12-31" / "weights.pt"
    stamp, digest = weights.stat().st_mtime_ns, hashlib.sha256(weights.read_bytes()).hexdigest()
    second = run_year(2019, resources)
    for name in (*MODELS, *RAW):
        assert metadata_of(first, name)["reused"] is False
        assert metadata_of(second, name)["reused"] is True
    assert weights.stat().st_mtime_ns == stamp
    assert run_one("lstm_snapshot", 2019, resources, **TINY_LSTM, force=True)["reused"] is False
    assert weights.stat().st_mtime_ns > stamp
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == digest


def test_a_gpu_that_is_not_there_fails_the_run_and_leaves_nothing(
    three_years: tuple, market: SimulatorMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    resources = world(market, tmp_path / "models", three_years[2])
    for name in ("lstm_snapshot", "ppo_policy"):
        with pytest.raises(
            ConfigError, match=r"^device: expected a GPU that torch .* can use, got none; set device to"
        ):
            run_one(name, 2020, resources, device="cuda")
    assert not list(tmp_path.rglob("snapshot-*"))


def test_changed_news_train_anew_what_sees_them_and_nothing_else(
    three_years: tuple, after_the_first: tuple[Mapping[str, Any], Path]
) -> None:
    first, (resources, _), models = three_years[0][2019], after_the_first, SNAPSHOTS
    tables = resources["table_io"].store
    news = tables.read_year("raw_news_sentiment", 2019)
    news.loc[100, "sentiment_score"] = -news.loc[100, "sentiment_score"]
    tables.write("raw_news_sentiment", 2019, news)
    second = run_year(2019, resources, names=models)
    assert [metadata_of(second, name)["reused"] for name in models] == [True, False, False, False]
    fingerprints = [metadata_of(result, "patchtst_snapshot")["fingerprint"] for result in (first, second)]
    assert fingerprints[0] != fingerprints[1]


@pytest.mark.parametrize("name", ["lstm_snapshot", "backtest"])
def test_year_without_its_own_prices_fails_with_the_sentence_that_says_so(
    after_the_first: tuple[Mapping[str, Any], Path], name: str
) -> None:
    resources, folder = after_the_first
    result = run_year(2020, resources, names=[name], raise_on_error=False)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    while error.cause is not None:
        error = error.cause
    missing = next(raw for raw in ("raw_prices", *RAW) if f"{raw}[2020] is not materialized" in error.message)
    assert f"materialize {missing} for 2020 first" in error.message
    assert name != "lstm_snapshot" or missing == "raw_prices"
    assert not list(folder.glob("*/snapshot-2020-12-31"))
