"""The files market: what it reads, what it refuses and in which words.

News files have tests of their own, ``market/test_news.py``, as has what a look tells of years, ``test_watch.py``.
"""

import datetime
import re

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import EmptyResponseError, MarketError, TableError, UnknownSymbolError
from brain_assets.market.calendar import sessions_between
from brain_assets.market.schema import FUNDAMENTAL_TABLE, added_up, findings_of
from brain_assets.user_files.market import MIN_HISTORY_SESSIONS, FilesMarket, FundamentalFiles

FIRST, LAST = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)


def bars(symbol="AAA", n_bars=70, first=FIRST, n_skipped=0):
    """Sound bars of consecutive sessions: lines 2, 3, ... of a file; close 10.25, 11.25, ..."""
    dates = sessions_between(first, first + datetime.timedelta(days=800))[n_skipped : n_skipped + n_bars]
    close = 10.25 + np.arange(len(dates))
    frame = pd.DataFrame({"date": dates.astype("datetime64[us]"), "symbol": symbol}).astype({"symbol": "str"})
    prices = {"open": close - 0.25, "high": close + 0.5, "low": close - 0.5, "close": close}
    return frame.assign(**prices, volume=np.arange(len(dates)) + 1000.0)


def write(folder, frame, name="prices.csv"):
    frame.to_csv(folder / name, index=False, date_format="%Y-%m-%d")


def prices(folder, *symbols):
    return FilesMarket(folder, symbols).prices(FIRST, LAST)


def sentences(frame):
    return [finding.sentence for finding in added_up(findings_of(frame))]


def refusal(folder, *symbols, error=TableError):
    with pytest.raises(error) as caught:
        prices(folder, *symbols)
    assert type(caught.value) is error
    return str(caught.value)


# What it reads


def test_files_of_both_kinds_are_one_table_read_once_and_others_are_not_read(tmp_path):
    frame = bars()
    write(tmp_path, frame[:30], "2020.csv")
    frame[30:].to_parquet(tmp_path / "prices_more.parquet", row_group_size=50)
    (tmp_path / "below" / "further").mkdir(parents=True)
    for name in ("news_sentiment.parquet", "notes.md", "._2020.csv", "below/further/prices.csv"):
        (tmp_path / name).write_text("not prices")
    market = FilesMarket(tmp_path)
    first = market.prices(FIRST, LAST)
    pd.testing.assert_frame_equal(first, frame, check_exact=True)
    first.loc[0, "close"] = -1.0  # what a caller does to an answer stays with the caller
    (tmp_path / "2020.csv").unlink()
    pd.testing.assert_frame_equal(market.prices(FIRST, LAST), frame, check_exact=True)


def test_symbols_are_chosen_by_name(tmp_path):
    write(tmp_path, pd.concat([bars("AAA"), bars("BBB"), bars("TINY", 3)]))
    assert set(prices(tmp_path, "BBB")["symbol"]) == {"BBB"}
    found = prices(tmp_path, "bbb", "ZZZ", "XXX")
    assert set(found["symbol"]) == {"bbb"}
    assert sentences(found) == ["ZZZ, XXX: 2 symbols asked for are in no file."]
    message = refusal(tmp_path, "ZZZ", "XXX", error=UnknownSymbolError)
    assert "got ZZZ, XXX, none of which is one: they have AAA, BBB, TINY; correct BRAIN_SYMBOLS" in message


# What it refuses


def test_no_folder_or_no_price_file(tmp_path):
    (tmp_path / "news_sentiment.parquet").write_text("x")
    for folder, expected in (
        (tmp_path / "absent", "a folder with data files, got no such folder"),
        (tmp_path, "at least one file of prices (.csv, .txt, .tsv, also with .gz, or .parquet), got none"),
    ):
        assert f"{folder}: expected {expected}" in refusal(folder, error=MarketError)
        with pytest.raises(MarketError, match="expected a"):
            FilesMarket(folder).last_complete_year()


PRICES = ("open", "high", "low", "close")
SPOILED = [
    (4, "symbol", "", "a name without blanks around it, got nothing;"),
    *((9, column, "-3.5", "a finite price > 0, got -3.5;") for column in PRICES),
    *((6, "open", text, f"a finite price > 0, got {shown};") for text, shown in (("", "nothing"), ("inf", "inf"))),
    *((6, "volume", text, f"a finite number >= 0, got {got};") for text, got in (("", "nothing"), ("-1", "-1.0"))),
    (2, "high", "9.5", "at least the row's low, got 9.5;"),  # 9.75
    (2, "open", "9.7", "a price between the row's low and high, got 9.7"),  # 9.75 and 10.75
    (2, "close", "10.8", "a price between the row's low and high, got 10.8"),
]


def test_a_wrong_value_is_named_by_file_line_and_column(tmp_path):
    for line, column, text, sentence in SPOILED:
        frame = bars().astype({column: "object"})
        frame.loc[line - 2, column] = text
        write(tmp_path, frame)
        assert refusal(tmp_path).startswith(f"prices.csv, line {line}, column {column}: expected {sentence}")


def test_too_little_history(tmp_path):
    blank = bars("DDD").assign(**dict.fromkeys(PRICES, np.nan))
    write(tmp_path, pd.concat([bars("AAA", 66), bars("BBB", 65), bars("CCC", 1), blank]))
    found = prices(tmp_path)
    assert found["symbol"].value_counts().to_dict() == {"AAA": MIN_HISTORY_SESSIONS, "BBB": 65, "CCC": 1}
    assert sentences(found) == ["BBB (65), CCC (1), DDD (0): 3 symbols with fewer than 66 bars in all files."]
    assert "expected at least 66 bars of a symbol, got BBB (65), CCC (1); add data" in refusal(tmp_path, "BBB", "CCC")
    with pytest.raises(EmptyResponseError, match="got none, since the files hold 2020-01-02 to 2020-04-06"):
        FilesMarket(tmp_path).prices(datetime.date(2022, 1, 1), datetime.date(2023, 1, 1))


# News and fundamentals beside the prices


def ratios(*lines):
    """Filings as a table, from lines as in a file."""
    frame = pd.DataFrame([line.split(",") for line in lines], columns=list(FUNDAMENTAL_TABLE.names))
    return frame.astype(FUNDAMENTAL_TABLE.types)


def write_fundamentals(folder, *lines):
    (folder / "fundamentals.csv").write_text("\n".join([",".join(FUNDAMENTAL_TABLE.names), *lines]) + "\n")


FILINGS = (
    "2020-02-03,2019-12-31,AAA,0.4,0.2,0.1,1.5,0.8",
    "2020-02-03,2019-12-31,BBB,0.3,0.1,-0.2,1.1,-2.0",
    "2020-05-01,2020-03-31,AAA,0.41,0.21,0.11,1.6,0.7",
    "2020-06-01,2019-12-31,AAA,0.39,0.2,0.1,1.5,0.8",
)


def test_filings_come_back_as_they_are_by_the_day_of_filing_and_by_symbol(tmp_path):
    write_fundamentals(tmp_path, *FILINGS[:1:-1])
    ratios(*FILINGS[:2]).to_parquet(tmp_path / "fundamentals.parquet")
    files = FundamentalFiles(tmp_path)
    pd.testing.assert_frame_equal(files.table(FIRST, LAST), ratios(*FILINGS), check_exact=True)
    assert files.source == "ratios from 2 files"
    # the end of February to the end of May: a quarter that ended before counts if it was filed then, and only then
    chosen = files.table(datetime.date(2020, 2, 4), datetime.date(2020, 6, 1))
    pd.testing.assert_frame_equal(chosen, ratios(FILINGS[2]))
    assert FundamentalFiles(tmp_path, ("BBB",)).table(FIRST, LAST)["symbol"].tolist() == ["BBB"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2020-02-03,2019-12-31,CCC,0,0,0,inf,1", "column current_ratio: expected a finite number, or none"),
        ("2020-02-03,2020-02-04,AAA,0,0,0,1,1", "column period_end: expected a day on or before the filing's, got"),
        (FILINGS[1].replace("1.1", "1.2"), "columns filed, symbol and period_end: expected one row a filed, symbol"),
    ],
)
def test_a_wrong_filing_is_named_by_file_line_and_column(tmp_path, line, message):
    write_fundamentals(tmp_path, *FILINGS, line)
    with pytest.raises(TableError, match=f"^fundamentals.csv, line 6, {re.escape(message)}"):
        FundamentalFiles(tmp_path).table(FIRST, LAST)


def test_the_market_gives_news_and_fundamentals_and_names_who_has_none(tmp_path):
    write(tmp_path, pd.concat([bars("AAA"), bars("BBB"), bars("CCC")]))
    write_fundamentals(tmp_path, *FILINGS, "2020-02-03,2019-12-31,ZZZ,0,0,0,1,1")
    (tmp_path / "headlines.csv").write_text(
        "published,symbol,title\n2020-02-03T16:00:01-05:00,BBB,up\n2020-02-03T10:00:00-05:00,ZZZ,up\n"
    )
    market = FilesMarket(tmp_path)
    news = market.news_sentiment(FIRST, LAST, lambda titles: np.ones(len(titles)))
    assert news.table[["symbol", "sentiment_score"]].values.tolist() == [["ZZZ", 1.0], ["BBB", 1.0]]  # no error: ZZZ
    assert news.table["date"].dt.strftime("%m-%d").tolist() == ["02-03", "02-04"]
    assert news[1:] == ("headlines from 1 file", ("AAA", "CCC"))
    filings = market.fundamentals(FIRST, LAST)
    assert len(filings.table) == 5
    assert filings[1:] == ("ratios from 1 file", ("CCC",))
    chosen = FilesMarket(tmp_path, ("AAA", "CCC"))
    assert chosen.fundamentals(FIRST, LAST).table["symbol"].unique().tolist() == ["AAA"]
    news = chosen.news_sentiment(FIRST, LAST, lambda titles: pytest.fail("asked for scores"))
    assert (len(news.table), news.missing_symbols) == (0, ("AAA", "CCC"))


def test_symbols_that_nobody_asks_for_are_joined_without_a_word(tmp_path):
    for name, n_skipped in {"AAA": 0, "bbb": 0, "BBB": 70}.items():
        write(tmp_path, bars(name, n_skipped=n_skipped), f"prices_{name}_{n_skipped}.csv")
    write_fundamentals(tmp_path, "2020-03-01,2019-12-31,bbb,0.1,,,,", "2020-06-01,2020-03-31,BBB,0.1,,,,")
    for symbols, n_findings in (("AAA",), 0), (("AAA", "BBB"), 1), ((), 1):
        market = FilesMarket(tmp_path, symbols)
        assert len(sentences(market.prices(FIRST, LAST))) == n_findings
        assert len(sentences(market.fundamentals(FIRST, LAST).table)) == n_findings


# Splits that files tell of


def test_volume_is_adjusted_for_the_splits_that_its_own_file_tells_of_and_for_no_others(tmp_path):
    frame = bars(n_bars=100)
    shares = np.where(np.arange(100) == 90, 4.0, 1.0)
    write(tmp_path, frame[:50].assign(**{"Adj Close": frame["close"]}), "yahoo.csv")  # its volume is adjusted
    write(tmp_path, frame[50:].assign(adjusted_close=frame["close"], split_coefficient=shares[50:]))
    found = prices(tmp_path)
    expected = frame["volume"] * np.where(np.isin(np.arange(100), range(50, 90)), 4.0, 1.0)
    np.testing.assert_array_equal(found["volume"], expected)


def test_a_split_that_is_no_number_is_refused_in_the_years_before_it_too(tmp_path):
    frame = bars(n_bars=300)
    shares = np.where(np.arange(300) == 290, "4:1", "1")  # in 2021
    write(tmp_path, frame.assign(adj_close=frame["close"], split_factor=shares))
    assert refusal(tmp_path) == (
        "prices.csv, line 292, column split_factor: expected a number, got 4:1; correct the value or remove the row."
    )
