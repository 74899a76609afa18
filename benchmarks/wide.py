"""Yearly refits of a forecaster family, walked forward over development data: does it rank next week's returns?

``python -m benchmarks.wide FAMILY YEARS [--market wide|sample] [OPTION=VALUE ...]`` prints the mean weekly rank
correlation with its t statistic (Newey & West 1987, 4 lags) and the processor seconds of a year's refit, as in
``python -m benchmarks.wide boosting 2000-2012 volatility_neutral=true``. Years that are kept for judging are refused.
"""

import argparse
import datetime
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from brain_assets import registry
from brain_assets.arrays import FloatArray
from brain_assets.configuration import build
from brain_assets.forecasting.metrics import mean_skill, weekly_rank_correlation
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import choose_snapshots
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import PRICE_FIELDS, PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.names import cutoff_of_year

WIDE = Path(__file__).parents[2] / "shared" / "data" / "wide" / "prices.parquet"
LAST_YEAR = {"wide": 2012, "sample": 2003}
"""Market -> the last year that may be looked at."""
NOTE = MarketNote("files", "Development data.")


def panel_of(market: str) -> PricePanel:
    """Give all bars of a market that may be looked at, without news and filings."""
    if market == "wide":
        prices = pd.read_parquet(WIDE).astype(dict.fromkeys(PRICE_FIELDS, "float64"))
        return add_signals(PricePanel.from_frame(prices))
    from brain_assets.market.sample import SampleMarket

    sample: Any = SampleMarket(())
    days = datetime.date(1990, 1, 1), datetime.date(LAST_YEAR[market] + 1, 1, 1)
    return add_signals(PricePanel.from_frame(sample.prices(*days)))


def weeks_of(panel: PricePanel, years: Sequence[int]) -> WeeklyPanel:
    """Give the weeks of some years, the rows of what `walkforward` gives."""
    bars = WeeklyPanel.from_panel(panel)
    return bars.select(np.isin(bars.weeks.year, list(years)))


def walkforward(
    panel: PricePanel,
    family: str,
    config: Any,
    years: Sequence[int],
    on_year: Callable[[int, float], None] = lambda *_: None,
) -> FloatArray:
    """Forecast every week of `years` with a snapshot of the year before, (n_weeks, n_assets); NaN: no forecast.

    A week over New Year is that of the snapshot before, as in the graph. `on_year` is told each year with the processor
    seconds of its refit and forecasts.
    """
    weeks = weeks_of(panel, years).weeks
    forecasts = np.full((len(weeks), len(panel.symbols)), np.nan)
    cutoffs = [cutoff_of_year(year - 1) for year in years]
    choice = choose_snapshots(weeks, cutoffs)
    for position, cutoff_date in enumerate(cutoffs):
        started = time.process_time()
        snapshot = train_snapshot(family, panel, cutoff_date, config, NOTE)
        rows = np.flatnonzero(choice == position)
        forecasts[rows] = snapshot.forecast(panel, weeks.select(rows))
        on_year(cutoff_date.year + 1, time.process_time() - started)
    return forecasts


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family")
    parser.add_argument("years", help="as 2000-2012")
    parser.add_argument("options", nargs="*", help="of the family's configuration, as alpha=3000")
    parser.add_argument("--market", choices=LAST_YEAR, default="wide")
    asked = parser.parse_args()
    first, last = (int(year) for year in asked.years.split("-"))
    if last > LAST_YEAR[asked.market]:
        parser.error(f"years: expected some up to {LAST_YEAR[asked.market]}, as later ones are kept, got {last}.")
    options = {name: yaml.safe_load(value) for name, value in (each.split("=") for each in asked.options)}
    panel, years = panel_of(asked.market), range(first, last + 1)
    seconds: list[float] = []
    forecasts = walkforward(
        panel, asked.family, build(registry.get(asked.family).Config, options), years, lambda _, s: seconds.append(s)
    )
    bars = weeks_of(panel, years)
    correlation = weekly_rank_correlation(forecasts, bars.realized)
    mean, t, *_ = mean_skill(correlation)
    later = bars.weeks.year > (first + last) // 2
    print(
        f"{asked.family} {asked.market} {asked.years} {' '.join(asked.options)}: {mean:.4f} (t {t:.1f}), later half "
        "{:.4f} (t {:.1f}); ".format(*mean_skill(correlation[later])[:2])
        + f"{len(bars.weeks)} weeks, processor seconds a year: median {np.median(seconds):.1f}, most {max(seconds):.1f}"
    )


if __name__ == "__main__":
    main()
