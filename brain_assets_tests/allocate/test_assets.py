"""This week's weights in the graph: the year so far, the table of a week, what is refused, what it leaves behind."""

import copy
import datetime
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets.allocate.assets import every_week, read_raw_tables
from brain_assets.errors import EmptyResponseError, MarketError
from brain_assets.graph.project import build_resources
from brain_assets.market.archive import fetch_prices
from brain_assets.market.schema import RAW
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import YEAR_TO_DATE, MemoryTableStore, TableStore
from brain_assets_tests.backfills import YEARS, Finished
from brain_assets_tests.conftest import FAMILIES, FORECASTERS, SYMBOLS
from brain_assets_tests.graph.worlds import DEFS, EVERY, PROJECT, TABLES, metadata_of

MARKET = SimulatorMarket(SYMBOLS)
NEW_YORK = ZoneInfo("America/New_York")
THIS_YEAR = PROJECT.years.last() + 1
LAST_YEAR = THIS_YEAR - 1


def eight_o_clock(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time(8), NEW_YORK)


MONDAY = datetime.date.fromisocalendar(THIS_YEAR, 11, 1)
"""In March: no holiday is near."""
FRIDAY = MONDAY - datetime.timedelta(days=3)


class Offline(SimulatorMarket):
    """A market that cannot be reached."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        raise MarketError("simulator: expected an answer, got none; wait.")


class Silent(SimulatorMarket):
    """A market that has nothing after its last complete year."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        raise EmptyResponseError("simulator: expected bars, got none.")


class World:
    """A data folder in the making."""

    def __init__(self, tables: Any, root: Path) -> None:
        self.tables, self.root = tables, root

    def resources(self, market: SimulatorMarket = MARKET, day: datetime.date = MONDAY) -> dict[str, Any]:
        return dict(build_resources(market, self.tables, self.root / "models", clock=lambda: eight_o_clock(day)))

    def run(
        self, *names: str, config: Mapping[str, Any] | None = None, raise_on_error: bool = True, **options: Any
    ) -> dg.ExecuteInProcessResult:
        ops = {"target_weights": {"config": dict(config or {})}} if "target_weights" in names else {}
        given = {"resources": self.resources(**options), "run_config": {"ops": ops}, "raise_on_error": raise_on_error}
        return dg.materialize(EVERY, selection=list(names), **given)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "weights").iterdir()}


def reason(result: dg.ExecuteInProcessResult) -> str:
    [failure] = [event for event in result.all_events if event.is_step_failure]
    return str(failure.step_failure_data.error)


@pytest.fixture(scope="module")
def history(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Models of 2019 to 2021, what was made with them, and raw tables of every year that there is."""
    data = finished.copy(tmp_path_factory.mktemp("week"))
    world, stored = World(MemoryTableStore(), data), TableStore(data, {"market": "simulator"})
    for name, year in itertools.product(TABLES, YEARS):
        world.tables.write(name, year, stored.read_year(name, year))
    for year in range(YEARS[-1] + 1, THIS_YEAR):
        window = datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1)
        world.tables.write("raw_prices", year, fetch_prices(MARKET, *window, overlap=True))
        world.tables.write("raw_news_sentiment", year, MARKET.news_sentiment(*window, np.array).table)
        world.tables.write("raw_fundamentals", year, MARKET.fundamentals(*window).table)
    return world


def test_closes_are_of_the_newest_table_that_has_begun_by_the_day(history: World) -> None:
    """Its rows stand on the level of the day it was fetched, and a later one's on another."""
    tables, new_year = copy.deepcopy(history.tables), datetime.date(THIS_YEAR, 1, 1)
    rows = fetch_prices(MARKET, new_year, datetime.date(THIS_YEAR, 2, 1), overlap=True)
    rows = rows[rows["date"] >= pd.Timestamp(THIS_YEAR, 1, 12)].reset_index(drop=True)
    tables.write("raw_prices", YEAR_TO_DATE, rows)
    for day, expected in ((5, tables.read_year("raw_prices", LAST_YEAR)), (20, rows)):
        _, newest = read_raw_tables(PROJECT.years, tables, datetime.date(THIS_YEAR, 1, day))
        pd.testing.assert_frame_equal(newest, expected)


# A week of a complete year


def test_a_past_week_is_that_of_the_backtest_as_a_table_and_as_files(history: World) -> None:
    shown = metadata_of(history.run("target_weights", config={"date": "2020-06-10"}), "target_weights")
    assert shown["week"] == "2020-06-08, 5 sessions"
    assert shown["decided_after"] == "the close of 2020-06-05 16:00 in New York"
    assert (shown["data_until"], shown["data_age_sessions"]) == ("2020-06-05", 0)
    source = {"source": "snapshot-2019-12-31", "age_days": 160}
    average = {**source, "source": ", ".join(f"{family} snapshot-2019-12-31" for family in FORECASTERS)}
    assert shown["models"] == {"average": average, **dict.fromkeys(FAMILIES, source)}
    assert shown["places"] == dict.fromkeys(FAMILIES, "this machine")
    assert (shown["ppo_age_days"], shown["forecasts"]) == (160, "walkforward_forecasts[2020]")
    assert (shown["strategies_left_out"], shown["symbols_without_a_bar"]) == ("none", "none")
    table = pd.read_parquet(shown["path"])
    assert shown["path"] == str(history.root / "weights" / "2020-06-08.parquet")
    assert table["symbol"].tolist() == [*SYMBOLS, "cash"]
    backtest = history.tables.read_year("backtest", 2020)
    week = backtest[backtest["week_start"] == "2020-06-08"].set_index("strategy")["weights"].map(json.loads)
    for strategy in week.index.drop("buy_and_hold"):  # it trades nothing: its weights are those before the open
        assert table[strategy].tolist() == [week[strategy].get(symbol, 0.0) for symbol in table["symbol"]], strategy
    pd.testing.assert_frame_equal(pd.read_csv(shown["csv"]), table, check_exact=True, check_dtype=False)
    assert shown["weights"].records[0].data["equal_weight"] == f"{table['equal_weight'][0]:.1%}"
    prices = history.tables.read_year("raw_prices", 2020)
    closes = prices[prices["date"] == "2020-06-05"].set_index("symbol")["close"].to_dict()
    assert shown["closes"] == closes
    for config, sentence in (
        ({"date": "soon"}, "date: expected a day such as 2022-06-01, got soon; correct it."),
        ({"date": "2020-06-10", "max_model_age_days": 159}, "got lstm snapshot-2019-12-31 (160 days), patchtst"),
    ):
        assert sentence in reason(history.run("target_weights", config=config, raise_on_error=False))


# The year so far


def test_the_year_to_date_ends_with_the_last_finished_session_and_no_weights_rest_on_rows_of_an_earlier_fetch(
    history: World, tmp_path: Path
) -> None:
    world = World(history.tables, tmp_path)
    (tmp_path / "models").symlink_to(history.root / "models")
    shown = metadata_of(world.run("raw_year_to_date"), "raw_year_to_date")
    assert shown["first_date"].startswith(f"{THIS_YEAR}-01-0")
    assert (shown["last_date"], shown["sessions_old"]) == (str(FRIDAY), 0)
    assert min(shown["rows"][name] for name in RAW) > 0
    assert all(world.tables.exists(name, YEAR_TO_DATE) and not world.tables.exists(name, THIS_YEAR) for name in RAW)
    later = MONDAY + datetime.timedelta(days=7)
    for market, words in ((Offline, "expected an answer, got none"), (Silent, "expected bars, got none")):
        failed = world.run("raw_year_to_date", market=market(SYMBOLS), day=later, raise_on_error=False)
        assert words in reason(failed)
    config = {"max_model_age_days": 100_000}
    dated = {**config, "date": str(later)}
    refused = world.run("target_weights", config=dated, day=later, raise_on_error=False)
    assert not (tmp_path / "weights").exists()
    assert f"expected bars until {later - datetime.timedelta(days=3)}" in reason(refused)
    assert f"got bars until {FRIDAY}, 5 sessions before" in reason(refused)
    allowed = world.run("target_weights", config={**dated, "max_data_age_sessions": 5}, day=later)
    assert metadata_of(allowed, "target_weights")["data_age_sessions"] == 5
    # nobody asked for that week, as when everything is materialized: then there is nothing, and the reason
    shown = metadata_of(world.run("target_weights", config=config, day=later), "target_weights")
    assert list(shown) == ["none_because"]
    assert f"got bars until {FRIDAY}, 5 sessions before" in shown["none_because"]
    again = metadata_of(world.run("raw_year_to_date", day=later), "raw_year_to_date")
    assert again["last_date"] == str(later - datetime.timedelta(days=3))


def test_market_without_later_bars_and_a_year_without_a_session_have_nothing(history: World, tmp_path: Path) -> None:
    world = World(MemoryTableStore(), tmp_path)
    holiday = metadata_of(world.run("raw_year_to_date", day=datetime.date(THIS_YEAR, 1, 1)), "raw_year_to_date")
    assert holiday["none_because"].startswith("no session since the last complete year is finished")
    # rows of a year that is complete by now are passed over
    world.tables.write("raw_prices", YEAR_TO_DATE, history.tables.read_year("raw_prices", LAST_YEAR))
    nothing = metadata_of(world.run("raw_year_to_date", market=Silent(SYMBOLS)), "raw_year_to_date")
    assert nothing == {"none_because": "simulator: expected bars, got none."}


def test_this_week_is_decided_on_its_first_morning_from_the_year_to_date(history: World, tmp_path: Path) -> None:
    world = World(history.tables, tmp_path)
    (tmp_path / "models").symlink_to(history.root / "models")
    config = {"max_model_age_days": 100_000}  # the newest models here are of 2021
    shown = metadata_of(world.run("raw_year_to_date", "target_weights", config=config), "target_weights")
    assert shown["week"] == f"{MONDAY}, 5 sessions"
    assert (shown["data_until"], shown["data_age_sessions"]) == (str(FRIDAY), 0)
    assert shown["forecasts"] == "made now"
    assert shown["models"]["ppo"]["source"] == "snapshot-2021-12-31"
    monday = world.files()
    # six symbols, all with a bar on Friday: 0.98 / 6 each
    table = pd.read_parquet(shown["path"]).set_index("symbol")
    np.testing.assert_allclose(table["equal_weight"], [0.98 / 6] * 6 + [0.02], atol=1e-12)
    this_year = world.tables.read_year("raw_prices", YEAR_TO_DATE)
    friday = this_year[this_year["date"] == pd.Timestamp(FRIDAY)].set_index("symbol")["close"].to_dict()
    assert shown["closes"] == friday
    # on Thursday there are newer bars, and the weights are the same
    thursday = MONDAY + datetime.timedelta(days=3)
    again = metadata_of(world.run("raw_year_to_date", "target_weights", config=config, day=thursday), "target_weights")
    assert again["week"] == shown["week"]
    newest = world.tables.read_year("raw_prices", YEAR_TO_DATE)["date"].max()
    assert newest == pd.Timestamp(thursday - datetime.timedelta(days=1))
    assert world.files() == monday


def ask(day: datetime.date) -> dg.RunRequest | dg.SkipReason:
    """Ask as Dagster's daemon does, at a moment that it gives in another zone."""
    tick = datetime.datetime.combine(day, datetime.time(8), NEW_YORK).astimezone(datetime.UTC)
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        answer = every_week(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


@pytest.mark.parametrize(
    ("monday", "expected"),
    [
        ("2022-06-06", ["2022-06-06"]),
        ("2018-12-31", ["2018-12-31"]),  # New Year on a Tuesday: the week straddles it
        ("2001-09-10", []),  # one session before 11 September 2001
        ("2012-10-29", ["2012-10-31"]),  # Hurricane Sandy: three sessions from Wednesday on
    ],
)
def test_it_asks_for_a_run_on_the_first_session_of_a_week(monday: str, expected: list[str]) -> None:
    days = [datetime.date.fromisoformat(monday) + datetime.timedelta(days=number) for number in range(5)]
    assert [str(day) for day in days if isinstance(ask(day), dg.RunRequest)] == expected


def test_a_run_names_its_week_and_other_days_say_why_they_are_skipped() -> None:
    request, skipped = ask(datetime.date(2022, 9, 6)), ask(datetime.date(2022, 9, 7))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "week-2022-09-06"
    assert request.run_config == {"ops": {"target_weights": {"config": {"date": "2022-09-06"}}}}
    dg.validate_run_config(DEFS.resolve_job_def("weekly_weights"), request.run_config)
    assert isinstance(skipped, dg.SkipReason)
    said = "2022-09-07 is not the first session of a week of at least 3: that of 2022-09-06 has 4"
    assert skipped.skip_message == said


def test_it_is_off_until_it_is_switched_on_and_runs_both_assets_at_eight_in_new_york() -> None:
    schedule = DEFS.resolve_schedule_def("every_week")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 8 * * 1-5", "America/New_York")
    keys = DEFS.resolve_job_def(schedule.job_name).asset_layer.executable_asset_keys
    assert {key.to_user_string() for key in keys} == {"raw_year_to_date", "target_weights"}
