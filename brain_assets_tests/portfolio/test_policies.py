import datetime
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import BrainAssetsError, LookAheadError, TrainingError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.policies import (
    forecast_matrix,
    market_weeks,
    policy_fingerprint,
    train_policy_snapshot,
    training_weeks,
)
from brain_assets.snapshots.model_snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP, TINY_PPO

CUTOFF = datetime.date(2018, 12, 31)
CONFIG = PpoConfig(**TINY_PPO)


@pytest.fixture(scope="module")
def bars(panel: PricePanel) -> WeeklyBars:
    return WeeklyBars.from_panel(panel)


@pytest.fixture(scope="module")
def forecasts(panel: PricePanel) -> pd.DataFrame:
    return build_forecast_features(panel, range(2016, 2022), {})


@pytest.fixture(scope="module")
def snapshot(bars: WeeklyBars, forecasts: pd.DataFrame) -> ModelSnapshot:
    weeks = training_weeks(bars, forecasts, "ppo", CUTOFF)
    return train_policy_snapshot("ppo", weeks, CUTOFF, CONFIG, MADE_UP)


def test_forecasts_are_laid_out_by_week_and_symbol(bars: WeeklyBars, forecasts: pd.DataFrame) -> None:
    shuffled = forecasts.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(forecast_matrix(bars, shuffled, "momentum"), bars.momentum)
    without = forecasts[forecasts["symbol"] != bars.symbols[1]]
    assert np.isnan(forecast_matrix(bars, without, "momentum")[:, 1]).all()


def test_availability_is_decided_by_what_is_known_before_the_week(panel: PricePanel) -> None:
    values = panel.values.copy()
    bars = WeeklyBars.from_panel(panel)
    week = 100
    first = bars.weeks.first[week]
    values[0, first:] = np.nan  # symbol 0 never trades again from the week's first session on
    values[1, first - 1] = np.nan  # symbol 1 has no bar on the session before
    changed = WeeklyBars.from_panel(PricePanel(panel.sessions, panel.symbols, values))
    weeks = market_weeks(changed, changed.momentum)
    assert weeks.available[week, 0]  # nobody could know
    assert weeks.weekly_return[week, 0] == 0
    assert weeks.gap[week, 0] == 0
    assert not weeks.available[week + 1, 0]
    assert not weeks.available[week, 1]


def test_policy_learns_from_weeks_up_to_its_cutoff_only(bars: WeeklyBars, forecasts: pd.DataFrame) -> None:
    weeks = training_weeks(bars, forecasts, "ppo", CUTOFF)
    assert weeks.week_start[0] == np.datetime64("2016-02-08")  # 20 daily returns are known by then, 4 weeks before
    assert weeks.week_start[-1] == np.datetime64("2018-12-24")  # the next one ends in 2019
    later = forecasts.copy()
    later.loc[later["week_start"] > pd.Timestamp(CUTOFF), "lstm"] = 9.0
    assert policy_fingerprint("ppo", weeks, CONFIG) == policy_fingerprint(
        "ppo", training_weeks(bars, later, "ppo", CUTOFF), CONFIG
    )


def test_no_week_to_learn_from_is_one_sentence(bars: WeeklyBars, forecasts: pd.DataFrame) -> None:
    with pytest.raises(TrainingError, match="expected weeks with an available symbol to learn from, got none"):
        training_weeks(bars, forecasts.assign(lstm=np.nan), "ppo", CUTOFF)


def test_loaded_policy_decides_exactly_as_the_trained_one(
    snapshot: ModelSnapshot, bars: WeeklyBars, tmp_path: Path
) -> None:
    snapshot.save(tmp_path / "snapshot-2018-12-31")
    loaded = ModelSnapshot.load(tmp_path / "snapshot-2018-12-31")
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    decisions = snapshot.decide(year, year.momentum)
    np.testing.assert_array_equal(loaded.decide(year, year.momentum), decisions)
    np.testing.assert_allclose(decisions.sum(axis=1), 1)
    assert decisions[:, -1].min() >= 0.02 - 1e-12
    assert decisions[:, :-1].max() <= 0.2 + 1e-12
    assert loaded.metadata["data"]["symbols"] == list(bars.symbols)


def test_evidence_tells_how_good_the_forecasts_were_that_it_learned_from(
    bars: WeeklyBars, forecasts: pd.DataFrame
) -> None:
    weeks = training_weeks(bars, forecasts.assign(lstm=-forecasts["momentum"]), "ppo", CUTOFF)
    snapshot = train_policy_snapshot("ppo", weeks, CUTOFF, CONFIG, MADE_UP)
    training = snapshot.metadata["training"]
    momentum = mean_rank_correlation(weeks.momentum, weeks.weekly_return)
    assert momentum != 0
    assert training["momentum_rank_correlation"] == pytest.approx(momentum)
    assert training["forecast_rank_correlation"] == pytest.approx(-momentum)
    assert f"| {-momentum:.4f} | {momentum:.4f} (4-week momentum) | yes, walk-forward |" in snapshot.card
    assert "The growth is not out of sample" in snapshot.card
    assert snapshot.metadata["market"] == "simulator"


def test_policy_refuses_weeks_that_begin_on_or_before_its_cutoff(snapshot: ModelSnapshot, bars: WeeklyBars) -> None:
    with pytest.raises(LookAheadError, match="ppo snapshot of 2018-12-31: expected weeks that begin after its cut-off"):
        snapshot.decide(bars, bars.momentum)


def test_policy_of_other_trading_rules_is_refused(snapshot: ModelSnapshot, bars: WeeklyBars) -> None:
    rules = {**snapshot.config["rules"], "cost_bps": 5.0}
    other = replace(snapshot, config={**snapshot.config, "rules": rules})
    year = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    with pytest.raises(BrainAssetsError, match=r"expected TradingRules\(.*cost_bps=10.0\), got .*cost_bps=5.0"):
        other.decide(year, year.momentum)


SECOND_PROCESS = """
import datetime, sys
from pathlib import Path
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.prices import PricePanel
from brain_assets.market.simulator import SimulatorMarket
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio.config import PpoConfig
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets_tests.conftest import MADE_UP, TINY_PPO
cutoff = datetime.date(2018, 12, 31)
market = SimulatorMarket(("A", "B", "C"), seed=3)
panel = PricePanel.from_frame(market.prices(datetime.date(2016, 1, 1), datetime.date(2019, 1, 1)))
forecasts = build_forecast_features(panel, [2016, 2017, 2018], {})
weeks = training_weeks(WeeklyBars.from_panel(panel), forecasts, "ppo", cutoff)
train_policy_snapshot("ppo", weeks, cutoff, PpoConfig(**TINY_PPO), MADE_UP).save(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_same_fingerprint_in_a_second_process_gives_the_same_bytes(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        folder = tmp_path / name / "snapshot-2018-12-31"
        subprocess.run([sys.executable, "-c", SECOND_PROCESS, str(folder)], check=True)
        hashes.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())})
    assert hashes[0] == hashes[1]
    assert len(hashes[0]) == 5
