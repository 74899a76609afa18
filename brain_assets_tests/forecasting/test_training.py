import datetime
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_assets.errors import TrainingError
from brain_assets.forecasting import forecaster
from brain_assets.forecasting.features import Windows, split_weeks
from brain_assets.forecasting.forecaster import Forecaster
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.forecasting.training import Past, forecaster_fingerprint, train_snapshot, validate
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets.market.signals import NEWS
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.store.manifest import FILES
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP, TINY_LSTM, TINY_PATCHTST

CUTOFF = datetime.date(2019, 12, 31)
TINY = {"lstm": LstmConfig(**TINY_LSTM), "patchtst": PatchTstConfig(**TINY_PATCHTST)}
SECOND_CPU = "cpu:0"
"""To torch the CPU, to us another device: the road of a GPU, taken without one."""

families = pytest.mark.parametrize("family", TINY)


def train(panel: PricePanel, family: str = "lstm", date: datetime.date = CUTOFF, **options: Any) -> ModelSnapshot:
    return train_snapshot(family, panel, date, TINY[family].replace(**options), MADE_UP)


@pytest.fixture(scope="module")
def lstm(panel: PricePanel) -> ModelSnapshot:
    return train(panel)


def same_bytes(first: ModelSnapshot, second: ModelSnapshot) -> bool:
    arrays = zip(first.arrays.values(), second.arrays.values(), strict=True)
    return all(np.array_equal(one, other) for one, other in arrays) and first.metadata == second.metadata


def changed_after(panel: PricePanel, date: datetime.date, seed: int = 0) -> PricePanel:
    """Give the panel with every bar, score and filing after a date another one."""
    assert panel.signals is not None
    values, signals, after = panel.values.copy(), panel.signals.copy(), panel.sessions > np.datetime64(date)
    random = np.random.default_rng(seed)
    values[:, after] *= random.uniform(0.5, 2, values[:, after].shape)
    signals[:, after] = random.normal(size=signals[:, after].shape)
    return PricePanel(panel.sessions, panel.symbols, values, signals)


@families
def test_everything_after_the_cutoff_may_change_and_the_snapshot_stays_bit_identical(
    panel: PricePanel, family: str
) -> None:
    """Even who is listed then: one symbol no more, another one anew."""
    snapshot, changed = train(panel, family), changed_after(panel, CUTOFF)
    known = panel.sessions <= np.datetime64(CUTOFF)
    changed.values[0, ~known] = np.nan
    values, signals = (np.concatenate([each, each[1:2]]) for each in (changed.values, changed.signals))
    values[-1, known] = np.nan
    assert same_bytes(snapshot, train(PricePanel(panel.sessions, (*panel.symbols, "NEW"), values, signals), family))
    last = np.flatnonzero(known)[-1]  # up to there it matters
    if family == "lstm":
        changed.values[1, last, CLOSE] *= 1.01
    else:
        changed.signals[:, last - 29, NEWS] += 0.5
    assert not same_bytes(snapshot, train(changed, family))


SECOND_PROCESS = """
import datetime, sys
from pathlib import Path
from brain_assets.forecasting.boosting import BoostingConfig
from brain_assets.forecasting.ridge import RidgeConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import MADE_UP, TINY_BOOSTING
from brain_assets_tests.forecasting.test_training import CUTOFF, TINY
market, days = SimulatorMarket(("A", "B", "C"), seed=3), (datetime.date(2017, 1, 1), datetime.date(2020, 1, 1))
news, filings = market.news_sentiment(*days, None).table, market.fundamentals(*days).table
panel = add_signals(PricePanel.from_frame(market.prices(*days)), news, filings)
configs = {name: config.replace(n_layers=2, dropout=0.1) for name, config in TINY.items()}
configs |= {"ridge": RidgeConfig(), "boosting": BoostingConfig(**TINY_BOOSTING)}
for family, config in configs.items():
    train_snapshot(family, panel, CUTOFF, config, MADE_UP).save(Path(sys.argv[1]) / family)
"""


@pytest.mark.slow
def test_same_fingerprint_in_a_second_process_gives_the_same_bytes(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", SECOND_PROCESS, str(tmp_path / name)], check=True)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        found.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert len(found[0]) == 4 * len(FILES)


def test_the_last_year_moves_the_model_and_nothing_of_the_training_that_its_figures_are_of(
    panel: PricePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int, dict[str, np.ndarray]]] = []
    fit = forecaster.fit

    def noted(model: Forecaster, train: Windows, validation: Windows, *rest: Any) -> dict[str, np.ndarray]:
        calls.append((len(train), len(validation), arrays := fit(model, train, validation, *rest)))
        return arrays

    monkeypatch.setattr(forecaster, "fit", noted)
    snapshot, fewer = train(panel), train(panel, date=datetime.date(2018, 12, 31))
    (learned, held, validated), (every, none, _) = calls[:2]
    assert (held, none) == (52 * len(panel.symbols), 0)
    assert every == learned + held == snapshot.metadata["data"]["n_training_windows"]
    for name in snapshot.weights:
        np.testing.assert_array_equal(validated[name], fewer.arrays[name], name)  # as if the last year had not been
    for name in (*snapshot.weights, "scaler.mean"):
        assert not np.array_equal(snapshot.arrays[name], fewer.arrays[name]), name
    assert snapshot.metadata["forecast_scale"] != fewer.metadata["forecast_scale"]
    figures = snapshot.metadata["training"]
    assert figures["zero_validation_loss"] == pytest.approx(1)  # ranks of a week have the same spread in any year
    assert validate(Past.of("lstm", panel, CUTOFF, TINY["lstm"], split_weeks)) == figures


@pytest.mark.parametrize("target", ["raw", "ranked"])
def test_losses_are_in_units_of_the_training_targets_and_forecasts_are_weekly_returns(
    panel: PricePanel, target: str
) -> None:
    snapshot = train(panel, target=target, epochs=3)
    bars = WeeklyPanel.from_panel(panel)
    forecasts = snapshot.forecast(panel, bars.weeks.select(bars.weeks.year == 2021))
    assert np.isfinite(forecasts).all()
    assert 0 < forecasts.std() < np.nanstd(bars.realized)  # what explains little is smaller than what it forecasts
    clipped = replace(snapshot, config={**snapshot.config, "clip": 0.5})
    assert not np.allclose(forecasts, clipped.forecast(panel, bars.weeks.select(bars.weeks.year == 2021)))
    bars = WeeklyPanel.from_panel(panel.until(CUTOFF))
    last = bars.weeks.year == CUTOFF.year
    learned = (bars.weeks.start >= np.datetime64("2016-02-08")) & ~last  # 20 daily returns are known by then
    for key, weeks in (("zero_train_loss", learned), ("zero_validation_loss", last)):
        expected = np.mean((bars.realized[weeks] / bars.realized[learned].std()) ** 2) if target == "raw" else 1.0
        assert snapshot.metadata["training"][key] == pytest.approx(expected), key


def test_metadata_and_card_name_the_data_window_and_compare_with_momentum(
    panel: PricePanel, lstm: ModelSnapshot
) -> None:
    data, bars = lstm.metadata["data"], WeeklyPanel.from_panel(panel)
    # 2016 has 52 weeks from 11 January on (the first has no close before it); a window of 20 returns before a week
    # needs 21 sessions: 18, 25 January and 1 February 2016 fall out
    usable = (bars.weeks.first >= 21) & (bars.weeks.end <= np.datetime64("2019-12-27"))
    assert data == {
        "first_session": "2016-01-04",
        "last_session": "2019-12-31",
        "last_training_target": "2019-12-27",
        "first_validation_week": "2018-12-31",  # ends on 4 January 2019
        "last_validation_target": "2019-12-27",
        "symbols": list(panel.symbols),
        "n_training_windows": usable.sum() * len(panel.symbols),
        "n_validation_windows": 52 * len(panel.symbols),
    }
    # the scaler has seen all up to the close before the last week; the first session has no return
    last = int(bars.weeks.first[np.flatnonzero(usable)[-1]]) - 1
    assert int(lstm.arrays["scaler.n_samples_seen"]) == last * len(panel.symbols)
    year = bars.select(bars.weeks.year == 2019)
    before = train(panel, date=datetime.date(2018, 12, 30))  # it has not seen the year
    forecasts, training = before.forecast(panel, year.weeks), lstm.metadata["training"]
    assert training["validation_rank_correlation"] == pytest.approx(mean_rank_correlation(forecasts, year.realized))
    assert training["validation_momentum_rank_correlation"] == mean_rank_correlation(year.momentum, year.realized)
    assert f"| {training['validation_rank_correlation']:.4f} |" in lstm.card
    assert "- market: simulator" in lstm.card


def test_what_nothing_can_be_learned_from_is_one_sentence(panel: PricePanel) -> None:
    one = PricePanel(panel.sessions, panel.symbols[:1], panel.values[:1])
    with pytest.raises(TrainingError, match="target ranked: expected training weeks with two symbols or more, got no"):
        train(one)
    assert train(one, target="raw").metadata["forecast_scale"] > 0
    with pytest.raises(TrainingError, match=r"expected windows of 900 sessions .* got 0 and \d+; give the market more"):
        train(panel, window=900)


OTHER = (
    {"window": 12, "target": "raw", "learning_rate": 0.01, "weight_decay": 0.3, "batch_size": 32, "epochs": 1}
    | {"clip": 0.5, "seed": 7, "hidden_size": 3, "n_layers": 2, "dropout": 0.3, "patch_length": 5, "patch_stride": 7}
    | {"d_model": 6, "n_heads": 1, "feedforward_size": 3}
)
"""Another value of every option."""


@families
def test_every_option_reaches_the_training(panel: PricePanel, family: str) -> None:
    assert panel.signals is not None
    short = PricePanel(panel.sessions, panel.symbols[:2], panel.values[:2], panel.signals[:2])

    def curve(**options: object) -> list[dict[str, float]]:
        past = Past.of(family, short, datetime.date(2017, 12, 31), TINY[family].replace(**options), split_weeks)
        return validate(past)["curve"]

    reference = curve()
    for name in set(TINY[family].model_dump()) - {"dropout"}:
        assert curve(**{name: OTHER[name]}) != reference, name
    assert curve(n_layers=2, dropout=0.3) != curve(n_layers=2)  # the LSTM's is between layers


def test_another_device_learns_the_same_where_it_computes_the_same_and_has_another_fingerprint(
    panel: PricePanel, lstm: ModelSnapshot
) -> None:
    there = train_snapshot("lstm", panel, CUTOFF, TINY["lstm"], MADE_UP, device=SECOND_CPU)
    assert all(np.array_equal(there.arrays[name], array) for name, array in lstm.arrays.items())
    assert there.metadata["training"] == lstm.metadata["training"]
    assert (lstm.metadata["device"], there.metadata["device"]) == ("cpu", SECOND_CPU)
    assert "- trained on a GPU\n" in there.card
    assert "GPU" not in lstm.card
    here, elsewhere = lstm.metadata["fingerprint"], there.metadata["fingerprint"]
    assert set(here) == {"family", "code", "config", "data", "libraries", "value"}
    assert here["value"] != elsewhere["value"]
    assert elsewhere == {**here, "device": SECOND_CPU, "value": elsewhere["value"]}


def test_the_fingerprint_changes_with_what_the_family_sees(panel: PricePanel) -> None:
    assert panel.signals is not None
    values, signals = panel.values.copy(), panel.signals.copy()
    values[2, 50, 4] += 1
    signals[2, 50, -1] += 0.001
    changes = (
        {"symbols": ("ZZZ", *panel.symbols[1:])},
        {"sessions": panel.sessions + np.timedelta64(7, "D")},
        {"values": values},
        {"signals": signals},
    )
    panels = [panel, *(replace(panel, **change) for change in changes)]
    for family, n_others in (("lstm", 4), ("patchtst", 5)):  # the LSTM sees no signals
        assert len({forecaster_fingerprint(family, each, TINY[family]).value for each in panels}) == n_others
