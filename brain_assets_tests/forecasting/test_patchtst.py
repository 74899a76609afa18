"""The PatchTST sees all of its channels, nothing of later, and finds what is in one of them alone."""

import dataclasses
import datetime

import numpy as np
import pytest
import torch

from brain_assets.errors import ConfigError, TableError
from brain_assets.forecasting.features import CHANNELS, build_features
from brain_assets.forecasting.patchtst import PatchTst, PatchTstConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import NEWS, add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.forecasting.test_training import changed_after

CUTOFF = datetime.date(2019, 12, 31)


@pytest.fixture(scope="module")
def snapshot(panel: PricePanel, tiny_patchtst: PatchTstConfig) -> ModelSnapshot:
    return train_snapshot("patchtst", panel, CUTOFF, tiny_patchtst, MADE_UP)


def test_after_training_each_channel_still_moves_the_forecasts(panel: PricePanel, snapshot: ModelSnapshot) -> None:
    weeks = WeeklyPanel.from_panel(panel).weeks
    weeks = weeks.select(weeks.year == 2021)
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


def test_forecasts_do_not_see_the_week_that_they_are_of(panel: PricePanel, snapshot: ModelSnapshot) -> None:
    weeks = WeeklyPanel.from_panel(panel).weeks
    week = weeks.select(weeks.start == np.datetime64("2021-06-14"))
    before = snapshot.forecast(panel, week)
    later = changed_after(panel, datetime.date(2021, 6, 11))
    np.testing.assert_array_equal(snapshot.forecast(later, week), before)
    earlier = changed_after(panel, datetime.date(2021, 6, 10))
    assert (snapshot.forecast(earlier, week) != before).all()


def test_a_panel_without_news_and_filings_is_refused_in_one_sentence(
    panel: PricePanel, snapshot: ModelSnapshot, tiny_patchtst: PatchTstConfig
) -> None:
    bare = dataclasses.replace(panel, signals=None)
    weeks = WeeklyPanel.from_panel(bare).weeks
    weeks = weeks.select(weeks.year == 2021)
    sentence = (
        r"patchtst: expected a panel with news and fundamentals, got one with prices only; put it through brain_a"
    )
    with pytest.raises(TableError, match=sentence):
        train_snapshot("patchtst", bare, CUTOFF, tiny_patchtst, MADE_UP)
    with pytest.raises(TableError, match=sentence):
        snapshot.forecast(bare, weeks)


def test_a_symbol_that_never_filed_is_forecast_as_neutral(panel: PricePanel, snapshot: ModelSnapshot) -> None:
    assert panel.signals is not None
    features = build_features(panel, CHANNELS, "patchtst")
    assert np.isnan(features[0, 0]).any()
    signals = panel.signals.copy()
    signals[0] = np.nan
    weeks = WeeklyPanel.from_panel(panel).weeks
    weeks = weeks.select(weeks.year == 2021)
    unknown = snapshot.forecast(PricePanel(panel.sessions, panel.symbols, panel.values, signals), weeks)
    assert np.isfinite(unknown).all()
    mean = snapshot.scaler.mean[5:]
    signals[0] = mean  # what is average says as little as what is not known
    np.testing.assert_allclose(
        snapshot.forecast(PricePanel(panel.sessions, panel.symbols, panel.values, signals), weeks), unknown, atol=1e-6
    )


def test_channels_that_say_nothing_are_named_in_metadata_and_card(
    panel: PricePanel, snapshot: ModelSnapshot, tiny_patchtst: PatchTstConfig
) -> None:
    assert snapshot.metadata["uninformative_features"] == []
    assert "- channels without any information in the training data: none" in snapshot.card
    silent = add_signals(panel)  # neither news nor filings
    silent = dataclasses.replace(silent, values=silent.values.copy())
    assert silent.signals is not None
    silent.values[:, :, 4] = 1e6  # constant volume
    validated = (panel.sessions >= np.datetime64("2019-02-01")) & (panel.sessions <= np.datetime64(CUTOFF))
    metadata = (made := train_snapshot("patchtst", silent, CUTOFF, tiny_patchtst, MADE_UP)).metadata
    assert metadata["uninformative_features"] == ["volume_return", *CHANNELS[5:]]
    assert "in the training data: volume_return, news_sentiment, gross_margin" in made.card
    silent.signals[:, validated, NEWS] = 0.5  # news of the last year only: they are learned from, too
    metadata = train_snapshot("patchtst", silent, CUTOFF, tiny_patchtst, MADE_UP).metadata
    assert metadata["uninformative_features"] == ["volume_return", *CHANNELS[6:]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"patch_length": 60}, "patch_length: expected at most 59 sessions, got 60"),
        ({"n_heads": 3}, "n_heads: expected a divisor of d_model = 16, got 3"),
    ],
)
def test_impossible_configurations_are_one_sentence(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        PatchTstConfig(**options)  # type: ignore[arg-type]
