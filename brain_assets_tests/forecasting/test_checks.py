import datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.forecasting.walkforward import forecast_verdicts, snapshot_verdicts


def table(skill: float = 0.0, n_symbols: int = 20, source: str = "snapshot-2019-12-31") -> pd.DataFrame:
    """A year of forecasts, each a mix of what comes and of noise."""
    random = np.random.default_rng(0)
    weeks = pd.date_range("2020-01-06", periods=52, freq="7D", unit="us")
    realized = random.normal(size=(52, n_symbols))
    forecast = skill * realized + random.normal(size=realized.shape)
    frame = pd.DataFrame(
        {
            "week_start": np.repeat(weeks, n_symbols),
            "symbol": [f"S{number:02}" for number in range(n_symbols)] * 52,
            "lstm": forecast.ravel(),
            "momentum": random.normal(size=realized.size),
            "realized": realized.ravel(),
        }
    )
    return frame.assign(lstm_source=source, patchtst=frame["momentum"], patchtst_source="momentum")


def failing(forecasts: pd.DataFrame, *bound: float) -> dict[str, str]:
    return {name: found.words for name, found in forecast_verdicts(forecasts, *bound).items() if not found.passed}


def test_honest_forecasts_pass() -> None:
    assert failing(table()) == {}
    assert "lstm +0.1" in forecast_verdicts(table(skill=0.1))["not_too_good"].words


@pytest.mark.parametrize(
    "source", ["snapshot-2020-01-06", "v2019-12-31-0123456789ab", "lstm snapshot-2019-12-31, lstm snapshot-2020-12-31"]
)
def test_a_source_that_is_not_older_than_its_week_is_named(source: str) -> None:
    forecasts = table()
    forecasts.loc[forecasts["week_start"] == "2020-01-06", "lstm_source"] = source
    assert list(failing(forecasts)) == ["sources_before_weeks"]
    assert f"lstm in the week of 2020-01-06 by {source}" in failing(forecasts)["sources_before_weeks"]


def test_infinite_and_missing_forecasts_are_told_apart() -> None:
    forecasts = table()
    forecasts.loc[3, "lstm"] = np.inf
    assert list(failing(forecasts)) == ["finite"]
    forecasts = table()
    forecasts.loc[: len(forecasts) // 5, "lstm"] = np.nan
    assert list(failing(forecasts)) == ["coverage"]
    assert "lstm 79.9%, patchtst 100.0%" in failing(forecasts)["coverage"]


def test_what_is_too_good_to_be_true_is_refused_with_the_reason() -> None:
    found = failing(table(skill=1.0))  # a correlation of 0.71
    assert list(found) == ["not_too_good"]
    assert "too good to be true: mean weekly rank correlation lstm +0.6" in found["not_too_good"]
    assert failing(table(skill=1.0), 0.9) == {}
    assert failing(table(skill=1.0, source="momentum")) == {}  # a rule on past prices has no model to suspect


def test_luck_with_few_symbols_is_not_too_good() -> None:
    """Of 30 years of 3 symbols without any skill, none is refused, whatever mean luck gives them."""
    means = []
    for seed in range(1, 31):  # that of the realized returns is 0
        forecasts = table(n_symbols=3)
        forecasts["lstm"] = np.random.default_rng(seed).normal(size=len(forecasts))
        found = forecast_verdicts(forecasts)["not_too_good"]
        assert found.passed
        means.append(float(found.words.split("lstm ")[1].split(" ")[0]))
    assert max(means) > 0.1  # more than a standard error of one year


@pytest.mark.parametrize(
    ("last_training", "loss", "failing"),
    [
        ("2020-12-31", 0.9, []),
        ("2021-01-08", 0.9, ["targets_before_cutoff"]),
        ("2020-12-31", 1.1, ["beats_zero"]),
        ("2020-12-31", np.nan, ["validation_loss_finite", "beats_zero"]),
    ],
)
def test_a_snapshot_that_learned_past_its_cutoff_is_refused(last_training: str, loss: float, failing: list) -> None:
    training = {"validation_loss": loss, "zero_validation_loss": 1.0}
    metadata = {"data": {"last_training_target": last_training}, "training": training}
    snapshot: Any = SimpleNamespace(cutoff_date=datetime.date(2020, 12, 31), metadata=metadata)
    assert [name for name, found in snapshot_verdicts(snapshot).items() if not found.passed] == failing
