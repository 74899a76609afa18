"""What checks say of bars, and jumps that look like splits which were never taken out, or like slips."""

import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.arrays import DateArray
from brain_assets.market.calendar import sessions_between
from brain_assets.market.price_checks import Jump, find_jumps, price_verdicts, symbol_spans, table_verdicts
from brain_assets.market.schema import NEWS_TABLE, PRICE_TABLE, Finding, attach

SESSIONS = sessions_between(datetime.date(2020, 1, 2), datetime.date(2020, 1, 9))  # 2, 3, 6, 7, 8 January


def bars() -> pd.DataFrame:
    """A at 10 dollars, B at 100."""
    dates = SESSIONS.astype("datetime64[us]")
    levels = (("A", 10.0), ("B", 100.0))
    rows = [(date, symbol, p, 1.1 * p, 0.9 * p, 1.05 * p, 10 * p) for date in dates for symbol, p in levels]
    return pd.DataFrame(rows, columns=["date", "symbol", "open", "high", "low", "close", "volume"])


def failing(prices: pd.DataFrame, sessions: DateArray = SESSIONS, **previous: float) -> dict[str, str]:
    return {name: found.words for name, found in price_verdicts(prices, sessions, previous).items() if not found.passed}


YEAR = sessions_between(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1))
"""253 sessions."""
OPEN_TO_CLOSE = ["open", "high", "low", "close"]


def year_of_bars(*symbols: str) -> pd.DataFrame:
    """Bars that open half a percent from the close before and close one from it, 1,000 shares of 100 dollars a day."""
    close = np.where(np.arange(len(YEAR)) % 2, 101.0, 100.0)
    table = {"date": YEAR.astype("datetime64[us]"), "open": 100.5, "high": 101.5, "low": 99.5, "close": close}
    return pd.concat([pd.DataFrame({**table, "symbol": symbol, "volume": 1e3}) for symbol in symbols])


def between(prices: pd.DataFrame, symbol: str, first: int, last: int) -> pd.Series:
    """Tell the rows of a symbol from one session of the year to another, both included."""
    return (prices["symbol"] == symbol) & prices["date"].between(str(YEAR[first]), str(YEAR[last]))


def test_findings_go_to_their_check_with_ten_sentences_at_most_and_all_counts() -> None:
    findings = [Finding("symbols_found", "GONE", "symbol that is in no file"), Finding("of a plug-in", "x.csv", "odd")]
    findings += [Finding("rows_taken", f"{n:02}.csv", "rows that are there twice", n_rows=n) for n in range(1, 13)]
    found = table_verdicts("raw_news_sentiment", attach(NEWS_TABLE.empty(), findings), YEAR)
    gone = "GONE: 1 symbol that is in no file."
    assert found["symbols_found"] == (False, gone, {"GONE: symbol that is in no file": 1})
    rows = found["rows_taken"]  # what names no check of ours is said too
    assert rows.words.startswith("x.csv: 1 odd. 01.csv: 1 rows that are there twice. 02.csv: 2 ")
    assert rows.words.endswith("09.csv: 9 rows that are there twice. 3 more of the kind.")
    assert sum(rows.counts.values()) == 1 + 78
    sound = table_verdicts("raw_news_sentiment", NEWS_TABLE.empty(), YEAR)
    assert [(result.passed, result.counts) for result in sound.values()] == [(True, {}), (True, {})]


def test_a_session_without_a_bar_of_any_symbol_is_named() -> None:
    assert failing(bars(), A=10.0, B=100.0) == {}
    without = bars()[bars()["date"] != "2020-01-06"]
    assert list(failing(without)) == ["calendar_complete"]
    assert "1 of 5 sessions of the exchange have no bar: 2020-01-06" in failing(without)["calendar_complete"]
    one_symbol = bars()[(bars()["date"] != "2020-01-06") | (bars()["symbol"] != "A")]
    assert failing(one_symbol) == {}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("close", 0.0, {"positive", "ohlc_in_order", "no_jumps"}),
        ("open", -1.0, {"positive", "ohlc_in_order"}),
        ("low", np.nan, {"positive", "ohlc_in_order"}),
        ("volume", -1.0, {"positive"}),
        ("volume", 0.0, set()),
        ("low", 10.1, {"ohlc_in_order"}),  # above the open
        ("high", 10.495, set()),  # a rounding of 0.05 %
        ("high", 10.485, {"ohlc_in_order"}),  # of 0.14 %
    ],
)
def test_what_a_bar_cannot_be_is_named_with_its_date_and_symbol(column: str, value: float, expected: set[str]) -> None:
    prices = bars()
    prices.loc[4, column] = value
    found = failing(prices)
    assert set(found) == expected
    for words in found.values():
        assert "2020-01-06 A" in words


def test_jumps_are_named_also_from_the_last_close_of_the_year_before() -> None:
    prices = bars()
    prices.loc[prices["date"] >= "2020-01-07", ["open", "high", "low", "close"]] *= 1.5
    words = failing(prices)["no_jumps"]
    assert words == "2 closes lie more than 40% from the one before: 2020-01-07 A +50%, 2020-01-07 B +50%."
    assert failing(bars(), A=7.0)["no_jumps"].endswith("2020-01-02 A +50%.")
    assert failing(bars(), A=8.0, B=80.0) == {}  # +31 %


def test_splits_and_slips_are_named_with_their_ratio_and_said_once() -> None:
    prices = year_of_bars("A", "B", "C")
    prices.loc[between(prices, "A", 0, 99), OPEN_TO_CLOSE] *= 4
    prices.loc[between(prices, "B", 100, 102), OPEN_TO_CLOSE] *= 10
    split, slip = failing(prices, YEAR)["no_jumps"].split(". ")
    kind = "1 jump looks like a split or a dividend that was never taken out"
    assert split == f"{kind}: A {YEAR[100]} 4:1; use adjusted prices"
    kind = "1 jump looks like a decimal point that slipped"
    assert slip == f"{kind}: B {YEAR[100]} 1:10 until {YEAR[103]}; correct these bars."


def test_news_on_a_day_of_many_trades_are_no_fault_unless_a_price_trebles() -> None:
    prices = year_of_bars("A", "B")
    prices.loc[between(prices, "A", 100, 252), "close"] *= 0.5
    prices.loc[between(prices, "A", 100, 252), ["low", "high"]] *= [0.4, 0.6]
    prices.loc[between(prices, "A", 101, 252), "open"] *= 0.5
    prices.loc[between(prices, "A", 100, 100), ["high", "volume"]] = [101.0, 3_001.0]
    assert failing(prices, YEAR) == {}
    words = price_verdicts(prices, YEAR)["no_jumps"].words
    assert words == "no close lies more than 40% from the one before, but for 1 on days of 3 times the usual volume"
    prices.loc[between(prices, "A", 100, 100), "volume"] = 3_000.0
    assert failing(prices, YEAR)["no_jumps"].endswith(
        f"1 close lies more than 40% from the one before: {YEAR[100]} A -50%."
    )


def test_a_symbol_that_lacks_more_than_a_twentieth_of_its_sessions_is_named_with_their_number_and_the_first() -> None:
    prices = year_of_bars("A", "B", "C")
    holes = prices[~between(prices, "B", 200, 212)]  # 13 of 253: 5.1 %
    assert failing(holes, YEAR) == {"calendar_complete": f"B: 13 sessions without a bar from {YEAR[200]} on."}
    narrow = prices[~between(prices, "B", 200, 211) & ~between(prices, "C", 7, 7)]  # 4.7 %
    assert failing(narrow, YEAR) == {}
    expected = "a bar on each of the 253 sessions of the exchange, but for 13 of 2 symbols"
    assert price_verdicts(narrow, YEAR)["calendar_complete"].words == expected
    short = prices[~between(prices, "B", 0, 219) & ~between(prices, "B", 230, 233)]  # 4 of 33, less than a week
    assert failing(short, YEAR) == {}


def test_late_and_ended_symbols_are_told_from_holes_by_the_bars_before() -> None:
    prices = year_of_bars("A", "B", "C")
    prices = prices[~between(prices, "B", 0, 19) & ~between(prices, "C", 150, 252)]
    spans = symbol_spans(prices)
    assert (spans.late, spans.ended) == ({"B": str(YEAR[20])}, {"C": str(YEAR[149])})
    assert failing(prices, YEAR) == {}
    assert symbol_spans(prices, ["B"]).late == {}
    assert failing(prices, YEAR, B=100.0)["calendar_complete"] == f"B: 20 sessions without a bar from {YEAR[0]} on."


def test_prices_that_stand_still_without_a_trade_are_named() -> None:
    prices = year_of_bars("A", "B", "C")
    prices.loc[between(prices, "A", 99, 103), ["volume", "close"]] = [0.0, 100.0]  # as the close before
    prices.loc[between(prices, "B", 99, 102), ["volume", "close"]] = [0.0, 100.0]  # four only
    prices.loc[between(prices, "C", 200, 220), "volume"] = 0.0  # its closes move
    still, idle = failing(prices, YEAR)["traded"].split(". ")
    assert still == f"closes that stand still for 5 sessions or more, with volume 0: A: 5 sessions from {YEAR[99]} on"
    days = ", ".join(f"{day} (2 of 3)" for day in YEAR[99:103])
    assert idle == f"4 sessions on which most symbols have volume 0: {days}."


# Jumps

DATA = Path(__file__).parents[3] / "shared" / "data"
DAY, PLACE = pd.Timestamp(YEAR[100]), 100


def multiplied(table: pd.DataFrame, factor: float, first: int = 0, last: int = PLACE - 1) -> pd.DataFrame:
    rows = (table["date"] >= YEAR[first]) & (table["date"] <= YEAR[last])
    table.loc[rows, OPEN_TO_CLOSE] *= factor
    return table


RATIOS = {2: "2:1", 1.5: "3:2", 4 / 3: "4:3", 1.25: "5:4", 2.5: "5:2", 20: "20:1", 0.1: "1:10", 0.5: "1:2"}
RATIOS[1 / 0.57] = "-43%"  # between 3:2 (-33 %) and 2:1 (-50 %), as after a special dividend: near no ratio


@pytest.mark.parametrize(("factor", "ratio"), RATIOS.items())
def test_a_split_that_was_not_taken_out_is_named_whether_shares_are_adjusted_or_not(factor: float, ratio: str) -> None:
    table = multiplied(year_of_bars("A"), factor)
    assert find_jumps(table) == [Jump("A", DAY, ratio, None)]
    table.loc[: PLACE - 1, "volume"] /= factor
    assert [jump.words for jump in find_jumps(table)] == [f"A {DAY:%Y-%m-%d} {ratio}"]


@pytest.mark.parametrize("opens", [1.0, 2 / 3], ids=["in the session", "over night"])
def test_a_crash_is_no_split(opens: float) -> None:
    """35 % lower on nine times the volume, whether it opens near its close before or at two thirds of it."""
    table = multiplied(year_of_bars("A"), 1 / 0.65)
    table.loc[PLACE, "open"] = opens * table["close"][PLACE - 1]
    table.loc[PLACE, "high"] = max(table["open"][PLACE], table["high"][PLACE])
    table.loc[PLACE : PLACE + 3, "volume"] = 9e3
    assert find_jumps(table) == []


@pytest.mark.parametrize(("n_sessions", "factor", "ratio"), [(1, 10, "1:10"), (3, 0.1, "10:1"), (20, 100, "1:100")])
def test_a_slip_is_one_jump_until_the_day_on_which_all_was_well(n_sessions: int, factor: float, ratio: str) -> None:
    table = multiplied(year_of_bars("A"), factor, PLACE, PLACE + n_sessions - 1)
    back = pd.Timestamp(YEAR[PLACE + n_sessions])
    assert find_jumps(table) == [Jump("A", DAY, ratio, back)]
    assert find_jumps(table)[0].words == f"A {DAY:%Y-%m-%d} {ratio} until {back:%Y-%m-%d}"


def test_each_symbol_is_judged_by_its_own_moves_in_any_order_of_rows() -> None:
    quiet, wild = multiplied(year_of_bars("Q"), 1.25), multiplied(year_of_bars("W"), 1.25)
    wild["close"] *= np.where(np.arange(len(wild)) % 2, 1.06, 0.94)
    wild["high"], wild["low"] = 1.1 * wild["high"], 0.9 * wild["low"]
    table = pd.concat([wild, quiet]).sample(frac=1, random_state=1)
    assert [jump.words for jump in find_jumps(table)] == [f"Q {DAY:%Y-%m-%d} 5:4"]


def test_nothing_is_found_in_no_bars_one_bar_and_prices_that_never_move() -> None:
    flat = year_of_bars("A").assign(open=100.0, high=100.0, low=100.0, close=100.0, volume=0.0)
    for table in (PRICE_TABLE.empty(), year_of_bars("A")[:1], flat, year_of_bars("A")):
        assert find_jumps(table, {"A": 100.0}) == []
    split = Jump("A", pd.Timestamp(YEAR[0]), "2:1", None)  # seen from the close before
    assert find_jumps(year_of_bars("A"), {"A": 201.0, "B": 1.0}) == [split]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.slow
def test_of_347_stocks_over_18_years_few_are_doubted_and_what_is_wrong_is() -> None:
    prices = pd.read_parquet(DATA / "wide" / "prices.parquet").astype(
        dict.fromkeys([*OPEN_TO_CLOSE, "volume"], "float64")
    )
    found = {jump.words for jump in find_jumps(prices)}
    assert len(found) == 13
    assert found >= {"NCR 2007-10-01 -52%", "SANM 2009-09-14 +789%", "RRD 2010-04-26 3:2 until 2010-04-27"}
    assert "PCG 2012-10-08 10:1 until 2012-10-08" in found  # its open alone
    assert found >= {"GIS 1995-05-30 -18%", "UNP 1996-10-16 -33%", "CCE 2010-10-04 -29%", "WMB 2012-01-03 -17%"}


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_splits_of_12_stocks_as_traded_are_found_and_no_other_jump_than_a_wrong_bar_once_they_are_taken_out() -> None:
    """What is known of them: a coefficient, or a dividend of more than a fifth of the close."""
    files = {path.name.split("-")[1]: path for path in sorted((DATA / "alphavantage").glob("*.csv"))}
    tables = [pd.read_csv(path, parse_dates=["timestamp"]).assign(symbol=symbol) for symbol, path in files.items()]
    raw = pd.concat(tables, ignore_index=True).rename(columns={"timestamp": "date"})
    split = (raw["split_coefficient"] - 1).abs() > 0.2
    known = raw[split | (raw["dividend_amount"] > 0.2 * raw["close"])]
    found = {(jump.symbol, jump.date): jump.what for jump in find_jumps(raw)}
    assert len(known) == 25
    assert set(found) >= set(zip(known["symbol"], known["date"], strict=True))
    assert len(found) == 26  # a split of TRMB that has no coefficient, too
    names = [found[row.symbol, row.date] for row in raw[split].itertuples()]
    assert sum(":" not in name for name in names) == 3  # of 19: two opened far from it, one has a dividend beside it
    adjusted = raw.assign(**{name: raw[name] * raw["adjusted_close"] / raw["close"] for name in OPEN_TO_CLOSE})
    assert [jump.words for jump in find_jumps(adjusted)] == ["TRMB 2007-02-23 1:2 until 2007-02-26"]
