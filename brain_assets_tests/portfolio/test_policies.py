import datetime
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.errors import BrainAssetsError, LookAheadError, SnapshotError, TableError, TrainingError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import BY_WEEK_AND_ASSET, PolicyDataset, market_weeks
from brain_assets.portfolio.policies import (
    degeneracy,
    policy_diagnostics,
    policy_fingerprint,
    train_policy_snapshot,
    training_weeks,
)
from brain_assets.portfolio.strategy import StrategyRun
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.conftest import CONFIG
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CUTOFF = datetime.date(2018, 12, 31)
families = pytest.mark.parametrize("family", CONFIG)


def weeks_of(family: str, bars: WeeklyPanel, forecasts: pd.DataFrame) -> PolicyDataset:
    return training_weeks(bars, forecasts, family, CUTOFF, CONFIG[family])


def train(family: str, weeks: PolicyDataset) -> ModelSnapshot:
    return train_policy_snapshot(family, weeks, CUTOFF, CONFIG[family], MADE_UP)


def test_availability_is_decided_by_what_is_known_before_the_week(panel: PricePanel) -> None:
    values = panel.values.copy()
    bars, week = WeeklyPanel.from_panel(panel), 100
    first = bars.weeks.first[week]
    values[0, first:] = np.nan  # symbol 0 never trades again from the week's first session on
    values[1, first - 1] = np.nan  # symbol 1 has no bar on the session before
    changed = WeeklyPanel.from_panel(replace(panel, values=values))
    weeks = market_weeks(changed, changed.momentum)
    assert weeks.available[week, 0]  # nobody could know
    assert weeks.weekly_return[week, 0] == weeks.pre_open_return[week, 0] == 0
    assert not weeks.available[week + 1, 0]
    assert not weeks.available[week, 1]


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
def test_policy_learns_from_weeks_up_to_its_cutoff_only(bars, forecasts, family: str) -> None:
    weeks = weeks_of(family, bars, forecasts)
    assert weeks.week_start[0] == np.datetime64("2016-02-08")  # 20 daily returns are known by then, 4 weeks before
    assert weeks.week_start[-1] == np.datetime64("2018-12-24")  # the next one ends in 2019
    after = bars.weeks.end > np.datetime64(CUTOFF)
    signals = np.where(after[:, None, None], 9.0, bars.signals)
    changed = replace(bars, signals=signals, return_ffill=np.where(after[:, None], 0.5, bars.return_ffill))
    before = policy_fingerprint(family, weeks, CONFIG[family])
    assert policy_fingerprint(family, weeks_of(family, changed, forecasts), CONFIG[family]) == before


def test_the_fingerprint_changes_with_all_that_a_policy_learns_from(bars, forecasts) -> None:
    weeks = weeks_of("direct", bars, forecasts)
    values = {name: np.copy(getattr(weeks, name)) for name in BY_WEEK_AND_ASSET}
    for name, value in values.items():
        value[3, 1] = False if name == "available" else value[3, 1] + 0.01
    others = [
        *(replace(weeks, **{name: value}) for name, value in values.items()),
        replace(weeks, symbols=("ZZZ", *weeks.symbols[1:])),
        replace(weeks, week_start=weeks.week_start + np.timedelta64(1, "D")),
    ]
    found = {policy_fingerprint("direct", each, CONFIG["direct"]).value for each in (weeks, *others)}
    assert len(found) == 1 + len(others)


@families
def test_loaded_policy_decides_exactly_as_the_trained_one(snapshots, bars, tmp_path, family) -> None:
    snapshot = snapshots[family, 2018]
    snapshot.save(tmp_path / "snapshot-2018-12-31")
    loaded = ModelSnapshot.load(tmp_path / "snapshot-2018-12-31")
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    decisions = snapshot.decide(year, year.momentum)
    np.testing.assert_array_equal(loaded.decide(year, year.momentum), decisions)
    np.testing.assert_allclose(decisions.sum(axis=1), 1)
    assert decisions[:, -1].min() >= 0.02 - 1e-12
    assert decisions[:, :-1].max() <= 0.2 + 1e-12
    assert loaded.metadata["data"]["symbols"] == list(bars.symbols)
    with pytest.raises(LookAheadError, match=f"{family} snapshot of 2018-12-31: expected weeks that begin after"):
        snapshot.decide(bars, bars.momentum)


@pytest.mark.parametrize("family", ["ppo", "direct"])
def test_policy_acts_on_signals_as_large_as_those_it_learned_from(snapshots, bars, forecasts, family) -> None:
    """A policy that learned without signals (scale 0) decides the same whatever they say."""
    config = CONFIG[family].replace(signal_scale=0.0)
    blind = train_policy_snapshot(family, weeks_of(family, bars, forecasts), CUTOFF, config, MADE_UP)
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    other = replace(year, signals=-year.signals)
    np.testing.assert_array_equal(blind.decide(year, year.momentum), blind.decide(other, year.momentum))
    seeing = snapshots[family, 2018]
    assert (seeing.decide(year, year.momentum) != seeing.decide(other, year.momentum)).any()


def test_metadata_and_card_tell_how_good_the_forecasts_were_and_which_signals_said_nothing(bars, forecasts) -> None:
    against = forecasts.assign(**{registry.get("direct").forecaster: -forecasts["momentum"]})
    signals = bars.signals.copy()
    signals[:, :, 0] = 0.0
    signals[:, :, 4] = np.nan
    weeks = weeks_of("direct", replace(bars, signals=signals), against)
    snapshot = train("direct", weeks)
    training, momentum = snapshot.metadata["training"], mean_rank_correlation(weeks.momentum, weeks.weekly_return)
    assert training["momentum_rank_correlation"] == pytest.approx(momentum)
    assert training["forecast_rank_correlation"] == pytest.approx(-momentum)
    assert snapshot.metadata["uninformative_features"] == ["news_sentiment", "current_ratio"]
    assert f"| {-momentum:.4f} | {momentum:.4f} (4-week momentum) | yes, walk-forward |" in snapshot.card
    assert "The growth is not out of sample" in snapshot.card
    assert "- signals without any information in the training data: news_sentiment, current_ratio\n" in snapshot.card


def test_what_is_no_policy_of_the_family_is_refused(snapshots) -> None:
    ppo, sac = snapshots["ppo", 2018], snapshots["sac", 2018]
    told = {**ppo.metadata, "family": "ppo", "cutoff_date": str(CUTOFF)}
    training = {**ppo.metadata["training"], "saturation": "high"}
    wide = {**sac.config, "training": {**sac.config["training"], "hidden": 9}}
    for wrong, problem in (
        (replace(ppo, metadata={**told, "uninformative_features": ["moon"]}), r"metadata.json: .*\[0\] to be one of"),
        (replace(ppo, metadata={**told, "training": training}), "metadata.json: .*training.saturation to be a finite"),
        (replace(sac, arrays=ppo.arrays), "model.safetensors: expected no arrays but "),
        (replace(sac, config=ppo.config), "config.json: SacConfig: expected keys among"),
        (replace(sac, config=wide), "model.safetensors: expected .* as config.json says"),
    ):
        with pytest.raises(SnapshotError, match=f"^{problem}"):
            wrong.check()


def test_what_cannot_be_learned_or_decided_is_one_sentence(panel, bars, forecasts, snapshots) -> None:
    without = WeeklyPanel.from_panel(replace(panel, signals=None))
    with pytest.raises(TableError, match=r"expected bars with signals, got none; use .*add_signals on the panel"):
        market_weeks(without, without.momentum)
    with pytest.raises(TableError, match=r"^forecast: expected shape \(n_weeks, n_assets\) = \(\d+, 6\), got \(5, 6\)"):
        market_weeks(bars, bars.momentum[:5])
    with pytest.raises(TrainingError, match="expected weeks with an available symbol to learn from, got none"):
        weeks_of("ppo", bars, forecasts.assign(lstm=np.nan))
    snapshot, year = snapshots["ppo", 2018], bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    other = replace(snapshot, config={**snapshot.config, "rules": {**snapshot.config["rules"], "cost_bps": 5.0}})
    with pytest.raises(BrainAssetsError, match=r"expected PortfolioConstraints\(.*cost_bps=10.0\), got .*cost_bps=5.0"):
        other.decide(year, year.momentum)


LIVELY = {"action_spread": 1.0, "mean_turnover": 0.1, "distance_to_equal_weight": 0.3, "saturation": 0.1}
LIVELY["forecast_rank_correlation"] = 0.05
CONSTRAINTS = PortfolioConstraints()


def test_diagnostics_by_hand() -> None:
    weeks = toy_weeks(3, 3)
    weeks.available[1, 2] = weeks.available[2, 1:] = False
    # Equal weight: 0.2 each, as the cap has it; what is not available goes to cash.
    weights = np.array([[0.2, 0.1, 0.0, 0.7], [0.2, 0.2, 0.0, 0.6], [0.0, 0.0, 0.0, 1.0]])
    run = StrategyRun(weights, np.zeros(3), np.array([0.9, 0.1, 0.3]), weights[-1])
    logits = np.array([[1.0, 2.0, 3.0, 99.0], [0.0, -2.0, 9.0, 99.0], [2.98, 9.0, 9.0, -99.0]])
    got = policy_diagnostics(run, logits, 3.0, weeks, CONSTRAINTS)
    assert got["action_spread"] == pytest.approx((np.sqrt(2 / 3) + 1.0) / 2)  # the last week has one asset
    assert got["mean_turnover"] == pytest.approx(0.2)  # not the first week, which buys what it starts with
    assert got["distance_to_equal_weight"] == pytest.approx((0.6 + 0.4 + 0.0) / 3)  # targets: twice all in cash
    assert got["saturation"] == pytest.approx(2 / 6)  # 3.0 and 2.98 of six that count
    unbounded = policy_diagnostics(run, logits, None, weeks, CONSTRAINTS)
    assert unbounded == {name: got[name] for name in ("mean_turnover", "distance_to_equal_weight")}
    assert degeneracy({**LIVELY, **unbounded}) is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"distance_to_equal_weight": 0.0499}, "The policy is uniform: its targets are 4.99% .*, less than 5%.* 0.050"),
        ({"distance_to_equal_weight": 0.0, "forecast_rank_correlation": 0.0499}, None),  # nothing speaks for a tilt
        ({"saturation": 0.91}, "The policy is saturated: 91% of its logits are at their bounds, more than 90%"),
        ({"mean_turnover": 0.0009}, r"The policy never trades: 0.090% of the value a week, less than 0.1%"),
    ],
)
def test_degenerate_is_said_in_one_sentence(changed: dict, expected: str | None) -> None:
    assert re.match(expected or "None", str(degeneracy({**LIVELY, **changed})))
