"""Machines of their own whose snapshots go to a Hub, and a Hub that holds what a folder holds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brain_assets.graph.io_managers import SnapshotIOManager
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.places import read_files
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import FAMILIES
from brain_assets_tests.graph.worlds import world
from brain_assets_tests.loopback_hub import LoopbackHub
from brain_assets_tests.store.hubs import WatchedHub, bind

YEARS = (2019, 2020, 2021)


def machine(market: SimulatorMarket, root: Path, hub: LoopbackHub | str) -> dict[str, Any]:
    """Give the resources of a machine of its own, whose snapshots go to the Hub."""
    storages = {family: bind(root / "models", hub, family=family) for family in FAMILIES}
    return {**world(market, root / "models"), "snapshot_io": SnapshotIOManager(storages)}


def storages_of(resources: Mapping[str, Any]) -> Mapping[str, SnapshotLocalStorage]:
    return resources["snapshot_io"].storages


def drop(hub: WatchedHub, branch: str) -> None:
    """Remove a branch of the LSTM's repo, as its owner may."""
    hub.remove("user/lstm", branch)


@contextmanager
def hub_of(models: Path) -> Iterator[WatchedHub]:
    """Give a Hub with a branch for each snapshot of a folder of models, to do with as one likes."""
    with WatchedHub() as hub:
        for family in FAMILIES:
            hub.add_repo(f"user/{family}")
            for year in YEARS:
                branch = f"snapshot-{year}-12-31"
                hub.put(f"user/{family}", branch, read_files(models / family / branch))
        yield hub
