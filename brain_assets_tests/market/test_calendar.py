"""Sessions and weeks, against dates that anybody can look up."""

import datetime
import itertools

import numpy as np
import pytest

import brain_assets.market.calendar
from brain_assets.errors import MarketError
from brain_assets.market.calendar import (
    Weeks,
    closes_between,
    complete_weeks,
    iso_week_numbers,
    sessions_between,
    week_from,
)


def day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


def dates(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def weeks_between(start: str, end: str) -> Weeks:
    return complete_weeks(sessions_between(day(start), day(end)))


def spans(weeks: Weeks) -> list[tuple[str, str]]:
    return [(str(start), str(end)) for start, end in zip(weeks.start, weeks.end, strict=True)]


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2019-12-30", "2020-01-08", ("12-30", "12-31", "01-02", "01-03", "01-06", "01-07")),  # New Year, a weekend
        ("2019-11-25", "2019-12-01", ("11-25", "11-26", "11-27", "11-29")),  # Thanksgiving; a half day after it
        ("2001-09-07", "2001-09-18", ("09-07", "09-10", "09-17")),
        ("2022-06-17", "2022-06-22", ("06-17", "06-21")),  # Juneteenth is a holiday since 2022
        ("2021-06-17", "2021-06-22", ("06-17", "06-18", "06-21")),
    ],
)
def test_holidays_and_weekends_are_no_sessions(start: str, end: str, days: tuple[str, ...]) -> None:
    assert tuple(str(session)[5:] for session in sessions_between(day(start), day(end))) == days
    assert len(sessions_between(day("2019-01-01"), day("2020-01-01"))) == 252  # 261 weekdays less nine holidays


@pytest.mark.parametrize(
    ("date", "close"),
    [
        ("2024-06-14", "2024-06-14T20:00"),  # 16:00 in summer
        ("2024-01-16", "2024-01-16T21:00"),  # and in winter
        ("2024-11-29", "2024-11-29T18:00"),  # the day after Thanksgiving ends at 13:00
        ("2023-07-03", "2023-07-03T17:00"),  # the day before Independence Day too, in summer
    ],
)
def test_a_session_closes_at_four_or_earlier_in_utc(date: str, close: str) -> None:
    closes = closes_between(day(date), day(date) + datetime.timedelta(days=1))
    assert closes.tolist() == [datetime.datetime.fromisoformat(close)]


def test_week_numbers_agree_with_isocalendar_on_where_weeks_change() -> None:
    days = np.arange(np.datetime64("1969-12-22"), np.datetime64("2022-01-12"))  # years of 52 and of 53 weeks
    iso = [date.isocalendar()[:2] for date in days.tolist()]
    changes = [earlier != later for earlier, later in itertools.pairwise(iso)]
    np.testing.assert_array_equal(np.diff(iso_week_numbers(days)), changes)


def test_weeks_around_thanksgiving() -> None:
    weeks = weeks_between("2019-11-15", "2019-12-07")
    # sessions: 0 = Fri 15, 1-5 = 18-22, 6-9 = 25, 26, 27, 29, 10-14 = 2-6 December
    assert spans(weeks) == [("2019-11-18", "2019-11-22"), ("2019-11-25", "2019-11-29"), ("2019-12-02", "2019-12-06")]
    np.testing.assert_array_equal(weeks.first, [1, 6, 10])
    np.testing.assert_array_equal(weeks.last, [5, 9, 14])


def test_the_week_that_straddles_new_year_belongs_to_the_new_year() -> None:
    weeks = weeks_between("2019-12-20", "2020-01-11")
    assert spans(weeks) == [("2019-12-23", "2019-12-27"), ("2019-12-30", "2020-01-03"), ("2020-01-06", "2020-01-10")]
    np.testing.assert_array_equal(weeks.year, [2019, 2020, 2020])
    for chosen in (weeks.select(weeks.year == 2020), weeks.select(np.array([1, 2]))):
        assert spans(chosen) == spans(weeks)[1:]
        np.testing.assert_array_equal(chosen.first, [5, 9])  # sessions: 0 = 20 December, 1-4 = 23, 24, 26, 27, ...
        np.testing.assert_array_equal(chosen.last, [8, 13])


def test_a_week_of_two_sessions_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # the exchange never had one; this calendar is made up: Fri 3 | Mon 6, Tue 7 | Mon 13, Tue 14, Wed 15 January 2020
    calendar = dates("2020-01-03", "2020-01-06", "2020-01-07", "2020-01-13", "2020-01-14", "2020-01-15")
    monkeypatch.setattr(brain_assets.market.calendar, "_all_sessions", lambda: calendar)
    assert spans(complete_weeks(calendar)) == [("2020-01-13", "2020-01-15")]


@pytest.mark.parametrize(
    ("start", "first_week"),
    [
        ("2020-01-07", "2020-01-13"),  # Tuesday: four sessions are not the whole of five
        ("2020-01-06", "2020-01-13"),  # Monday: whole, but no close before it to decide at
        ("2020-01-03", "2020-01-06"),  # Friday: one close before
        ("2020-01-21", "2020-01-27"),  # Tuesday after Martin Luther King's day: whole, no close before it
        ("2020-01-17", "2020-01-21"),
    ],
)
def test_a_week_cut_at_the_start_or_without_a_close_before_it_is_no_week(start: str, first_week: str) -> None:
    assert str(weeks_between(start, "2020-02-15").start[0]) == first_week
    assert len(weeks_between("2020-01-06", "2020-01-11")) == len(complete_weeks(dates()).year) == 0


@pytest.mark.parametrize(
    ("end", "last_week"),
    [
        ("2020-01-24", ("2020-01-13", "2020-01-17")),  # up to Thursday 23: the calendar still has Friday
        *((end, ("2020-01-21", "2020-01-24")) for end in ("2020-01-25", "2020-01-28")),
        ("2019-04-19", ("2019-04-15", "2019-04-18")),  # Thursday before Good Friday: nothing is left of its week
    ],
)
def test_a_week_is_one_as_soon_as_its_last_session_is_there(end: str, last_week: tuple[str, str]) -> None:
    assert spans(weeks_between("2019-01-02", end))[-1] == last_week


@pytest.mark.parametrize(
    ("date", "decided", "sessions", "year"),
    [
        ("2022-05-28", "2022-05-27", ["2022-05-31", "2022-06-01", "2022-06-02", "2022-06-03"], 2022),  # a Saturday
        ("2022-05-27", "2022-05-20", ["2022-05-23", "2022-05-24", "2022-05-25", "2022-05-26", "2022-05-27"], 2022),
        ("2019-12-30", "2019-12-27", ["2019-12-30", "2019-12-31", "2020-01-02", "2020-01-03"], 2020),
        ("2001-09-10", "2001-09-07", ["2001-09-10"], 2001),
        ("2001-09-11", "2001-09-10", [f"2001-09-{number}" for number in (17, 18, 19, 20, 21)], 2001),
    ],
)
def test_week_of_the_first_session_on_or_after_a_day(date: str, decided: str, sessions: list[str], year: int) -> None:
    week = week_from(day(date))
    assert (str(week.decided), week.sessions.astype(str).tolist(), week.year) == (decided, sessions, year)
    assert str(week.start) == sessions[0]
    assert week.is_long_enough == (len(sessions) >= 3)


def test_decision_time_is_the_close_in_new_york_early_ones_too() -> None:
    assert week_from(day("2022-06-01")).decision_time.isoformat() == "2022-05-27T16:00:00-04:00"
    assert week_from(day("2022-11-28")).decision_time.isoformat() == "2022-11-25T13:00:00-05:00"  # after Thanksgiving


@pytest.mark.parametrize("date", ["1970-01-02", "2100-01-01"])
def test_a_week_outside_the_known_sessions_is_refused(date: str) -> None:
    with pytest.raises(MarketError, match=f"date: expected a day from 1970-01-05 to .*, got {date}; choose another"):
        week_from(day(date))
