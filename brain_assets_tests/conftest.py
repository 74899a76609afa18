"""What every test stands on: no environment of the user's, a simulated market, small but real models."""

import datetime
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

# Before anything imports the graph, whose years come from the environment as it is then.
for name in [
    name for name in os.environ if name.startswith(("BRAIN_", "HF_", "STORAGE_", "DAGSTER_", "AWS_", "FSSPEC_"))
]:
    del os.environ[name]
os.environ["BRAIN_MARKET"] = "simulator"
# And before anything imports the Hub client, which reads its settings once.
_hub_home = tempfile.TemporaryDirectory(prefix="brain-assets-hub-")
os.environ |= {"HF_HOME": _hub_home.name, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}

import numpy as np
import pandas as pd
import pytest
import sqlalchemy

from brain_assets import registry
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.loopback_s3 import LoopbackS3, loopback_s3

FORECASTERS = ("lstm", "patchtst", "ridge", "boosting")
POLICIES = ("ppo", "sac", "direct")
FAMILIES = (*FORECASTERS, *POLICIES)
TINY_LSTM = {"window": 20, "hidden_size": 4, "n_layers": 1, "dropout": 0.0, "epochs": 2, "batch_size": 64}
TINY_PATCHTST = {"window": 20, "patch_length": 8, "patch_stride": 4, "d_model": 4, "n_heads": 2, "feedforward_size": 8}
TINY_PATCHTST |= {"epochs": 2, "batch_size": 64}
TINY_BOOSTING = {"max_iter": 5, "min_samples_leaf": 20}
TINY_PPO = {"total_steps": 200, "n_envs": 4, "n_steps": 26, "batch_size": 52, "hidden": 8}
TINY_SAC = {"total_steps": 200, "n_envs": 4, "n_steps": 13, "batch_size": 32, "hidden": 8}
TINY_SAC |= {"warmup_steps": 104, "gradient_steps": 2}
TINY_DIRECT = {"n_updates": 10, "n_blocks": 4}
TINY = {
    "ops": {
        "lstm_snapshot": {"config": TINY_LSTM},
        "patchtst_snapshot": {"config": TINY_PATCHTST},
        "ridge_snapshot": {"config": {"alpha": 100.0}},
        "boosting_snapshot": {"config": TINY_BOOSTING},
        "ppo_policy": {"config": TINY_PPO},
        "sac_policy": {"config": TINY_SAC},
        "direct_policy": {"config": TINY_DIRECT},
    }
}
"""A run configuration: small but real models."""

MADE_UP = MarketNote("simulator", "All made up.")
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")


FIRST_DAY, END = datetime.date(2016, 1, 1), datetime.date(2022, 1, 1)


@sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
def without_waiting_for_the_disk(connection: Any, _record: object) -> None:
    """Let Dagster's record of a test, which no power cut has to outlast, be written when the machine likes."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def only_known_families(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """Start each test with our families and those that its module names, whatever other tests have registered."""
    named = {value for value in vars(request.module).values() if isinstance(value, type)}
    known = {name: registry.get(name) for name in registry.names()}
    kept = {
        name: family
        for name, family in known.items()
        if type(family).__module__ in (*registry.OURS, request.module.__name__) or type(family) in named
    }
    monkeypatch.setattr(registry, "_REGISTERED", kept)
    for family in known.values():
        if type(family).__module__ not in {type(each).__module__ for each in kept.values()}:
            monkeypatch.delitem(sys.modules, type(family).__module__, raising=False)
    yield
    for name, family in kept.items():  # what the test has loaded registers anew in the next one
        if name not in known and type(family).__module__ != request.module.__name__:
            sys.modules.pop(type(family).__module__, None)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished backfill, which nobody changes: see `brain_assets_tests.backfills.Finished`."""
    from brain_assets_tests.backfills import shared_backfill

    return shared_backfill(tmp_path_factory)


@pytest.fixture(scope="session")
def market() -> SimulatorMarket:
    return SimulatorMarket(SYMBOLS, seed=1, signal=0.15)


@pytest.fixture(scope="session")
def prices(market: SimulatorMarket) -> pd.DataFrame:
    """2016 to 2021."""
    return market.prices(FIRST_DAY, END)


@pytest.fixture(scope="session")
def panel(market: SimulatorMarket, prices: pd.DataFrame) -> PricePanel:
    """The same years, news and filings beside the bars."""
    news = market.news_sentiment(FIRST_DAY, END, lambda titles: np.zeros(len(titles))).table
    return add_signals(PricePanel.from_frame(prices), news, market.fundamentals(FIRST_DAY, END).table)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackS3]:
    """An S3 server with an empty bucket, which the environment names."""
    with loopback_s3(monkeypatch) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_lstm() -> LstmConfig:
    return LstmConfig(**TINY_LSTM)


@pytest.fixture(scope="session")
def tiny_patchtst() -> PatchTstConfig:
    return PatchTstConfig(**TINY_PATCHTST)
