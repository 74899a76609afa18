"""News from the user's own files: what is read, which session it counts in, what is refused and in which words."""

import datetime
import logging

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import MarketError, TableError
from brain_assets.market.news import NewsFiles, daily_sentiment, news_sessions
from brain_assets.market.schema import NEWS_TABLE

FIRST, LAST = datetime.date(2024, 1, 1), datetime.date(2025, 1, 1)
NO_FILE = "no news_sentiment* or headlines* file in BRAIN_FILES_DIR"
SCORES = {"up": 1.0, "flat": 0.0, "down": -0.5, "so-so": 0.25}


def score_by_word(titles):
    return np.array([SCORES[title] for title in titles])


def headlines(folder, *lines, name="headlines.csv"):
    (folder / name).write_text("\n".join(["published,symbol,title", *lines]) + "\n")


def scores(folder, *lines, name="news_sentiment.csv", header="date,symbol,sentiment_score,n_articles"):
    (folder / name).write_text("\n".join([header, *lines]) + "\n")


def news(folder, *symbols, score=score_by_word, start=FIRST, end=LAST):
    return NewsFiles(folder, symbols).news_sentiment(start, end, score)


def rows(frame):
    assert tuple(frame.columns) == NEWS_TABLE.names
    return [(f"{row.date:%m-%d}", row.symbol, row.sentiment_score, row.n_articles) for row in frame.itertuples()]


def refusal(folder, error=TableError):
    with pytest.raises(error) as caught:
        news(folder)
    assert type(caught.value) is error
    return str(caught.value)


# Which session news belongs to


@pytest.mark.parametrize(
    ("published", "session"),
    [
        ("2024-06-14 16:00:00", "2024-06-14"),  # a Friday, the very close
        ("2024-06-14 16:00:00.000001", "2024-06-17"),
        ("2024-06-15 12:00:00", "2024-06-17"),  # Saturday
        ("2024-06-19 10:00:00", "2024-06-20"),  # Juneteenth, a Wednesday
        ("2024-11-29 13:00:00", "2024-11-29"),  # the day after Thanksgiving closes at 13:00
        ("2024-11-29 13:30:00", "2024-12-02"),
        ("2019-12-31 16:00:01", "2020-01-02"),  # belongs to the next year
    ],
)
def test_a_headline_belongs_to_the_first_session_that_closes_at_or_after_it(published, session):
    moment = pd.Series([pd.Timestamp(published, tz="America/New_York")])
    assert news_sessions(moment).astype("datetime64[D]").astype(str).tolist() == [session]


# One row a session and symbol


def table(*rows):
    return pd.DataFrame(list(rows), columns=list(NEWS_TABLE.names)).astype(NEWS_TABLE.types)


def test_the_order_of_rows_changes_no_bit_and_a_mean_stays_in_range():
    random = np.random.default_rng(0)
    days = np.array(["2024-06-13", "2024-06-14", "2024-06-17"])[random.integers(0, 3, 300)]
    rows = table(*zip(days, ["A"] * 300, random.uniform(-1, 1, 300), random.integers(1, 5, 300), strict=True))
    shuffled = rows.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(daily_sentiment(rows), daily_sentiment(shuffled), check_exact=True)
    extreme = daily_sentiment(table(*[("2024-06-14", "A", -1.0, 3)] * 1001, ("2024-06-17", "A", 0.1, 7)))
    assert extreme["sentiment_score"].tolist() == [-1.0, 0.1]  # alone to its last bit: 0.1 * 7 / 7 is another number


# Headlines


def test_headlines_count_once_and_those_that_come_later_change_no_earlier_row(tmp_path):
    early = [
        "2024-06-13T10:00:00-04:00,AAA,up",
        "2024-06-14T10:00:00-04:00,BBB,down",
        "2024-06-14T15:00:00-04:00,AAA,so-so",
        "2024-06-14T19:00:00Z,AAA, so-so ",  # the same once more
        "2024-06-14T15:00:01-04:00,AAA,up",
    ]
    headlines(tmp_path, *early)
    before = news(tmp_path)
    assert rows(before) == [("06-13", "AAA", 1.0, 1), ("06-14", "AAA", 0.625, 2), ("06-14", "BBB", -0.5, 1)]
    later = ["2024-06-14T16:00:01-04:00,AAA,down", "2024-06-17T10:00:00-04:00,BBB,up", "2024-06-18T10:00:00Z,NEW,flat"]
    headlines(tmp_path, later[0], *early[::-1], *later[1:])
    headlines(tmp_path, "2024-06-20T10:00:00Z,AAA,down", name="headlines-0.csv")
    after = news(tmp_path)
    assert len(after) > len(before)
    pd.testing.assert_frame_equal(after[: len(before)], before, check_exact=True)
    asked = []  # of the sessions and symbols asked for, each title once
    days = {"start": datetime.date(2024, 6, 13), "end": datetime.date(2024, 6, 17)}
    cut = news(tmp_path, "AAA", score=lambda titles: asked.append(titles) or score_by_word(titles), **days)
    assert rows(cut) == rows(before)[:2]
    assert [sorted(titles) for titles in asked] == [["so-so", "up"]]


def test_headlines_of_several_symbols_in_a_cell_are_refused_and_counted(tmp_path):
    for several in ("AAA,BBB", "AAA BBB", "AAA/BBB"):
        names = ("BBB", several, several, "AAA")
        headlines(tmp_path, *(f'2024-06-14T1{place}:00:00Z,"{name}",up' for place, name in enumerate(names)))
        assert refusal(tmp_path) == (
            f"headlines.csv, line 3, column symbol: expected one symbol, got {several}; 2 rows are so (lines 3, 4); "
            "write a row for each symbol."
        )
    headlines(tmp_path, "2024-06-14T10:00:00Z,BRK/B,up")
    assert news(tmp_path)["symbol"].tolist() == ["BRK/B"]


def test_many_headlines_at_midnight_are_named_in_a_warning(tmp_path, caplog):
    headlines(tmp_path, "2024-06-14T10:00:00Z,AAA,up", "2024-06-14T00:00:00-04:00,AAA,up", "2024-06-13T04:00Z,AAA,down")
    with caplog.at_level(logging.WARNING, "brain_assets"):
        news(tmp_path)
    assert len(caplog.messages) == 1
    expected = "2 of 3 headlines were published at midnight sharp (America/New_York); if their time is not known"
    assert expected in caplog.messages[0]
    caplog.clear()
    headlines(tmp_path, "2024-06-14T10:00:00Z,AAA,up", "2024-06-14T00:00:00Z,AAA,up")
    news(tmp_path)
    assert caplog.messages == []


@pytest.mark.parametrize("wrong", [np.array([0.5]), np.array([0.5, 1.5]), np.array([np.nan, 0.5])])
def test_a_scorer_that_gives_no_scores_is_refused(tmp_path, wrong):
    headlines(tmp_path, "2024-06-14T10:00:00Z,AAA,up", "2024-06-14T10:00:00Z,AAA,down")
    with pytest.raises(MarketError, match="headlines: expected a score from -1 to 1 for each of 2 titles, got an arr"):
        news(tmp_path, score=lambda titles: wrong)


# Scores


def test_a_row_counts_as_one_article_where_a_file_does_not_say(tmp_path):
    scores(tmp_path, "2024-06-14,AAA,0.5", header="date,symbol,sentiment_score")
    scores(tmp_path, "2024-06-15,AAA,0.1,4", "2024-06-17,AAA,-0.4,1", "2024-06-18,AAA,,0", name="news_sentiment_2.csv")
    market = NewsFiles(tmp_path)
    frame = market.news_sentiment(FIRST, LAST, lambda titles: pytest.fail("asked for scores"))
    assert rows(frame)[0] == ("06-14", "AAA", 0.5, 1)
    assert rows(frame)[1:] == [("06-17", "AAA", 0.0, 5)]  # Saturday's and Monday's: (4 * 0.1 - 0.4) / 5
    assert market.source == "scores from 2 files"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2024-06-14T10:00:00,AAA,up", "column published: expected a time with its zone, as 2024-06-10T"),
        ("2024-06-14T10:00:00Z,AAA,  ", "column title: expected a title, got nothing;"),
        ("2024-06-14,AAA,1.5,1", "column sentiment_score: expected a score from -1 to 1, got 1.5;"),
        ("2024-06-14,AAA,0.5,1.5", "column n_articles: expected a whole number >= 1, got 1.5;"),
        ("2024-06-13,AAA,0.4,1", "columns date and symbol: expected one row a date and symbol, got a second for"),
        ("2024-06-14,AAA|BBB,0.5,1", "column symbol: expected one symbol, got AAA|BBB; write a row for each"),
    ],
)
def test_what_is_wrong_is_named_by_file_line_and_column(tmp_path, line, message):
    if "T10" in line:
        headlines(tmp_path, "2024-06-13T10:00:00Z,AAA,up", line)
    else:
        scores(tmp_path, "2024-06-13,AAA,0.5,1", line)
    assert f", line 3, {message}" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "line", "year", "other"),
    [
        ("news_sentiment.csv", "2022-12-31,AAA,good,1", 2023, 2022),  # a Saturday: of Tuesday, January 3
        ("news_sentiment.csv", "2022-12-30,AAA,7,1", 2022, 2023),
        ("headlines.csv", "2024-12-31T16:00:01-05:00,AAA,", 2025, 2024),
        ("headlines.csv", "2024-12-31T16:00:00-05:00,AAA,", 2024, 2025),
        ("headlines.csv", "2024-12-31T16:00:01-05:00,AAA|BBB,up", 2025, 2024),
    ],
)
def test_what_is_wrong_is_refused_in_the_year_of_its_session_alone(tmp_path, name, line, year, other):
    {"headlines.csv": headlines, "news_sentiment.csv": scores}[name](tmp_path, line)
    with pytest.raises(TableError, match=f"{name}, line 2, column"):
        news(tmp_path, start=datetime.date(year, 1, 1), end=datetime.date(year + 1, 1, 1))
    assert news(tmp_path, start=datetime.date(other, 1, 1), end=datetime.date(other + 1, 1, 1)).empty


# Which files there are


def test_there_are_files_of_one_sort_or_none(tmp_path):
    for folder, why in ((None, "BRAIN_FILES_DIR is not set"), (tmp_path, NO_FILE)):
        pd.testing.assert_frame_equal(news(folder), NEWS_TABLE.empty())
        assert NewsFiles(folder).sourced(NEWS_TABLE.empty(), ("AAA",))[1:] == (f"none: {why}", ())
    headlines(tmp_path, "2024-06-14T10:00:00Z,AAA,up")
    scores(tmp_path, "2024-06-14,AAA,0.5,1")
    assert refusal(tmp_path, MarketError) == (
        f"{tmp_path}: expected news as scores or as headlines, got both (news_sentiment.csv and headlines.csv), and "
        "news that is in both would count twice; keep one sort."
    )
