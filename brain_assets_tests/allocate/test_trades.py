"""Trades from holdings to weights, by hand."""

import re
from pathlib import Path

import numpy as np
import pytest

from brain_assets.allocate.trades import check_cash, plan_trades, read_holdings
from brain_assets.errors import AllocationError, TableError
from brain_assets.portfolio.arithmetic import PortfolioConstraints

TARGET = {"AAA": 0.5, "BBB": 0.25, "CCC": 0.0, "DDD": 0.0, "cash": 0.25}
CLOSES = {"AAA": 10.0, "BBB": 40.0, "CCC": 5.0}
NO_AMOUNT = "expected a number of shares from 0 up (nothing is sold short)"
CONSTRAINTS = PortfolioConstraints(min_cash=0.02, max_weight=0.5, cost_bps=10.0)


def test_fractions_by_hand() -> None:
    """30 × $10 + 100 × $5 + $200 = $1,000: $500 of A (buy 20), $250 of B (buy 6.25), none of C (sell 100)."""
    trades = plan_trades(TARGET, CLOSES, {"AAA": 30.0, "CCC": 100.0}, 200.0, CONSTRAINTS)
    assert trades.value == 1000.0
    assert trades.table["symbol"].tolist() == ["AAA", "BBB", "CCC"]
    assert trades.table["held"].tolist() == [30.0, 0.0, 100.0]
    assert trades.table["shares"].tolist() == [20.0, 6.25, -100.0]
    assert trades.table["dollars"].tolist() == [200.0, 250.0, -500.0]
    # 10 bps of 200 + 250 + 500 dollars
    np.testing.assert_allclose(trades.table["cost"], [0.2, 0.25, 0.5])
    assert (trades.traded, trades.cost) == (950.0, pytest.approx(0.95))
    assert trades.cash == pytest.approx(250.0 - 0.95)


def test_whole_shares_by_hand() -> None:
    """B: 6.25 shares are rounded down to 6; the quarter, $10, stays in cash."""
    trades = plan_trades(TARGET, CLOSES, {"AAA": 30.5, "CCC": 99.0}, 200.0, CONSTRAINTS, whole_shares=True)
    assert trades.value == 1000.0
    assert trades.table["shares"].tolist() == [19.5, 6.0, -99.0]
    assert trades.cost == pytest.approx((195 + 240 + 495) * 0.001)
    assert trades.cash == pytest.approx(200 - 195 - 240 + 495 - 0.93)
    # 0.1 × 3 is 0.30000000000000004, and 0.3 / 0.1 is 2.9999999999999996: three shares are three
    three = plan_trades({"AAA": 0.3, "cash": 0.7}, {"AAA": 0.1}, {}, 1.0, CONSTRAINTS, whole_shares=True)
    assert three.table["shares"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("holdings", "cash", "sentence"),
    [
        ({"AAA": 1.0, "XYZ": 2.0}, 0.0, "expected symbols among AAA, BBB, CCC, DDD, got XYZ; take what no strategy "),
        ({"DDD": 1.0}, 10.0, "expected a close of each symbol before the week, got none of DDD; take what cannot be "),
        ({}, 0.0, "expected shares or cash, got nothing; add rows, or --cash."),
        ({"AAA": 0.0}, 0.0, "expected shares or cash, got nothing; add rows, or --cash."),
    ],
)
def test_what_cannot_be_traded_is_one_sentence(holdings: dict[str, float], cash: float, sentence: str) -> None:
    with pytest.raises(AllocationError, match=f"^holdings: {re.escape(sentence)}"):
        plan_trades(TARGET, CLOSES, holdings, cash, CONSTRAINTS)


@pytest.mark.parametrize("cash", [-1.0, float("nan"), float("inf")])
def test_cash_is_dollars_from_0_up(cash: float) -> None:
    with pytest.raises(AllocationError, match=f"^--cash: expected dollars from 0 up, got {cash:g}; correct it"):
        check_cash(cash)


@pytest.mark.parametrize(
    "content", ["\ufeffsymbol,shares\r\nBRK-B, 2.5\r\n\r\nAAA,0\r\n", "symbol;shares\nBRK-B;2,5\nAAA;0\n"]
)
def test_holdings_are_read_as_a_spreadsheet_writes_them(tmp_path: Path, content: str) -> None:
    (tmp_path / "my.csv").write_text(content, encoding="utf-8")
    assert read_holdings(tmp_path / "my.csv") == {"BRK-B": 2.5, "AAA": 0.0}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", ": expected the columns symbol, shares, got nothing; correct the file."),
        ("AAA,3\n", ": expected the columns symbol, shares, got others; correct the file."),
        ("symbol,shares\nAAA,1,2\n", ", line 2: expected 2 values as in line 1, got 3; correct the line."),
        ("symbol;shares\nA;1,5\nB;2.5\n", ": expected decimal points, or commas, got both; write all one way."),
        ("symbol,shares\n,3\n", ", line 2: expected a symbol (cash is what --cash says), got nothing, 3;"),
        ("symbol,shares\ncash,3\n", ", line 2: expected a symbol (cash is what --cash says), got cash, 3;"),
        ("symbol,shares\nA,1\nB,2\nA,3\n", ", line 4: expected each symbol once (add its rows up), got A, 3;"),
        *(
            (f"symbol,shares\nA,{text}\n", f", line 2: {NO_AMOUNT}, got A, {text or 'nothing'}; correct it.")
            for text in ("-1", "many", "", "nan", "inf")
        ),
    ],
)
def test_bad_holdings_are_one_sentence_with_the_line(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "my.csv"
    path.write_text(content)
    with pytest.raises((AllocationError, TableError), match=f"^{re.escape(f'{path}{sentence}')}"):
        read_holdings(path)
