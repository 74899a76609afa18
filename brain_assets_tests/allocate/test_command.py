"""`brain-assets allocate`, as its users run it."""

import re
from pathlib import Path

import pandas as pd
import pytest

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
