"""Memory above the imports while 500 symbols x 15 years are laid out and trained on; a process of its own."""

import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

N_SYMBOLS = 500
FIRST_YEAR, LAST_YEAR = 2008, 2022
BATCHES = 200


def measure() -> float:
    """Give MiB: the peak of the resident set less what it was after the imports."""
    with tempfile.TemporaryDirectory() as folder:
        for step in ("make", "measure"):
            command = [sys.executable, "-m", "benchmarks.memory", step, folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def make(folder: Path) -> None:
    """Write fifteen years of bars, as the asset raw_prices leaves them."""
    from brain_assets.simulator.market import SimulatorMarket
    from brain_assets.store.tables import TableStore

    market = SimulatorMarket(tuple(f"S{i:03d}" for i in range(N_SYMBOLS)))
    store = TableStore(folder, {})
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        store.write("raw_prices", year, market.prices(datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1)))


def resident(field: str) -> float:
    """Read VmRSS or VmHWM of this process, MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def run(folder: Path) -> float:
    """Read the tables, lay out the panel, and train on batches of windows."""
    import pyarrow.parquet  # noqa: F401 - imports are not what is measured
    import sklearn.preprocessing  # noqa: F401
    import torch

    from brain_assets.device import repeatable
    from brain_assets.forecasting.features import (
        RETURNS,
        Windows,
        build_features,
        fit_scaler,
        known_returns,
        scale_features,
        split_weeks,
        training_target,
        window_index,
    )
    from brain_assets.forecasting.lstm import Lstm, LstmConfig
    from brain_assets.forecasting.network import Batches
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.schema import PRICE_TABLE
    from brain_assets.market.weekly import WeeklyPanel
    from brain_assets.simulator.market import SimulatorMarket
    from brain_assets.store.tables import TableStore

    config = LstmConfig()
    PRICE_TABLE.validate(SimulatorMarket().prices(datetime.date(2008, 1, 1), datetime.date(2008, 2, 1)), "warm-up")
    with repeatable(0):
        lstm, network = Lstm(), Lstm().layers(config)
        lstm.forward(network, torch.zeros(config.window, config.batch_size, 5)).sum().backward()  # loads the kernels
        optimizer = torch.optim.Adam(network.parameters(), fused=True)
        optimizer.step()
        before = resident("VmRSS")
        prices = TableStore(folder, {}).read("raw_prices", range(FIRST_YEAR, LAST_YEAR + 1))
        panel = PricePanel.from_frame(prices)
        bars = WeeklyPanel.from_panel(panel)
        split = split_weeks(bars.weeks, datetime.date(LAST_YEAR, 12, 31))
        features = build_features(panel, RETURNS, "lstm")
        index = window_index(known_returns(panel), bars.weeks, config.window)
        target = training_target(bars.realized, config.target)[index.week, index.asset]
        scaled = scale_features(features, fit_scaler(features, int(bars.weeks.first[split.train[-1]])), config.clip)
        batches = Batches(Windows(scaled, index, config.window, target), "cpu")
        for which in torch.split(torch.randperm(len(batches)), config.batch_size)[:BATCHES]:
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(lstm.forward(network, batches.gather(which)), batches.target[which]).backward()
            optimizer.step()
    assert np.isfinite(prices["close"]).all()  # the table is held throughout, as the asset holds it
    return resident("VmHWM") - before


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        print(run(Path(sys.argv[2])))
