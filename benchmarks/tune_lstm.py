"""Choose the LSTM's defaults on years before 2016: `python benchmarks/tune_lstm.py`, one line a configuration.

The market `sample` is cut into seven blocks: five years to train and validate on, two years out of sample after them,
the last ending in 2015. Beside it, the simulator's injected signal shows how much of what is there is found.
"""

import datetime
import itertools
import sys
import time

import numpy as np

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.sample import SampleMarket
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.simulator.market import SimulatorMarket

CUTOFF_YEARS = (1995, 1998, 2001, 2004, 2007, 2010, 2013)


def evaluate(market: Market, config: LstmConfig) -> tuple[float, float, float]:
    """Give the mean out-of-sample rank correlation, its standard error, and the seconds a training takes."""
    correlations, seconds = [], []
    for year in CUTOFF_YEARS:
        prices = market.prices(datetime.date(year - 4, 1, 1), datetime.date(year + 3, 1, 1))
        panel = PricePanel.from_frame(prices)
        started = time.perf_counter()
        snapshot = train_snapshot("lstm", panel, datetime.date(year, 12, 31), config, MarketNote.of(market))
        seconds.append(time.perf_counter() - started)
        bars = WeeklyPanel.from_panel(panel)
        bars = bars.select(bars.weeks.start > np.datetime64(snapshot.cutoff_date))
        correlations.append(weekly_rank_correlation(snapshot.forecast(panel, bars.weeks), bars.realized))
    weekly = np.concatenate(correlations)
    weekly = weekly[np.isfinite(weekly)]
    return float(weekly.mean()), float(weekly.std() / np.sqrt(len(weekly))), float(np.median(seconds))


def main() -> None:
    grid = {
        "target": ("raw", "demeaned", "ranked"),
        "hidden_size": (32, 64),
        "learning_rate": (1e-3, 3e-3),
        "dropout": (0.2,),
    }
    if len(sys.argv) > 1:
        grid = {
            name: tuple(map(type(getattr(LstmConfig(), name)), values.split(",")))
            for name, values in (argument.split("=") for argument in sys.argv[1:])
        }
    print("sample: rank correlation (s.e.), seconds | simulator, best possible 0.15: the same")
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        config = LstmConfig(**options)
        figures = [evaluate(market, config) for market in (SampleMarket(), SimulatorMarket())]
        shown = " | ".join(f"{mean:+.4f} ({error:.4f}) {seconds:5.1f} s" for mean, error, seconds in figures)
        print(f"{shown}   {options}", flush=True)


if __name__ == "__main__":
    main()
