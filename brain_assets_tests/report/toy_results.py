"""Small tables of results, as the main job writes them, with known answers, and the report of them."""

import base64
import gzip
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pandas as pd

from brain_assets.market.base import MarketNote
from brain_assets.portfolio.strategy import Trial
from brain_assets.report.report import Report, build_report

NOTE = MarketNote("sample", "Closes only.")
FIRST_WEEK = np.datetime64("2019-12-30")
"""Ends in 2020."""


def mondays(n_weeks: int, first: np.datetime64 = FIRST_WEEK) -> np.ndarray:
    return (first + 7 * np.arange(n_weeks)).astype("datetime64[us]")


def backtest_table(
    returns: Mapping[str, Sequence[float] | np.ndarray], first: np.datetime64 = FIRST_WEEK, turnover: float = 0.1
) -> pd.DataFrame:
    """Strategies with given weekly net returns; each holds two symbols and some cash."""
    weights = json.dumps({"AAA": 0.3, "BBB": 0.6, "cash": 0.1})
    tables = [
        pd.DataFrame({"week_start": mondays(len(net), first), "strategy": name, "net_return": np.asarray(net, float)})
        for name, net in returns.items()
    ]
    return pd.concat(tables, ignore_index=True).assign(turnover=turnover, weights=weights)


def forecast_table(
    n_weeks: int,
    lstm_skill: float = 0.0,
    n_bootstrap: int = 0,
    first: np.datetime64 = FIRST_WEEK,
    n_symbols: int = 12,
    patchtst: bool = True,
) -> pd.DataFrame:
    """Forecasts of which the LSTM's know a share of the return, PatchTST's nothing, momentum's the opposite.

    The first weeks are the bootstrap window's; after it the sources are snapshots of the year before.
    """
    random = np.random.default_rng(3)
    realized = random.normal(0.0, 0.03, (n_weeks, n_symbols))
    lstm = lstm_skill * realized + random.normal(0.0, 0.03, realized.shape) * (1 - lstm_skill)
    starts = mondays(n_weeks, first)
    years = starts.astype("datetime64[Y]").astype(int) + 1970
    source = ["momentum" if week < n_bootstrap else f"snapshot-{year - 1}-12-31" for week, year in enumerate(years)]
    other = source if patchtst else ["momentum"] * n_weeks
    return pd.DataFrame(
        {
            "week_start": np.repeat(starts, n_symbols),
            "symbol": [f"S{number:02d}" for number in range(n_symbols)] * n_weeks,
            "lstm": lstm.ravel(),
            "lstm_source": np.repeat(source, n_symbols),
            "patchtst": random.normal(0.0, 0.01, realized.size),
            "patchtst_source": np.repeat(other, n_symbols),
            "momentum": -realized.ravel(),
            "realized": realized.ravel(),
        }
    )


N_WEEKS = 60
TRIALS = [
    Trial(family="ppo", configuration=name, year=2020, n_weeks=52, mean=mean, std=0.02)
    for name, mean in (("a", 0.001), ("b", 0.003))
]


@cache
def toy_report() -> Report:
    """Two policies, one with three seeds, rules and forecasts: everything that a page shows."""
    random = np.random.default_rng(5)
    equal = random.normal(0.002, 0.02, N_WEEKS)
    net = {
        "equal_weight": equal,
        "ppo": equal + 0.001,
        "ppo_seed_1": equal + 0.002,
        "ppo_seed_2": equal - 0.001,
        "sac": equal + random.normal(0.0, 0.005, N_WEEKS),
        "<b>my rule</b>": random.normal(0.0, 0.02, N_WEEKS),
    }
    return build_report(backtest_table(net), forecast_table(N_WEEKS, 0.3, n_bootstrap=20), TRIALS, NOTE)


def unpacked(html: str, name: str) -> str:
    """Read what a report's page carries: ``figures`` or ``plotly``."""
    found = re.search(rf'id="{name}">([^<]+)<', html)
    assert found
    return gzip.decompress(base64.b64decode(found[1])).decode()
