import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.schema import PRICE_TABLE
from brain_assets.market.splits import Jump, find_jumps

DATA = Path(__file__).parents[3] / "shared" / "data"
SESSIONS = sessions_between(datetime.date(2020, 1, 1), datetime.date(2021, 1, 1))
DAY, PLACE = pd.Timestamp(SESSIONS[100]), 100
PRICES = ["open", "high", "low", "close"]


def bars(symbol: str = "A", n_sessions: int = len(SESSIONS)) -> pd.DataFrame:
    """Bars that open 0.5 % from the close before, and close 1 % from it: at 100, 101, 100, 101, ..."""
    closes = np.where(np.arange(n_sessions) % 2, 101.0, 100.0)
    opens = np.full(n_sessions, 100.5)
    dates = SESSIONS[:n_sessions].astype("datetime64[us]")
    table = {"date": dates, "symbol": symbol, "open": opens, "high": 101.5, "low": 99.5, "close": closes, "volume": 1e6}
    return pd.DataFrame(table)


def multiplied(table: pd.DataFrame, factor: float, first: int = 0, last: int = PLACE - 1) -> pd.DataFrame:
    rows = (table["date"] >= SESSIONS[first]) & (table["date"] <= SESSIONS[last])
    table.loc[rows, PRICES] *= factor
    return table


@pytest.mark.parametrize("volume_too", [True, False], ids=["shares as traded", "shares adjusted"])
@pytest.mark.parametrize(
    ("factor", "ratio"),
    [
        *((2, "2:1"), (1.5, "3:2"), (4 / 3, "4:3"), (1.25, "5:4"), (2.5, "5:2"), (7, "7:1"), (20, "20:1")),
        *((1 / 10, "1:10"), (1 / 2, "1:2"), (1 / 15, "1:15")),
    ],
)
def test_a_split_that_was_not_taken_out_is_named(factor: float, ratio: str, volume_too: bool) -> None:
    table = multiplied(bars(), factor)
    if volume_too:
        table.loc[: PLACE - 1, "volume"] /= factor
    assert find_jumps(table) == [Jump("A", DAY, ratio, factor, None)]
    assert find_jumps(table)[0].words == f"A {DAY:%Y-%m-%d} {ratio}"


@pytest.mark.parametrize("opens", [1.0, 2 / 3], ids=["in the session", "over night"])
def test_a_crash_is_no_split(opens: float) -> None:
    """35 % lower on nine times the volume, whether it opens near its close before or at two thirds of it."""
    table = multiplied(bars(), 1 / 0.65)
    table.loc[PLACE, "open"] = opens * table["close"][PLACE - 1]
    table.loc[PLACE, "high"] = max(table["open"][PLACE], table["high"][PLACE])
    table.loc[PLACE : PLACE + 3, "volume"] = 9e6
    assert find_jumps(table) == []


def test_a_crash_on_usual_volume_is_doubted_and_not_taken_for_a_ratio_that_it_is_far_from() -> None:
    """-43 %, between 3:2 (-33 %) and 2:1 (-50 %): as after a special dividend."""
    [jump] = find_jumps(multiplied(bars(), 1 / 0.57))
    assert (jump.ratio, jump.back) == ("", None)
    assert jump.factor == pytest.approx(101 / 0.57 / 100.5)  # the close before over the open
    assert jump.words == f"A {DAY:%Y-%m-%d} -43%"


@pytest.mark.parametrize(("n_sessions", "factor", "ratio"), [(1, 10, "1:10"), (3, 0.1, "10:1"), (20, 100, "1:100")])
def test_a_slip_is_one_jump_with_the_day_on_which_all_was_well_again(
    n_sessions: int, factor: float, ratio: str
) -> None:
    table = multiplied(bars(), factor, PLACE, PLACE + n_sessions - 1)
    back = pd.Timestamp(SESSIONS[PLACE + n_sessions])
    assert find_jumps(table) == [Jump("A", DAY, ratio, 1 / factor, back)]
    assert find_jumps(table)[0].words == f"A {DAY:%Y-%m-%d} {ratio} until {back:%Y-%m-%d}"


def test_a_split_on_the_first_session_is_seen_from_the_close_before() -> None:
    assert find_jumps(bars(), {"A": 201.0, "B": 1.0}) == [Jump("A", pd.Timestamp(SESSIONS[0]), "2:1", 2.0, None)]
    assert find_jumps(bars(), {"A": 100.0}) == []


def test_each_symbol_is_judged_by_its_own_moves_in_any_order_of_rows() -> None:
    quiet, wild = multiplied(bars("Q"), 1.25), multiplied(bars("W"), 1.25)
    wild["close"] *= np.where(np.arange(len(wild)) % 2, 1.06, 0.94)
    wild["high"], wild["low"] = 1.1 * wild["high"], 0.9 * wild["low"]
    table = pd.concat([wild, quiet]).sample(frac=1, random_state=1)
    before = table.copy()
    assert [jump.words for jump in find_jumps(table)] == [f"Q {DAY:%Y-%m-%d} 5:4"]
    pd.testing.assert_frame_equal(table, before)


def test_nothing_is_found_in_no_bars_one_bar_and_prices_that_never_move() -> None:
    flat = bars().assign(open=100.0, high=100.0, low=100.0, close=100.0, volume=0.0)
    for table in (PRICE_TABLE.empty(), bars(n_sessions=1), flat, bars()):
        assert find_jumps(table) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
@pytest.mark.slow
def test_of_347_stocks_over_18_years_few_are_doubted_and_what_is_wrong_is() -> None:
    prices = pd.read_parquet(DATA / "wide" / "prices.parquet").astype(dict.fromkeys([*PRICES, "volume"], "float64"))
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
    found = {(jump.symbol, jump.date): jump.ratio for jump in find_jumps(raw)}
    assert len(known) == 25
    assert set(found) >= set(zip(known["symbol"], known["date"], strict=True))
    assert len(found) == 26  # a split of TRMB that has no coefficient, too
    names = [found[row.symbol, row.date] for row in raw[split].itertuples()]
    assert names.count("") == 3  # of 19; two opened far from their ratio, one has a dividend beside it
    adjusted = raw.assign(**{name: raw[name] * raw["adjusted_close"] / raw["close"] for name in PRICES})
    assert [jump.words for jump in find_jumps(adjusted)] == ["TRMB 2007-02-23 1:2 until 2007-02-26"]
