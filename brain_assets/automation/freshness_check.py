"""Whether the newest complete year is there: a check that a schedule asks, so that a gap is seen where nothing ran.

Not Dagster's freshness policy, which looks at when an asset was last made, whatever the year: a backfill of an old one
would make it pass. Nor its check by partition and cron, which knows no sessions, and is superseded.
"""

import dagster as dg

from brain_assets.graph.years import TIMEZONE, Years
from brain_assets.market.calendar import Clock, sessions_after_year

LATE_SESSIONS = 10
"""Sessions after its end until a year is late: the grace of the sensor `new_data`, and a week to notice."""


def freshness_check(years: Years) -> dg.AssetChecksDefinition:
    """Define the check ``newest_year_is_there`` of ``raw_prices``."""

    @dg.asset_check(
        asset="raw_prices",
        description=f"The newest complete year is there {LATE_SESSIONS} sessions after its end. Asked by a schedule.",
    )
    def newest_year_is_there(
        context: dg.AssetCheckExecutionContext, clock: dg.ResourceParam[Clock]
    ) -> dg.AssetCheckResult:
        """Warn if the newest year that is due has no bars yet."""
        after = {year: sessions_after_year(year, clock()) for year in years.existing()}
        due = [year for year, count in after.items() if count >= LATE_SESSIONS]
        if not due:
            return _result(True, f"no year was over {LATE_SESSIONS} sessions ago")
        if str(due[-1]) in context.instance.get_materialized_partitions(dg.AssetKey("raw_prices")):
            return _result(True, f"raw_prices[{due[-1]}] is there")
        return _result(
            False,
            f"raw_prices[{due[-1]}] is late: the year was over {after[due[-1]]} sessions ago, and is expected within "
            f"{LATE_SESSIONS}; materialize it, or switch on the sensor new_data.",
        )

    return newest_year_is_there


def _result(passed: bool, words: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, description=words)


def freshness_schedule(check: dg.AssetChecksDefinition) -> dg.ScheduleDefinition:
    """Define the schedule that asks for it; off until somebody switches it on."""
    return dg.ScheduleDefinition(
        name="freshness",
        target=dg.AssetSelection.checks(check),
        cron_schedule="0 18 * * 1-5",
        execution_timezone=TIMEZONE,
        description="Asks after every session whether the newest complete year is there.",
    )
