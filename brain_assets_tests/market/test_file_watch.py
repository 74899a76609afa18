"""What files hold in numbers, and what a look at their folder remembers, on real files."""

import datetime
import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.market import file_watch
from brain_assets.market.archive import fetch_prices
from brain_assets.market.file_sums import Partitions, row_sum, sums_of_file, sums_of_table
from brain_assets.market.file_watch import FileWatch, Memory, recall
from brain_assets.market.files import FilesMarket
from brain_assets.market.schema import RAW
from brain_assets.market.simulator import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import END, FIRST_DAY

PARTITIONS = Partitions(2016, 2019)
YEARS = (2019, 2020, 2021)
NOW = datetime.datetime(2022, 6, 1, tzinfo=datetime.UTC)
NOTHING = dict.fromkeys(RAW, ())
EVERYTHING = dict.fromkeys(RAW, YEARS)
COUNTER = itertools.count()


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a file, and let it be some hours old: each time a little less."""
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    age(path, 7000.0 - next(COUNTER))


def age(path: Path, seconds: float = 3600.0) -> None:
    os.utime(path, (NOW.timestamp() - seconds,) * 2)


@pytest.fixture
def folder(tmp_path: Path, prices: pd.DataFrame) -> Path:
    """A file of prices a year."""
    for year, rows in prices.groupby(prices["date"].dt.year):
        write(tmp_path / f"prices-{year}.csv", rows)
    return tmp_path


def watch(folder: Path, tables: MemoryTableStore | None = None, partitions: Partitions = PARTITIONS) -> FileWatch:
    return FileWatch(folder, partitions, tables or MemoryTableStore(), lambda: NOW)


def fresh(folder: Path) -> Memory:
    return Memory(made_for=watch(folder).made_for)


def stored(folder: Path) -> MemoryTableStore:
    """Give the raw tables of all years, as the assets store them."""
    tables, market = MemoryTableStore(), FilesMarket(folder)
    for year in YEARS:
        start = datetime.date(2016 if year == 2019 else year, 1, 1)
        end = datetime.date(year + 1, 1, 1)
        tables.write("raw_prices", year, fetch_prices(market, start, end, overlap=year > 2019))
        news = market.news_sentiment(start, end, lambda titles: np.full(len(titles), 0.25))
        tables.write("raw_news_sentiment", year, news.table)
        before = datetime.timedelta(366 if year == 2019 else 0)
        tables.write("raw_fundamentals", year, market.fundamentals(start - before, end).table)
    return tables


def needed(folder: Path, tables: MemoryTableStore, memory: Memory) -> tuple[set[tuple[str, int]], Memory]:
    watched = watch(folder, tables)
    look = watched.look(memory)
    assert not look.held
    return {(need.table, need.year) for need in watched.needs(look, YEARS, EVERYTHING)}, look.memory


# Sums


def test_sums_are_those_of_the_stored_table_whatever_the_order_the_split_and_the_format(
    folder: Path, prices: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = fetch_prices(FilesMarket(folder), datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), overlap=True)
    assert len(table.attrs["previous_bars"]) == 6
    expected = sums_of_table("raw_prices", 2020, table)
    assert set(expected) == {"2020", "2019 eve"}
    assert 0 not in expected.values()
    other = tmp_path_factory.mktemp("other")
    shuffled = prices.sample(frac=1.0, random_state=0)
    write(other / "prices-1.parquet", shuffled[:1000])
    write(other / "prices-2.csv", shuffled[1000:])
    for place in (folder, other):
        look = watch(place).look(fresh(place))
        assert look.parts("raw_prices", 2020, 2019) == expected
        assert set(look.parts("raw_prices", 2019, 2019)) == {"2019"}  # nothing before the first
        assert look.last_day == datetime.date(2021, 12, 31)


def test_one_changed_value_changes_the_sum_of_its_year_alone_but_for_the_eve(folder: Path) -> None:
    path = folder / "prices-2019.csv"
    frame = pd.read_csv(path)
    before, _ = sums_of_file("raw_prices", path, PARTITIONS)
    for day, column, changed in (
        ("2019-06-03", "volume", {"2019"}),
        ("2019-12-31", "high", {"2019"}),  # the table of 2020 remembers closes and volumes alone
        ("2019-12-31", "volume", {"2019", "2019 eve"}),
    ):
        other = frame.copy()
        other.loc[other.index[other["date"] == day][0], column] *= 1.5
        write(path, other)
        after, _ = sums_of_file("raw_prices", path, PARTITIONS)
        assert {part for part in before if after[part] != before[part]} == changed


def test_the_universe_and_the_first_year_decide_which_rows_count(folder: Path) -> None:
    path = folder / "prices-2016.csv"
    rows = pd.read_csv(path, parse_dates=["date"]).astype({"date": "datetime64[us]"})
    sums, _ = sums_of_file("raw_prices", path, Partitions(2016, 2019, ("AAA", "CCC")))
    chosen = rows[rows["symbol"].isin(("AAA", "CCC"))].astype({"volume": "float64"})
    assert sums == {"2019": row_sum(chosen), "2016 eve": row_sum(chosen[-2:][["symbol", "close", "volume"]])}
    assert sums_of_file("raw_prices", path, Partitions(2017, 2019)) == ({}, None)


# What is needed


def test_stored_years_need_nothing_and_are_not_compared_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = stored(folder)
    found, memory = needed(folder, tables, fresh(folder))
    assert found == set()
    monkeypatch.setattr(tables, "read_year", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr(file_watch, "sums_of_file", lambda *_: pytest.fail("read again"))
    assert needed(folder, tables, memory) == (set(), memory)
    age(folder / "prices-2020.csv", 9000)  # touched
    assert needed(folder, tables, memory)[0] == set()


def test_rewritten_files_with_the_same_rows_need_nothing(folder: Path, prices: pd.DataFrame) -> None:
    tables = stored(folder)
    _, memory = needed(folder, tables, fresh(folder))
    for path in folder.iterdir():
        path.unlink()
    write(folder / "prices.parquet", prices.sample(frac=1.0, random_state=1))
    assert needed(folder, tables, memory)[0] == set()
    assert needed(folder, tables, fresh(folder))[0] == set()  # nor without a memory


def test_changed_rows_need_their_year_and_the_next_if_the_close_that_it_remembers_changed(folder: Path) -> None:
    tables = stored(folder)
    _, memory = needed(folder, tables, fresh(folder))
    path = folder / "prices-2020.csv"
    frame = pd.read_csv(path)
    frame.loc[100, "close"] *= 1.001
    frame.loc[100, "high"] *= 1.01
    write(path, frame)
    found, memory = needed(folder, tables, memory)
    assert found == {("raw_prices", 2020)}
    assert needed(folder, tables, memory)[0] == set()  # asked for once
    frame.loc[len(frame) - 1, ["high", "close"]] *= 1.001
    write(path, frame)
    assert needed(folder, tables, memory)[0] == {("raw_prices", 2020), ("raw_prices", 2021)}


def test_what_dagster_has_not_seen_is_needed_the_oldest_first_of_every_table(folder: Path) -> None:
    watched = watch(folder, stored(folder))
    look = watched.look(fresh(folder))
    needs = watched.needs(look, range(2019, 2026), NOTHING)  # there are no prices after 2021
    assert [(need.year, need.table) for need in needs] == [(year, table) for year in YEARS for table in RAW]
    assert {need.why for need in needs} == {"not materialized"}
    assert watched.needs(look, range(2019, 2026), NOTHING) == []  # it may have failed; it is not asked for twice


def test_news_of_days_without_a_session_and_headlines_are_found_to_be_stored(
    folder: Path, market: SimulatorMarket
) -> None:
    news = market.news_sentiment(FIRST_DAY, END, lambda titles: np.zeros(len(titles))).table
    news.loc[news.index[:50], "date"] -= pd.Timedelta(days=1)  # Sundays and holidays among them
    write(folder / "news_sentiment.csv", news.drop_duplicates(["date", "symbol"]))
    write(folder / "fundamentals.csv", market.fundamentals(FIRST_DAY, END).table)
    tables = stored(folder)
    found, memory = needed(folder, tables, fresh(folder))
    assert found == set()
    changed = pd.read_csv(folder / "news_sentiment.csv")
    changed.loc[len(changed) - 1, "sentiment_score"] = -0.123
    write(folder / "news_sentiment.csv", changed)
    assert needed(folder, tables, memory)[0] == {("raw_news_sentiment", 2021)}

    (folder / "news_sentiment.csv").unlink()
    titles = [f"title {place}" for place in range(40)]
    headlines = pd.DataFrame({"published": "2020-06-10T10:00:00Z", "symbol": "AAA", "title": titles})
    write(folder / "headlines.csv", headlines)
    tables = stored(folder)
    found, memory = needed(folder, tables, fresh(folder))
    assert found == set()
    write(folder / "headlines.csv", headlines.replace("title 7", "another title"))
    assert needed(folder, tables, memory)[0] == {("raw_news_sentiment", 2020)}


# Files that cannot be read yet


def test_file_that_has_just_changed_waits_for_the_next_look(folder: Path) -> None:
    age(folder / "prices-2020.csv", 3)
    first = watch(folder).look(fresh(folder))
    assert first.held == {"raw_prices": "prices-2020.csv has just changed, and may still be written."}
    assert "prices-2020.csv" not in first.memory.files
    assert watch(folder).needs(first, YEARS, NOTHING) == []
    with (folder / "prices-2020.csv").open("a") as file:
        file.write("2020-12-31,ZZZ,1,1,1,1,1\n")  # it grows
    age(folder / "prices-2020.csv", 1)
    second = watch(folder).look(first.memory)
    assert second.held == first.held
    third = watch(folder).look(second.memory)
    assert not third.held
    assert third.sum_of("raw_prices", "2020") != 0


def test_unreadable_file_holds_up_its_table_in_one_sentence_and_is_tried_again(
    folder: Path, market: SimulatorMarket
) -> None:
    write(folder / "fundamentals.csv", market.fundamentals(FIRST_DAY, END).table)
    tables = stored(folder)
    _, memory = needed(folder, tables, fresh(folder))
    ratios = pd.read_csv(folder / "fundamentals.csv")
    ratios.loc[0, "net_margin"] = 0.123
    write(folder / "fundamentals.csv", ratios)
    path = folder / "prices-2020.csv"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])  # it breaks off in the middle of a line
    age(path)
    watched = watch(folder, tables)
    look = watched.look(memory)
    [sentence] = look.held.values()
    assert sentence.startswith("prices-2020.csv, line ")
    assert sentence.endswith("prices-2020.csv is read again at the next look.")
    assert {(need.table, need.year) for need in watched.needs(look, YEARS, EVERYTHING)} == {("raw_fundamentals", 2019)}
    path.write_text(whole.replace("AAA", "AAB", 1))
    age(path)
    assert needed(folder, tables, look.memory)[0] == {("raw_prices", 2020)}


def test_many_new_files_are_read_over_several_looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "READ_SECONDS", -1.0)
    look = watch(folder).look(fresh(folder))
    assert look.held == {"raw_prices": "prices-2016.csv and those after it are read at the next look."}
    monkeypatch.setattr(file_watch, "READ_SECONDS", 3.0)
    assert not watch(folder).look(look.memory).held


def test_scores_and_headlines_at_once_hold_up_the_news(folder: Path) -> None:
    write(folder / "news_sentiment.csv", pd.DataFrame({"date": ["2020-06-10"], "symbol": "AAA", "sentiment_score": 1}))
    write(
        folder / "headlines.csv", pd.DataFrame({"published": ["2020-06-10T10:00:00Z"], "symbol": "AAA", "title": "x"})
    )
    held = watch(folder).look(fresh(folder)).held
    assert list(held) == ["raw_news_sentiment"]
    assert "expected news as scores or as headlines, got both (news_sentiment.csv and headlines.csv)" in str(held)


# The memory


def test_memory_survives_as_json(folder: Path) -> None:
    memory = watch(folder).look(fresh(folder)).memory
    assert recall(memory.model_dump_json(), watch(folder).made_for) == (memory, "")
    assert recall(None, watch(folder).made_for) == (fresh(folder), "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": {"prices.csv": {"size": "?"}}}', "\0"])
def test_damaged_memory_is_said_and_begun_anew(folder: Path, text: str) -> None:
    memory, sentence = recall(text, watch(folder).made_for)
    assert memory == fresh(folder)
    assert sentence.startswith("the cursor cannot be read (")
    assert sentence.endswith("): all files are read anew")


def test_memory_of_other_settings_or_another_version_is_begun_anew(folder: Path) -> None:
    memory = watch(folder).look(fresh(folder)).memory
    for text, made_for in (
        (memory.model_dump_json(), watch(folder, partitions=Partitions(2016, 2019, ("AAA",))).made_for),
        (memory.model_copy(update={"version": 0}).model_dump_json(), memory.made_for),
    ):
        found, sentence = recall(text, made_for)
        assert (found.files, found.made_for) == ({}, made_for)
        assert sentence == "the cursor was made for other settings or versions: all files are read anew"
