"""LSTM training against a plain loop: windows materialized, batches of 32, as many epochs as it takes."""

import datetime
import statistics
import time

import numpy as np
import torch
from torch import nn

from brain_assets.forecasting.features import (
    RETURNS,
    WindowIndex,
    Windows,
    build_features,
    fit_scaler,
    known_returns,
    scale_features,
    split_weeks,
    training_target,
    window_index,
)
from brain_assets.forecasting.forecaster import EpochLosses
from brain_assets.forecasting.lstm import Lstm, LstmConfig
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.simulator.market import SimulatorMarket

CUTOFF = datetime.date(2019, 12, 31)
PLAIN_BATCH = 32
PLAIN_EPOCHS = 100
REPEATS = 5


class Data:
    """One set of windows and targets for both sides: the simulator's 20 symbols, 2016-2019, validated on 2019."""

    def __init__(self, config: LstmConfig) -> None:
        prices = SimulatorMarket().prices(datetime.date(2016, 1, 1), datetime.date(2020, 1, 1))
        panel = PricePanel.from_frame(prices)
        bars = WeeklyPanel.from_panel(panel)
        split = split_weeks(bars.weeks, CUTOFF)
        features = build_features(panel, RETURNS, "lstm")
        index = window_index(known_returns(panel), bars.weeks, config.window)
        target = training_target(bars.realized, config.target)
        self.parts = []
        for rows in (split.train, split.validation):
            keep = np.isin(index.week, rows)
            part = WindowIndex(index.asset[keep], index.start[keep], index.week[keep])
            self.parts.append((part, target[part.week, part.asset]))
        last_session = int(self.parts[0][0].start.max()) + config.window - 1
        self.scaled = scale_features(features, fit_scaler(features, last_session), config.clip)
        self.window = config.window

    def windows(self, part: int, n_windows: int | None = None) -> Windows:
        """Give the windows of training (0) or validation (1), or the first few."""
        index, target = self.parts[part]
        few = WindowIndex(*(getattr(index, name)[:n_windows] for name in ("asset", "start", "week")))
        return Windows(self.scaled, few, self.window, target[:n_windows])

    def materialized(self, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Give windows (N, T, F) and targets (N,) as a plain loop holds them."""
        _, target = self.parts[part]
        return torch.from_numpy(self.windows(part).values), torch.from_numpy(target.astype(np.float32))


class PlainNetwork(nn.Module):
    """The same network as most people write it: batch first."""

    def __init__(self, config: LstmConfig) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, config.hidden_size, config.n_layers, dropout=config.dropout, batch_first=True)
        self.head = nn.Linear(config.hidden_size, 1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(windows)
        return self.head(states[:, -1]).squeeze(-1)


def plain_epoch(network: PlainNetwork, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    network.train()
    for which in torch.split(torch.randperm(len(x)), PLAIN_BATCH):
        loss = ((network(x[which]) - y[which]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def plain_validation(network: PlainNetwork, x: torch.Tensor, y: torch.Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return float(((network(x) - y) ** 2).mean())


def throughput(config: LstmConfig, plain_config: LstmConfig, plain_threads: int | None = None) -> tuple[float, float]:
    """Give windows a second of our epoch and of the plain one, medians of alternating epochs.

    The plain loop runs with torch's own number of threads unless told otherwise; ours always with one.
    """
    config = config.replace(epochs=1)
    data = Data(config)
    x, y = data.materialized(0)
    plain = PlainNetwork(plain_config)
    optimizer = torch.optim.Adam(plain.parameters(), lr=plain_config.learning_rate)
    ours, theirs = [], []
    default_threads = torch.get_num_threads()
    for _ in range(REPEATS):
        started = time.perf_counter()
        Lstm().fit(data.windows(0), data.windows(1, 1), config, lambda _: None, "cpu")
        ours.append(len(x) / (time.perf_counter() - started))
        torch.set_num_threads(plain_threads or default_threads)
        started = time.perf_counter()
        plain_epoch(plain, optimizer, x, y)
        theirs.append(len(x) / (time.perf_counter() - started))
    torch.set_num_threads(default_threads)
    return statistics.median(ours), statistics.median(theirs)


def time_to_best(plain_config: LstmConfig) -> tuple[float, float, float, float]:
    """Race to the lowest validation loss that the plain loop sees in its 100 epochs.

    Returns
    -------
    tuple of float
        Our seconds until a validation loss as low (infinite if never), the plain loop's seconds for all its epochs, its
        best loss, our best loss.
    """
    config = LstmConfig(epochs=30)  # many enough to come as far
    data = Data(config)
    x, y = data.materialized(0)
    x_validation, y_validation = data.materialized(1)
    torch.manual_seed(0)
    plain = PlainNetwork(plain_config)
    optimizer = torch.optim.Adam(plain.parameters(), lr=plain_config.learning_rate)
    losses = []
    started = time.perf_counter()
    for _ in range(PLAIN_EPOCHS):
        plain_epoch(plain, optimizer, x, y)
        losses.append(plain_validation(plain, x_validation, y_validation))
    plain_seconds = time.perf_counter() - started
    reached: list[float] = []

    curve: list[EpochLosses] = []

    def note(losses_now: EpochLosses) -> None:
        curve.append(losses_now)
        if losses_now.validation <= min(losses):
            reached.append(time.perf_counter() - started)

    started = time.perf_counter()
    Lstm().fit(data.windows(0), data.windows(1), config, note, "cpu")
    ours = min(losses_now.validation for losses_now in curve)
    return min(reached, default=float("inf")), plain_seconds, min(losses), ours
