"""Main versions learn from all weeks; their configurations are scored by trainings without the last year."""

import dataclasses
import datetime
from typing import Any

import numpy as np
import pytest

from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.forecasting.training import Past, train_snapshot, validate
from brain_assets.main_versions.training import split_weeks, train_version, version_of
from brain_assets.market.calendar import complete_weeks, sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.names import parse_version_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP

LATER, EARLIER = datetime.date(2021, 9, 30), datetime.date(2021, 6, 15)


@pytest.fixture(scope="module")
def first(panel: PricePanel, tiny_lstm: LstmConfig) -> ModelSnapshot:
    return train_version("lstm", panel.until(EARLIER), tiny_lstm, MADE_UP)


def scores_of(panel: PricePanel, config: LstmConfig, previous: ModelSnapshot | None = None) -> dict[str, Any]:
    return dict(train_version("lstm", panel, config, MADE_UP, previous).metadata["scores"])


def test_the_last_year_of_weeks_is_kept_for_the_scores() -> None:
    weeks = complete_weeks(sessions_between(datetime.date(2018, 1, 1), datetime.date(2022, 1, 1)))
    train, held_out = split_weeks(weeks, LATER)
    assert weeks.end[held_out[-1]] == np.datetime64("2021-09-24")  # the week of the 30th is not over
    assert weeks.start[held_out[0]] == np.datetime64("2020-09-28")
    assert [*train, *held_out] == list(range(len(train) + 52))
    for n_weeks in (0, 52):  # a short history leaves nothing to train on
        train, held_out = split_weeks(weeks.select(np.arange(n_weeks)), LATER)
        assert (len(train), len(held_out)) == (0, n_weeks)


def test_it_learns_from_the_last_year_which_moves_nothing_that_is_scored_on_it(
    panel: PricePanel, tiny_lstm: LstmConfig
) -> None:
    until, last_trained = panel.until(LATER), datetime.date(2020, 9, 25)
    version = train_version("lstm", until, tiny_lstm, MADE_UP)
    assert version.metadata["data"]["last_training_target"] == "2021-09-24"
    assert version.metadata["data"]["first_validation_week"] == version.metadata["scores"]["first_week"] == "2020-09-28"
    # the training that is scored is that of a snapshot that ends there
    weeks = complete_weeks(until.sessions)
    held_out = weeks.select(split_weeks(weeks, LATER).validation)
    before = train_snapshot("lstm", panel, last_trained, tiny_lstm, MADE_UP)
    for name, value in version.weights.items():
        assert not np.array_equal(value, before.arrays[name]), name
    forecasts = before.forecast(until, held_out) / before.metadata["forecast_scale"]
    realized = (until.values[:, held_out.last, 3] / until.values[:, held_out.first, 0] - 1).T
    ranks = np.argsort(np.argsort(realized, axis=1), axis=1) - (len(until.symbols) - 1) / 2
    loss = np.mean((forecasts - ranks / ranks.std()) ** 2)
    assert version.metadata["scores"]["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_first_version_is_promoted_and_says_so(first: ModelSnapshot) -> None:
    scores, training = first.metadata["scores"], first.metadata["training"]
    assert (scores["promoted"], scores["previous"], scores["previous_loss"]) == (True, None, None)
    assert scores["verdict"].startswith("promoted as the first version; its loss")
    assert (scores["loss"], scores["zero_loss"]) == (training["validation_loss"], training["zero_validation_loss"])
    assert scores["n_weeks"] == 52
    assert parse_version_name(first.name) == first.cutoff_date == EARLIER
    assert f'revision="{first.name}"' in first.card
    assert f"It was {scores['verdict']}." in first.card
    assert "without the validation weeks, which gave these figures, and on all weeks up to the cut-off" in first.card


@pytest.mark.parametrize("other", [{}, {"hidden_size": 3}, {"target": "raw"}])
def test_both_configurations_are_trained_on_the_same_weeks_of_today(
    panel: PricePanel, first: ModelSnapshot, tiny_lstm: LstmConfig, other: dict[str, Any]
) -> None:
    until, previous = panel.until(LATER), dataclasses.replace(first, config={**first.config, **other})
    scores = scores_of(until, tiny_lstm, previous)
    expected = validate(Past.of("lstm", until, LATER, tiny_lstm.replace(**other), split_weeks))
    assert (scores["previous"], scores["first_week"]) == (first.name, "2020-09-28")
    # another target is compared by its share of its own loss of zero
    share = expected["validation_loss"] / expected["zero_validation_loss"]
    assert scores["previous_loss"] == pytest.approx(scores["zero_loss"] * share, rel=1e-12)
    assert (scores["previous_loss"] == scores["loss"]) == (not other)  # with the same one newer data decide
    assert scores["promoted"] == (scores["loss"] <= scores["previous_loss"] and scores["loss"] < scores["zero_loss"])


def test_it_must_beat_zero_and_the_configuration_before(first: ModelSnapshot) -> None:
    """A strong injected signal is found by a real training, and not by one of steps of next to nothing."""
    market = SimulatorMarket(seed=1, signal=0.6)
    panel = PricePanel.from_frame(market.prices(datetime.date(2018, 1, 1), datetime.date(2020, 1, 1)))
    good = LstmConfig(window=20, hidden_size=16, epochs=6)
    lame = good.replace(learning_rate=1e-9)
    of_the_lame, of_the_good = (dataclasses.replace(first, config=each.model_dump()) for each in (lame, good))
    promoted = scores_of(panel, good, of_the_lame)
    assert promoted["promoted"]
    assert promoted["verdict"].startswith("promoted: its loss")
    worse = scores_of(panel, lame, of_the_good)
    assert not worse["promoted"]
    assert f", and above that of the configuration of {first.name}" in worse["verdict"]
    no_better = scores_of(panel, lame, of_the_lame)
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
