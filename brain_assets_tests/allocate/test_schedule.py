"""The weekly schedule: when it asks for a run, in weeks with holidays and when clocks change."""

import datetime
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from brain_assets.allocate.assets import every_week
from brain_assets_tests.graph.worlds import DEFS

NEW_YORK = ZoneInfo("America/New_York")


def ticks(start: str, n_days: int = 7) -> Iterator[datetime.datetime]:
    """Give the moments at which the schedule ticks, as Dagster's daemon has them."""
    begin = datetime.datetime.fromisoformat(f"{start}T00:00").replace(tzinfo=NEW_YORK)
    cron = str(every_week.cron_schedule)
    for tick in schedule_execution_time_iterator(begin.timestamp(), cron, every_week.execution_timezone):
        if tick >= begin + datetime.timedelta(days=n_days):
            return
        yield tick


def ask(tick: datetime.datetime) -> dg.RunRequest | dg.SkipReason:
    with dg.build_schedule_context(scheduled_execution_time=tick) as context:
        answer = every_week(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def runs(start: str, n_days: int = 7) -> list[str]:
    """Give the days from a Monday on on which a run is asked for."""
    asked = {tick: ask(tick) for tick in ticks(start, n_days)}
    return [str(tick.date()) for tick, answer in asked.items() if isinstance(answer, dg.RunRequest)]


@pytest.mark.parametrize(
    ("monday", "expected"),
    [
        pytest.param("2022-06-06", ["2022-06-06"], id="an ordinary week"),
        pytest.param("2022-09-05", ["2022-09-06"], id="Labor Day"),
        pytest.param("2023-01-02", ["2023-01-03"], id="New Year observed on Monday"),
        pytest.param("2018-12-31", ["2018-12-31"], id="New Year on a Tuesday: the week straddles it"),
        pytest.param("2001-09-10", [], id="one session before 11 September 2001"),
        pytest.param("2012-10-29", ["2012-10-31"], id="Hurricane Sandy: three sessions from Wednesday on"),
    ],
)
def test_it_asks_for_a_run_on_the_first_session_of_a_week(monday: str, expected: list[str]) -> None:
    assert runs(monday) == expected


def test_it_ticks_at_eight_in_new_york_before_the_open_summer_and_winter() -> None:
    """Clocks go forward on Sunday 2026-03-08 and back on Sunday 2026-11-01."""
    for start, offsets in (("2026-03-02", [-5, -4]), ("2026-10-26", [-4, -5])):
        mondays = [tick for tick in ticks(start, 14) if tick.weekday() == 0]
        assert [tick.astimezone(NEW_YORK).strftime("%H:%M") for tick in mondays] == ["08:00", "08:00"]
        assert [tick.utcoffset() for tick in mondays] == [datetime.timedelta(hours=hours) for hours in offsets]
        assert runs(start, 14) == [str(tick.date()) for tick in mondays]


def test_a_run_names_its_week_and_is_asked_for_once() -> None:
    [tick] = [tick for tick in ticks("2022-09-05") if tick.day == 6]
    request = ask(tick)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "week-2022-09-06"
    assert request.run_config == {"ops": {"target_weights": {"config": {"date": "2022-09-06"}}}}
    dg.validate_run_config(DEFS.resolve_job_def("weekly_weights"), request.run_config)


@pytest.mark.parametrize(
    ("day", "week"),
    [("2022-09-05", "2022-09-06 has 4"), ("2022-09-07", "2022-09-06 has 4"), ("2001-09-10", "2001-09-10 has 1")],
)
def test_other_days_say_why_they_are_skipped(day: str, week: str) -> None:
    answer = ask(datetime.datetime.fromisoformat(f"{day}T08:00").replace(tzinfo=NEW_YORK))
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == f"{day} is not the first session of a week of at least 3: that of {week}"


def test_it_is_off_until_it_is_switched_on_and_runs_both_assets() -> None:
    schedule = DEFS.resolve_schedule_def("every_week")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    job = DEFS.resolve_job_def(schedule.job_name)
    assert {dg.AssetKey("raw_year_to_date"), dg.AssetKey("target_weights")} == set(
        job.asset_layer.executable_asset_keys
    )
