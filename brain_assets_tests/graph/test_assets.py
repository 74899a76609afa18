"""Every asset really ran: real Dagster, small but real models, prices that move, several years."""

import datetime
import itertools
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import torch
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from brain_assets import testing
from brain_assets.errors import ConfigError, SnapshotError, TableError
from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import YARDSTICKS, column_label, weekly_correlations
from brain_assets.graph.instance import PROCESS_TAG
from brain_assets.graph.status import StatusReader, metadata_in
from brain_assets.graph.tasks import Task
from brain_assets.graph.work import Worker
from brain_assets.market.calendar import sessions_between
from brain_assets.portfolio.baselines import benchmark_strategies, is_tenth, is_top
from brain_assets.portfolio.strategy import read_trials
from brain_assets.progress import overheard
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import MemoryTableStore, TableStore
from brain_assets_tests.backfills import YEARS, shared_backfill
from brain_assets_tests.conftest import FORECASTERS, SYMBOLS, TINY_PPO
from brain_assets_tests.graph.worlds import (
    MODELS,
    NAMES,
    POLICY_ASSETS,
    PROJECT,
    RAW,
    SNAPSHOTS,
    TABLES,
    YEARLY,
    metadata_of,
    run_year,
    world,
)

MARKET = SimulatorMarket(SYMBOLS)
BENCHMARKS = [name for name in benchmark_strategies((*FORECASTERS, "average")) if not is_tenth(name)]


def test_one_partition_materializes_to_memory() -> None:
    """Dagster's own in-memory IO managers hand over what the same run has made."""
    made = testing.world()
    given = {"resources": {"market": made.market}, "run_config": made.run_config}
    result = dg.materialize_to_memory(made.assets, partition_key="2019", **given)
    forecasts = result.output_for_node("walkforward_forecasts")
    assert set(forecasts["lstm_source"]) == {"momentum"}  # the year's own snapshot is never used on it
    assert forecasts["week_start"].min() == pd.Timestamp("2016-01-11")
    assert result.output_for_node("raw_prices")["symbol"].nunique() == 3


class Done:
    """A finished backfill; tests take a copy of what they change."""

    def __init__(self, data: Path, instance: dg.DagsterInstance) -> None:
        self.models, self.trials, self._instance = data / "models", data / "trials", instance
        self.tables = TableStore(data, {"market": "simulator"})

    def made(self, name: str, year: int) -> dg.AssetMaterialization:
        wanted = dg.AssetRecordsFilter(dg.AssetKey(name), asset_partitions=[str(year)])
        [record] = self._instance.fetch_materializations(wanted, limit=2).records
        assert record.asset_materialization is not None
        return record.asset_materialization

    def shown(self, name: str, year: int) -> dict[str, Any]:
        return metadata_in(self.made(name, year))

    def checked(self) -> dict[tuple[str, str, str | None], dg.AssetCheckEvaluation]:
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        logs = [self._instance.all_logs(run.run_id, of_type=kind) for run in self._instance.get_runs()]
        found = [each.dagster_event.asset_check_evaluation_data for log in logs for each in log if each.dagster_event]
        return {(each.asset_key.to_user_string(), each.check_name, each.partition): each for each in found}

    def copy(
        self, folder: Path, names: Sequence[str] = TABLES, years: Sequence[int] = YEARS
    ) -> tuple[Mapping[str, Any], TableStore]:
        """Give the resources of another place with models and some tables of some years, and the tables."""
        left_out = [f"*{year}-12-31" for year in YEARS if year not in years]
        shutil.copytree(self.models, folder / "models", ignore=shutil.ignore_patterns(*left_out))
        own = MemoryTableStore()
        for name, year in itertools.product(names, years):
            own.write(name, year, self.tables.read_year(name, year))
        return world(MARKET, folder / "models", own), own


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    data = shared_backfill(tmp_path_factory).copy(tmp_path_factory.mktemp("done"))
    with dg.DagsterInstance.from_config(str(data / "dagster")) as instance:
        yield Done(data, instance)


def run_one(
    name: str, year: int, resources: Mapping[str, Any], instance: dg.DagsterInstance | None = None, **config: Any
) -> dict[str, Any]:
    """Make a year of an asset; gives what its materialization shows."""
    options = {"ops": {name: {"config": config}}} if config else None
    return metadata_of(run_year(year, resources, instance, [name], options), name)


def test_every_check_is_made_for_every_year_and_carries_it(done: Done) -> None:
    found, declared = done.checked(), [spec for asset in YEARLY for spec in asset.check_specs]
    assert {spec.asset_key.to_user_string() for spec in declared} == set(NAMES)
    assert len(found) == len(declared) * len(YEARS)
    for spec, year in itertools.product(declared, YEARS):
        evaluation = found[spec.asset_key.to_user_string(), spec.name, str(year)]
        assert (evaluation.blocking, evaluation.passed or not spec.blocking) == (spec.blocking, True)
        assert evaluation.description
        assert evaluation.severity == (dg.AssetCheckSeverity.ERROR if spec.blocking else dg.AssetCheckSeverity.WARN)


def test_columns_are_described_as_they_are_stored(done: Done) -> None:
    for asset in (each for each in YEARLY if each.key.to_user_string() in TABLES):
        stored = done.tables.read_year(asset.key.to_user_string(), 2021)
        shown = asset.metadata_by_key[asset.key]["dagster/column_schema"].columns
        assert [(column.name, column.type) for column in shown] == [(name, str(stored[name].dtype)) for name in stored]
        assert all(column.description for column in shown)


@pytest.mark.parametrize(("year", "first"), [(2019, "2016-01-04"), (2020, "2020-01-02"), (2021, "2021-01-04")])
def test_every_year_gets_the_right_window(done: Done, year: int, first: str) -> None:
    prices = done.shown("raw_prices", year)
    assert (prices["first_date"], prices["last_date"]) == (first, f"{year}-12-31")
    scheduled = len(sessions_between(datetime.date.fromisoformat(first), datetime.date(year + 1, 1, 1)))
    assert prices["sessions"] == f"{scheduled} of {scheduled}"
    filed_from = "2015-01-01" if year == 2019 else first  # the first week knows the last filing before it
    for name, column, start in (("raw_news_sentiment", "date", first), ("raw_fundamentals", "filed", filed_from)):
        signals = done.shown(name, year)
        assert start <= signals[f"first_{column}"] <= signals[f"last_{column}"] <= f"{year}-12-31"
        assert (signals["symbols"], signals["source"]) == (len(SYMBOLS), "made up")
    for name in SNAPSHOTS:
        data = done.shown(name, year)["training_data"]
        assert (data["first_session"], data["last_session"]) == ("2016-01-04", f"{year}-12-31")
        assert data["first_validation_week"] <= f"{year}-01-07"
        assert f"{year}-12-24" < data["last_validation_target"] == data["last_training_target"] <= f"{year}-12-31"
    for name in POLICY_ASSETS:
        policy = done.shown(name, year)["training_data"]
        assert policy["first_week"] == "2016-02-08"
        assert policy["last_week"] <= f"{year}-12-31"


def test_forecasts_come_from_the_snapshot_of_the_year_before(done: Done) -> None:
    shown = {year: done.shown("walkforward_forecasts", year) for year in YEARS}
    for family in FORECASTERS:
        sources = {year: shown[year]["weeks_by_source"][family] for year in YEARS}
        assert set(sources[2019]) == {"momentum"}
        assert sources[2020] == {"momentum": 1, "snapshot-2019-12-31": 52}  # the week of 2019-12-30 straddles New Year
        assert sources[2021] == {"snapshot-2020-12-31": 52}  # the last week of 2020 ended on New Year's Eve
    newest = ", ".join(f"{family} snapshot-2020-12-31" for family in FORECASTERS)
    assert shown[2021]["weeks_by_source"]["average"] == {newest: 52}
    for year, name in itertools.product((2020, 2021), ("lstm", "patchtst", "average", *YARDSTICKS)):
        weekly = weekly_correlations(done.tables.read_year("walkforward_forecasts", year))[name].to_numpy()
        mean, t_statistic, detectable, _ = mean_skill(weekly)  # those of the tables that a command prints
        line = next(each.data for each in shown[year]["skill"].records if each.data["forecast"] == column_label(name))
        assert (line["rank correlation"], line["t"]) == (f"{mean:+.3f}", f"{t_statistic:+.1f}")
        assert line["detectable"] == f"{detectable:.3f}"
        assert shown[year].get(f"eval/{name}_rank_correlation", round(mean, 6)) == round(mean, 6)
    labels = [each.data["forecast"] for each in shown[2019]["skill"].records]
    assert labels == [each.label for each in YARDSTICKS.values()]
    assert not [key for key in shown[2019] if key.startswith("eval/")]


def test_what_is_averaged_is_configured(done: Done, tmp_path: Path) -> None:
    resources, tables = done.copy(tmp_path, RAW)

    def run(*average: str) -> pd.DataFrame:
        run_one("walkforward_forecasts", 2021, resources, average=list(average))
        return tables.read_year("walkforward_forecasts", 2021)

    assert set(run("patchtst")["average_source"]) == {"patchtst snapshot-2020-12-31"}
    assert "average" not in run()
    with pytest.raises(dg.DagsterInvalidConfigError, match=r"average: expected forecasters among .* got 'none'"):
        run("none")


def test_policies_trade_the_year_after_beside_every_baseline(done: Done) -> None:
    shown = {year: done.shown("backtest", year) for year in YEARS}
    assert shown[2019]["rules_left_out"] == ", ".join(name for name in BENCHMARKS if name != "equal_weight")
    assert shown[2020]["rules_left_out"] == shown[2021]["rules_left_out"] == "none"
    # the first week of 2020 begins before New Year, when no model was finished
    assert [shown[year]["weeks_left_out"] for year in YEARS] == ["0", "1", "0"]
    assert set(done.tables.read_year("backtest", 2019)["strategy"]) == {"equal_weight"}  # no policy was finished before
    for year in (2020, 2021):
        table = done.tables.read_year("backtest", year)
        assert list(table.columns) == ["week_start", "strategy", "net_return", "turnover", "weights"]
        n_by_strategy = table.groupby("strategy")["week_start"].nunique().to_dict()
        assert n_by_strategy == dict.fromkeys(("ppo", "sac", "direct", *BENCHMARKS), 52)
        for strategy, weights in zip(table["strategy"], table["weights"].map(json.loads), strict=True):
            assert sum(weights.values()) == pytest.approx(1)
            assert weights["cash"] >= 0.02 - 1e-9
            most = 0.49 if is_top(strategy) else 0.2  # a third of six symbols is two
            assert max(weight for name, weight in weights.items() if name != "cash") <= most + 1e-9


def test_a_year_goes_on_from_the_end_of_the_year_before_and_is_stale_when_that_is_made_anew(
    done: Done, tmp_path: Path
) -> None:
    begun = {year: done.shown("backtest", year)["begins_in"] for year in YEARS}
    assert begun == {2019: "cash", 2020: "cash", 2021: "what was held at the end of 2020"}
    bought = [done.tables.read_year("backtest", year).groupby("strategy")["turnover"].first() for year in YEARS]
    assert bought[1].min() > 0.2  # equal weight, too: it traded in 2019 alone, and is compared from 2020 on
    assert bought[2]["buy_and_hold"] < 0.02  # to the least cash, and below the cap
    resources, own = done.copy(tmp_path, [name for name in TABLES if name != "backtest"])
    defs = dg.Definitions(YEARLY, resources=resources)

    def made(year: int) -> str:
        said: list[str] = []
        with overheard(lambda line, _level: said.append(line)):
            shown = run_one("backtest", year, resources, instance)["begins_in"]
        alone = "backtest[2021]: every strategy begins in cash, since there is no backtest[2020]"
        assert (alone in said) == (year == 2021 and shown == "cash")
        return shown

    def reason() -> str:
        return StatusReader(defs, instance, None).read("backtest", 2021).reason

    with dg.DagsterInstance.ephemeral() as instance:
        assert (made(2021), reason()) == ("cash", "")
        assert (made(2020), reason()) == ("cash", "made before backtest[2020]")
        assert (made(2021), reason()) == ("what was held at the end of 2020", "")
        pd.testing.assert_frame_equal(own.read_year("backtest", 2021), done.tables.read_year("backtest", 2021))
        other = dg.AssetMaterialization("backtest", partition="2020", tags={DATA_VERSION_TAG: "other"})
        instance.report_runless_asset_event(other)
        assert reason() == "backtest[2020] changed"


def seeds_in(folder: Path) -> list[Path]:
    return [folder / "models" / "seeds" / number / "ppo" / "snapshot-2020-12-31" for number in "12"]


def stamps(folders: Sequence[Path]) -> list[int]:
    return [(folder / "weights.pt").stat().st_mtime_ns for folder in folders]


def test_other_seeds_are_trained_beside_the_policy_and_trade_beside_it(done: Done, tmp_path: Path) -> None:
    resources, tables = done.copy(tmp_path)
    thrice = {"ops": {"ppo_policy": {"config": {**TINY_PPO, "n_seeds": 3}}}}
    run = run_year(2020, resources, names=["ppo_policy"], run_config=thrice)
    made, folders = metadata_of(run, "ppo_policy"), seeds_in(tmp_path)
    assert made["other_seeds"] == [str(folder) for folder in folders]
    assert made["reused"] is False
    assert made["fingerprint"] == done.shown("ppo_policy", 2020)["fingerprint"]  # the policy is the same
    [event] = run.get_asset_materialization_events()
    versions = [(each.tags or {})[DATA_VERSION_TAG] for each in (event.materialization, done.made("ppo_policy", 2020))]
    assert versions[0] != versions[1]  # and what trades is not
    assert [json.loads((folder / "config.json").read_text())["training"]["seed"] for folder in folders] == [1, 2]
    before = stamps(folders)
    assert run_one("ppo_policy", 2020, resources, **TINY_PPO, n_seeds=3, force=True)["reused"] is False
    assert all(new > old for old, new in zip(before, stamps(folders), strict=True))
    shutil.rmtree(folders[1])
    shown, traded = run_one("backtest", 2021, resources), tables.read_year("backtest", 2021)
    weekly = traded.loc[traded["strategy"] == "ppo", "net_return"]
    lines = {record.data["strategy"]: record.data for record in shown["strategies"].records}
    assert float(lines["ppo"]["Sharpe"]) == round(weekly.mean() / weekly.std() * 52**0.5, 2)
    assert float(lines["ppo"]["active"].removesuffix("%")) == round(100 * shown["eval/ppo_active_return"], 1)
    assert lines["equal_weight"]["break-even"] == "–"
    assert shown["seeds_left_out"] == "ppo_seed_2"
    assert set(traded["strategy"]) == {"ppo", "sac", "direct", "ppo_seed_1", *BENCHMARKS}
    [direct, ppo, sac] = read_trials(tmp_path / "trials")  # another seed is no other configuration
    assert (ppo.family, ppo.year, ppo.n_weeks, sac.family, direct.family) == ("ppo", 2021, 52, "sac", "direct")


def test_other_seeds_that_a_worker_has_trained_are_found(done: Done, tmp_path: Path) -> None:
    """A forced run of a command trains the policy again, and takes the seeds that were trained for it."""
    resources, _ = done.copy(tmp_path)
    options, folders, seen = {**TINY_PPO, "n_seeds": 3, "force": True}, seeds_in(tmp_path), []
    project = replace(PROJECT, market=MARKET, definitions=dg.Definitions(resources=resources))
    with dg.DagsterInstance.ephemeral() as instance:
        worker = Worker(project, instance)
        for force in (True, False, True):
            for number in (1, 2):
                task = Task("ppo_policy", 2020, {**options, "force": force}, seed=number)
                worker.do(task, lambda _line, _level: None)
            seen.append(stamps(folders))
    assert seen[0] == seen[1]
    assert all(new > old for old, new in zip(*seen[1:], strict=True))
    made = dg.materialize(
        YEARLY,
        selection=["ppo_policy"],
        partition_key="2020",
        resources=dict(resources),
        run_config={"ops": {"ppo_policy": {"config": options}}},
        tags={PROCESS_TAG: "1@here"},
    )
    assert metadata_of(made, "ppo_policy")["reused"] is False
    assert stamps(folders) == seen[-1]
    seeds = [resources["snapshot_io"].storages["ppo"].of_seed(number) for number in (1, 2)]
    assert [seed.load_snapshot(cutoff_of_year(2020)).config["training"]["seed"] for seed in seeds] == [1, 2]


def test_a_trial_names_the_configuration_of_the_forecaster_that_it_traded_on(done: Done) -> None:
    """In the first week of 2020 it was momentum."""
    for family, forecaster in (("ppo", "lstm"), ("sac", "patchtst"), ("direct", "boosting")):
        [trial] = done.trials.glob(f"{family}-*-2020.json")
        metadata = json.loads((done.models / forecaster / "snapshot-2019-12-31" / "metadata.json").read_text())
        assert json.loads(trial.read_text())["forecaster"] == metadata["fingerprint"]["config"]


def test_a_policy_of_the_year_before_that_is_gone_is_named_and_no_older_one_trades(done: Done, tmp_path: Path) -> None:
    resources, _ = done.copy(tmp_path)
    shutil.rmtree(tmp_path / "models" / "sac" / "snapshot-2020-12-31")
    with pytest.raises(SnapshotError, match="sac/snapshot-2020-12-31: expected a snapshot, but there is none; train"):
        run_one("backtest", 2021, resources)


def test_materializations_carry_figures_and_pictures(done: Done) -> None:
    for name, key in (
        *((name, "learning_curve") for name in MODELS if name not in SNAPSHOTS[2:]),
        ("walkforward_forecasts", "rank_correlation"),
        ("backtest", "equity"),
    ):
        shown = done.shown(name, 2020)
        assert shown[key].startswith("![")
        assert len(shown[key]) < 1000  # else the UI shows a link in place of the picture
        assert list(shown).index(key) < 2
        plots = {name: value for name, value in shown.items() if isinstance(value, float)}
        assert plots == {name: round(value, 6) for name, value in plots.items()}
    assert next(iter(done.shown("backtest", 2020))) == "equity"
    model = done.shown("lstm_snapshot", 2020)
    assert model["snapshot"].endswith("/models/lstm/snapshot-2020-12-31")
    assert 0.5 < model["validation/loss"] < 2
    assert 0.5 < model["validation/loss_of_zero"] < 2
    assert done.shown("ridge_snapshot", 2021)["feature_weights"].schema.columns[-1].name == "2021"


def test_changed_news_train_anew_what_sees_them_and_nothing_else(done: Done, tmp_path: Path) -> None:
    resources, tables = done.copy(tmp_path, years=(2019,))
    news = tables.read_year("raw_news_sentiment", 2019)
    news.loc[100, "sentiment_score"] = -news.loc[100, "sentiment_score"]
    tables.write("raw_news_sentiment", 2019, news)
    again = run_year(2019, resources, names=SNAPSHOTS)
    assert [metadata_of(again, name)["reused"] for name in SNAPSHOTS] == [True, False, False, False]
    fingerprint = metadata_of(again, "patchtst_snapshot")["fingerprint"]
    assert fingerprint != done.shown("patchtst_snapshot", 2019)["fingerprint"]


def test_what_a_run_cannot_do_is_one_sentence_and_leaves_nothing(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    resources, _ = done.copy(tmp_path, years=(2019,))
    in_memory = {**resources, "snapshot_io": dg.InMemoryIOManager()}
    no_gpu = r"^device: expected a GPU that torch .* can use, got none; set device to auto"
    twice = "n_seeds: expected 1, as this IO manager keeps one model, got 2"
    no_prices = r"^raw_prices\[2020\] is not materialized: .*; materialize raw_prices for 2020 first"
    no_news = r"^raw_\w+\[2020\] is not materialized: .*; materialize raw_\w+ for 2020 first"
    for name, year, given, config, sentence in (
        ("lstm_snapshot", 2019, resources, {"device": "cuda"}, no_gpu),
        ("ppo_policy", 2019, resources, {"device": "cuda"}, no_gpu),
        ("ppo_policy", 2019, in_memory, {**TINY_PPO, "n_seeds": 2}, twice),
        ("lstm_snapshot", 2020, resources, {}, no_prices),
        ("backtest", 2020, resources, {}, no_news),
    ):
        with pytest.raises((ConfigError, TableError, dg.DagsterError)) as caught:
            run_one(name, year, given, **config)
        error: BaseException = caught.value
        while isinstance(error, dg.DagsterError) and error.__cause__ is not None:
            error = error.__cause__
        assert re.match(sentence, str(error))
    assert not list(tmp_path.glob("models/*/snapshot-2020-12-31"))
