"""The one home of years: which exist, what a partition holds, and which years an asset needs."""

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from brain_assets.errors import SettingsError
from brain_assets.market.base import Market
from brain_assets.market.calendar import utc_now
from brain_assets.settings import Settings

TIMEZONE = "America/New_York"
"""A year ends when it does where the exchange stands."""

SPARE_YEARS = 10
"""A process that loaded the definitions does not live longer."""


@dataclass(frozen=True)
class Years:
    """The years of a market."""

    first_calendar_year: int  # of the data
    first: int  # the first partition: it holds the whole bootstrap window
    last_asked: int | None  # the last year that is wanted, though the market may go on; None: all
    definition: dg.TimeWindowPartitionsDefinition  # of every asset with a partition a year
    up_to_year: dg.TimeWindowPartitionMapping  # from a year to itself and all years before
    previous: dg.TimeWindowPartitionMapping
    """From a year to the two before: a week that straddles New Year goes to the older of these snapshots."""
    before: dg.TimeWindowPartitionMapping  # from a year to the one before, at whose end something is held

    @classmethod
    def of(cls, settings: Settings, market: Market) -> "Years":
        """Give the years from the one that holds the whole bootstrap window to the last complete one of a market.

        A year that has not ended is never a partition, whatever ``BRAIN_LAST_YEAR`` says; where neither the settings
        nor the market name a last year, a new one appears when the clock has completed it. Raises `SettingsError` if
        the market ends before the bootstrap window.
        """
        first = settings.first_partition_year
        ends = [year for year in (settings.last_year, market.last_complete_year()) if year is not None]
        if ends and min(ends) < first:
            raise SettingsError(
                f"BRAIN_FIRST_YEAR: expected a bootstrap window of {settings.bootstrap_years} years that ends by "
                f"{min(ends)}, the last complete year of market {settings.market}, got {settings.first_year}; set an "
                "earlier first year or fewer BRAIN_BOOTSTRAP_YEARS."
            )
        definition = dg.TimeWindowPartitionsDefinition(
            cron_schedule="0 0 1 1 *",
            fmt="%Y",
            start=str(first),
            end=str(min(ends) + 1) if ends else None,
            timezone=TIMEZONE,
        )
        # more than there can be before any partition, but few: Dagster walks through every one of them, often
        all_before = (ends[0] if ends else utc_now().year) - first + SPARE_YEARS
        mappings = _mapping(-all_before, 0), _mapping(-2, -1), _mapping(-1, -1)
        return cls(settings.first_year, first, settings.last_year, definition, *mappings)

    def existing(self) -> list[int]:
        """Give the years that are partitions now, the first holding the whole bootstrap window."""
        return [int(key) for key in self.definition.get_partition_keys()]

    def last(self) -> int:
        """Give the last year that is a partition; raises `SettingsError` if none is."""
        existing = self.existing()
        if not existing:
            raise SettingsError("years: expected a complete year, but there is none; set an earlier BRAIN_FIRST_YEAR.")
        return existing[-1]

    def up_to(self, year: int) -> list[int]:
        """Give the partition years up to and including one: what `up_to_year` maps it to."""
        return list(range(self.first, year + 1))

    def calendar_years(self, year: int) -> Sequence[int]:
        """Give the calendar years whose rows a partition holds."""
        return range(self.first_calendar_year, year + 1) if year == self.first else (year,)

    def window(self, year: int) -> tuple[datetime.date, datetime.date]:
        """Give the first day of a partition's rows and the day after the last."""
        return datetime.date(self.calendar_years(year)[0], 1, 1), datetime.date(year + 1, 1, 1)


def _mapping(start_offset: int, end_offset: int) -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings(category=dg.BetaWarning, action="ignore"):  # the last argument is still called beta
        return dg.TimeWindowPartitionMapping(start_offset, end_offset, allow_nonexistent_upstream_partitions=True)
