"""Main versions are scored on weeks that no version has learned from, and promoted only if they are better."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from brain_assets import registry
from brain_assets.errors import TrainingError
from brain_assets.forecasting.features import training_target
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.main_versions.training import held_out_weeks, score_version, split_weeks, train_version, version_of
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
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


def with_bias(snapshot: ModelSnapshot, factor: float) -> ModelSnapshot:
    """Give a version whose forecasts are a multiple of another's, under another name."""
    weights = {name: value * factor if name.startswith("head.") else value for name, value in snapshot.weights.items()}
    metadata: Mapping[str, Any] = {**snapshot.metadata, "version": f"v{snapshot.cutoff_date}-{'0' * 12}"}
    return dataclasses.replace(snapshot, arrays={**snapshot.arrays, **weights}, metadata=metadata)


def loss_of(version: ModelSnapshot, panel: PricePanel) -> float:
    """Give the loss of a version's forecasts on the last half year of a panel, from the definition."""
    bars = WeeklyPanel.from_panel(panel)
    rows = held_out_weeks(bars.weeks, panel.sessions[-1].item())
    target = training_target(bars.realized[rows], "ranked")
    forecasts = registry.get("lstm").forecast(version, panel, bars.weeks.select(rows))
    return float(np.mean((forecasts / version.metadata["forecast_scale"] - target / target.std()) ** 2))


def test_the_last_half_year_scores_and_the_year_before_it_validates() -> None:
    weeks = complete_weeks(sessions_between(datetime.date(2018, 1, 1), datetime.date(2022, 1, 1)))
    train, validation = split_weeks(weeks, LATER)
    held_out = held_out_weeks(weeks, LATER)
    assert weeks.end[held_out[-1]] == np.datetime64("2021-09-24")  # the week of the 30th is not over
    assert weeks.start[held_out[0]] == np.datetime64("2021-03-29")
    assert (len(validation), len(held_out)) == (52, 26)
    rows = np.concatenate([train, validation, held_out])
    np.testing.assert_array_equal(rows, np.arange(len(rows)))


@pytest.mark.parametrize("n_weeks", [0, 26, 30, 78])
def test_a_short_history_scores_first_then_validates(n_weeks: int) -> None:
    weeks = complete_weeks(sessions_between(datetime.date(2018, 1, 1), datetime.date(2022, 1, 1)))
    short = weeks.select(np.arange(n_weeks))
    train, validation = split_weeks(short, LATER)
    assert len(held_out_weeks(short, LATER)) == min(n_weeks, 26)
    assert (len(train), len(validation)) == (0, max(n_weeks - 26, 0))


def test_held_out_weeks_reach_nothing_but_the_scores(panel: PricePanel, tiny_lstm: LstmConfig) -> None:
    until = panel.until(LATER)
    version = train_version("lstm", until, tiny_lstm, MADE_UP)
    assert version.metadata["data"]["last_validation_target"] == "2021-03-26"
    changed = train_version("lstm", changed_after(until, datetime.date(2021, 3, 26)), tiny_lstm, MADE_UP)
    for name, value in version.arrays.items():
        assert (value == changed.arrays[name]).all(), name
    assert version.metadata["training"] == changed.metadata["training"]
    assert version.metadata["scores"] != changed.metadata["scores"]


def test_the_first_version_is_promoted_and_says_so(first: ModelSnapshot) -> None:
    scores = first.metadata["scores"]
    assert scores["promoted"]
    assert scores["verdict"].startswith("promoted as the first version; its loss")
    assert (scores["previous"], scores["previous_loss"]) == (None, None)
    assert scores["n_weeks"] == 26
    assert parse_version_name(first.name) == first.cutoff_date == datetime.date(2021, 6, 15)
    assert f'revision="{first.name}"' in first.card
    assert scores["verdict"] in first.card
    assert "which neither training nor early stopping saw" in first.card


def test_both_versions_are_scored_on_the_same_weeks_in_units_of_the_target(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig
) -> None:
    until = panel.until(LATER)
    second = train_version("lstm", until, tiny_lstm, MADE_UP, first)
    alone, scores = score_version(second, None, until), second.metadata["scores"]
    assert scores["previous"] == first.name
    assert scores["loss"] == alone.loss == pytest.approx(loss_of(second, until))
    assert scores["previous_loss"] == pytest.approx(loss_of(first, until))
    assert scores["zero_loss"] == pytest.approx(1.0)
    assert scores["n_weeks"] == alone.n_weeks == 26  # the older one has learned from none of them


@pytest.mark.parametrize(
    ("own", "other", "promoted", "words"),
    [
        (
            0.0,
            50.0,
            False,
            "not promoted: its loss 1.0000 is not below that of predicting zero, 1.0000, and below that",
        ),
        (50.0, 0.0, False, "is not below that of predicting zero, 1.0000, and not below that of v2021-06-15"),
    ],
)
def test_it_must_beat_zero_and_the_version_before(
    panel: PricePanel, first: ModelSnapshot, own: float, other: float, promoted: bool, words: str
) -> None:
    scores = score_version(with_bias(first, own), with_bias(first, other), panel.until(EARLIER))
    assert scores.promoted is promoted
    assert words in scores.verdict


def test_a_better_version_is_promoted() -> None:
    """A strong injected signal is found; the same forecasts turned round are worse."""
    market = SimulatorMarket(seed=1, signal=0.6)
    panel = PricePanel.from_frame(market.prices(datetime.date(2016, 1, 1), datetime.date(2022, 1, 1)))
    good = train_version("lstm", panel, LstmConfig(window=20, hidden_size=16, max_epochs=6), MADE_UP)
    scores = score_version(good, with_bias(good, -1.0), panel)
    assert scores.loss < scores.zero_loss < scores.previous_loss  # type: ignore[operator]
    assert scores.promoted
    assert scores.verdict.startswith("promoted: its loss")


def test_weeks_that_the_current_version_has_learned_from_do_not_count(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig
) -> None:
    later = train_version("lstm", panel.until(LATER), tiny_lstm, MADE_UP)  # its validation ends on 26 March 2021
    scores = score_version(first, later, panel.until(EARLIER))
    assert scores.first_week == "2021-03-29"
    assert scores.n_weeks == 11
    newest = train_version("lstm", panel, tiny_lstm, MADE_UP)  # its validation ends after the other's last week
    with pytest.raises(
        TrainingError, match="expected weeks after 2021-07-02 to score on, which no version has learned"
    ):
        score_version(first, newest, panel.until(EARLIER))


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
