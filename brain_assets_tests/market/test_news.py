"""The session that news belongs to, against closes that anybody can look up."""

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.news import daily_sentiment, day_sessions, news_sessions
from brain_assets.market.schema import NEWS_TABLE


def table(*rows):
    frame = pd.DataFrame(list(rows), columns=list(NEWS_TABLE.names))
    return frame.assign(date=pd.to_datetime(frame["date"], format="ISO8601").dt.as_unit("us")).astype({"symbol": "str"})


def sessions(*texts, zone="America/New_York"):
    moments = pd.Series(pd.to_datetime(list(texts))).dt.tz_localize(zone)
    return [str(day) for day in news_sessions(moments)]


def days(*texts):
    return np.array(texts, dtype="datetime64[D]")


# Which session a headline belongs to


@pytest.mark.parametrize(
    ("published", "session"),
    [
        ("2024-06-14 09:29:00", "2024-06-14"),  # a Friday, before the open
        ("2024-06-14 16:00:00", "2024-06-14"),  # the very close
        ("2024-06-14 16:00:00.000001", "2024-06-17"),
        ("2024-06-14 16:00:01", "2024-06-17"),
        ("2024-06-13 16:00:01", "2024-06-14"),
        ("2024-06-15 12:00:00", "2024-06-17"),  # Saturday
        ("2024-06-16 23:59:59", "2024-06-17"),  # Sunday
        ("2024-06-19 10:00:00", "2024-06-20"),  # Juneteenth, a Wednesday
        ("2024-06-18 17:00:00", "2024-06-20"),  # the evening before it
        ("2024-11-29 13:00:00", "2024-11-29"),  # the day after Thanksgiving closes at 13:00
        ("2024-11-29 13:30:00", "2024-12-02"),
        ("2024-03-29 11:00:00", "2024-04-01"),  # Good Friday
        ("2019-12-31 16:00:00", "2019-12-31"),
        ("2019-12-31 16:00:01", "2020-01-02"),  # belongs to the next year
    ],
)
def test_a_headline_belongs_to_the_first_session_that_closes_at_or_after_it(published, session):
    assert sessions(published) == [session]


@pytest.mark.parametrize(
    ("close_in_utc", "session"),
    [
        ("2024-03-08 21:00:00", "2024-03-08"),  # Friday, winter time
        ("2024-03-11 20:00:00", "2024-03-11"),  # Monday, summer time
        ("2024-11-01 20:00:00", "2024-11-01"),  # Friday, summer time
        ("2024-11-04 21:00:00", "2024-11-04"),  # Monday, winter time
    ],
)
def test_closes_move_with_daylight_saving_time(close_in_utc, session):
    after = pd.Timestamp(close_in_utc) + pd.Timedelta(seconds=1)
    assert sessions(close_in_utc, zone="UTC") == [session]
    assert sessions(after, zone="UTC") > [session]


@pytest.mark.parametrize(
    ("zone", "at_close", "after"),
    [
        ("UTC", "2024-06-14 20:00:00", "2024-06-14 20:00:01"),
        ("Asia/Tokyo", "2024-06-15 05:00:00", "2024-06-15 05:00:01"),  # there it is Saturday
        ("Europe/London", "2024-06-14 21:00:00", "2024-06-14 21:00:01"),
    ],
)
def test_the_zone_of_a_timestamp_does_not_matter(zone, at_close, after):
    assert sessions(at_close, after, zone=zone) == ["2024-06-14", "2024-06-17"]


def test_a_nanosecond_after_the_close_is_after_it():
    moment = pd.Series([pd.Timestamp("2024-06-14 20:00:00.000000001", tz="UTC")])
    assert str(news_sessions(moment)[0]) == "2024-06-17"


def test_no_session_is_before_its_headline():
    random = np.random.default_rng(0)
    seconds = random.integers(0, 20 * 365 * 86_400, 5000)
    published = pd.Series(pd.Timestamp("2004-01-01", tz="UTC") + pd.to_timedelta(seconds, unit="s"))
    found = news_sessions(published)
    new_york = published.dt.tz_convert("America/New_York").dt.tz_localize(None).to_numpy()
    assert (found.astype("datetime64[s]") + np.timedelta64(16, "h") >= new_york).all()
    assert (found - new_york.astype("datetime64[D]")).max() <= np.timedelta64(5, "D")  # a long weekend at most


# Days without a time


def test_a_day_that_is_no_session_moves_to_the_next():
    found = day_sessions(days("2024-06-14", "2024-06-15", "2024-06-16", "2024-06-17", "2024-06-19", "2019-12-31"))
    assert list(map(str, found)) == [
        "2024-06-14",
        "2024-06-17",
        "2024-06-17",
        "2024-06-17",
        "2024-06-20",
        "2019-12-31",
    ]


# One row a session and symbol


def test_scores_of_a_session_are_averaged_over_articles():
    frame = daily_sentiment(
        days("2024-06-17", "2024-06-14", "2024-06-17", "2024-06-17", "2024-06-17"),
        pd.Series(["B", "A", "A", "A", "A"], dtype="str"),
        np.array([-1.0, 0.3333, 0.5, 1.0, -0.25]),
        np.ones(5, dtype=np.int64),
    )
    expected = table(
        ("2024-06-14", "A", 0.3333, 1),
        ("2024-06-17", "A", 1.25 / 3, 3),
        ("2024-06-17", "B", -1.0, 1),
    )
    pd.testing.assert_frame_equal(NEWS_TABLE.validate(frame, "here"), expected, check_exact=True)


def test_daily_scores_moved_onto_one_session_are_weighted_by_their_articles():
    moved = day_sessions(days("2024-06-14", "2024-06-15", "2024-06-17"))  # Friday, Saturday, Monday
    frame = daily_sentiment(
        moved, pd.Series(["A"] * 3, dtype="str"), np.array([0.1, 0.8, -0.4]), np.array([7, 1, 3], dtype=np.int64)
    )
    expected = table(("2024-06-14", "A", 0.1, 7), ("2024-06-17", "A", (0.8 - 1.2) / 4, 4))
    pd.testing.assert_frame_equal(frame, expected)
    assert frame["sentiment_score"][0] == 0.1  # alone, a score keeps its last bit: 0.1 * 7 / 7 is another number


def test_the_order_of_rows_changes_no_bit():
    random = np.random.default_rng(0)
    which = random.integers(0, 3, 300)
    dates, symbols = days("2024-06-13", "2024-06-14", "2024-06-17")[which], pd.Series(["A"] * 300, dtype="str")
    scores, counts = random.uniform(-1, 1, 300), random.integers(1, 5, 300)
    order = random.permutation(300)
    pd.testing.assert_frame_equal(
        daily_sentiment(dates, symbols, scores, counts),
        daily_sentiment(dates[order], symbols, scores[order], counts[order]),
        check_exact=True,
    )


def test_a_mean_of_extreme_scores_stays_in_range():
    n = 1001
    frame = daily_sentiment(
        np.full(n, np.datetime64("2024-06-14")), pd.Series(["A"] * n, dtype="str"), np.full(n, -1.0), np.full(n, 3)
    )
    assert frame["sentiment_score"].tolist() == [-1.0]
    NEWS_TABLE.validate(frame, "here")
