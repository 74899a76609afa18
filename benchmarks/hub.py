"""Snapshots between this machine and a Hub on it: requests, 50 ms of latency, and what writing one costs.

A process of its own, as the Hub's client reads its settings once. Beside a pull stands a loop that pulls one snapshot
after another, beside a push one of `create_branch` and `upload_folder`, each into a repo that is not there yet.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot
    from brain_assets.store.storage import SnapshotLocalStorage
    from brain_assets_tests.loopback_hub import LoopbackHub

FAMILY = "lstm"
TOKEN = "hf_benchmark"
LATENCY = 0.05
"""Seconds before each answer."""
CUTOFF = datetime.date(2019, 12, 31)
DATES = [datetime.date(year, 12, 31) for year in range(2019, 2059)]
N_PUSHED = (2, 8, 40)
REPEATS = 3
N_WRITES = 25
CLI = [sys.executable, "-m", "brain_assets.start"]


@dataclass(frozen=True)
class HubFigures:
    """Of 40 snapshots; times are seconds, medians of alternating repeats.

    Attributes
    ----------
    status, status_requests
        ``brain-assets sync status`` of one family, start of the process included.
    pull, plain_pull
    pushes : list of tuple of int, float, float
        How many snapshots, our seconds, those of `upload_folder`.
    training, write
        Of one year's snapshot: market ``sample``, default configuration, flushed to disk.
    """

    status: float
    status_requests: int
    pull: float
    plain_pull: float
    pushes: list[tuple[int, float, float]]
    training: float
    write: float


def measure() -> HubFigures:
    with tempfile.TemporaryDirectory() as folder:
        settings = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": f"{folder}/home"}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")} | settings
        command = [sys.executable, "-m", "benchmarks.hub", folder]
        done = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return HubFigures(**json.loads(done.stdout))


def run(root: Path) -> HubFigures:
    from brain_assets.store.storage import SnapshotLocalStorage
    from brain_assets_tests.loopback_hub import LoopbackHub

    snapshot, training = train()
    write = median_seconds(N_WRITES, lambda: SnapshotLocalStorage(FAMILY, root / "written").write_snapshot(snapshot))
    local = SnapshotLocalStorage(FAMILY, root / "models")
    for date in DATES:
        local.write_snapshot(replace(snapshot, cutoff_date=date))
    warm_up(local, root)
    pushes = [
        (n, *map(statistics.median, zip(*(time_pushes(local, n) for _ in range(REPEATS)), strict=True)))
        for n in N_PUSHED
    ]
    with LoopbackHub(LATENCY, {TOKEN: "write"}) as hub:
        push_all(bind(root / "models", hub))
        pull, plain_pull = zip(*(time_pulls(hub, root / f"pulled-{i}") for i in range(REPEATS)), strict=True)
        status, status_requests = time_status(root, hub)
    return HubFigures(
        *(status, status_requests),
        *(statistics.median(seconds) for seconds in (pull, plain_pull)),
        pushes,
        *(training, write),
    )


def train() -> "tuple[ModelSnapshot, float]":
    """Train a year's snapshot; gives it, and the median of the seconds it took."""
    from brain_assets.forecasting.lstm import LstmConfig
    from brain_assets.forecasting.training import train_snapshot
    from brain_assets.market.base import MarketNote
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.sample import SampleMarket

    market = SampleMarket()
    panel = PricePanel.from_frame(market.prices(datetime.date(2016, 1, 1), datetime.date(2020, 1, 1)))
    snapshots = []
    seconds = median_seconds(
        REPEATS, lambda: snapshots.append(train_snapshot(FAMILY, panel, CUTOFF, LstmConfig(), MarketNote.of(market)))
    )
    return snapshots[0], seconds


def bind(models: Path, hub: "LoopbackHub") -> "SnapshotLocalStorage":
    from pydantic import SecretStr

    from brain_assets.store.hub import HubAddress
    from brain_assets.store.storage import SnapshotLocalStorage

    return SnapshotLocalStorage(FAMILY, models, HubAddress(f"user/{FAMILY}", SecretStr(TOKEN), hub.endpoint))


def push_all(storage: "SnapshotLocalStorage") -> None:
    check(len(storage.sync_all_local_to_hf()))


def pull_all(storage: "SnapshotLocalStorage") -> None:
    check(len(storage.sync_all_hf_to_local()))


def pull_one_by_one(storage: "SnapshotLocalStorage") -> None:
    for date in storage.list_hf_snapshots():
        storage.download_snapshot_from_hf(date)
    check(len(storage.list_snapshots()))


def check(n_transferred: int) -> None:
    if n_transferred != len(DATES):
        raise RuntimeError(f"expected {len(DATES)} snapshots to be transferred, got {n_transferred}")


def warm_up(local: "SnapshotLocalStorage", root: Path) -> None:
    """Import and connect once, so that neither side pays for it."""
    from brain_assets_tests.loopback_hub import LoopbackHub

    with LoopbackHub(tokens={TOKEN: "write"}) as hub:
        bind(local.folder.parent, hub).upload_snapshot_to_hf(DATES[0])
        bind(root / "warm", hub).download_snapshot_from_hf(DATES[0])


def time_pushes(local: "SnapshotLocalStorage", n_snapshots: int) -> tuple[float, float]:
    from huggingface_hub import HfApi

    from brain_assets.store.storage import compare, transfer
    from brain_assets_tests.loopback_hub import LoopbackHub

    dates = set(DATES[:n_snapshots])
    with LoopbackHub(LATENCY, {TOKEN: "write"}) as hub:
        storage = bind(local.folder.parent, hub)
        own, years = {FAMILY: storage}, [date.year for date in dates]
        ours = median_seconds(1, lambda: list(transfer("push", own, compare(own, years))))
        if len(hub.branches(f"user/{FAMILY}")) != 1 + n_snapshots:
            raise RuntimeError(f"expected {n_snapshots} snapshots to be pushed, got {hub.branches(f'user/{FAMILY}')}")

    def upload() -> None:
        plain_hub.create_repo(f"user/{FAMILY}", private=True, exist_ok=True)
        for date in sorted(dates):
            name = storage.path(date).name
            plain_hub.create_branch(f"user/{FAMILY}", branch=name)
            plain_hub.upload_folder(repo_id=f"user/{FAMILY}", folder_path=str(storage.path(date)), revision=name)

    with LoopbackHub(LATENCY, {TOKEN: "write"}) as hub:
        plain_hub = HfApi(hub.endpoint, token=TOKEN)
        return ours, median_seconds(1, upload)


def time_pulls(hub: "LoopbackHub", root: Path) -> tuple[float, float]:
    storages = bind(root / "ours", hub), bind(root / "plain", hub)
    return median_seconds(1, lambda: pull_all(storages[0])), median_seconds(1, lambda: pull_one_by_one(storages[1]))


def time_status(root: Path, hub: "LoopbackHub") -> tuple[float, int]:
    """Give the seconds of one ``sync status`` of one family, and its requests."""
    repos = {
        f"HF_{family.upper()}_MODEL_REPO": f"user/{family}"
        for family in ("lstm", "patchtst", "ridge", "boosting", "ppo", "sac", "direct")
    }
    settings = {"BRAIN_DATA_DIR": str(root), "STORAGE_BACKEND": "hf", "HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.endpoint}
    hub.requests.clear()
    started = time.perf_counter()
    done = subprocess.run(
        [*CLI, "sync", "status", "--family", FAMILY],
        check=True,
        env={**os.environ, **repos, **settings},
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - started
    check(done.stdout.count("equal"))
    return seconds, len(hub.requests)


def median_seconds(repeats: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(asdict(run(Path(sys.argv[1])))))
    else:
        print(measure())
