"""The one home of years: which exist, what a partition holds, and which years an asset needs."""

import datetime
import warnings
from collections.abc import Sequence

import dagster as dg

from brain_assets.errors import SettingsError
from brain_assets.market.base import Market
from brain_assets.market.calendar import utc_now
from brain_assets.market.registry import open_market
from brain_assets.settings import Settings, current_settings

TIMEZONE = "America/New_York"
"""A year ends when it does where the exchange stands."""


def yearly_partitions(settings: Settings, market: Market) -> dg.TimeWindowPartitionsDefinition:
    """Give the years of a market: from the one that holds the whole bootstrap window to the last complete one.

    A year that has not ended is never a partition, whatever ``BRAIN_LAST_YEAR`` says; where neither the settings
    nor the market name a last year, a new one appears when the clock has completed it.
    """
    last_years = [year for year in (settings.last_year, market.last_complete_year()) if year is not None]
    if last_years and min(last_years) < settings.first_partition_year:
        raise SettingsError(
            f"BRAIN_FIRST_YEAR: expected a bootstrap window of {settings.bootstrap_years} years that ends by "
            f"{min(last_years)}, the last complete year of market {settings.market}, got {settings.first_year}; set an "
            "earlier first year or fewer BRAIN_BOOTSTRAP_YEARS."
        )
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="0 0 1 1 *",
        fmt="%Y",
        start=str(settings.first_partition_year),
        end=str(min(last_years) + 1) if last_years else None,
        timezone=TIMEZONE,
    )


SETTINGS = current_settings()
MARKET = open_market(SETTINGS.market, SETTINGS.symbols, SETTINGS.files_dir, SETTINGS.edgar_identity)
YEARS = yearly_partitions(SETTINGS, MARKET)

FIRST_YEAR = SETTINGS.first_partition_year
"""The first partition: it holds the whole bootstrap window."""


SPARE_YEARS = 10
"""A process that loaded the definitions does not live longer."""

ALL_BEFORE = (SETTINGS.last_year or MARKET.last_complete_year() or utc_now().year) - FIRST_YEAR + SPARE_YEARS
"""Years; more than there can be before any partition, but few: Dagster walks through every one of them, often."""


def _mapping(start_offset: int, end_offset: int) -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings(category=dg.BetaWarning, action="ignore"):  # the last argument is still called beta
        return dg.TimeWindowPartitionMapping(start_offset, end_offset, allow_nonexistent_upstream_partitions=True)


UP_TO_YEAR = _mapping(-ALL_BEFORE, 0)
PREVIOUS_YEARS = _mapping(-2, -1)
"""A year's weeks go to the snapshot of the year before, but one that straddles New Year goes to the one before that."""


def partition_years() -> list[int]:
    """Give the years that are partitions now, the first holding the whole bootstrap window."""
    return [int(key) for key in YEARS.get_partition_keys()]


def years_up_to(year: int) -> list[int]:
    """Give the partition years up to and including one: what `UP_TO_YEAR` maps it to."""
    return list(range(FIRST_YEAR, year + 1))


def is_needed(mapping: dg.PartitionMapping, year: str | None, candidate: str) -> bool:
    """Tell whether a year of something, None if it has no years, is mapped to a year of an input.

    Dagster tells it too, but finds its years by walking through a calendar: milliseconds each, where a tick asks for
    hundreds.
    """
    if year is None or not isinstance(mapping, dg.TimeWindowPartitionMapping):
        return True
    return int(year) + mapping.start_offset <= int(candidate) <= int(year) + mapping.end_offset


def calendar_years(year: int) -> Sequence[int]:
    """Give the calendar years whose rows a partition holds."""
    return range(SETTINGS.first_year, year + 1) if year == FIRST_YEAR else (year,)


def partition_window(year: int) -> tuple[datetime.date, datetime.date]:
    """Give the first day of a partition's rows and the day after the last."""
    return datetime.date(calendar_years(year)[0], 1, 1), datetime.date(year + 1, 1, 1)
