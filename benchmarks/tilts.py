"""What the benchmark strategies that follow forecasts earn and cost, with past returns in the place of forecasts.

``python -m benchmarks.tilts ../shared/data/wide/prices.parquet 2004-2012 --without TTNP,SANM,NCR``; without a file, the
market `sample`. Scores are the 12-1 momentum (`year`) and the last week's return with its sign turned: no model.
"""

import argparse
import datetime
import time
from pathlib import Path

import numpy as np
import pandas as pd

from brain_assets.forecasting.metrics import weekly_rank_correlation
from brain_assets.market.prices import PRICE_FIELDS, PricePanel
from brain_assets.market.sample import SampleMarket
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel, past_return, past_weekly_returns
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, BaselineInputs, benchmark_strategies
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.portfolio.dataset import market_weeks
from brain_assets.portfolio.strategy import run_strategy
from brain_assets.report.metrics import measure


def read_panel(path: Path | None, without: list[str]) -> PricePanel:
    """Read bars of some symbols."""
    if path is None:
        market = SampleMarket()
        bars = market.prices(datetime.date(1990, 1, 1), datetime.date(2004, 1, 1))
    else:
        bars = pd.read_parquet(path).astype(dict.fromkeys(PRICE_FIELDS, "float64"))
    return add_signals(PricePanel.from_frame(bars[~bars["symbol"].isin(without)]))


def main() -> None:
    """Trade the years through, without beginning anew in January, and print a line a strategy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path, nargs="?")
    parser.add_argument("years", help="a range")
    parser.add_argument("--without", default="", help="symbols to leave out")
    asked = parser.parse_args()
    first, last = map(int, asked.years.split("-"))
    panel = read_panel(asked.prices, asked.without.split(","))
    bars = WeeklyPanel.from_panel(panel)
    bars = bars.select((bars.weeks.year >= first) & (bars.weeks.year <= last))
    scores = {"year": past_return(panel, bars.weeks, 52, 4), "reversal": -past_return(panel, bars.weeks, 1)}
    weeks = market_weeks(bars, np.add.reduce(list(scores.values())))  # available: all scores are known
    known = BaselineInputs(weeks, scores, past_weekly_returns(panel, bars.weeks))
    runs, seconds = {}, {}
    for name, baseline in benchmark_strategies(scores).items():
        if name == EQUAL_WEIGHT or baseline.forecaster:
            started = time.process_time()
            runs[name] = run_strategy(weeks, CONSTRAINTS, baseline.rule(known, CONSTRAINTS))
            seconds[name] = (time.process_time() - started) / (last - first + 1)
    net, turnover = (
        pd.DataFrame({name: getattr(run, field) for name, run in runs.items()}) for field in ("net_return", "turnover")
    )
    found = measure(net, turnover, EQUAL_WEIGHT, CONSTRAINTS, np.empty(0), 0)
    print(f"{len(weeks)} weeks, {weeks.available.sum(axis=1).mean():.0f} symbols")
    for name, score in scores.items():
        ranks = weekly_rank_correlation(np.where(weeks.available, score, np.nan), bars.realized)
        print(f"rank correlation of {name}: {np.nanmean(ranks):+.4f}")
    for name, each in found.iterrows():
        active, gross, cost = each["active_return"], each["gross_active_return"], each["break_even"]
        print(
            f"{name:20} CAGR {each['annual_return'].value:6.1%}  active {100 * active.value:+5.1f} "
            f"[{100 * active.low:+5.1f}, {100 * active.high:+5.1f}]  gross {100 * gross.value:+5.1f}  "
            f"turnover {each['turnover']:5.1f}  break-even {cost.value:6.1f} [{cost.low:6.1f}, {cost.high:6.1f}]  "
            f"{seconds[name]:.2f} s a year"
        )


if __name__ == "__main__":
    main()
