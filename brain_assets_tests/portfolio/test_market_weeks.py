from dataclasses import replace

import numpy as np
import pytest

from brain_assets.errors import TableError
from brain_assets_tests.portfolio.toy_markets import toy_weeks


def test_select_keeps_rows_together() -> None:
    weeks = toy_weeks(10, 3)
    part = weeks.select(np.array([2, 5]))
    assert len(part) == 2
    np.testing.assert_array_equal(part.week_start, weeks.week_start[[2, 5]])
    for name in ("forecast", "momentum", "volatility", "signals", "available", "gap", "weekly_return"):
        np.testing.assert_array_equal(getattr(part, name), getattr(weeks, name)[[2, 5]])


def test_unavailable_may_be_unknown() -> None:
    weeks = toy_weeks(4, 3)
    available, forecast = weeks.available.copy(), weeks.forecast.copy()
    available[1, 2], forecast[1, 2] = False, np.nan
    assert len(replace(weeks, available=available, forecast=forecast)) == 4
    with pytest.raises(TableError, match=r"forecast: expected a finite .* nan for S02 in the week of 2016-01-11"):
        replace(weeks, forecast=forecast)


def test_a_signal_may_be_unknown_but_not_infinite() -> None:
    weeks = toy_weeks(4, 3)
    signals = weeks.signals.copy()
    signals[2, 1, 3] = np.nan
    assert len(replace(weeks, signals=signals)) == 4
    signals[2, 1, 3] = -np.inf
    with pytest.raises(TableError, match=r"net_margin: expected a finite .* -inf for S01 in the week of 2016-01-18"):
        replace(weeks, signals=signals)


@pytest.mark.parametrize("name", ["gap", "weekly_return"])
@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_returns_are_finite_and_above_minus_one(name: str, value: float) -> None:
    weeks = toy_weeks(4, 3)
    values = getattr(weeks, name).copy()
    values[3, 0] = value
    with pytest.raises(TableError, match=rf"{name}: expected a return above -1, got {value}"):
        replace(weeks, **{name: values})


def test_wrong_shapes_types_and_orders_are_refused() -> None:
    weeks = toy_weeks(4, 3)
    with pytest.raises(TableError, match=r"momentum: expected shape .* \(4, 3\), got \(4, 2\)"):
        replace(weeks, momentum=weeks.momentum[:, :2])
    with pytest.raises(TableError, match=r"signals: expected shape .* \(4, 3, 7\), got \(4, 3, 6\)"):
        replace(weeks, signals=weeks.signals[:, :, :6])
    with pytest.raises(TableError, match="available: expected bool"):
        replace(weeks, available=weeks.available.astype(float))
    with pytest.raises(TableError, match="ascending"):
        replace(weeks, week_start=weeks.week_start[::-1])
    with pytest.raises(TableError, match="volatility: expected 0 or more"):
        replace(weeks, volatility=-weeks.volatility)
    with pytest.raises(TableError, match="at least one week"):
        weeks.select(slice(0, 0))
