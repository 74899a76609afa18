"""The lines and tables of a backfill: what is said of many years is said once, with its places."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets.cli_run import doubts_of, event_line, places_of, print_results, print_summary, run_years, skill_lines
from brain_assets.forecasting.metrics import mean_skill, weekly_rank_correlation
from brain_assets.forecasting.walkforward import YARDSTICKS
from brain_assets.graph.status import State, Status
from brain_assets.graph.tasks import Event
from brain_assets.parquet import encode_table
from brain_assets.registry import families_of
from brain_assets.terminal import console
from brain_assets_tests.backfills import brain_assets, outcomes
from brain_assets_tests.graph.worlds import DEFS, PoolHere
from brain_assets_tests.market.test_price_checks import between, year_of_bars
from brain_assets_tests.report.toy_results import forecast_table

NOTE = "wrong.csv: expected days, got none; correct the file."


def shown(print_it: Callable[[], object]) -> list[str]:
    with console.capture() as captured:
        print_it()
    return captured.get().splitlines()


def test_assets_are_named_with_their_years_those_in_a_row_as_a_span() -> None:
    places = [("a", 2021), ("b", 2020), ("a", 2019), ("a", 2020), ("a", 2023), ("b", 2022)]
    assert places_of(places) == "a 2019-2021, 2023; b 2020, 2022"


def test_what_models_are_worth_is_a_line_a_check() -> None:
    zero, equal = {"beats_zero": "0.9, zero 0.8"}, {"beats_equal_weight": "1 %, 2 %", "coverage": "none"}
    found = [("lstm_snapshot", 2019, zero), ("backtest", 2019, equal), ("lstm_snapshot", 2020, zero), ("x", 2019, {})]
    assert skill_lines(found) == [
        "beats_zero did not pass: lstm_snapshot 2019-2020",
        "beats_equal_weight did not pass: backtest 2019",
    ]


def test_what_is_blocked_by_one_cause_is_one_line_however_many_years_failed_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = [Event("failed", "raw_prices", year, detail=NOTE) for year in (2019, 2020)]
    failed.append(Event("failed", "ppo_policy", 2020, detail="out of memory"))
    blocked = [
        Event("blocked", "lstm_snapshot", 2019, roots=(("raw_prices", 2019),)),
        Event("blocked", "lstm_snapshot", 2020, roots=(("raw_prices", 2019), ("raw_prices", 2020))),
        Event("blocked", "backtest", 2020, roots=(("raw_prices", 2020), ("ppo_policy", 2020))),
    ]
    made = Event("made", "raw_fundamentals", 2019)
    assert shown(lambda: print_summary([*failed, *blocked, made])) == [
        "1 made, 0 run without change, 0 done before, 6 not done",
        "blocked by raw_prices 2019-2020: 2 years of 1 asset",
        "blocked by raw_prices 2020; ppo_policy 2020: 1 year of 1 asset",
    ]
    errors = [f"error: raw_prices 2019-2020: {NOTE}", "error: ppo_policy 2020: out of memory"]
    assert capsys.readouterr().err.splitlines() == errors
    assert [event_line(event) for event in blocked] == ["", "", ""]


class Ended:
    """A backfill whose years have ended in such a way."""

    unfinished = ()

    def __init__(self, *events: Event) -> None:
        self._events = events

    def run(self, *_: object) -> Iterator[Event]:
        yield from self._events


def test_a_line_is_as_long_as_it_is_but_for_why_a_year_failed() -> None:
    late = ", ".join(f"SYMBOL{i} 2019-02-0{i}" for i in range(1, 6))
    failed = Event("failed", "raw_prices", 2018, detail="word " * 50)
    metadata = {"listed_late": late, "ended_early": "none"}
    made = Event("made", "raw_prices", 2019, metadata=metadata, warnings={"no_jumps": "word " * 49 + "end"})
    pool = PoolHere(DEFS, dg.DagsterInstance.ephemeral())
    _, first, second, third = shown(lambda: run_years(Ended(failed, made), [2018, 2019], pool))  # type: ignore[arg-type]
    assert first.startswith("2018 raw_prices             failed: word word ")
    assert first.endswith("…")
    assert len(first) <= console.width
    assert second.endswith(late)
    assert third.startswith("  warning: 2019 raw_prices, no_jumps: word word ")
    assert third.endswith(" end")


KEPT = " in 1.0 s (other rows than before, which are kept: replaced/2019-0a.parquet)"
STALE_FILE = "stale: prices.csv changed"


@pytest.mark.parametrize(
    ("detail", "metadata", "end"),
    [
        (
            "",
            {"listed_late": ", ".join(f"S{i} 2019-02-0{i}" for i in range(1, 8)), "ended_early": "GONE 2019-06-28"},
            " in 1.0 s, listed late: S1 2019-02-01, S2 2019-02-02, S3 2019-02-03, S4 2019-02-04, S5 2019-02-05 and 2 "
            "more; ended early: GONE 2019-06-28",
        ),
        ("", {"listed_late": "none", "ended_early": "none"}, " in 1.0 s"),
        ("forced", {"replaced_prices": "replaced/2019-0a.parquet"}, KEPT),
        ("forced", {"replaced": "replaced/2019-0a.parquet"}, KEPT),
        (STALE_FILE, {"replaced": "replaced/2019-0a.parquet"}, f" in 1.0 s ({STALE_FILE})"),
        ("", {"neutral": "no row", "source": "none"}, " in 1.0 s, empty (source none)"),
        (
            "",
            {"eval/lstm_rank_correlation": 0.02, "eval/momentum_rank_correlation": 0.1},
            ", rank correlation LSTM +0.020",
        ),
        ("", {"hub": "failed", "hub_reason": "no answer"}, " in 1.0 s, [yellow]hub: failed: no answer[/]"),
    ],
)
def test_the_line_of_a_year_says_what_tells_most_of_it(detail: str, metadata: dict[str, object], end: str) -> None:
    line = event_line(Event("made", "raw_prices", 2019, detail=detail, seconds=1.0, metadata=metadata))
    assert line.startswith("2019 raw_prices             [green]made[/] in 1.0 s")
    assert line.endswith(end)


def test_a_split_in_files_is_said_by_backfill_and_status_and_fails_the_command_only_if_strict(tmp_path):
    prices = year_of_bars("AAA", "BBB")
    prices.loc[between(prices, "AAA", 0, 99), ["open", "high", "low", "close"]] *= 4
    prices = prices[~between(prices, "BBB", 150, 252)]
    prices[["date", "symbol", "open", "high", "low", "close", "volume"]].to_csv(tmp_path / "prices.csv", index=False)
    market = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(tmp_path), "BRAIN_SYMBOLS": ""}
    market |= {"BRAIN_FIRST_YEAR": "2018", "BRAIN_BOOTSTRAP_YEARS": "2"}
    arguments = ("backfill", "2020", "--assets", "raw_prices", "--jobs", "1")
    day = np.sort(prices["date"].unique())[100].astype("datetime64[D]")
    words = "no_jumps: 1 jump looks like a split or a dividend that was never taken out: "
    words += f"AAA {day} 4:1; use adjusted prices"

    first = brain_assets(tmp_path / "data", *arguments, **market)
    assert first.returncode == 0, first.stderr
    assert f"  warning: 2020 raw_prices, {words}.\n" in first.stdout
    assert outcomes(first.stdout)[2020, "raw_prices"].endswith(", ended early: BBB 2020-08-05")
    strict = brain_assets(tmp_path / "data", *arguments, "--strict", **market)
    assert strict.returncode == 1
    assert outcomes(strict.stdout) == {(2020, "raw_prices"): "done already, skipped"}
    assert f"  warning: 2020 raw_prices, {words}.\n" in strict.stdout
    assert strict.stderr.startswith("error: --strict: expected no check to warn, got 1: no_jumps 1; ")
    status = brain_assets(tmp_path / "data", "status", **market)
    assert status.returncode == 0
    assert f"raw_prices 2020: done, 1 warning: {words}" in status.stdout


# What a report and an allocation begin with


DONE, MISSING = Status(State.DONE), Status(State.MISSING, "not materialized")
STALE = Status(State.STALE, "prices.csv changed")
DAMAGED = Status(State.DAMAGED, "2020.parquet: its bytes do not agree with its checksum; make it again.")
WARNED = Status(State.DONE, warnings={"beats_zero": "not so", "no_jumps": "2 closes lie far off. Look at them."})
UNSKILLED = Status(State.DONE, warnings={"beats_zero": "its loss is above that of zero."})


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ([], ""),
        ([DONE, MISSING, UNSKILLED], ""),
        ([STALE], "This rests on raw_prices[2019] stale: prices.csv changed."),
        ([DONE, WARNED], "This rests on raw_prices[2020] warned: no_jumps: 2 closes lie far off."),
        (
            [DAMAGED, STALE, WARNED, STALE, DAMAGED],
            "This rests on raw_prices[2019] damaged: 2020.parquet: its bytes do not agree with its checksum; make it "
            "again; raw_prices[2020] stale: prices.csv changed; raw_prices[2021] warned: no_jumps: 2 "
            "closes lie far off; and 2 more, which brain-assets status names.",
        ),
    ],
)
def test_stale_damaged_and_warned_years_are_named_and_no_others(found: list[Status], line: str) -> None:
    assert doubts_of({("raw_prices", 2019 + place): status for place, status in enumerate(found)}) == line


N_WEEKS, N_SYMBOLS = 52, 12


def year_of_forecasts(year: int, n_bootstrap: int) -> pd.DataFrame:
    table = forecast_table(N_WEEKS, 0.3, n_bootstrap, first=np.datetime64(f"{year}-01-06"))
    random = np.random.default_rng(year)
    own = {name: random.normal(size=len(table)) for name in YARDSTICKS}
    source = table["lstm_source"].map(lambda name: name if name == "momentum" else f"lstm {name}, patchtst {name}")
    return table.assign(average=table["lstm"] + table["patchtst"], average_source=source, **own)


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "forecasts").mkdir()
    for year, n_bootstrap in ((2019, N_WEEKS), (2020, 0), (2021, 2)):
        (tmp_path / f"forecasts/{year}.parquet").write_bytes(encode_table(year_of_forecasts(year, n_bootstrap)))
    monkeypatch.setattr(console, "width", 80)
    with console.capture() as captured:
        print_results(tmp_path, [2019, 2020, 2021, 2022], families_of())
    return captured.get().splitlines()


def cells(lines: list[str], year: str) -> dict[str, list[str]]:
    rows = [re.split(" {2,}", line.strip()) for line in lines if line.strip().startswith(f"{year} ")]
    return {row[1]: row[2:] for row in rows if row[1] != "–"}  # as in the table of portfolios, of which there are none


def test_forecasters_stand_beside_yardsticks_within_80_columns(lines: list[str]) -> None:
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert not any("…" in line for line in lines)
    table, found = year_of_forecasts(2020, 0), cells(lines, "2020")
    names = ["LSTM", "PatchTST", "average", *(each.label for each in YARDSTICKS.values())]
    assert list(found)[:2] == names[:2]
    assert list(found)[-4:] == names[2:]
    shape = (N_WEEKS, N_SYMBOLS)
    wide = {name: table[name].to_numpy().reshape(shape) for name in ("lstm", "average", "reversal", "realized")}
    for name, label in (("lstm", "LSTM"), ("average", "average"), ("reversal", "1-week reversal")):
        skill = mean_skill(weekly_rank_correlation(wide[name], wide["realized"]))
        expected = [f"{skill.rank_correlation:+.3f}", f"{skill.t_statistic:+.1f}", f"{skill.smallest_detectable:.3f}"]
        assert found[label][-3:] == expected
    assert found["LSTM"][:3] == ["–"] * 3  # there is no snapshot to tell losses of


def test_a_year_without_models_has_yardsticks_alone_and_all_years_those_of_models(lines: list[str]) -> None:
    first = cells(lines, "2019")
    assert first["LSTM"] == ["–"] * 6
    assert "average" not in first
    assert first["4-week momentum"][0] != "–"
    assert cells(lines, "2022")["LSTM"] == ["–"] * 6
    tables = [year_of_forecasts(2020, 0), year_of_forecasts(2021, 2).iloc[2 * N_SYMBOLS :]]
    for name, label in (("patchtst", "PatchTST"), ("momentum_12_1", "12-1 momentum")):
        wide = [
            np.concatenate([table[column].to_numpy().reshape(-1, N_SYMBOLS) for table in tables])
            for column in (name, "realized")
        ]
        skill = mean_skill(weekly_rank_correlation(*wide))
        assert cells(lines, "all")[label][0] == f"{skill.rank_correlation:+.3f}"
        assert cells(lines, "all")[label][2] == f"{skill.smallest_detectable:.3f}"
