"""The PatchTST sees all of its channels, and finds what is in one of them alone."""

import dataclasses
import datetime

import numpy as np
import pytest
import torch

from brain_assets.errors import ConfigError, TableError
from brain_assets.forecasting.features import CHANNELS, build_features
from brain_assets.forecasting.patchtst import PatchTst, PatchTstConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.calendar import Weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import NEWS, add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP

CUTOFF = datetime.date(2019, 12, 31)


@pytest.fixture(scope="module")
def snapshot(panel: PricePanel, tiny_patchtst: PatchTstConfig) -> ModelSnapshot:
    return train_snapshot("patchtst", panel, CUTOFF, tiny_patchtst, MADE_UP)


@pytest.fixture(scope="module")
def weeks(panel: PricePanel) -> Weeks:
    weeks = WeeklyPanel.from_panel(panel).weeks
    return weeks.select(weeks.year == 2021)


def test_after_training_each_channel_still_moves_the_forecasts(
    panel: PricePanel, snapshot: ModelSnapshot, weeks: Weeks
) -> None:
    before = snapshot.forecast(panel, weeks)
    assert panel.signals is not None
    for channel, name in enumerate(CHANNELS):
        values, signals = panel.values.copy(), panel.signals.copy()
        if channel < 5:
            values[:, ::2, channel] *= 1.01
        else:
            signals[:, :, channel - 5] += 0.1
        after = snapshot.forecast(PricePanel(panel.sessions, panel.symbols, values, signals), weeks)
        assert np.mean(after != before) > 0.9, name


def test_windows_of_a_batch_do_not_see_each_other() -> None:
    family, layers = PatchTst(), PatchTst().layers(PatchTstConfig())  # as in training: no eval
    windows = torch.randn(60, 8, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(family.forward(layers, windows)[:3], family.forward(layers, windows[:, :3]))


def test_a_symbol_that_never_filed_is_forecast_as_neutral(
    panel: PricePanel, snapshot: ModelSnapshot, weeks: Weeks
) -> None:
    assert panel.signals is not None
    assert np.isnan(build_features(panel, CHANNELS, "patchtst")[0, 0]).any()
    forecasts = []
    for value in (np.nan, snapshot.scaler.mean[5:]):  # what is average says as little as what is not known
        signals = panel.signals.copy()
        signals[0] = value
        forecasts.append(snapshot.forecast(dataclasses.replace(panel, signals=signals), weeks))
    assert np.isfinite(forecasts[0]).all()
    np.testing.assert_allclose(forecasts[1], forecasts[0], atol=1e-6)


def test_channels_that_say_nothing_are_named_in_metadata_and_card(
    panel: PricePanel, snapshot: ModelSnapshot, tiny_patchtst: PatchTstConfig
) -> None:
    assert snapshot.metadata["uninformative_features"] == []
    assert "- channels without any information in the training data: none" in snapshot.card
    silent = add_signals(panel)  # neither news nor filings
    silent = dataclasses.replace(silent, values=silent.values.copy())
    assert silent.signals is not None
    silent.values[:, :, 4] = 1e6  # constant volume
    made = train_snapshot("patchtst", silent, CUTOFF, tiny_patchtst, MADE_UP)
    assert made.metadata["uninformative_features"] == ["volume_return", *CHANNELS[5:]]
    assert "in the training data: volume_return, news_sentiment, gross_margin" in made.card
    validated = (panel.sessions >= np.datetime64("2019-02-01")) & (panel.sessions <= np.datetime64(CUTOFF))
    silent.signals[:, validated, NEWS] = 0.5  # news of the last year only: they are learned from, too
    made = train_snapshot("patchtst", silent, CUTOFF, tiny_patchtst, MADE_UP)
    assert made.metadata["uninformative_features"] == ["volume_return", *CHANNELS[6:]]


def test_what_it_cannot_do_is_one_sentence(panel: PricePanel, tiny_patchtst: PatchTstConfig) -> None:
    with pytest.raises(
        TableError, match=r"^patchtst: expected a panel with news and fundamentals, got one with prices"
    ):
        train_snapshot("patchtst", dataclasses.replace(panel, signals=None), CUTOFF, tiny_patchtst, MADE_UP)
    with pytest.raises(ConfigError, match="patch_length: expected at most 59 sessions, got 60"):
        PatchTstConfig(patch_length=60)
    with pytest.raises(ConfigError, match="n_heads: expected a divisor of d_model = 16, got 3"):
        PatchTstConfig(n_heads=3)
