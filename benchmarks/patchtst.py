"""PatchTST training against a plain loop with transformers' default stride, and against the LSTM's."""

import datetime
import statistics
import time

import numpy as np
import torch
from transformers import PatchTSTConfig, PatchTSTForRegression

from brain_assets.forecasting.features import CHANNELS, WindowIndex, Windows
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTst, PatchTstConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.simulator.market import SimulatorMarket

N_SYMBOLS = 23
DAYS = datetime.date(2010, 1, 1), datetime.date(2020, 1, 1)
CUTOFF = datetime.date(2019, 12, 31)
PLAIN_BATCH = 32
N_WINDOWS = 4096
REPEATS = 3
N_CHANNELS = len(CHANNELS)


def simulated_panel() -> PricePanel:
    """Give 23 symbols, 2010 to 2019, with news and filings."""
    market = SimulatorMarket(tuple(f"S{i:02d}" for i in range(N_SYMBOLS)))
    news = market.news_sentiment(*DAYS, lambda titles: np.zeros(len(titles))).table
    return add_signals(PricePanel.from_frame(market.prices(*DAYS)), news, market.fundamentals(*DAYS).table)


def plain_network(config: PatchTstConfig) -> PatchTSTForRegression:
    """The network as transformers offers it: a patch at every session, the rest as `config` says."""
    return PatchTSTForRegression(
        PatchTSTConfig(
            num_input_channels=N_CHANNELS,
            context_length=config.window,
            patch_length=config.patch_length,
            d_model=config.d_model,
            num_attention_heads=config.n_heads,
            num_hidden_layers=config.n_layers,
            ffn_dim=config.feedforward_size,
        )
    )


def throughput(plain_config: PatchTstConfig, plain_threads: int | None) -> tuple[float, float]:
    """Give 12-channel windows a second of our epoch and of the plain one, medians of alternating epochs.

    The plain loop holds its windows materialized, in batches of 32, with torch's own number of threads unless told
    otherwise; ours always runs on one.
    """
    config = PatchTstConfig(epochs=1)
    random = np.random.default_rng(0)
    features = random.normal(size=(8, 700, N_CHANNELS)).astype(np.float32)
    target = random.normal(size=N_WINDOWS)
    start, asset = np.divmod(np.arange(N_WINDOWS), 8)
    train, one, few = (
        Windows(features, WindowIndex(asset[:n], start[:n], np.arange(n)), config.window, target[:n])
        for n in (N_WINDOWS, 1, N_WINDOWS // 8)  # it is slow: a part of the epoch tells its speed
    )
    n_plain, x = len(few), torch.from_numpy(few.values)
    y = torch.from_numpy(target[:n_plain].astype(np.float32)).unsqueeze(1)
    plain = plain_network(plain_config).train()
    optimizer = torch.optim.Adam(plain.parameters(), lr=plain_config.learning_rate)
    ours, theirs = [], []
    default_threads = torch.get_num_threads()
    for _ in range(REPEATS):
        started = time.perf_counter()
        PatchTst().fit(train, one, config, lambda _: None, "cpu")
        ours.append(N_WINDOWS / (time.perf_counter() - started))
        torch.set_num_threads(plain_threads or default_threads)
        started = time.perf_counter()
        for which in torch.split(torch.randperm(n_plain), PLAIN_BATCH):
            loss = plain(past_values=x[which], target_values=y[which]).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        theirs.append(n_plain / (time.perf_counter() - started))
    torch.set_num_threads(default_threads)
    return statistics.median(ours), statistics.median(theirs)


def seconds() -> tuple[float, float]:
    """Give the seconds that a snapshot takes, of a PatchTST and of an LSTM; medians of alternating runs."""
    panel = simulated_panel()
    taken: dict[str, list[float]] = {"patchtst": [], "lstm": []}
    for _ in range(REPEATS):
        for family, config in (("patchtst", PatchTstConfig()), ("lstm", LstmConfig())):
            started = time.perf_counter()
            train_snapshot(family, panel, CUTOFF, config, MarketNote("simulator", "Made up."))
            taken[family].append(time.perf_counter() - started)
    return statistics.median(taken["patchtst"]), statistics.median(taken["lstm"])
