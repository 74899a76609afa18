"""A stranger's forecaster takes the same road as ours, and a broken one is told in one sentence what is wrong."""

import datetime
from typing import Any

import numpy as np
import pytest

from brain_assets import registry
from brain_assets.errors import BrainAssetsError
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features, forecast_verdicts
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_results import Stored
from examples.pls_forecaster import Pls, PlsConfig

CUTOFF = datetime.date(2019, 12, 31)
CONFIG = PlsConfig(n_components=3)


@pytest.fixture(scope="module")
def snapshot(panel: PricePanel) -> ModelSnapshot:
    return train_snapshot("pls", panel, CUTOFF, CONFIG, MADE_UP)


def test_forecasts_are_the_regression_of_its_windows(panel: PricePanel, snapshot: ModelSnapshot) -> None:
    bars = WeeklyPanel.from_panel(panel)
    week = int(np.flatnonzero(bars.weeks.year == 2021)[10])
    forecasts = snapshot.forecast(panel, bars.weeks.select([week]))
    arrays, scale = snapshot.arrays, snapshot.metadata["forecast_scale"]
    first = bars.weeks.first[week]
    logs = np.log(panel.values[2] + [0, 0, 0, 0, 1])[first - 21 : first]  # closes up to the one before the week
    scaled = (np.diff(logs, axis=0) - arrays["scaler.mean"]) / arrays["scaler.scale"]
    expected = (scaled.clip(-5, 5).ravel() @ arrays["coef"] + arrays["intercept"][0]) * scale
    assert forecasts[0, 2] == pytest.approx(expected, rel=1e-4)


def test_it_is_measured_and_walks_forward_beside_ours(panel: PricePanel, snapshot: ModelSnapshot) -> None:
    training = snapshot.metadata["training"]
    assert training["curve"] == []  # without epochs, the losses are those of its predictions
    assert 0 < training["train_loss"] < training["zero_train_loss"]  # least squares cannot do worse than zero
    assert training["validation_loss"] > training["train_loss"]
    assert "the open, high, low, close and volume of its last 20 sessions" in snapshot.card
    assert "trained twice with the same settings: without the validation year 2019" in snapshot.card
    table = build_forecast_features(panel, [2020], {"lstm": Stored(), "pls": Stored(snapshot)})
    assert list(table.columns[2:6]) == ["lstm", "lstm_source", "pls", "pls_source"]
    assert set(table["pls_source"]) == {"momentum", "snapshot-2019-12-31"}  # the first week began in 2019
    assert "pls 100.0%" in forecast_verdicts(table)["coverage"].words
    assert all(found.passed for found in forecast_verdicts(table).values())


class Broken(Pls):
    """What a test makes worse."""

    name = "broken"
    wrong: Any = None
    predicted: Any = None

    def fit(self, *args: object) -> dict[str, np.ndarray]:
        return {
            name: array for name, array in {**super().fit(*args), **(self.wrong or {})}.items() if array is not None
        }

    def predict(self, *args: Any) -> np.ndarray:
        right = super().predict(*args)
        return right if self.predicted is None else self.predicted(right)


GIVES, SAYS = "; correct its fit or its layout.", "; correct it."
FITS, PREDICTS = "broken: expected fit to give ", "broken: expected predict to give "
FLOATS = r"floats of shape \(n_windows,\) = \(\d+,\), got "


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"wrong": {"coef": np.zeros(100)}}, rf"{FITS}coef as float32 \(100,\), got float64 \(100,\){GIVES}"),
        ({"wrong": {"coef": np.full(100, 2e6, np.float32)}}, f"{FITS}finite numbers up to 1e.06 in coef, .*{GIVES}"),
        ({"wrong": {"coef": None}}, f"{FITS}arrays coef, intercept, got intercept{GIVES}"),
        ({"predicted": lambda right: right[:, None]}, rf"{PREDICTS}{FLOATS}float32 \(\d+, 1\){SAYS}"),
        ({"predicted": lambda right: right.tolist()}, f"{PREDICTS}{FLOATS}list{SAYS}"),
        ({"predicted": lambda right: right * np.nan}, rf"{PREDICTS}finite numbers, got [\d,]+ of [\d,]+ that .*{SAYS}"),
        ({"channels": ("close",)}, r".*Mine: expected a tuple of channels among open_return, .*, got \('close',\); .*"),
        ({"channels": ("close_return",) * 2}, r".*Mine: expected each channel once, got \('close_return', 'close.*"),
        ({"Config": registry.ModelConfig}, ".*Mine: expected a subclass of ForecasterConfig as Config, got Model.*"),
    ],
)
def test_what_it_does_wrong_is_one_sentence(panel: PricePanel, wrong: dict, problem: str) -> None:
    own = {name: staticmethod(each) if name == "predicted" else each for name, each in wrong.items()}

    def register_and_train() -> None:
        registry.register(type("Mine", (Broken,), {"__module__": __name__, **own}))
        train_snapshot("broken", panel, CUTOFF, CONFIG, MADE_UP)

    with pytest.raises(BrainAssetsError, match=rf"^{problem}$"):
        register_and_train()
