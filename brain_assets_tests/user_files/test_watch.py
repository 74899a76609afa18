"""What a look at a folder of real files tells of its years, what it reads for that, and what it remembers."""

import datetime
import itertools
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.market import table_files
from brain_assets.market.base import ObservableMarket, Observation
from brain_assets.market.prices import PRICE_FIELDS
from brain_assets.market.schema import RAW
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import END, FIRST_DAY

YEARS = (2019, 2020, 2021)
SOME = ["AAA", "BBB", "CCC"]
NOW = datetime.datetime(2022, 6, 1, tzinfo=datetime.UTC)
COUNTER = itertools.count()


def write(path: Path, frame: pd.DataFrame) -> None:
    """Write a file, and let it be some hours old: each time a little less."""
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    age(path, 7000.0 - next(COUNTER))


def age(path: Path, seconds: float) -> None:
    os.utime(path, (NOW.timestamp() - seconds,) * 2)


def look(folder: Path, in_passing: bool = False, memory: str = "memory.json", symbols: str = "") -> Observation:
    """Look as a process does that has just begun."""
    chosen = tuple(symbols.split())
    return FilesMarket(folder, chosen, folder / memory, clock=lambda: NOW).observe(YEARS, in_passing)


def changed(before: Observation, after: Observation) -> set[tuple[str, int]]:
    """Give the years that have another version; nothing may be held up."""
    assert len(before.sentences) == len(after.sentences) == 1
    years = {(table, year) for table, found in before.versions.items() for year in found}
    return {(table, year) for table, year in years if before.versions[table][year] != after.versions[table][year]}


@pytest.fixture
def folder(tmp_path: Path, prices: pd.DataFrame, market: SimulatorMarket) -> Path:
    """A file of prices a year, one of scores and one of ratios."""
    for year, rows in prices[prices["symbol"].isin(SOME)].groupby(prices["date"].dt.year):
        write(tmp_path / f"prices-{year}.csv", rows)
    news = market.news_sentiment(FIRST_DAY, END, lambda titles: np.zeros(len(titles))).table
    write(tmp_path / "news_sentiment.csv", news)
    write(tmp_path / "fundamentals.csv", market.fundamentals(FIRST_DAY, END).table)
    return tmp_path


def test_each_complete_year_has_a_version_whatever_the_order_the_split_and_the_format(
    folder: Path, prices: pd.DataFrame
) -> None:
    before = look(folder)
    assert isinstance(FilesMarket(folder), ObservableMarket)
    assert list(before.versions) == list(RAW)
    assert all(list(versions) == [*YEARS] for versions in before.versions.values())
    assert len({version for versions in before.versions.values() for version in versions.values()}) == 9
    for path in folder.glob("prices*"):
        path.unlink()
    shuffled = prices[prices["symbol"].isin(SOME)].sample(frac=1.0, random_state=0)
    write(folder / "prices-1.parquet", shuffled[:1000])
    write(folder / "prices-2.csv", shuffled[1000:])
    after = look(folder)
    assert after.versions == before.versions
    assert "2 read, new or changed" in after.sentences[0]


def test_changed_value_changes_its_year_alone_but_for_the_end_of_a_year(folder: Path) -> None:
    for day, column, years in (
        ("2017-06-01", "volume", {2019}),  # the first partition holds all before it
        ("2020-12-18", "close", {2020, 2021}),  # the table of 2021 remembers the last bar before it
        ("2020-12-17", "close", {2020}),
    ):
        before = look(folder)
        path = folder / f"prices-{day[:4]}.csv"
        frame = pd.read_csv(path)
        row = frame.index[frame["date"] == day][0]
        frame.loc[row, [column, "high"] if column == "close" else column] *= 1.01
        write(path, frame)
        assert changed(before, look(folder)) == {("raw_prices", year) for year in years}


def test_rows_that_are_gone_and_changed_news_and_ratios_change_their_year(folder: Path) -> None:
    first = look(folder)
    (folder / "prices-2018.csv").unlink()
    ratios = pd.read_csv(folder / "fundamentals.csv")
    ratios.loc[ratios.index[-1], "net_margin"] = 0.123
    write(folder / "fundamentals.csv", ratios)
    second = look(folder)
    assert changed(first, second) == {("raw_prices", 2019), ("raw_fundamentals", 2021)}
    (folder / "news_sentiment.csv").unlink()
    titles = [f"title {place}" for place in range(40)]
    headlines = pd.DataFrame({"published": "2020-06-10T10:00:00Z", "symbol": "AAA", "title": titles})
    write(folder / "headlines.csv", headlines)
    third = look(folder)
    assert changed(second, third) == {("raw_news_sentiment", year) for year in YEARS}
    write(folder / "headlines.csv", headlines.replace("title 7", "another title"))
    assert changed(third, look(folder)) == {("raw_news_sentiment", 2020)}


def test_a_table_is_read_only_where_a_file_has_another_name_size_or_time_and_its_rows_alone_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = look(folder)
    age(folder / "prices-2020.csv", 9000)  # touched
    (folder / "prices-2019.csv").rename(folder / "prices-b.csv")
    second = look(folder)
    assert (second.versions, "6 read" in second.sentences[0]) == (first.versions, True)
    assert list(second.files["raw_prices"][2020]) == ["prices-2020.csv", "prices-b.csv"]  # the end of 2019 counts
    assert second.files["raw_prices"][2020]["prices-b.csv"] == first.files["raw_prices"][2020]["prices-2019.csv"]
    monkeypatch.setattr(table_files, "open_sheet", lambda *_: pytest.fail("read again"))
    third = look(folder)
    assert (third.versions, third.files) == (second.versions, second.files)
    assert third.sentences == [
        f"{folder}: looked at files, 6 of raw_prices, 1 of raw_news_sentiment, 1 of raw_fundamentals; "
        "none read, new or changed since the last look."
    ]
    assert look(folder.rename(folder.with_name("moved"))).versions == third.versions


def test_rows_of_other_symbols_and_damaged_memory_do_not_count(folder: Path) -> None:
    before = look(folder, symbols="AAA CCC")
    path = folder / "prices-2020.csv"
    frame = pd.read_csv(path)
    frame.loc[frame["symbol"] == "BBB", "volume"] += 1.0
    write(path, frame)
    assert look(folder, symbols="AAA CCC").versions == before.versions
    (folder / "memory.json").write_text('{"raw_prices":[1]}')
    again = look(folder)
    assert again.versions == look(folder, memory="another.json").versions != before.versions
    assert "8 read" in again.sentences[0]
    last = folder / "prices-2021.csv"
    write(last, pd.read_csv(last).query("date < '2021-12-01'"))  # a year counts once the files reach its end
    assert list(look(folder).versions["raw_news_sentiment"]) == [2019, 2020]


def test_what_is_fetched_after_a_look_has_the_rows_that_it_saw(folder: Path) -> None:
    market = FilesMarket(folder)
    asked = [
        lambda: market.prices(FIRST_DAY, END),
        lambda: market.fundamentals(FIRST_DAY, END).table,
        lambda: market.news_sentiment(FIRST_DAY, END, len).table,
    ]
    before = [ask() for ask in asked]
    for name in ("prices-2020", "fundamentals", "news_sentiment"):
        path = folder / f"{name}.csv"
        write(path, pd.read_csv(path)[1:])
    assert [len(ask()) for ask in asked] == [len(rows) for rows in before]  # read once
    market.observe(YEARS)
    assert [len(ask()) for ask in asked] == [len(rows) - 1 for rows in before]


@pytest.mark.parametrize(
    ("last", "now", "year"),
    [
        ("2020-12-23", "2024-06-01", 2020),  # five sessions follow
        ("2020-12-22", "2024-06-01", 2019),
        ("2021-01-04", "2024-06-01", 2020),
        ("2020-12-31", "2021-01-01T04:59", 2019),  # not over in New York
        ("2020-12-31", "2021-01-01T05:00", 2020),
    ],
)
def test_a_year_is_complete_when_it_is_over_and_at_most_five_sessions_are_missing(
    tmp_path: Path, last: str, now: str, year: int
) -> None:
    moment = datetime.datetime.fromisoformat(now).replace(tzinfo=datetime.UTC)
    bars = pd.DataFrame({"date": [last, "2019-01-02"], "symbol": "A"} | dict.fromkeys(PRICE_FIELDS, 1.0))
    bars.to_csv(tmp_path / "prices.csv", index=False)  # the last date is anywhere
    assert FilesMarket(tmp_path, clock=lambda: moment).last_complete_year() == year


# Files that cannot be read yet


def test_file_that_has_just_changed_waits_for_the_next_look(folder: Path) -> None:
    path = folder / "prices-2020.csv"
    age(path, 3)
    first = look(folder, in_passing=True)
    assert first.sentences[1:] == ["raw_prices waits: prices-2020.csv has just changed, and may still be written."]
    assert set(first.versions) == {"raw_news_sentiment", "raw_fundamentals"}
    assert "raw_prices" in look(folder).versions  # whoever asks for it now gets what is there now
    age(path, 11)
    assert "raw_prices" in look(folder, in_passing=True).versions
    age(path, -3600)  # a clock that is wrong
    assert "raw_prices" in look(folder, in_passing=True).versions


def test_unreadable_file_holds_up_its_table_in_one_sentence_and_is_tried_again(folder: Path) -> None:
    before = look(folder)
    path = folder / "prices-2020.csv"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])  # it breaks off in the middle of a line
    age(path, 3600)
    broken = look(folder)
    assert set(broken.versions) == {"raw_news_sentiment", "raw_fundamentals"}
    [sentence] = broken.sentences[1:]
    assert sentence.startswith("raw_prices waits: prices-2020.csv, line ")
    path.write_text(whole.replace("AAA", "AAB", 1))
    age(path, 3600)
    assert changed(before, look(folder)) == {("raw_prices", 2020)}
