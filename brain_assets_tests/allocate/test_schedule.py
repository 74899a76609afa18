"""The weekly schedule: when it asks for a run, in weeks with holidays too."""

import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from brain_assets.allocate.assets import every_week
from brain_assets_tests.graph.worlds import DEFS

NEW_YORK = ZoneInfo("America/New_York")


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
