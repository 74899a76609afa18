import datetime
import json
from collections.abc import Collection

import numpy as np
import pandas as pd
import pytest

from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.portfolio.backtest import backtest, growth
from brain_assets.snapshots.model_snapshot import ModelSnapshot


class Empty:
    """No snapshot at all."""

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        return []

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        raise AssertionError(cutoff_date)


def rising_market() -> PricePanel:
    """Two symbols at 100 until the first week of February 2020, in which A rises by 10 % after the open; then flat."""
    sessions = sessions_between(datetime.date(2019, 12, 2), datetime.date(2020, 2, 15))
    values = np.full((2, len(sessions), 5), 100.0)
    # a hair of movement, so that volatility is not 0 and nothing else changes
    values[:, ::2, 1:4] *= 1 + 1e-9
    monday = int(np.searchsorted(sessions, np.datetime64("2020-02-03")))
    values[0, monday:, 1:4] = 110.0
    values[0, monday + 1 :, 0] = 110.0
    return PricePanel(sessions, ("A", "B"), values)


def test_equal_weight_by_hand() -> None:
    panel = rising_market()
    week_starts = pd.to_datetime(["2020-01-06", "2020-01-13", "2020-01-21", "2020-01-27", "2020-02-03", "2020-02-10"])
    forecasts = pd.DataFrame(
        [(week, symbol, 0.0) for week in week_starts for symbol in ("A", "B")], columns=["week_start", "symbol", "lstm"]
    )
    table = backtest(panel, forecasts, [2020], "ppo", Empty())
    assert set(table["strategy"]) == {"equal_weight"}
    by_week = table.set_index("week_start")
    weights = json.loads(by_week.loc["2020-02-03", "weights"])
    assert weights == pytest.approx({"A": 0.2, "B": 0.2, "cash": 0.6})  # two symbols, each at most 20 %
    # bought on the first week in which both are available, 0.4 of the value at 10 bps: 0.04 %
    first = by_week[by_week["turnover"] > 0].iloc[0]
    assert first["turnover"] == pytest.approx(0.4)
    assert first["net_return"] == pytest.approx(-0.0004, abs=1e-7)
    # A rises by 10 % from the open: 0.2 * 0.10 = 2 %, without a trade worth speaking of
    assert by_week.loc["2020-02-03", "net_return"] == pytest.approx(0.02, abs=1e-6)
    # then A weighs 0.22 / 1.02 and B 0.2 / 1.02: back to 0.2 each, trading 0.015686 + 0.003922
    last = by_week.loc["2020-02-10"]
    assert last["turnover"] == pytest.approx((0.22 / 1.02 - 0.2) + (0.2 - 0.2 / 1.02), abs=1e-6)
    assert growth(table, "equal_weight") == pytest.approx(
        (1 - 0.0004) * 1.02 * (1 - last["turnover"] * 0.001) - 1, abs=1e-5
    )
    assert np.isnan(growth(table, "ppo"))
