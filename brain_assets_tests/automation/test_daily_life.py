"""New data in Dagster's own daemon: the switches are turned on in a running UI, and nobody starts a run."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.graph.test_ui import Server, serving, states, wait_until
from brain_assets_tests.graph.worlds import RAW

SELECTOR = (
    """{ repositoryLocationName: "brain_assets.definitions", repositoryName: "__repository__", sensorName: $name }"""
)

START = """mutation ($name: String!) { startSensor(sensorSelector: %s) {
    __typename ... on PythonError { message }
} }"""

TICKS = """query ($name: String!) { sensorOrError(sensorSelector: %s) { ... on Sensor { sensorState {
    ticks(limit: 50) { status skipReason error { message } }
} } } }"""

RUNS = """{ runsOrError(limit: 500) { ... on Runs { results {
    id status assetSelection { path } tags { key value }
} } } }"""


def switch_on(server: Server, name: str) -> None:
    answer = server.ask(START % SELECTOR, name=name)["startSensor"]
    assert answer["__typename"] == "Sensor", answer


def ticks(server: Server, name: str) -> list[dict[str, object]]:
    """Give the ticks of a sensor, the newest first; none may have failed."""
    found = server.ask(TICKS % SELECTOR, name=name)["sensorOrError"]["sensorState"]["ticks"]
    assert not [tick["error"] for tick in found if tick["status"] == "FAILURE"]
    return found


def runs(server: Server) -> list[tuple[str, list[str], str]]:
    """Give year, assets and status of every run, the oldest first."""
    found = []
    for run in reversed(server.ask(RUNS)["runsOrError"]["results"]):
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        names = sorted(key["path"][-1] for key in run["assetSelection"] or ())
        found.append((tags["dagster/partition"], names, run["status"]))
    return found


def write(path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(path, index=False)
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


@pytest.mark.slow
@pytest.mark.claim
def test_files_are_taken_in_and_followed_once_the_switches_are_on(market: SimulatorMarket, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    prices = market.prices(pd.Timestamp(2016, 1, 1).date(), pd.Timestamp(2021, 1, 1).date())
    for year, rows in prices.groupby(prices["date"].dt.year):
        write(folder / f"prices-{year}.csv", rows)
    variables = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(folder), "BRAIN_SYMBOLS": ""}
    green = (2, [("MATERIALIZED", "2019", "2020")])
    with serving(tmp_path / "data", "dagster", "dev", **variables, BRAIN_LAST_YEAR="2020") as server:
        time.sleep(5)
        assert runs(server) == []  # all is off at first
        switch_on(server, "new_data")
        wait_until(lambda: all(states(server)[name] == green for name in RAW), 300, pause=2.0)
        first = [(year, sorted(RAW), "SUCCESS") for year in ("2019", "2020")]
        assert sorted(runs(server)) == first

        frame = pd.read_csv(folder / "prices-2020.csv")
        frame.loc[100, ["high", "close"]] *= 1.01
        write(folder / "prices-2020.csv", frame)
        wait_until(lambda: len(runs(server)) == 3, 200, pause=2.0)
        wait_until(lambda: runs(server)[-1] == ("2020", ["raw_prices"], "SUCCESS"), 200, pause=2.0)
        assert len(list((tmp_path / "data" / "raw" / "prices" / "replaced").iterdir())) == 1
        seen = len(ticks(server, "new_data"))
        wait_until(lambda: len(ticks(server, "new_data")) > seen, 200, pause=2.0)
        assert "none read, new or changed since the last look" in str(ticks(server, "new_data")[0]["skipReason"])
        assert len(runs(server)) == 3

        switch_on(server, "downstream")
        wait_until(lambda: states(server)["lstm_snapshot"] == green, 400, pause=2.0)
        wait_until(lambda: states(server)["walkforward_forecasts"] == green, 400, pause=2.0)
        ticks(server, "downstream")
        # the policies that follow take longer than there is to learn from them here
