"""When the newest complete year counts as late, by a real run of the check."""

import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from brain_assets.automation.freshness_check import LATE_SESSIONS, freshness_check, freshness_schedule
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.graph.worlds import DEFS, EVERY, PROJECT, sensor, world

NEW_YORK = datetime.timezone(datetime.timedelta(hours=-5))


def ask(instance: dg.DagsterInstance, now: datetime.datetime, folder: Path) -> Any:
    resources = {**world(SimulatorMarket(), folder), "clock": lambda: now}
    check = freshness_check(PROJECT.years)
    mine = dg.Definitions(EVERY, schedules=[freshness_schedule(check)], asset_checks=[check], resources=resources)
    job = mine.resolve_job_def(mine.get_repository_def().get_schedule_def("freshness").job_name)
    result = job.execute_in_process(instance=instance)
    assert result.success  # a year that is late fails nothing
    [found] = result.get_asset_check_evaluations()
    return found


def make(instance: dg.DagsterInstance, year: int) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("raw_prices", partition=str(year)))


def test_year_is_late_ten_sessions_after_its_end_and_the_sentence_says_which(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    make(instance, 2020)
    # sessions of January 2022: 3-7, 10-14: the tenth is the 14th
    before = ask(instance, datetime.datetime(2022, 1, 14, 16, 0, tzinfo=NEW_YORK), tmp_path)
    assert (before.passed, before.description) == (True, "raw_prices[2020] is there")
    late = ask(instance, datetime.datetime(2022, 1, 14, 16, 30, tzinfo=NEW_YORK), tmp_path)
    assert LATE_SESSIONS == 10
    assert (late.passed, late.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert late.description == (
        "raw_prices[2021] is late: the year was over 10 sessions ago, and is expected within 10; materialize it, or "
        "switch on the sensor new_data."
    )
    make(instance, 2019)  # an old year does not help
    assert not ask(instance, datetime.datetime(2022, 3, 1, tzinfo=NEW_YORK), tmp_path).passed
    make(instance, 2021)
    assert ask(instance, datetime.datetime(2022, 3, 1, tzinfo=NEW_YORK), tmp_path).passed


def test_nothing_is_late_before_the_first_year_is_due(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    found = ask(instance, datetime.datetime(2020, 1, 10, tzinfo=NEW_YORK), tmp_path)
    assert (found.passed, found.description) == (True, "no year was over 10 sessions ago")


def test_only_its_own_schedule_asks_it_which_is_off() -> None:
    schedule = DEFS.resolve_schedule_def("freshness")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    for name in ("walkforward", sensor("new_data").job.name):
        checks = DEFS.resolve_job_def(name).asset_layer.asset_graph.asset_check_keys
        assert "positive" in {key.name for key in checks}
        assert "newest_year_is_there" not in {key.name for key in checks}
