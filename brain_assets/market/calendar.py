"""The one home of sessions and weeks.

A session is a trading day of the New York Stock Exchange. A week is the sessions of one ISO week (Monday to Sunday); it
belongs to the year of its *last* session, and its decision time is after the last close before its first session.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from brain_assets.arrays import DateArray, IntArray, MomentArray
from brain_assets.errors import MarketError

FIRST_DATE = datetime.date(1970, 1, 1)  # sessions before this date are not known to us
MIN_WEEK_SESSIONS = 3  # a week with fewer sessions has no weekly return worth predicting, and is dropped
NEW_YORK = ZoneInfo("America/New_York")
Clock = Callable[[], datetime.datetime]  # gives the present moment with its time zone

SETTLED = datetime.time(16, 30, tzinfo=NEW_YORK)
"""When a daily bar is taken as final: half an hour after the close, as quotes lag by up to 15 minutes; early closes
too."""


@lru_cache(maxsize=1)
def _all_sessions_and_closes() -> tuple[DateArray, MomentArray]:
    import exchange_calendars  # slow to import; only needed once dates are asked for

    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE.isoformat())
    closes = calendar.closes.dt.tz_convert("UTC").dt.tz_localize(None)
    return calendar.sessions.to_numpy().astype("datetime64[D]"), closes.to_numpy().astype("datetime64[us]")


def _all_sessions() -> DateArray:
    return _all_sessions_and_closes()[0]


def _inside(start: datetime.date, end: datetime.date) -> slice:
    return slice(*np.searchsorted(_all_sessions(), [np.datetime64(start, "D"), np.datetime64(end, "D")]))


def sessions_between(start: datetime.date, end: datetime.date) -> DateArray:
    """Give the sessions from `start` up to but not including `end`; days in order, (n_sessions,).

    They are known up to one year ahead of today, as far as the exchange has fixed its holidays.
    """
    return _all_sessions()[_inside(start, end)]


def closes_between(start: datetime.date, end: datetime.date) -> MomentArray:
    """Give the close of each of ``sessions_between(start, end)`` in UTC: 16:00 in New York, 13:00 on early days."""
    return _all_sessions_and_closes()[1][_inside(start, end)]


def years_of(dates: DateArray) -> IntArray:
    """Give the calendar years of dates; of the same shape."""
    return dates.astype("datetime64[Y]").astype(np.int64) + 1970


def iso_week_numbers(dates: DateArray) -> IntArray:
    """Give ISO weeks consecutive numbers, (n,): dates of one Monday-to-Sunday week share a number."""
    days_since_epoch = dates.astype("datetime64[D]").astype(np.int64)
    return (days_since_epoch + 3) // 7  # 1970-01-01 was a Thursday


def week_times(days: DateArray) -> tuple[DateArray, DateArray, DateArray]:
    """Give for any days the last session before their ISO week, the first and the last session of it; each (n,)."""
    sessions = _all_sessions()
    numbers, wanted = iso_week_numbers(sessions), iso_week_numbers(days)
    first = np.searchsorted(numbers, wanted, "left")
    return sessions[first - 1], sessions[first], sessions[np.searchsorted(numbers, wanted, "right") - 1]


def years_of_weeks(days: DateArray) -> IntArray:
    """Give the year that the ISO week of each day belongs to: that of its last session; (n,)."""
    return years_of(week_times(days)[2])


@dataclass(frozen=True)
class CalendarWeek:
    """A week as the calendar has it, whether it has begun or not."""

    decided: datetime.date  # the session before it: its decision time is after that one's close
    sessions: DateArray  # all of the ISO week's, one at least; days, (n_sessions,)

    @property
    def start(self) -> datetime.date:
        """Its first session."""
        return _date(self.sessions[0])

    @property
    def year(self) -> int:
        """The year that it belongs to: that of its last session."""
        return _date(self.sessions[-1]).year

    @property
    def is_long_enough(self) -> bool:
        """Whether it has `MIN_WEEK_SESSIONS`; one that has not is dropped, and nobody trades in it."""
        return len(self.sessions) >= MIN_WEEK_SESSIONS

    @property
    def decision_time(self) -> datetime.datetime:
        """The moment of the close after which it is decided, with the time zone of New York."""
        [close] = closes_between(self.decided, self.decided + datetime.timedelta(days=1))
        return close.item().replace(tzinfo=datetime.UTC).astimezone(NEW_YORK)


def week_from(day: datetime.date) -> CalendarWeek:
    """Give the ISO week of the first session on or after a day: on a weekend, the week to come.

    Raises `MarketError` if the day lies outside the sessions that are known.
    """
    sessions = _all_sessions()
    position = int(np.searchsorted(sessions, np.datetime64(day, "D")))
    numbers = iso_week_numbers(sessions)
    earliest = int(np.searchsorted(numbers, numbers[0], "right"))  # the week before has no session before it
    if not earliest <= position < len(sessions):
        raise MarketError(
            f"date: expected a day from {sessions[earliest]} to {sessions[-1]}, as far as the exchange's sessions are "
            f"known, got {day}; choose another."
        )
    decided, first, last = week_times(sessions[position : position + 1])
    return CalendarWeek(_date(decided[0]), sessions_between(_date(first[0]), _date(last[0]) + datetime.timedelta(1)))


def _date(session: np.datetime64) -> datetime.date:
    return session.astype("datetime64[D]").item()


@dataclass(frozen=True)
class Weeks:
    """The complete weeks of a run of sessions; all arrays are (n_weeks,)."""

    first: IntArray
    last: IntArray
    """Positions of each week's first and last session in the sessions they were cut from. ``first >= 1``: the close
    before the week is there too, since that is when its decision is taken."""
    start: DateArray
    end: DateArray  # the dates of the same sessions

    def __len__(self) -> int:
        return len(self.first)

    @property
    def year(self) -> IntArray:
        """The year that each week belongs to: that of its last session; shape (n_weeks,)."""
        return years_of(self.end)

    def select(self, mask: np.ndarray) -> "Weeks":
        """Keep the weeks where `mask` (shape (n_weeks,), bool, or positions) says so."""
        return Weeks(self.first[mask], self.last[mask], self.start[mask], self.end[mask])


def complete_weeks(sessions: DateArray) -> Weeks:
    """Cut sessions into complete weeks.

    A week is complete when every session that the exchange calendar has in it is among `sessions`: one that the
    calendar has not finished by the last date is not a week yet, and one cut off at the start never becomes one. Weeks
    of fewer than `MIN_WEEK_SESSIONS` sessions are dropped, and so is a week with no session before it.
    """
    if len(sessions) == 0:
        empty = np.empty(0, dtype=np.int64)
        return Weeks(empty, empty, sessions, sessions)
    numbers = iso_week_numbers(sessions)
    unique, first, count = np.unique(numbers, return_index=True, return_counts=True)
    scheduled = iso_week_numbers(_all_sessions())
    n_scheduled = np.searchsorted(scheduled, unique, "right") - np.searchsorted(scheduled, unique, "left")
    last = first + count - 1
    keep = (count == n_scheduled) & (count >= MIN_WEEK_SESSIONS) & (first >= 1)
    first, last = first[keep].astype(np.int64), last[keep].astype(np.int64)
    return Weeks(first, last, sessions[first], sessions[last])


def utc_now() -> datetime.datetime:
    """Give the present moment."""
    return datetime.datetime.now(datetime.UTC)


def first_unfinished_day(now: datetime.datetime) -> datetime.date:
    """Give the first day, in New York, whose session may still change at a moment with its time zone."""
    local = now.astimezone(NEW_YORK)
    return local.date() + datetime.timedelta(days=int(local.timetz() >= SETTLED))


def finished_after_year(year: int, n_sessions: int) -> datetime.datetime:
    """Give the moment from which on so many sessions have finished since a year was over."""
    days = sessions_between(datetime.date(year + 1, 1, 1), datetime.date(year + 2, 1, 1))
    return datetime.datetime.combine(days[n_sessions - 1].item(), SETTLED)
