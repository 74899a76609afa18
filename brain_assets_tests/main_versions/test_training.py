"""Main versions learn from all weeks; their configurations are scored by trainings without the last year."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from brain_assets import registry
from brain_assets.errors import TrainingError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.forecasting.training import train_snapshot, validate
from brain_assets.main_versions.training import split_weeks, train_version, version_of
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import parse_version_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.forecasting.test_training import changed_after
from examples.pls_forecaster import PlsConfig

LATER = datetime.date(2021, 9, 30)
EARLIER = datetime.date(2021, 6, 15)


@pytest.fixture(scope="module")
def first(panel: PricePanel, tiny_lstm: LstmConfig) -> ModelSnapshot:
    return train_version("lstm", panel.until(EARLIER), tiny_lstm, MADE_UP)


def with_options(version: ModelSnapshot, **options: object) -> ModelSnapshot:
    """Give a version of another configuration, whatever its weights are."""
    return dataclasses.replace(version, config={**version.config, **options})


def scores_of(version: ModelSnapshot) -> Mapping[str, Any]:
    scores: Mapping[str, Any] = version.metadata["scores"]
    return scores


def test_the_last_year_of_weeks_is_kept_for_the_scores() -> None:
    weeks = complete_weeks(sessions_between(datetime.date(2018, 1, 1), datetime.date(2022, 1, 1)))
    train, held_out = split_weeks(weeks, LATER)
    assert weeks.end[held_out[-1]] == np.datetime64("2021-09-24")  # the week of the 30th is not over
    assert weeks.start[held_out[0]] == np.datetime64("2020-09-28")
    assert len(held_out) == 52
    rows = np.concatenate([train, held_out])
    np.testing.assert_array_equal(rows, np.arange(len(rows)))
    for n_weeks in (0, 52):  # a short history leaves nothing to train on
        train, held_out = split_weeks(weeks.select(np.arange(n_weeks)), LATER)
        assert (len(train), len(held_out)) == (0, n_weeks)


def test_too_short_a_history_is_one_sentence(panel: PricePanel, tiny_lstm: LstmConfig) -> None:
    with pytest.raises(TrainingError, match="expected windows of 20 sessions to train and to validate on, got 0 and"):
        train_version("lstm", panel.until(datetime.date(2016, 12, 31)), tiny_lstm, MADE_UP)


def test_it_learns_from_the_last_year_which_moves_nothing_that_is_scored_on_it(
    panel: PricePanel, tiny_lstm: LstmConfig
) -> None:
    until, last_trained = panel.until(LATER), datetime.date(2020, 9, 25)
    version = train_version("lstm", until, tiny_lstm, MADE_UP)
    assert version.metadata["data"]["last_training_target"] == "2021-09-24"
    assert version.metadata["data"]["first_validation_week"] == scores_of(version)["first_week"] == "2020-09-28"
    changed = train_version("lstm", changed_after(until, last_trained), tiny_lstm, MADE_UP)
    for name, value in version.weights.items():
        assert not np.array_equal(value, changed.arrays[name]), name
    curves = [[losses["train"] for losses in each.metadata["training"]["curve"]] for each in (version, changed)]
    assert curves[0] == curves[1]
    assert scores_of(version) != scores_of(changed)
    # the training that is scored is that of a snapshot that ends there
    weeks = complete_weeks(until.sessions)
    held_out = weeks.select(split_weeks(weeks, LATER).validation)
    before = train_snapshot("lstm", panel, last_trained, tiny_lstm, MADE_UP)
    forecasts = before.forecast(until, held_out) / before.metadata["forecast_scale"]
    ranks = np.argsort(np.argsort(realized_of(until)[-52:], axis=1), axis=1) - (len(until.symbols) - 1) / 2
    target = ranks / ranks.std()
    assert scores_of(version)["loss"] == pytest.approx(np.mean((forecasts - target) ** 2), rel=1e-5)


def realized_of(panel: PricePanel) -> np.ndarray:
    """Give weekly returns, last close / first open - 1; (n_weeks, n_assets)."""
    weeks = complete_weeks(panel.sessions)
    return (panel.values[:, weeks.last, 3] / panel.values[:, weeks.first, 0] - 1).T


def test_the_first_version_is_promoted_and_says_so(first: ModelSnapshot) -> None:
    scores, training = scores_of(first), first.metadata["training"]
    assert scores["promoted"]
    assert scores["verdict"].startswith("promoted as the first version; its loss")
    assert (scores["previous"], scores["previous_loss"]) == (None, None)
    assert (scores["loss"], scores["zero_loss"]) == (training["validation_loss"], training["zero_validation_loss"])
    assert scores["n_weeks"] == 52
    assert parse_version_name(first.name) == first.cutoff_date == datetime.date(2021, 6, 15)
    assert f'revision="{first.name}"' in first.card
    assert f"It was {scores['verdict']}." in first.card
    assert "without the validation weeks, which gave these figures, and on all weeks up to the cut-off" in first.card


def test_both_configurations_are_trained_on_the_same_weeks_of_today(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig
) -> None:
    until = panel.until(LATER)
    other = with_options(first, hidden_size=3)
    scores = scores_of(train_version("lstm", until, tiny_lstm, MADE_UP, other))
    expected = validate("lstm", until, LATER, tiny_lstm.replace(hidden_size=3), split_weeks)
    assert scores["previous"] == first.name
    assert scores["previous_loss"] == expected["validation_loss"] != scores["loss"]
    assert (scores["first_week"], scores["n_weeks"]) == ("2020-09-28", 52)


def test_another_target_is_compared_by_its_share_of_its_own_loss_of_zero(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig
) -> None:
    until = panel.until(LATER)
    scores = scores_of(train_version("lstm", until, tiny_lstm, MADE_UP, with_options(first, target="raw")))
    raw = validate("lstm", until, LATER, tiny_lstm.replace(target="raw"), split_weeks)
    share = raw["validation_loss"] / raw["zero_validation_loss"]
    assert raw["zero_validation_loss"] != pytest.approx(scores["zero_loss"], rel=0.01)
    assert scores["previous_loss"] / scores["zero_loss"] == pytest.approx(share)


def test_with_the_same_configuration_newer_data_decide_if_it_beats_zero(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig
) -> None:
    scores = scores_of(train_version("lstm", panel.until(LATER), tiny_lstm, MADE_UP, first))
    assert scores["loss"] == scores["previous_loss"]
    assert f"not above that of the configuration of {first.name}" in scores["verdict"]
    assert scores["promoted"] == (scores["loss"] < scores["zero_loss"])


def test_it_must_beat_zero_and_the_configuration_before() -> None:
    """A strong injected signal is found by a real training, and not by one of steps of next to nothing."""
    market = SimulatorMarket(seed=1, signal=0.6)
    panel = PricePanel.from_frame(market.prices(datetime.date(2016, 1, 1), datetime.date(2020, 1, 1)))
    good = LstmConfig(window=20, hidden_size=16, epochs=6)
    lame = good.replace(learning_rate=1e-9)
    of_the_lame, of_the_good = (train_version("lstm", panel, each, MADE_UP) for each in (lame, good))
    promoted = scores_of(train_version("lstm", panel, good, MADE_UP, of_the_lame))
    assert promoted["promoted"]
    assert promoted["loss"] < promoted["zero_loss"]
    assert promoted["verdict"].startswith("promoted: its loss")
    worse = scores_of(train_version("lstm", panel, lame, MADE_UP, of_the_good))
    assert not worse["promoted"]
    assert f", and above that of the configuration of {of_the_good.name}" in worse["verdict"]
    no_better = scores_of(train_version("lstm", panel, lame, MADE_UP, of_the_lame))
    assert not no_better["promoted"]
    assert no_better["verdict"].startswith("not promoted: its loss")
    assert "is not below that of predicting zero" in no_better["verdict"]
    assert "not above that of the configuration of" in no_better["verdict"]


def test_the_name_follows_from_window_symbols_market_and_configuration(
    panel: PricePanel, tiny_lstm: LstmConfig, tiny_patchtst: PatchTstConfig
) -> None:
    name = version_of("lstm", panel, tiny_lstm, "simulator")
    assert name == version_of("lstm", dataclasses.replace(panel, values=panel.values * 1.01), tiny_lstm, "simulator")
    others = [
        version_of("lstm", panel.until(LATER), tiny_lstm, "simulator"),
        version_of("lstm", PricePanel(panel.sessions, panel.symbols[1:], panel.values[1:]), tiny_lstm, "simulator"),
        version_of("lstm", panel, tiny_lstm.replace(seed=1), "simulator"),
        version_of("lstm", panel, tiny_lstm, "live"),
        version_of("patchtst", panel, tiny_patchtst, "simulator"),
        version_of("lstm", panel, tiny_lstm, "simulator", "cuda"),
    ]
    assert len({name, *others}) == 7
    assert version_of("lstm", panel, tiny_lstm, "simulator", "cpu") == name


def test_a_family_of_ones_own_has_main_versions_too(panel: PricePanel) -> None:
    registry.families_of(["examples.pls_forecaster"])
    assert train_version("pls", panel.until(LATER), PlsConfig(), MADE_UP).metadata["scores"]["promoted"]
