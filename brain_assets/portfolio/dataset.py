"""What a portfolio needs to know of each week: the input of the environments, of training and of backtests."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from brain_assets.arrays import BoolArray, DateArray, FloatArray, IntArray
from brain_assets.errors import TableError
from brain_assets.forecasting.average import families_in
from brain_assets.market.weekly import WeeklyPanel

BY_WEEK_AND_ASSET = ("forecast", "momentum", "volatility", "signals", "available", "pre_open_return", "weekly_return")


@dataclass(frozen=True, eq=False)
class PolicyDataset:
    """Consecutive weeks of a market, one row a week; arrays are float64 of shape (n_weeks, n_assets) unless said."""

    week_start: DateArray
    """First session of each week, ascending; datetime64[D], shape (n_weeks,)."""
    symbols: tuple[str, ...]
    """Names of the assets, length n_assets: the order of every second axis."""
    forecast: FloatArray
    """Forecast of the weekly return, from whichever source. Finite where available; known at decision time."""
    momentum: FloatArray
    """4-week momentum. Finite where available; known at decision time."""
    volatility: FloatArray
    """Standard deviation of the last 20 daily log returns, >= 0. Finite where available; known at decision time."""
    signals: FloatArray
    """What news and filings said, in the order of `brain_assets.market.signals.SIGNALS`; shape (n_weeks, n_assets, 7).
    Finite, or NaN: not known, which is neutral. Known at decision time."""
    available: BoolArray
    """Whether the asset may be held in the week; bool; known at decision time."""
    pre_open_return: FloatArray
    """First open over the last close before the week, minus 1; known at the first open. Always finite: 0 carries the
    last price forward where nothing was traded."""
    weekly_return: FloatArray
    """Last close over first open, minus 1; known at the last close. Always finite, as `pre_open_return`."""

    def __len__(self) -> int:
        return len(self.week_start)

    @property
    def n_assets(self) -> int:
        """Number of assets; cash is not one."""
        return len(self.symbols)

    def select(self, weeks: BoolArray | IntArray | slice) -> "PolicyDataset":
        """Keep the weeks that a mask, positions or a slice of the first axis says."""
        kept = {name: getattr(self, name)[weeks] for name in BY_WEEK_AND_ASSET}
        return replace(self, week_start=self.week_start[weeks], **kept)

    def select_assets(self, assets: IntArray) -> "PolicyDataset":
        """Keep the assets at some positions of the second axis."""
        kept = {name: getattr(self, name)[:, assets] for name in BY_WEEK_AND_ASSET}
        return replace(self, symbols=tuple(self.symbols[asset] for asset in assets), **kept)


def market_weeks(bars: WeeklyPanel, forecast: FloatArray) -> PolicyDataset:
    """Put together what a portfolio needs to know; `forecast` is (n_weeks, n_assets), NaN where there is none.

    A symbol is available in a week if it has a bar on the last session before it, and a forecast, momentum and
    volatility are known then: nothing about the week itself decides it, and no signal does. Raises `TableError` when
    the panel of the bars came without signals, or the forecast is of another shape.
    """
    if bars.signals is None:
        raise TableError(
            "market_weeks: expected bars with signals, got none; use brain_assets.market.signals.add_signals on the "
            "panel."
        )
    if forecast.shape != bars.momentum.shape:
        raise TableError(f"forecast: expected shape (n_weeks, n_assets) = {bars.momentum.shape}, got {forecast.shape}.")
    known = np.isfinite(forecast) & np.isfinite(bars.momentum) & np.isfinite(bars.volatility)
    return PolicyDataset(
        week_start=bars.weeks.start,
        symbols=bars.symbols,
        forecast=forecast,
        momentum=bars.momentum,
        volatility=bars.volatility,
        signals=bars.signals,
        available=bars.tradable & known,
        pre_open_return=bars.pre_open_return,
        weekly_return=bars.return_ffill,
    )


def require_forecaster(forecasts: pd.DataFrame, forecaster: str) -> None:
    """Refuse to follow what is no forecaster of a forecasts table; raises `TableError`."""
    if forecaster not in families_in(forecasts):
        raise TableError(
            f"forecaster: expected one of {', '.join(families_in(forecasts))}, which walkforward_forecasts has, got "
            f"{forecaster}; correct it, or materialize them again with its module in BRAIN_PLUGINS."
        )


def forecast_matrix(bars: WeeklyPanel, forecasts: pd.DataFrame, forecaster: str) -> FloatArray:
    """Give the forecasts of a forecaster in the order of `bars`; (n_weeks, n_assets), NaN where there is no row.

    Raises `TableError` if the table has none of it.
    """
    require_forecaster(forecasts, forecaster)
    wide = forecasts.pivot(index="week_start", columns="symbol", values=forecaster)
    wide = wide.reindex(index=pd.DatetimeIndex(bars.weeks.start.astype("datetime64[us]")), columns=list(bars.symbols))
    return wide.to_numpy(dtype=np.float64)
