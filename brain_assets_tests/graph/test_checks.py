"""Asset checks in real runs: what passes, what warns, what blocks, and that a year which is refused is not done."""

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.errors import MarketError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.status import State, StatusReader
from brain_assets.graph.tasks import ENDS, Event
from brain_assets.market.schema import Finding, attach
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import DEFS, EVERY, PoolHere, run_year, world


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], Any]:
    return {
        (found.asset_key.to_user_string(), found.check_name): found for found in result.get_asset_check_evaluations()
    }


class Changed:
    """A market whose bars are changed as a test says."""

    def __init__(self, market: SimulatorMarket, change: Callable[[pd.DataFrame], None]) -> None:
        self._market, self._change = market, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._market, name)

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        frame = self._market.prices(start, end)
        self._change(frame)
        return frame


def swap(frame: pd.DataFrame) -> None:
    """Swap high and low of one bar."""
    wrong = (frame["date"] == "2019-03-05") & (frame["symbol"] == frame["symbol"].iloc[0])
    frame.loc[wrong, ["high", "low"]] = frame.loc[wrong, ["low", "high"]].to_numpy()


def double(frame: pd.DataFrame) -> None:
    """Make prices twice as high from 2020 on, as after a split that nobody adjusted for."""
    frame.loc[frame["date"] >= "2020-01-01", ["open", "high", "low", "close"]] *= 2


def test_a_jump_from_one_year_to_the_next_is_seen_in_the_later(market: SimulatorMarket, tmp_path: Path) -> None:
    resources = world(Changed(market, double), tmp_path)  # type: ignore[arg-type]
    found = [evaluations(run_year(year, resources, names=["raw_prices"])) for year in (2019, 2020)]
    assert [each["raw_prices", "no_jumps"].passed for each in found] == [True, False]
    expected = f"{len(SYMBOLS)} jumps look like splits or dividends that were never taken out: AAA 2020-01-02 1:2, BBB "
    assert found[1]["raw_prices", "no_jumps"].description.startswith(expected)


def definitions(resources: Mapping[str, Any]) -> dg.Definitions:
    return dg.Definitions(assets=EVERY, jobs=DEFS.jobs, resources=resources)


def backfill(defs: dg.Definitions, instance: dg.DagsterInstance, *names: str, force: bool = False) -> list[Event]:
    """Make 2019 of some assets; gives how each ended."""
    events = Backfill(defs, instance, names, force=force).run([2019], PoolHere(defs, instance))
    return [event for event in events if event.kind in ENDS]


def test_a_year_that_is_refused_is_not_done_and_blocks_all_that_needs_it(
    market: SimulatorMarket, tmp_path: Path
) -> None:
    tables = TableStore(tmp_path, {"market": "simulator"})
    bad = definitions(world(Changed(market, swap), tmp_path / "models", tables))  # type: ignore[arg-type]
    names = ["raw_prices", "lstm_snapshot", "walkforward_forecasts", "backtest"]
    with dg.DagsterInstance.ephemeral() as instance:
        first, *blocked = backfill(bad, instance, *names)
        assert (first.asset, first.kind) == ("raw_prices", "failed")
        assert first.detail.startswith("ohlc_in_order: expected open and close between low and high, got 1 bars")
        assert "2019-03-05" in first.detail
        assert {(event.asset, event.kind, event.detail) for event in blocked} == {
            (name, "blocked", "needs raw_prices[2019]") for name in names[1:]
        }
        assert {event.roots for event in blocked} == {(("raw_prices", 2019),)}  # not what lies between
        assert not (tmp_path / "models" / "lstm").exists()
        status = StatusReader(bad, instance, {}).read("raw_prices", 2019)
        assert (status.state, status.reason) == (State.STALE, "did not pass its checks: ohlc_in_order")
        good = definitions(world(market, tmp_path / "models", tables))
        [again] = backfill(good, instance, "raw_prices")
        assert again.kind == "made", again.detail
        assert again.metadata["replaced_because"].endswith("the stored bars did not pass the checks")
        assert StatusReader(good, instance, {}).read("raw_prices", 2019).state is State.DONE
        assert len(list((tmp_path / "raw" / "prices" / "replaced").iterdir())) == 1  # what was refused is kept


# What warns speaks where the user is


class Doubted(Changed):
    """A market that leaves rows out, joins symbols and misses one, and says so of its year; silent once it is told."""

    silent = False

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        closed = Finding(
            "rows_taken", "a.csv", "rows on days when the exchange was closed", "left out", 2019, 3, "a day"
        )
        gone = Finding("symbols_found", "BRAIN_SYMBOLS", "symbol that is in no file", first="GONE")
        findings = [closed, closed._replace(subject="b.csv", year=2020), gone]  # bars keep those of their years
        return attach(self._market.prices(start, end), [] if self.silent else findings)


ROWS = "a.csv: 3 rows on days when the exchange was closed, the first a day; left out."
GONE = "BRAIN_SYMBOLS: 1 symbol that is in no file, the first GONE."


def test_findings_warn_when_a_year_is_made_when_it_is_skipped_and_in_its_status_until_a_fetch_has_none(
    market: SimulatorMarket, tmp_path: Path
) -> None:
    doubted = Doubted(market, double)
    resources = world(doubted, tmp_path)  # type: ignore[arg-type]
    defs, forced = definitions(resources), {"ops": {"raw_prices": {"config": {"force": True}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        [made], [skipped] = (backfill(defs, instance, "raw_prices") for _ in range(2))
        reader = StatusReader(defs, instance, {})
        assert (made.kind, skipped.kind) == ("made", "done")
        expected = {"rows_taken": ROWS, "symbols_found": GONE}
        assert made.warnings == skipped.warnings == reader.read("raw_prices", 2019).warnings == expected
        assert reader.read("raw_prices", 2020).warnings == {}
        doubted.silent = True
        stored = evaluations(run_year(2019, resources, instance, ["raw_prices"]))["raw_prices", "rows_taken"]
        again = evaluations(run_year(2019, resources, instance, ["raw_prices"], forced))["raw_prices", "rows_taken"]
    counted = {key: value.value for key, value in stored.metadata.items()}
    assert counted == {"a.csv: rows on days when the exchange was closed": 3}
    assert (stored.description, stored.passed, again.passed) == (ROWS, False, True)


def away(_: pd.DataFrame) -> None:
    """Be a market that cannot be reached."""
    raise MarketError("expected an answer, got none.")


def test_a_run_that_dies_takes_back_nothing_that_checks_have_found(market: SimulatorMarket, tmp_path: Path) -> None:
    bad, doubted, dead = (
        definitions(world(kind(market, change), tmp_path / kind.__name__))  # type: ignore[arg-type]
        for kind, change in ((Changed, swap), (Doubted, double), (Changed, away))
    )
    for defs in (bad, doubted):
        with dg.DagsterInstance.ephemeral() as instance:
            backfill(defs, instance, "raw_prices")
            before = StatusReader(defs, instance, {}).read("raw_prices", 2019)
            [event] = backfill(dead, instance, "raw_prices", force=True)
            assert (event.kind, event.detail) == ("failed", "expected an answer, got none.")
            assert before.reason or before.warnings
            assert StatusReader(defs, instance, {}).read("raw_prices", 2019) == before
