"""Forecasts of one year for 23 symbols: one batched pass against a call a symbol and week."""

import datetime
import statistics
import time

import numpy as np
import torch

from brain_assets.forecasting.features import RETURNS, build_features
from brain_assets.forecasting.lstm import Lstm, LstmConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.simulator.market import SimulatorMarket

N_SYMBOLS = 23
REPEATS = 5


def measure() -> tuple[float, float]:
    """Give seconds of the batched pass and of the plain calls, medians of alternating repeats."""
    market = SimulatorMarket(tuple(f"S{i:02d}" for i in range(N_SYMBOLS)))
    panel = PricePanel.from_frame(market.prices(datetime.date(2016, 1, 1), datetime.date(2021, 1, 1)))
    config = LstmConfig(epochs=1)
    snapshot = train_snapshot("lstm", panel, datetime.date(2019, 12, 31), config, MarketNote.of(market))
    weeks = WeeklyPanel.from_panel(panel).weeks
    weeks = weeks.select(weeks.start > np.datetime64(snapshot.cutoff_date))
    network = Lstm().layers(config)
    network.load_state_dict({name: torch.tensor(array) for name, array in snapshot.weights.items()})
    network.eval()

    def plain() -> np.ndarray:
        features = build_features(panel, RETURNS, "lstm")
        forecasts = np.full((len(weeks), N_SYMBOLS), np.nan)
        with torch.no_grad():
            for week, first in enumerate(weeks.first):
                for asset in range(N_SYMBOLS):
                    window = features[asset, first - config.window : first]
                    scaled = (window - snapshot.scaler.mean) / snapshot.scaler.scale
                    scaled = scaled.clip(-config.clip, config.clip).astype(np.float32)
                    forecasts[week, asset] = Lstm().forward(network, torch.from_numpy(scaled)[:, None]).item()
        return forecasts * snapshot.metadata["forecast_scale"]

    batched_seconds, plain_seconds = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        batched_result = snapshot.forecast(panel, weeks)
        batched_seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
        plain_result = plain()
        plain_seconds.append(time.perf_counter() - started)
    np.testing.assert_allclose(batched_result, plain_result, rtol=1e-3, atol=1e-6)
    return statistics.median(batched_seconds), statistics.median(plain_seconds)
