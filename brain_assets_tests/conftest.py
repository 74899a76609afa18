"""What every test stands on: no environment of the user's, a simulated market, small but real models."""

import datetime
import os
import tempfile

# Before anything imports the graph, whose years come from the environment as it is then.
for name in [name for name in os.environ if name.startswith(("BRAIN_", "HF_", "STORAGE_", "DAGSTER_"))]:
    del os.environ[name]
os.environ["BRAIN_MARKET"] = "simulator"
# And before anything imports the Hub client, which reads its settings once.
_hub_home = tempfile.TemporaryDirectory(prefix="brain-assets-hub-")
os.environ |= {"HF_HOME": _hub_home.name, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}

import pandas as pd
import pytest

from brain_assets.forecasting.config import LstmConfig
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.simulator import SimulatorMarket

TINY_LSTM = {"window": 20, "hidden_size": 4, "n_layers": 1, "dropout": 0.0, "max_epochs": 2, "batch_size": 64}
TINY_PPO = {"total_steps": 200, "n_envs": 4, "n_steps": 26, "batch_size": 52, "hidden": 8}
MADE_UP = MarketNote("simulator", "All made up.")
SYMBOLS = ("AAA", "BBB", "CCC", "DDD", "EEE", "FFF")


@pytest.fixture(scope="session")
def market() -> SimulatorMarket:
    return SimulatorMarket(SYMBOLS, seed=1, signal=0.15)


@pytest.fixture(scope="session")
def prices(market: SimulatorMarket) -> pd.DataFrame:
    """2016 to 2021."""
    return market.prices(datetime.date(2016, 1, 1), datetime.date(2022, 1, 1))


@pytest.fixture(scope="session")
def panel(prices: pd.DataFrame) -> PricePanel:
    return PricePanel.from_frame(prices)


@pytest.fixture(scope="session")
def tiny_lstm() -> LstmConfig:
    return LstmConfig(**TINY_LSTM)
