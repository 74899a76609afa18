"""A snapshot that was really trained, its variants, and a Hub."""

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.prices import PricePanel
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.loopback_hub import Files, LoopbackHub
from brain_assets_tests.store.hubs import DATE, bind, dated, fill


@pytest.fixture(scope="session")
def trained(panel: PricePanel, tiny_lstm: LstmConfig) -> ModelSnapshot:
    return train_snapshot("lstm", panel, DATE, tiny_lstm, MADE_UP)


@pytest.fixture(scope="session")
def files(trained: ModelSnapshot) -> Files:
    """The files of the snapshot of `DATE`."""
    return trained.files


@pytest.fixture(scope="session")
def other_files(trained: ModelSnapshot) -> Files:
    """Those of another training of the same date: other weights, another card."""
    halved = {name: array * np.float32(0.5) for name, array in trained.arrays.items() if array.dtype == np.float32}
    return replace(trained, arrays={**trained.arrays, **halved}, card=f"{trained.card}\nTrained again.\n").files


@pytest.fixture(scope="session")
def three(trained: ModelSnapshot) -> Mapping[datetime.date, Files]:
    """Those of 2017, 2018 and 2020."""
    return {date: dated(trained, date).files for date in map(cutoff_of_year, (2017, 2018, 2020))}


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture
def storage(tmp_path: Path, hub: LoopbackHub, files: Files) -> SnapshotLocalStorage:
    """A storage that holds the snapshot of `DATE`, and whose Hub is empty."""
    return fill(bind(tmp_path / "models", hub), {DATE: files})


@pytest.fixture
def empty(tmp_path: Path, hub: LoopbackHub) -> SnapshotLocalStorage:
    """Another machine's storage: it holds nothing."""
    return bind(tmp_path / "elsewhere", hub)
