import datetime
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.errors import BrainAssetsError, LookAheadError, SnapshotError, TableError, TrainingError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.dataset import BY_WEEK_AND_ASSET, PolicyDataset, forecast_matrix, market_weeks
from brain_assets.portfolio.direct import DirectConfig
from brain_assets.portfolio.policies import policy_fingerprint, train_policy_snapshot, training_weeks
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.portfolio.sac import SacConfig
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP, TINY_DIRECT, TINY_PPO, TINY_SAC
from brain_assets_tests.portfolio.toy_results import NO_MODELS, Stored

CUTOFF = datetime.date(2018, 12, 31)
CONFIG = {"ppo": PpoConfig(**TINY_PPO), "sac": SacConfig(**TINY_SAC), "direct": DirectConfig(**TINY_DIRECT)}
families = pytest.mark.parametrize("family", CONFIG)


@pytest.fixture(scope="module")
def bars(panel: PricePanel) -> WeeklyPanel:
    return WeeklyPanel.from_panel(panel)


@pytest.fixture(scope="module")
def forecasts(panel: PricePanel) -> pd.DataFrame:
    return build_forecast_features(panel, range(2016, 2022), {**NO_MODELS, "boosting": Stored()})


@pytest.fixture(scope="module")
def snapshots(bars: WeeklyPanel, forecasts: pd.DataFrame) -> dict[str, ModelSnapshot]:
    return {family: train(family, training_weeks(bars, forecasts, family, CUTOFF, CONFIG[family])) for family in CONFIG}


def train(family: str, weeks: PolicyDataset) -> ModelSnapshot:
    return train_policy_snapshot(family, weeks, CUTOFF, CONFIG[family], MADE_UP)


def test_forecasts_are_laid_out_by_week_and_symbol(bars: WeeklyPanel, forecasts: pd.DataFrame) -> None:
    shuffled = forecasts.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(forecast_matrix(bars, shuffled, "lstm"), bars.momentum)
    without = forecasts[forecasts["symbol"] != bars.symbols[1]]
    assert np.isnan(forecast_matrix(bars, without, "lstm")[:, 1]).all()


def test_availability_is_decided_by_what_is_known_before_the_week(panel: PricePanel) -> None:
    values, signals = panel.values.copy(), panel.signals
    assert signals is not None
    bars = WeeklyPanel.from_panel(panel)
    week = 100
    first = bars.weeks.first[week]
    values[0, first:] = np.nan  # symbol 0 never trades again from the week's first session on
    values[1, first - 1] = np.nan  # symbol 1 has no bar on the session before
    changed = WeeklyPanel.from_panel(PricePanel(panel.sessions, panel.symbols, values, signals))
    weeks = market_weeks(changed, changed.momentum)
    assert weeks.available[week, 0]  # nobody could know
    assert weeks.weekly_return[week, 0] == 0
    assert weeks.pre_open_return[week, 0] == 0
    assert not weeks.available[week + 1, 0]
    assert not weeks.available[week, 1]


def test_bars_without_signals_and_forecasts_of_other_weeks_are_refused(panel: PricePanel, bars: WeeklyPanel) -> None:
    without = WeeklyPanel.from_panel(replace(panel, signals=None))
    with pytest.raises(TableError, match=r"expected bars with signals, got none; use .*add_signals on the panel"):
        market_weeks(without, without.momentum)
    with pytest.raises(TableError, match=r"^forecast: expected shape \(n_weeks, n_assets\) = \(\d+, 6\), got \(5, 6\)"):
        market_weeks(bars, bars.momentum[:5])


@pytest.mark.parametrize("name", ["forecast", "momentum", "volatility", "signals"])
def test_what_is_not_known_of_an_asset_leaves_it_out_for_the_week(bars: WeeklyPanel, name: str) -> None:
    """But for signals, which are neutral then."""
    given = {"momentum": bars.momentum, "volatility": bars.volatility, "signals": bars.signals}
    given = {each: values.copy() for each, values in given.items()} | {"forecast": bars.momentum.copy()}
    expected = market_weeks(bars, bars.momentum).available
    week, asset = np.argwhere(expected)[-1]
    given[name][week, asset] = np.nan
    expected[week, asset] = name == "signals"
    forecast = given.pop("forecast")
    np.testing.assert_array_equal(market_weeks(replace(bars, **given), forecast).available, expected)


@families
def test_policy_learns_from_weeks_up_to_its_cutoff_only(
    bars: WeeklyPanel, forecasts: pd.DataFrame, family: str
) -> None:
    weeks = training_weeks(bars, forecasts, family, CUTOFF, CONFIG[family])
    assert weeks.week_start[0] == np.datetime64("2016-02-08")  # 20 daily returns are known by then, 4 weeks before
    assert weeks.week_start[-1] == np.datetime64("2018-12-24")  # the next one ends in 2019
    after = bars.weeks.end > np.datetime64(CUTOFF)
    assert bars.signals is not None
    signals = np.where(after[:, None, None], 9.0, bars.signals)
    return_ffill = np.where(after[:, None], 0.5, bars.return_ffill)
    changed = replace(bars, signals=signals, return_ffill=return_ffill)
    later = forecasts.copy()
    later.loc[later["week_start"] > pd.Timestamp(CUTOFF), registry.get(family).forecaster] = 9.0
    other = training_weeks(changed, later, family, CUTOFF, CONFIG[family])
    before = policy_fingerprint(family, weeks, CONFIG[family])
    assert policy_fingerprint(family, other, CONFIG[family]) == before
    assert policy_fingerprint(family, weeks, CONFIG[family], "cuda").value != before.value
    signals = weeks.signals.copy()
    signals[3, 1, 2] += 0.01
    assert policy_fingerprint(family, replace(weeks, signals=signals), CONFIG[family]) != before


def test_the_fingerprint_changes_with_all_that_a_policy_learns_from(bars, forecasts) -> None:
    family = "direct"
    weeks = training_weeks(bars, forecasts, family, CUTOFF, CONFIG[family])
    values = {name: np.copy(getattr(weeks, name)) for name in BY_WEEK_AND_ASSET if name != "available"}
    for value in values.values():
        value[3, 1] += 0.01
    unavailable = weeks.available.copy()
    unavailable[3, 1] = False
    others = [
        *(replace(weeks, **{name: value}) for name, value in values.items()),
        replace(weeks, available=unavailable),
        replace(weeks, symbols=("ZZZ", *weeks.symbols[1:])),
        replace(weeks, week_start=weeks.week_start + np.timedelta64(1, "D")),
    ]
    found = {policy_fingerprint(family, each, CONFIG[family]).value for each in (weeks, *others)}
    assert len(found) == 1 + len(others)


def test_no_week_to_learn_from_is_one_sentence(bars: WeeklyPanel, forecasts: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="expected weeks with an available symbol to learn from, got none"):
        training_weeks(bars, forecasts.assign(lstm=np.nan), "ppo", CUTOFF, CONFIG["ppo"])


@families
def test_loaded_policy_decides_exactly_as_the_trained_one(snapshots, bars, tmp_path, family) -> None:
    snapshot = snapshots[family]
    snapshot.save(tmp_path / "snapshot-2018-12-31")
    loaded = ModelSnapshot.load(tmp_path / "snapshot-2018-12-31")
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    decisions = snapshot.decide(year, year.momentum)
    np.testing.assert_array_equal(loaded.decide(year, year.momentum), decisions)
    np.testing.assert_allclose(decisions.sum(axis=1), 1)
    assert decisions[:, -1].min() >= 0.02 - 1e-12
    assert decisions[:, :-1].max() <= 0.2 + 1e-12
    assert loaded.metadata["data"]["symbols"] == list(bars.symbols)


@pytest.mark.parametrize("family", ["ppo", "direct"])
def test_policy_acts_on_signals_as_large_as_those_it_learned_from(snapshots, bars, forecasts, family) -> None:
    """A policy that learned without signals (scale 0) decides the same whatever they say."""
    weeks = training_weeks(bars, forecasts, family, CUTOFF, CONFIG[family])
    blind = train_policy_snapshot(family, weeks, CUTOFF, CONFIG[family].replace(signal_scale=0.0), MADE_UP)
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    assert year.signals is not None
    other = replace(year, signals=-year.signals)
    np.testing.assert_array_equal(blind.decide(year, year.momentum), blind.decide(other, year.momentum))
    seeing = snapshots[family]
    assert (seeing.decide(year, year.momentum) != seeing.decide(other, year.momentum)).any()


def test_metadata_tell_how_good_the_forecasts_were_that_it_learned_from(bars, forecasts) -> None:
    family = "direct"
    against = forecasts.assign(**{registry.get(family).forecaster: -forecasts["momentum"]})
    weeks = training_weeks(bars, against, family, CUTOFF, CONFIG[family])
    snapshot = train(family, weeks)
    training = snapshot.metadata["training"]
    momentum = mean_rank_correlation(weeks.momentum, weeks.weekly_return)
    assert momentum != 0
    assert training["momentum_rank_correlation"] == pytest.approx(momentum)
    assert training["forecast_rank_correlation"] == pytest.approx(-momentum)
    assert f"| {-momentum:.4f} | {momentum:.4f} (4-week momentum) | yes, walk-forward |" in snapshot.card
    assert "The growth is not out of sample" in snapshot.card
    assert snapshot.metadata["market"] == "simulator"


def test_a_signal_that_was_neutral_throughout_is_named_in_metadata_and_card(bars, forecasts) -> None:
    family = "direct"
    assert bars.signals is not None
    signals = bars.signals.copy()
    signals[:, :, 0] = 0.0
    signals[:, :, 4] = np.nan
    snapshot = train(family, training_weeks(replace(bars, signals=signals), forecasts, family, CUTOFF, CONFIG[family]))
    assert snapshot.metadata["uninformative_features"] == ["news_sentiment", "current_ratio"]
    assert "- signals without any information in the training data: news_sentiment, current_ratio\n" in snapshot.card


def test_metadata_that_are_none_are_refused(snapshots: dict[str, ModelSnapshot]) -> None:
    snapshot = snapshots["ppo"]
    for change, problem in (
        ({"uninformative_features": ["moon"]}, r"uninformative_features\[0\] to be one of news_sentiment"),
        ({"training": {**snapshot.metadata["training"], "saturation": "high"}}, "training.saturation to be a finite"),
    ):
        metadata = {**snapshot.metadata, "family": "ppo", "cutoff_date": str(CUTOFF), **change}
        with pytest.raises(SnapshotError, match=f"^metadata.json: expected {problem}"):
            replace(snapshot, metadata=metadata).check()


def test_weights_of_another_family_or_size_are_refused(snapshots: dict[str, ModelSnapshot]) -> None:
    ppo, sac = snapshots["ppo"], snapshots["sac"]
    with pytest.raises(SnapshotError, match=r"^model.safetensors: expected no arrays but "):
        replace(sac, arrays=ppo.arrays).check()
    with pytest.raises(SnapshotError, match=r"^config.json: SacConfig: expected keys among"):
        replace(sac, config=ppo.config).check()
    options = {**sac.config, "training": {**sac.config["training"], "hidden": 9}}
    with pytest.raises(SnapshotError, match=r"^model.safetensors: expected .* as config.json says"):
        replace(sac, config=options).check()


@families
def test_policy_refuses_weeks_that_begin_on_or_before_its_cutoff(snapshots, bars, family) -> None:
    with pytest.raises(LookAheadError, match=f"{family} snapshot of 2018-12-31: expected weeks that begin after"):
        snapshots[family].decide(bars, bars.momentum)


def test_policy_of_other_trading_rules_is_refused(snapshots: dict[str, ModelSnapshot], bars: WeeklyPanel) -> None:
    snapshot = snapshots["ppo"]
    rules = {**snapshot.config["rules"], "cost_bps": 5.0}
    other = replace(snapshot, config={**snapshot.config, "rules": rules})
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    with pytest.raises(BrainAssetsError, match=r"expected PortfolioConstraints\(.*cost_bps=10.0\), got .*cost_bps=5.0"):
        other.decide(year, year.momentum)
