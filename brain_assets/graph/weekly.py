"""The schedule of the weekly weights."""

import dagster as dg

from brain_assets.graph.jobs import WEEKLY_WEIGHTS
from brain_assets.graph.years import TIMEZONE
from brain_assets.market.calendar import MIN_WEEK_SESSIONS, NEW_YORK, week_from


@dg.schedule(
    name="every_week",
    job_name=WEEKLY_WEIGHTS,
    cron_schedule="0 8 * * 1-5",
    execution_timezone=TIMEZONE,
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description=(
        "Weights of the week, at 8:00 in New York on its first session, an hour and a half before the open. Off until "
        "it is switched on."
    ),
)
def every_week(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run on the first session of a week; it names the week, so one that starts late decides the same."""
    day = context.scheduled_execution_time.astimezone(NEW_YORK).date()
    week = week_from(day)
    if day != week.start:
        return dg.SkipReason(f"{day} is not the first session of a week: that of {week.start} is the one to come or on")
    if not week.is_long_enough:
        return dg.SkipReason(
            f"the week of {day} has {len(week.sessions)} sessions, fewer than {MIN_WEEK_SESSIONS}: nobody trades in it"
        )
    return dg.RunRequest(
        run_key=f"week-{week.start}",
        run_config={"ops": {"target_weights": {"config": {"date": str(week.start)}}}},
    )
