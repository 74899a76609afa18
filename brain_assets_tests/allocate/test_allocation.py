"""The weights of a week: those that the backtest trades in it, and nothing that comes later."""

import datetime
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.allocate.allocation import WeekTargets, decide_week, refuse_old_models, strategies_of, until_decision
from brain_assets.errors import AllocationError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.ridge import RidgeConfig
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import SnapshotSource, build_forecast_features
from brain_assets.market.calendar import CalendarWeek, sessions_between, week_from
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.backtest import backtest
from brain_assets.portfolio.baselines import BUY_AND_HOLD, is_tenth
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.store.names import cutoff_of_year
from brain_assets_tests.conftest import MADE_UP, TINY_PPO
from brain_assets_tests.portfolio.toy_results import Stored, cheap_rules

Sources = Mapping[str, SnapshotSource]
FORECASTERS, POLICIES = ("lstm", "ridge"), ("ppo",)
STRATEGIES = [name for name in strategies_of(POLICIES, (*FORECASTERS, "average")) if not is_tenth(name)]
LISTED_LATE = np.datetime64("2020-08-03")
"""One symbol has no bar before: all of 2019, and half of 2020."""


def week_of(text: str) -> CalendarWeek:
    return week_from(datetime.date.fromisoformat(text))


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    with cheap_rules():
        yield


@pytest.fixture(scope="module")
def history(panel: PricePanel) -> PricePanel:
    """Six symbols, of which the last is listed in August 2020."""
    values = panel.values.copy()
    values[-1, panel.sessions < LISTED_LATE] = np.nan
    return replace(panel, values=values)


@pytest.fixture(scope="module")
def sources(history: PricePanel, tiny_lstm: LstmConfig) -> Sources:
    """Models of 2018 and 2019, hardly trained."""
    bars, cutoffs = WeeklyPanel.from_panel(history), [cutoff_of_year(year) for year in (2018, 2019)]
    made: dict[str, SnapshotSource] = {
        family: Stored(*(train_snapshot(family, history, date, config, MADE_UP) for date in cutoffs))
        for family, config in (("lstm", tiny_lstm), ("ridge", RidgeConfig()))
    }
    forecasts = build_forecast_features(history, range(2016, 2020), made)
    config = PpoConfig(**TINY_PPO)
    weeks = {date: training_weeks(bars, forecasts, "ppo", date, config) for date in cutoffs}
    made["ppo"] = Stored(*(train_policy_snapshot("ppo", weeks[date], date, config, MADE_UP) for date in cutoffs))
    return made


@pytest.fixture(scope="module")
def stored(history: PricePanel, sources: Sources) -> pd.DataFrame:
    """Forecasts of the whole of 2020, the first week of which begins in 2019."""
    return build_forecast_features(history, [2020], {family: sources[family] for family in FORECASTERS})


@pytest.fixture(scope="module")
def before(history: PricePanel, sources: Sources) -> pd.DataFrame:
    forecasts = build_forecast_features(history, [2019], {family: sources[family] for family in FORECASTERS})
    return backtest(history, forecasts, [2019], {family: sources[family] for family in POLICIES}).table


@pytest.fixture(scope="module")
def backtested(history: PricePanel, sources: Sources, stored: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    return backtest(history, stored, [2020], {family: sources[family] for family in POLICIES}, before=before).table


def decided(
    panel: PricePanel, week: CalendarWeek, sources: Sources, stored: pd.DataFrame | None = None, max_data_age: int = 0
) -> WeekTargets:
    return decide_week(until_decision(panel, week, max_data_age), week, [2020], sources, stored)


def traded(table: pd.DataFrame, week: CalendarWeek, strategy: str, symbols: list[str]) -> np.ndarray:
    rows = table[(table["week_start"] == pd.Timestamp(week.start)) & (table["strategy"] == strategy)]
    [text] = rows["weights"]
    weights = json.loads(text)
    return np.array([weights.get(symbol, 0.0) for symbol in symbols])


def bytes_of(table: pd.DataFrame) -> bytes:
    parquet = io.BytesIO()
    table.to_parquet(parquet, index=False)
    return parquet.getvalue()


@pytest.mark.parametrize(
    ("date", "cutoff"),
    [
        ("2019-12-30", "2018-12-31"),  # the first week of 2020: what was held at the end of 2019 is traded
        ("2020-01-06", "2019-12-31"),  # the first by the newer models
        ("2020-09-07", "2019-12-31"),  # Labor Day: the week begins on Tuesday, and a sixth symbol is there
    ],
)
def test_target_of_a_past_week_is_what_the_backtest_traded_in_it(
    history, sources, stored, before, backtested, date, cutoff
) -> None:
    week = week_of(date)
    targets = decide_week(until_decision(history, week), week, [2020], sources, stored, before=before)
    assert list(targets.table.columns) == ["symbol", *STRATEGIES]
    assert targets.left_out == ()
    average = {"average": f"lstm snapshot-{cutoff}, ridge snapshot-{cutoff}"}
    assert dict(targets.sources) == dict.fromkeys((*FORECASTERS, *POLICIES), f"snapshot-{cutoff}") | average
    symbols = targets.table["symbol"].tolist()
    assert symbols == [*history.symbols[: 5 if date < str(LISTED_LATE) else 6], "cash"]
    for strategy in STRATEGIES:
        weights, expected = targets.table[strategy].to_numpy(), traded(backtested, week, strategy, symbols)
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        if strategy != BUY_AND_HOLD:  # it trades nothing: the open moves its weights
            np.testing.assert_array_equal(weights, expected, strategy)


def test_forecasts_that_are_not_stored_are_made_and_say_the_same_but_for_the_last_digits(
    history, sources, stored
) -> None:
    week = week_of("2020-06-10")
    made, before = decided(history, week, sources), decided(history, week, sources, stored)
    without = decided(history, week, sources, stored[stored["week_start"] != pd.Timestamp(week.start)])
    assert bytes_of(without.table) == bytes_of(made.table)
    assert dict(made.sources) == dict(before.sources)
    np.testing.assert_allclose(made.table.iloc[:, 1:], before.table.iloc[:, 1:], rtol=0, atol=1e-6)


def test_a_week_to_come_is_averaged_as_those_before_it(history: PricePanel, sources: Sources) -> None:
    forecasters, week = {family: sources[family] for family in FORECASTERS}, week_of("2020-06-10")
    for average, cell in (
        (["ridge"], "ridge snapshot-2019-12-31"),
        ([], None),
        (None, "lstm snapshot-2019-12-31, ridge snapshot-2019-12-31"),
    ):
        table = build_forecast_features(history, [2020], forecasters, average=average)
        made = decided(history, week, sources, table[table["week_start"] < pd.Timestamp(week.start)])
        assert made.sources.get("average") == cell
        assert ("average_top" in made.table) == (cell is not None)


def test_nothing_after_the_decision_moves_a_byte(history: PricePanel, sources: Sources, stored: pd.DataFrame) -> None:
    week = week_of("2020-06-10")
    before = bytes_of(decided(history, week, sources).table)
    later = history.sessions > np.datetime64(week.decided)
    values = history.values.copy()
    values[:, later] *= np.random.default_rng(0).uniform(0.5, 2.0, values[:, later].shape)
    values[0, later] = np.nan  # delisted
    signals = history.signals.copy()
    signals[:, later] = 1.0
    symbols = ("!NEW", *history.symbols)  # and one that is listed after the decision
    new = np.where(later[:, None], 50.0, np.nan)
    changed = PricePanel(
        history.sessions,
        symbols,
        np.concatenate([new[None] * np.ones((1, 1, values.shape[2])), values]),
        np.concatenate([np.full_like(signals[:1], np.nan), signals]),
    )
    assert bytes_of(decided(changed, week, sources).table) == before
    later_rows = stored["week_start"] > pd.Timestamp(week.start)
    other = stored.assign(lstm=stored["lstm"].where(~later_rows, 1.0))
    other = other[~(later_rows & (other["symbol"] == history.symbols[0]))]
    with_stored = bytes_of(decided(history, week, sources, stored).table)
    assert bytes_of(decided(changed, week, sources, other).table) == with_stored
    younger = {}
    for family, source in sources.items():
        last = source.by_date[cutoff_of_year(2019)]
        younger[family] = Stored(*source.by_date.values(), replace(last, cutoff_date=cutoff_of_year(2020)))
    assert bytes_of(decided(history, week, younger).table) == before
    # and what came before does
    earlier = history.values.copy()
    earlier[0, history.sessions == np.datetime64(week.decided), CLOSE] *= 1.05
    assert bytes_of(decided(replace(history, values=earlier), week, sources).table) != before


@pytest.mark.parametrize(
    ("last", "date", "max_data_age", "words"),
    [
        # Memorial Day: the week begins on Tuesday, and is decided on Friday 22 May
        ("2020-05-20", "2020-05-25", 0, "2020-05-22, the last close before the week of 2020-05-26, .* 2020-05-18 "),
        ("2020-05-20", "2020-05-25", 1, "at most 1 sessions before, got bars until 2020-05-20, 2 sessions"),
        ("2020-05-22", "2020-06-08", 0, "such as 2020-05-26 "),  # after the last session of a week, it is the next
        ("2001-09-07", "2001-09-17", 0, "such as 2001-09-04 "),  # but not that of 11 September, with a single session
    ],
)
def test_old_data_are_refused_with_the_week_that_they_reach(last, date, max_data_age, words) -> None:
    until = datetime.date.fromisoformat(last)
    sessions = sessions_between(until - datetime.timedelta(days=1), until + datetime.timedelta(days=1))
    panel = PricePanel(sessions, ("A",), np.ones((1, len(sessions), 5)))
    with pytest.raises(AllocationError, match=words):
        until_decision(panel, week_of(date), max_data_age)


def test_a_symbol_without_a_last_bar_is_named_and_not_held(history: PricePanel, sources: Sources) -> None:
    week = week_of("2020-06-10")
    values = history.values.copy()
    last = np.searchsorted(history.sessions, np.datetime64(week.decided))
    values[1, last - 19 :] = np.nan  # its last bar is one of the 20 sessions before
    values[2, last - 20 :] = np.nan  # gone a session longer
    targets = decided(replace(history, values=values), week, sources)
    assert targets.missing_symbols == (history.symbols[1],)
    assert not targets.table.iloc[[1, 2], 1:].to_numpy().any()
    np.testing.assert_allclose(targets.table["equal_weight"], [0.2, 0, 0, 0.2, 0.2, 0.4], atol=1e-12)


def test_weeks_in_which_nobody_trades_are_refused(history: PricePanel, sources: Sources) -> None:
    values = history.values.copy()
    values[:, history.sessions == np.datetime64("2020-06-05")] = np.nan  # a session on which nobody has a bar
    with pytest.raises(AllocationError, match="got bars until 2020-06-04, 1 sessions before"):
        until_decision(replace(history, values=values), week_of("2020-06-08"))
    with pytest.raises(AllocationError, match="at least 3 sessions, got that of 2001-09-10 with 1, in which nobody"):
        until_decision(history, week_of("2001-09-10"))
    with pytest.raises(AllocationError, match="expected a week after the first bar, of 2016-01-04, got that of 2015"):
        until_decision(history, week_of("2015-06-01"))
    early = week_of("2018-06-04")
    with pytest.raises(AllocationError, match=r"got none of ppo; materialize ppo_policy for 2019, and"):
        decide_week(until_decision(history, early), early, [2018], sources, first_cutoff=cutoff_of_year(2019))


def test_old_models_are_refused_by_name_and_age(history: PricePanel, sources: Sources) -> None:
    week = week_of("2020-06-10")
    targets = decided(history, week, sources)
    # from 2019-12-31 to Monday 2020-06-08: 31 + 29 + 31 + 30 + 31 + 8
    assert dict(targets.model_ages) == dict.fromkeys((*sources, "average"), 160)
    refuse_old_models(targets, 160)
    old = {**sources, "ppo": Stored(sources["ppo"].by_date[cutoff_of_year(2018)])}  # type: ignore[attr-defined]
    with pytest.raises(
        AllocationError,
        match=r"at most 400 days before the week of 2020-06-08, got ppo snapshot-2018-12-31 \(525 days\); materialize "
        r"those of 2019",
    ):
        refuse_old_models(decided(history, week, old), 400)
    with pytest.raises(AllocationError, match=r"got lstm none \(momentum in its place\); materialize"):
        refuse_old_models(decided(history, week, {**sources, "lstm": Stored()}), 400)
