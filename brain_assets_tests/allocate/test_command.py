"""`brain-assets allocate`, as its users run it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.allocate.command import plan_trades, read_holdings
from brain_assets.errors import AllocationError, TableError
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets_tests.backfills import Finished, brain_assets
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.test_ui import serving

TABLES = """{ assetNodeOrError(assetKey: {path: "target_weights"}) { ... on AssetNode { assetMaterializations {
    metadataEntries { label ... on TableMetadataEntry { table { records schema { columns { name } } } } }
} } } }"""


def refusal(data_dir: Path, *arguments: str) -> str:
    """Run the command and give its one sentence; the exit code is 2, and nothing is printed beside it."""
    run = brain_assets(data_dir, "allocate", *arguments)
    assert (run.returncode, run.stdout) == (2, ""), run.stdout + run.stderr
    [sentence] = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in run.stderr
    return sentence.removeprefix("error: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--strategy", "luck"],
            r"--strategy: expected one of ppo, sac, direct, equal_weight, .*, got luck; choose one of them\.",
        ),
        (["--cash", "-5"], r"--cash: expected dollars from 0 up, got -5; correct it\."),
        (["--holdings", "{bad}"], r".*my\.csv, line 3: expected each symbol once \(add its rows up\), got AAA, 2; .*"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    bad = tmp_path / "my.csv"
    bad.write_text("symbol,shares\nAAA,1\nAAA,2\n")
    given = [argument.format(bad=bad) for argument in arguments]
    assert re.fullmatch(sentence, refusal(tmp_path / "data", *given))
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_it_prints_the_weights_and_the_trades_and_leaves_them_in_dagster(finished: Finished, tmp_path: Path) -> None:
    data = finished.copy(tmp_path)
    prices = pd.read_parquet(data / "raw" / "prices" / "2021.parquet")
    close = prices[prices["date"] == "2021-06-11"].set_index("symbol")["close"]
    mine = tmp_path / "my.csv"
    mine.write_text("symbol,shares\nAAA,10\n")
    options = ("--date", "2021-06-16", "--cash", "1000", "--strategy", "equal_weight", "--holdings", str(mine))
    done = brain_assets(data, "allocate", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    words = " ".join(done.stdout.split())
    assert "Week of 2021-06-14, 5 sessions, decided after the close of 2021-06-11 16:00 in New York." in words
    assert "Data: bars until 2021-06-11, 0 sessions old." in words
    # from 2020-12-31 to 2021-06-14: 31 + 28 + 31 + 30 + 31 + 14
    assert "PPO snapshot-2020-12-31, 165 days old" in words
    assert words.endswith(f"{data / 'weights' / '2021-06-14.parquet'} and 2021-06-14.csv")
    table = pd.read_parquet(data / "weights" / "2021-06-14.parquet").set_index("symbol")
    shown = [cell for line in done.stdout.splitlines() if line.split()[:1] == ["AAA"] for cell in line.split()[1:]]
    cells = [f"{100 * weight:.2f}" if weight else "·" for weight in table.loc["AAA"]]
    assert shown[: len(cells)] == cells  # tables below each other: every figure has room
    value = 1000 + 10 * close["AAA"]
    dollars = {symbol: 0.98 / 6 * value - (10 * close[symbol] if symbol == "AAA" else 0) for symbol in SYMBOLS}
    for symbol, amount in dollars.items():  # six symbols of equal weight, 2 % in cash
        assert f"16.33 {amount / close[symbol]:+,.4f} {amount:+,.2f} {abs(amount) * 0.001:,.2f}" in words
    traded = sum(abs(amount) for amount in dollars.values())
    assert (
        f"Of ${value:,.2f}: ${traded:,.2f} traded, ${traded * 0.001:,.2f} of costs (10 bps of every dollar traded), "
        f"${0.02 * value - traded * 0.001:,.2f} left in cash." in words
    )
    with serving(data, "dagster_webserver") as server:  # and they stand at the asset
        [made] = server.ask(TABLES)["assetNodeOrError"]["assetMaterializations"]
    [shown] = [entry["table"] for entry in made["metadataEntries"] if entry["label"] == "weights"]
    assert [column["name"] for column in shown["schema"]["columns"]] == ["symbol", *table.columns]
    assert len(shown["records"]) == len(table) == 7


def test_what_is_too_old_is_refused_with_what_to_do(finished: Finished, tmp_path: Path) -> None:
    data = finished.copy(tmp_path)
    assert re.fullmatch(
        r"target_weights: expected bars until \d{4}-\d\d-\d\d, the last close before the week of \d{4}-\d\d-\d\d, or "
        r"until at most 0 sessions before, got bars until 2021-12-31, \d+ sessions before; get newer ones, or choose a "
        r"week that they reach, such as 2022-01-03 \(--date 2022-01-03, or date in the run configuration\)\.",
        refusal(data),
    )
    assert not (data / "weights").exists()
    done = brain_assets(data, "allocate", "--date", "2022-01-03")  # the week that the first sentence names
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PPO snapshot-2021-12-31, 3 days old" in " ".join(done.stdout.split())


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
