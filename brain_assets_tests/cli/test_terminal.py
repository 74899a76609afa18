"""What a terminal of 80 columns shows: first words, what is under way, the end, and no line that is cut."""

import re
from pathlib import Path

import pytest

from brain_assets import __version__
from brain_assets.cli import ORDER
from brain_assets.start import LOADING
from brain_assets.store.tables import IDENTITY_FILE
from brain_assets.terminal import console
from brain_assets_tests.backfills import Finished, Terminal, all_but, brain_assets, long_training, screen, states

CURSOR_HIDDEN, CURSOR_SHOWN = "\x1b[?25l", "\x1b[?25h"
COMMANDS = (
    "backfill 2019-2021 --config {config}",
    "status",
    "status --config {config}",
    pytest.param("report", marks=pytest.mark.slow),
    pytest.param("allocate --date 2021-06-01", marks=pytest.mark.slow),
    "models",
    "sync push",
    "adopt",
    "check-files {config}",
    "prove no-lookahead --after July",
)


def test_while_it_runs_each_worker_has_a_line_and_what_has_ended_stands_above(tmp_path: Path) -> None:
    assets = ("raw_news_sentiment", "raw_prices")
    running = Terminal(tmp_path / "data", "backfill", "2019", "--assets", ",".join(assets), "--jobs", "1")
    running.await_output(f"1 of 2 (.|\n)*2019 {assets[1]}")
    live = running.lines()
    code, shown = running.ended(300)
    assert code == 0
    assert shown.startswith(LOADING)
    pool, made, overall, worker = live[:4]
    assert pool.startswith("years of assets at a time: 1")
    assert re.fullmatch(rf"2019 {assets[0]:<22} made in [\d.]+ s", made)
    assert re.fullmatch(r"1 of 2 +about 0:00:\d\d left +0:00:\d\d", overall)
    assert re.fullmatch(rf"2019 {assets[1]} +0:00:\d\d", worker)
    end = screen(shown)
    assert end[:2] == [pool, made]
    assert re.fullmatch(rf"2019 {assets[1]:<22} made in [\d.]+ s", end[2])
    assert not any(re.search(r"\d of 2|loads its", line) for line in end)  # nothing is left of what was live
    assert shown.rindex(CURSOR_SHOWN) > shown.rindex(CURSOR_HIDDEN)


@pytest.mark.parametrize(
    "moment", ["0 of 2 ", pytest.param(r"ppo_policy +[\d,]+ of 60,000 steps, reward -?\d", marks=pytest.mark.slow)]
)
def test_ctrl_c_says_what_is_left_and_leaves_the_terminal_as_it_was(tmp_path: Path, moment: str) -> None:
    config, data, assets = long_training(tmp_path), tmp_path / "data", "raw_prices,raw_news_sentiment"
    if "ppo" in moment:
        assets = "ppo_policy,backtest"
        all_but(["ppo_policy", "sac_policy", "direct_policy", "backtest"], data, config)
    running = Terminal(data, "backfill", "2019", "--assets", assets, "--config", str(config))
    running.await_output(moment)
    running.press_ctrl_c()
    code, shown = running.ended(60)
    assert code == 130
    after = [line for line in screen(shown)[1:] if line and " made in " not in line]  # `backtest` may be by then
    assert after == ["stopped; 2019 unfinished; run again to go on"]
    assert shown.rindex(CURSOR_SHOWN) > shown.rindex(CURSOR_HIDDEN)


@pytest.fixture(scope="module")
def folder(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished.copy(tmp_path_factory.mktemp("d"))


def shown_at(width: int, folder: Path, command: list[str]) -> tuple[int, list[str]]:
    """Give the exit code of a command, and the lines that it leaves on a terminal of such a width."""
    before, console.width = console.width, width
    run = brain_assets(folder, *command, COLUMNS=str(width), TTY_COMPATIBLE="1")
    console.width = before
    written = (run.stdout + run.stderr).replace("\n", "\r\n")
    return run.returncode, screen(written, 10_000)  # so that a line that is too long stays one


@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_longer_than_a_terminal_and_no_word_is_cut(finished: Finished, folder: Path, command: str) -> None:
    given = command.format(config=finished.config).split()
    code, lines = shown_at(80, folder, given)
    code_of_wide, wide = shown_at(250, folder, given)
    assert code == code_of_wide
    too_long = [line for line in lines if len(line) > 80 and " " in line.strip()]  # a path has no place to break
    assert [line for line in too_long if not line.startswith("Look at them")] == []  # a command, to be pasted whole
    assert [line for line in lines if "…" in line] == []
    assert words_in(lines) - words_in(wide) == set()


def words_in(lines: list[str]) -> set[str]:
    """Give the words without digits, which times and figures have."""
    found = re.split(r"[\s│╭╮╰╯─]+", "\n".join(lines))
    return {word for word in found if not re.search(r"\d", word)}


@pytest.mark.parametrize("command", ["", *ORDER])
def test_helps_fit_a_terminal(tmp_path: Path, command: str) -> None:
    code, lines = shown_at(80, tmp_path, [*command.split(), "--help"])
    assert code == 0
    assert [line for line in lines if len(line) > 80 or "…" in line] == []


def test_status_writes_nothing_and_says_what_to_do_where_nothing_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brain_assets_tests.backfills.REPOSITORY", tmp_path)  # where it runs
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert brain_assets(folder, "status").returncode == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    run = brain_assets(tmp_path / "none", "status")
    assert (run.returncode, run.stderr) == (0, "")
    assert set(states(run.stdout).values()) == {"missing"}
    assert run.stdout.splitlines()[0] == f"Market simulator, {tmp_path / 'none'}"
    assert run.stdout.splitlines()[-1] == "Nothing is here yet; to make it: brain-assets backfill 2019-2021"
    assert not (tmp_path / "none").exists()
    (tmp_path / "data" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "demo" / IDENTITY_FILE).write_text("{}")
    assert "  export BRAIN_MARKET=sample BRAIN_DATA_DIR=data/demo" in brain_assets(tmp_path / "none", "status").stdout


def test_thirty_years_fit_in_blocks_in_the_order_of_the_graph(tmp_path: Path) -> None:
    code, shown = Terminal(tmp_path, "status", BRAIN_FIRST_YEAR="1991").ended(120)
    lines = screen(shown)
    found = states("\n".join(lines))
    assert code == 0
    assert {year for year, _ in found} == set(range(1994, 2022))
    names = [line.split()[0] for line in lines if "·" in line]
    assert names[0] == "raw_prices"
    assert names.index("lstm_snapshot") < names.index("walkforward_forecasts") < names.index("ppo_policy")
    assert {"report", "lstm_model", "target_weights"} < set(names[names.index("backtest") :])


def test_the_version_and_commands_in_the_order_of_use(tmp_path: Path) -> None:
    assert brain_assets(tmp_path, "--version").stdout == f"brain-assets {__version__}\n"
    shown = brain_assets(tmp_path, "--help").stdout
    assert re.findall(r"^│ ([a-z][a-z-]+) ", shown, re.MULTILINE) == list(ORDER)
