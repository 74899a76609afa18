"""The one road from what a policy says to trades, with policies that are not ours."""

import datetime
import json
from collections.abc import Iterator, Mapping
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.configuration import ModelConfig
from brain_assets.errors import PluginError, PolicyError, TableError, TrainingError
from brain_assets.portfolio.arithmetic import CONSTRAINTS, PortfolioConstraints
from brain_assets.portfolio.backtest import backtest, beats_equal_weight
from brain_assets.portfolio.baselines import BASELINES, EQUAL_WEIGHT
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.policies import degeneracy, train_policy_snapshot, training_weeks
from brain_assets.portfolio.policy import Act, PolicyProgress, PolicyRunner, followed_by, weights_on
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.toy_markets import toy_weeks
from brain_assets_tests.portfolio.toy_results import Said, Stored, rollout
from examples.momentum_policy import MomentumRank

CUTOFF = datetime.date(2018, 12, 31)
FREE = PortfolioConstraints(min_cash=0.0, max_weight=1.0, cost_bps=0.0)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Beside them equal weight alone trades: the other rules take most of the time, and have tests of their own."""
    for policy in (MomentumRank, Odd, Follower):
        registry.register(policy)
    alone = {EQUAL_WEIGHT: BASELINES[EQUAL_WEIGHT]}
    with patch.dict(BASELINES, alone, clear=True):  # type: ignore[arg-type]  # which gives them back in their order
        yield


def test_a_policy_that_learns_nothing_goes_the_same_road(panel, bars, forecasts, tmp_path) -> None:
    weeks = training_weeks(bars, forecasts, "momentum_rank", CUTOFF, MomentumRank.Config())
    snapshot = train_policy_snapshot("momentum_rank", weeks, CUTOFF, MomentumRank.Config(), MADE_UP)
    training = snapshot.metadata["training"]
    assert training["curve"] == []
    assert not {"action_spread", "saturation"} & set(training)  # its logits have no bound
    assert degeneracy(training) is None
    assert snapshot.config["training"] == {"steepness": 4.0}
    assert "momentum_rank" in snapshot.card
    snapshot.save(tmp_path / snapshot.name)
    loaded = ModelSnapshot.load(tmp_path / snapshot.name)
    last = weeks.select(slice(-52, None))
    runner = PolicyRunner(MomentumRank(), {}, MomentumRank.Config(), last, CONSTRAINTS)
    np.testing.assert_array_equal(weights_on(loaded, weeks), runner.rollout().weights)
    result = backtest(panel, forecasts, [2019], {"momentum_rank": Stored(loaded)})
    assert result.used == {"momentum_rank": ("snapshot-2018-12-31",)}
    table = result.table[result.table["strategy"] == "momentum_rank"]
    traded = bars.select(np.isin(bars.weeks.start, table["week_start"].to_numpy().astype("datetime64[D]")))
    held = pd.DataFrame([json.loads(text) for text in table["weights"]]).fillna(0.0)
    assert len(table) > 50
    np.testing.assert_array_equal(held[[*panel.symbols, "cash"]], loaded.decide(traded, traded.momentum))
    assert beats_equal_weight(result.table).words.startswith("momentum_rank ")


class Odd(Said):
    """Learns two numbers, and stays at equal weight."""

    name, label, forecaster = "odd", "Odd", "patchtst"
    learned = np.array([1.0, 2.0], dtype=np.float32)

    def layout(self, config: ModelConfig) -> Mapping[str, tuple[int, ...]]:
        return {"slope": (2,)}

    def fit(self, weeks, config, rules, progress, device) -> Mapping[str, np.ndarray]:
        progress(PolicyProgress(1, 2, float("nan")))
        progress(PolicyProgress(2, 2, 0.5))
        return {"slope": self.learned}

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        return lambda week, held: np.zeros(weeks.n_assets + 1)


class FollowerConfig(ModelConfig):
    """Whom it follows."""

    forecaster: str = "lstm"


class Follower(Said):
    """Holds what its forecasts rank highest."""

    name, label, Config = "follower", "Follower", FollowerConfig

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        highest = np.nan_to_num(weeks.forecast, nan=-1.0) == np.nanmax(weeks.forecast, axis=1, keepdims=True)
        return lambda week, held: np.append(5.0 * highest[week], 0.0)


@pytest.mark.parametrize(
    ("said", "rate", "problem"),
    [
        ([0.0, 0.0, 0.0], 1.0, r"logits of shape \(n_assets \+ 1,\) = \(4,\), got \(3,\) in the week of"),
        ([0.0, np.nan, 0.0, 0.0], 1.0, r"logits that are numbers, or -inf for an asset, got \[ 0\. nan  0\.  0"),
        ([0.0, 0.0, 0.0, -np.inf], 1.0, "logits that are numbers, or -inf for an asset, got .*"),
        ([0.0] * 4, 0.0, r"a trading rate in \(0, 1\], got 0.0; correct its"),
        ([0.0] * 4, float("nan"), r"a trading rate in \(0, 1\], got nan; correct its"),
    ],
)
def test_what_cannot_be_traded_is_one_sentence(said: object, rate: float, problem: str) -> None:
    with pytest.raises(PolicyError, match=f"^said: expected {problem}"):
        rollout(said, rate, toy_weeks(2, 3), CONSTRAINTS)


def test_arrays_are_checked_and_points_of_a_learning_curve_kept_where_they_have_a_reward(monkeypatch) -> None:
    seen: list[PolicyProgress] = []
    snapshot = train_policy_snapshot("odd", toy_weeks(60, 3), CUTOFF, Odd.Config(), MADE_UP, seen.append)
    assert [point.steps for point in seen] == [1, 2]
    assert snapshot.metadata["training"]["curve"] == [{"steps": 2, "reward": 0.5}]
    assert degeneracy(snapshot.metadata["training"]) is not None  # equal weights every week
    monkeypatch.setattr(Odd, "learned", Odd.learned * np.float32(np.nan))
    with pytest.raises(TrainingError, match=r"^odd: expected fit to give finite numbers up to .* in slope"):
        train_policy_snapshot("odd", toy_weeks(60, 3), CUTOFF, Odd.Config(), MADE_UP)


@pytest.mark.parametrize("column", ["realized", "lstm_source", "ridge"])
def test_what_is_no_forecaster_of_the_table_cannot_be_followed(panel, bars, forecasts, column: str) -> None:
    """Least of all what was realized; and a policy cannot be traded where its forecasts are no more."""
    config, trained = Follower.Config(forecaster=column), Follower.Config()
    with pytest.raises(
        TableError, match=rf"^forecaster: expected one of lstm, patchtst, .*, average, .*, got {column};"
    ):
        training_weeks(bars, forecasts, "follower", CUTOFF, config)
    weeks = training_weeks(bars, forecasts, "follower", CUTOFF, trained)
    snapshot = Stored(train_policy_snapshot("follower", weeks, CUTOFF, trained, MADE_UP))
    without = forecasts.drop(columns=["lstm", "lstm_source"])
    with pytest.raises(TableError, match=r"^forecaster: expected one of patchtst, .*, got lstm; correct"):
        backtest(panel, without, [2019], {"follower": snapshot})


def test_a_policy_trades_the_forecasts_that_its_configuration_names(panel, bars, forecasts) -> None:
    """A column that no family makes, such as a mean of several, can be followed; each snapshot follows its own."""
    table = forecasts.assign(average=-forecasts["lstm"], average_source="lstm, patchtst")
    snapshots, seen = {}, {}
    for name, cutoff_date in (("average", CUTOFF), ("patchtst", datetime.date(2019, 12, 31))):
        config = Follower.Config(forecaster=name)
        weeks = training_weeks(bars, table, "follower", cutoff_date, config)
        sign = -1.0 if name == "average" else 1.0
        np.testing.assert_array_equal(weeks.forecast[weeks.available], sign * weeks.momentum[weeks.available])
        snapshots[name] = train_policy_snapshot("follower", weeks, cutoff_date, config, MADE_UP)
        assert snapshots[name].config["training"]["forecaster"] == followed_by(snapshots[name]) == name
        assert f"of the forecasts that it follows, of {name} " in snapshots[name].card
    result = backtest(panel, table, [2019, 2020], {"follower": Stored(*snapshots.values())})
    rows = result.table[result.table["strategy"] == "follower"].set_index("week_start")
    for week, weights in rows["weights"].items():
        at = int(np.flatnonzero(bars.weeks.start == np.datetime64(week, "D"))[0])
        sign = -1.0 if week.year == 2019 else 1.0
        seen[week.year] = max(json.loads(weights), key=json.loads(weights).get)
        assert json.loads(weights)[bars.symbols[int(np.argmax(sign * bars.momentum[at]))]] == pytest.approx(0.2)
    assert set(seen) == {2019, 2020}


@pytest.mark.parametrize("forecaster", [None, "", 3])
def test_a_policy_that_does_not_say_whom_it_follows_is_refused(forecaster: object) -> None:
    attributes = {"__module__": __name__, "name": "nobody", "forecaster": forecaster}
    with pytest.raises(PluginError, match="expected the name of a family as forecaster, got"):
        registry.register(type("Nobody", (Odd,), attributes))


def test_three_weeks_by_hand_with_drift() -> None:
    """A quarter of the way each week, from what the last week's returns have made of the weights."""
    weeks = toy_weeks(3, 2)
    weeks.pre_open_return[:] = 0.0
    weeks.weekly_return[:] = [[0.2, -0.1], [0.0, 0.5], [0.0, 0.0]]
    said = np.log(np.array([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]))
    run = rollout(said, 0.25, weeks, FREE)
    first = 0.75 * np.array([0.5, 0.5, 0.0]) + 0.25 * np.array([0.7, 0.2, 0.1])  # in cash: it starts at equal weight
    np.testing.assert_allclose(run.weights[0], first)
    held = first * [1.2, 0.9, 1.0] / (first @ [1.2, 0.9, 1.0])
    second = 0.75 * held + 0.25 * np.array([0.7, 0.2, 0.1])
    np.testing.assert_allclose(run.weights[1], second)
    held = second * [1.0, 1.5, 1.0] / (second @ [1.0, 1.5, 1.0])
    np.testing.assert_allclose(run.weights[2], 0.75 * held + 0.25 * np.array([0.1, 0.1, 0.8]))
    np.testing.assert_allclose(run.turnover[2], 0.25 * np.abs(held - [0.1, 0.1, 0.8])[:2].sum())


def test_an_asset_at_minus_infinity_is_sold_at_once() -> None:
    said = np.zeros((2, 4))
    said[1, 0] = -np.inf
    weights = rollout(said, 0.1, toy_weeks(2, 3), FREE).weights
    assert weights[0, 0] > 0.3
    assert weights[1, 0] == 0.0
