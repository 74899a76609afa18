"""Leaks as somebody would write them, each injected into the real code, and each caught; the code as it is passes."""

import datetime
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from brain_assets import Act, ModelConfig, PolicyDataset, registry
from brain_assets.errors import SettingsError
from brain_assets.forecasting import forecaster, training, walkforward
from brain_assets.forecasting.average import SnapshotForecasts
from brain_assets.forecasting.features import TrainingSplit, Windows
from brain_assets.forecasting.walkforward import MOMENTUM, YARDSTICKS
from brain_assets.formatting import CheckResult
from brain_assets.graph.assets import models, tables
from brain_assets.graph.build import build_assets
from brain_assets.graph.years import Years
from brain_assets.market import signals, weekly
from brain_assets.market.base import Market
from brain_assets.market.calendar import Weeks, week_times
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets.portfolio import actor_critic, baselines
from brain_assets.portfolio.baselines import Baseline, top
from brain_assets.portfolio.dataset import fit_observation_scaler
from brain_assets.prove import testing
from brain_assets.prove.no_lookahead import (
    GUARDED,
    LEAK,
    PASSED,
    VOID,
    LookaheadResult,
    compare_runs,
    default_dates,
    prove_no_lookahead,
)
from brain_assets.prove.runs import GraphRuns, RecordedMarket, quick_options
from brain_assets.prove.testing import assert_no_lookahead
from brain_assets.registry import Families
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.manifest import FILES
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import FAMILIES, SYMBOLS
from examples.momentum_policy import MomentumRank
from examples.pls_forecaster import Pls, PlsConfig

YEARS = {"first_year": 2018, "bootstrap_years": 2, "last_year": 2020}
YEAR_END, JULY = default_dates([2019, 2020])
START, END = datetime.date(2018, 1, 1), datetime.date(2021, 1, 1)
MARKET = RecordedMarket(SimulatorMarket(SYMBOLS, seed=1), START, END)

SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a third of the time."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)


def runs_of(names: Iterable[str], market: Market = MARKET, *on_step: Any) -> GraphRuns:
    families = Families.of(map(registry.get, names))
    years = Years.of(read_settings(**YEARS), market)
    return GraphRuns(build_assets(years, families), years, families, quick_options(families), *on_step)


def result_of(
    folder: Path, date: datetime.date, families: Sequence[str] = ("lstm",), market: RecordedMarket = MARKET
) -> LookaheadResult:
    [result] = prove_no_lookahead(market, runs_of(families), folder, [date])
    return result


# The leaks


def wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Call a change in place of a function, with the function first."""
    patch.setattr(owner, name, partial(change, getattr(owner, name)))


def scaler_fitted_on_validation_rows(patch: pytest.MonkeyPatch) -> None:
    wrap(patch, training, "fit_scaler", lambda fit, features, _: fit(features, features.shape[1] - 1))


def split_otherwise(patch: pytest.MonkeyPatch, days: int, split: Callable[..., TrainingSplit]) -> None:
    """Cut the panel some days later, and split its weeks."""
    until = PricePanel.until
    patch.setattr(PricePanel, "until", lambda panel, date: until(panel, date + datetime.timedelta(days=days)))
    patch.setattr(models, "train_snapshot", partial(training.train_snapshot, split_by=split))


def target_past_the_cutoff(patch: pytest.MonkeyPatch) -> None:
    """The panel is cut after the week of the cut-off, and a week that has begun by then is learned from."""

    def split(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
        inside = weeks.start <= np.datetime64(cutoff_date)
        validation = np.flatnonzero(inside & (weeks.start >= np.datetime64(f"{cutoff_date.year}-01-01")))
        return TrainingSplit(np.flatnonzero(inside & (weeks.end < weeks.start[validation[0]])), validation)

    split_otherwise(patch, 7, split)


def learning_from_the_year_that_is_forecast(patch: pytest.MonkeyPatch) -> None:
    """Its weeks are kept out of the figures only."""

    def split(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
        validation = np.flatnonzero(weeks.year >= min(cutoff_date.year + 1, weeks.year.max()))
        return TrainingSplit(np.flatnonzero(weeks.end < weeks.start[validation[0]]), validation)

    split_otherwise(patch, 366, split)


def bfill(patch: pytest.MonkeyPatch) -> None:
    def filled(from_frame: Any, frame: pd.DataFrame) -> PricePanel:
        panel = from_frame(frame)
        return replace(panel, values=np.stack([pd.DataFrame(bars).bfill().to_numpy() for bars in panel.values]))

    wrap(patch, PricePanel, "from_frame", filled)


def universe_chosen_at_the_end(patch: pytest.MonkeyPatch) -> None:
    def survivors(from_frame: Any, frame: pd.DataFrame) -> PricePanel:
        still_there = frame.loc[frame["date"] == frame["date"].max(), "symbol"]
        return from_frame(frame[frame["symbol"].isin(still_there)])

    wrap(patch, PricePanel, "from_frame", survivors)


def centred_rolling_window(patch: pytest.MonkeyPatch) -> None:
    def smoothed(build: Any, *arguments: Any) -> np.ndarray:
        features = build(*arguments)
        rolled = [pd.DataFrame(rows).rolling(5, center=True, min_periods=1).mean().to_numpy() for rows in features]
        return np.where(np.isfinite(features), np.stack(rolled), np.nan).astype(np.float32)

    wrap(patch, forecaster, "build_features", smoothed)


def fiscal_date_for_filing_date(patch: pytest.MonkeyPatch) -> None:
    def by_quarter(channels: Any, panel: PricePanel, table: pd.DataFrame) -> Any:
        return channels(panel, table.assign(filed=table["period_end"]).sort_values("filed"))

    wrap(patch, signals, "fundamental_channels", by_quarter)


def same_year_snapshot(patch: pytest.MonkeyPatch) -> None:
    def choose(weeks: Weeks, cutoffs: Sequence[datetime.date]) -> np.ndarray:
        years = np.array([cutoff.year for cutoff in cutoffs])
        return np.searchsorted(years, weeks.year, "right") - 1

    wrap(patch, Years, "of", lambda of, *given: replace(of(*given), previous=of(*given).up_to_year))
    patch.setattr(walkforward, "choose_snapshots", choose)


def week_labelled_by_its_last_day(patch: pytest.MonkeyPatch) -> None:
    """As `resample("W-FRI")` would: and everything up to the day before the label counts as known."""

    def labelled(complete_weeks: Any, sessions: np.ndarray) -> Weeks:
        weeks = complete_weeks(sessions)
        return Weeks(weeks.last, weeks.last, weeks.end, weeks.end)

    wrap(patch, weekly, "complete_weeks", labelled)


def normalized_by_full_sample_statistics(patch: pytest.MonkeyPatch) -> None:
    def normalized(scale: Any, features: np.ndarray, scaler: Any, clip: float) -> Any:
        mean, deviation = (np.float64(each(features, axis=(0, 1))) for each in (np.nanmean, np.nanstd))
        return scale(features, replace(scaler, mean=mean, scale=deviation), clip)

    for module in (training, forecaster):
        wrap(patch, module, "scale_features", normalized)


def forecasts_shifted_by_one(patch: pytest.MonkeyPatch) -> None:
    def shifted(forecast_family: Any, *arguments: Any) -> SnapshotForecasts:
        found = forecast_family(*arguments)
        return found._replace(values=np.roll(found.values, -1, axis=0))

    wrap(patch, walkforward, "_forecast_family", shifted)
    quick = {**registry.get("lstm").quick, "seed": 1}  # of that seed, forecasts follow the week before
    patch.setattr(type(registry.get("lstm")), "quick", quick)


def momentum_up_to_the_end_of_the_week(patch: pytest.MonkeyPatch) -> None:
    def momentum(panel: PricePanel, weeks: Weeks, *_: int) -> np.ndarray:
        close = panel.values[:, :, CLOSE].T
        return close[weeks.last] / close[np.maximum(weeks.last - 20, 0)] - 1

    patch.setattr(weekly, "past_return", momentum)
    patch.setitem(YARDSTICKS, MOMENTUM, YARDSTICKS[MOMENTUM]._replace(measure=momentum))


def forecasts_smoothed_in_the_asset(patch: pytest.MonkeyPatch) -> None:
    def centred(features: Any, *arguments: Any, **options: Any) -> pd.DataFrame:
        table = features(*arguments, **options)
        smoothed = table.groupby("symbol")["lstm"].rolling(3, center=True, min_periods=1).mean()
        return table.assign(lstm=smoothed.droplevel(0))

    wrap(patch, tables, "build_forecast_features", centred)


def observation_scaler_fitted_again(patch: pytest.MonkeyPatch) -> None:
    """The scaler is fitted anew on the weeks that are traded."""

    def refitted(builder: Any, weeks: PolicyDataset, scaler: Any, *rest: Any) -> Any:
        return builder(weeks, fit_observation_scaler(weeks), *rest)

    wrap(patch, actor_critic, "ObservationBuilder", refitted)


def rule_that_looks_at_its_own_week(patch: pytest.MonkeyPatch) -> None:
    foresight = Baseline(lambda known, rules: top(known.weeks.weekly_return, 3, known, rules), "foresight")
    patch.setitem(baselines.BASELINES, "momentum_top", foresight)


@pytest.fixture
def few_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimize no weights, which takes a second a year, but those of the LSTM's tilt."""
    rules = {name: baselines.BASELINES[name] for name in ("equal_weight", "buy_and_hold", "momentum_top")}
    monkeypatch.setattr(baselines, "BASELINES", rules)
    wrap(monkeypatch, baselines, "forecast_tilt", lambda tilt, family: (tilt if family == "lstm" else fixed)(family))


def fixed(_: str) -> baselines.Rule:
    return baselines.equal_weight


LSTM_2019, LSTM_2020 = "models/lstm/snapshot-2019-12-31/", "models/lstm/snapshot-2020-12-31/"
LEARNED = "metadata.json, training.curve.0.train"
FORECASTS, WEIGHTS, AAA = "forecasts/2020.parquet", "backtests/2020.parquet", "week of 2020-07-06, AAA"
LEAKS = (
    (scaler_fitted_on_validation_rows, "lstm", YEAR_END, LSTM_2020 + LEARNED, "raw_prices"),
    (bfill, "lstm", JULY, LSTM_2019 + LEARNED, "raw_prices"),
    (universe_chosen_at_the_end, "lstm", JULY, LSTM_2019 + LEARNED, "raw_prices"),
    (normalized_by_full_sample_statistics, "lstm", JULY, LSTM_2020 + LEARNED, "raw_prices"),
    (centred_rolling_window, "lstm", JULY, f"{FORECASTS}, {AAA}, lstm:", "lstm_snapshot"),
    (week_labelled_by_its_last_day, "lstm", JULY, f"{FORECASTS}, week of 2020-01-03, AAA, lstm_so", "lstm_snapshot"),
    (forecasts_smoothed_in_the_asset, "lstm", JULY, f"{FORECASTS}, {AAA}, lstm:", "lstm_snapshot"),
    (momentum_up_to_the_end_of_the_week, "lstm", JULY, f"{FORECASTS}, {AAA}, momentum", "raw_prices"),
    (fiscal_date_for_filing_date, "patchtst", JULY, FORECASTS, "raw_fundamentals"),
    (observation_scaler_fitted_again, "lstm ppo", JULY, f"{WEIGHTS}.*, ppo, weights:", "ppo_policy"),
    (rule_that_looks_at_its_own_week, "lstm ppo", JULY, f"{WEIGHTS}.*, momentum_top, weights:", "ppo_policy"),
)
"""Each with the families that run, the date, how what is named first begins, and what that is made from unharmed."""
QUICK = (universe_chosen_at_the_end, forecasts_smoothed_in_the_asset)


@pytest.mark.parametrize(
    ("leak", "families", "date", "first", "parent"),
    [pytest.param(*each, marks=() if each[0] in QUICK else SLOW, id=each[0].__name__) for each in LEAKS],
)
@pytest.mark.usefixtures("few_rules")
def test_leak_is_caught_and_its_first_artifact_named(
    monkeypatch, tmp_path, leak, families, date, first, parent
) -> None:
    leak(monkeypatch)
    result = result_of(tmp_path, date, families.split())
    assert result.result == LEAK
    assert re.match(first, result.differences[0].message), result.message
    assert result.differences[0].known <= date
    assert any(" became " in found.message for found in result.differences)  # another future gave other bytes
    assert parent in result.unharmed  # forecasts that leak are told from models that do


LATE = r"lstm_snapshot\[2019\]: expected its checks to pass, got targets_before_cutoff failed"
TOO_GOOD = r"forecasts\[2020\]: expected its checks to pass, got not_too_good failed"


@pytest.mark.parametrize(
    ("leak", "date", "sentence", "first"),
    [
        pytest.param(target_past_the_cutoff, YEAR_END, LATE, LSTM_2019, marks=SLOW),
        pytest.param(learning_from_the_year_that_is_forecast, YEAR_END, LATE, LSTM_2019, marks=SLOW),
        pytest.param(same_year_snapshot, JULY, "begin after its cut-off", "forecasts/2019.parquet", marks=SLOW),
        (forecasts_shifted_by_one, JULY, TOO_GOOD, f"{FORECASTS}, {AAA}, lstm:"),
    ],
)
def test_leak_that_a_guard_catches_is_also_caught_without_it(
    monkeypatch, tmp_path, leak, date, sentence, first
) -> None:
    leak(monkeypatch)
    result = result_of(tmp_path / "guarded", date)
    assert result.result == GUARDED
    assert re.search(sentence, result.message)
    monkeypatch.setattr(forecaster, "check_dates", lambda *arguments: None)
    for module, name in ((models, "snapshot_verdicts"), (tables, "forecast_verdicts")):
        monkeypatch.setattr(module, name, lambda *arguments: defaultdict(lambda: CheckResult(True, "")))
    monkeypatch.setattr(ModelSnapshot, "refuse_known_weeks", lambda *arguments: None)
    result = result_of(tmp_path / "unguarded", date)
    assert result.result == LEAK
    assert result.differences[0].message.startswith(first), result.message


# The code as it is


@pytest.mark.usefixtures("few_rules")
def test_code_as_it_is_and_examples_pass_on_files_of_a_user(tmp_path: Path) -> None:
    """Bars in two CSV files, filings in Parquet, and a headline a session and symbol at noon in New York."""
    folder = tmp_path / "files"
    folder.mkdir()
    bars = MARKET.prices(START, END)
    early = bars["date"] < "2019-06-01"
    bars[early].to_csv(folder / "prices-1.csv", index=False)
    bars[~early].to_csv(folder / "prices-2.csv", index=False)
    noon = (bars["date"] + pd.Timedelta(hours=12)).dt.tz_localize("America/New_York")
    titles = [f"{symbol} in the news {number % 17 * 'very '}often" for number, symbol in enumerate(bars["symbol"])]
    headlines = pd.DataFrame({"published": noon, "symbol": bars["symbol"], "title": titles})
    headlines.to_csv(folder / "headlines.csv", index=False)
    MARKET.fundamentals(START, END).table.to_parquet(folder / "fundamentals.parquet", index=False)
    market = RecordedMarket(FilesMarket(folder), START, END, lambda texts: np.linspace(-1.0, 1.0, len(texts)))
    lines: list[str] = []
    runs = runs_of((*FAMILIES, "pls", "momentum_rank"), market, lines.append)
    [result] = prove_no_lookahead(market, runs, tmp_path, [JULY])
    assert result.result == PASSED, result.message
    assert lines[0] == "the market as it is"
    assert re.fullmatch(r"  2019 raw tables made in \d+\.\d s", lines[1])
    assert result.assets == [asset.key.to_user_string() for asset in runs.yearly]
    assert {"lstm_snapshot", "pls_snapshot", "ppo_policy", "momentum_rank_policy", "backtest"} < set(result.assets)
    assert all(result.later_changed[asset] > 0 for asset in result.assets)
    assert all(result.compared[asset, f"materialization of {asset}[2019]"] > 3 for asset in result.assets)
    for name in FILES:
        assert result.compared["ppo_policy", f"models/ppo/snapshot-2019-12-31/{name}"] > 0


@pytest.mark.slow
def test_code_as_it_is_passes_with_symbols_that_come_and_go(tmp_path: Path) -> None:
    class Changing(SimulatorMarket):
        def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
            bars = super().prices(start, end)
            number = bars["symbol"].str[1:].astype(int)
            is_late = (number % 3 == 0) & (bars["date"] < "2018-03-08")
            is_gone = (number % 5 == 0) & (bars["date"] > "2020-09-09")
            return bars[~is_late & ~is_gone].reset_index(drop=True)

    market = Changing(tuple(f"S{i:02d}" for i in range(13)), seed=3)
    found = assert_no_lookahead(tmp_path, market, **YEARS, seed=5)
    assert [result.after for result in found] == [YEAR_END, JULY]


# Families of a stranger's


class Peeking(Pls):
    """Adds the returns of the session after each window to what it predicts."""

    name = "peeking"

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: PlsConfig) -> np.ndarray:
        after = np.minimum(windows.index.start + windows.window, windows.features.shape[1] - 1)
        return super().predict(arrays, windows, config) + windows.features[windows.index.asset, after].sum(axis=1)


class Foreseeing(MomentumRank):
    """Holds what will rise most this week: rows of the past and rows of the future lie in one array."""

    name, forecaster = "foreseeing", "peeking"

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        return lambda week, held: np.append(100.0 * weeks.weekly_return[week], 0.0)


@pytest.mark.usefixtures("few_rules")
def test_leaks_of_strangers_are_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for family in (Peeking, Foreseeing):
        registry.register(family)
    results: list[LookaheadResult] = []
    wrap(monkeypatch, testing, "prove_no_lookahead", lambda prove, *given: results.extend(prove(*given)) or results)
    configs = {"peeking": PlsConfig(), "foreseeing": Foreseeing.Config()}
    with pytest.raises(AssertionError, match=rf"LOOK AHEAD.* {FORECASTS}, {AAA}, peeking: "):
        assert_no_lookahead(tmp_path, MARKET, **YEARS, dates=[JULY], configs=configs)
    [result] = results
    assert any(re.match(f"{WEIGHTS}.*, foreseeing, weights: ", found.message) for found in result.differences)
    assert {found.asset for found in result.differences} == {"walkforward_forecasts", "backtest"}  # no model differs


# What gives no verdict


def test_what_proves_nothing_is_no_verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for date in (datetime.date(2018, 1, 15), datetime.date(2020, 12, 31)):
        with pytest.raises(SettingsError, match=r"--after: expected a date from 2018-02-02 to 2020-12-30, .*, got 20"):
            result_of(tmp_path, date)
    run = runs_of([])(MARKET, tmp_path / "same")
    result = compare_runs(run, run, JULY)
    assert result.result == VOID
    assert "nothing differs after it in raw_prices" in result.message

    def interrupted(*_: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    monkeypatch.setattr(RecordedMarket, "prices", interrupted)
    with pytest.raises(KeyboardInterrupt):
        result_of(tmp_path / "stopped", JULY, [])


def test_times_are_the_calendars_whatever_day_a_week_is_named_by() -> None:
    assert (datetime.date(2019, 12, 31), datetime.date(2020, 7, 2)) == (YEAR_END, JULY)  # 3 July was a holiday
    assert default_dates([2021]) == [datetime.date(2021, 7, 2)]
    named = np.array(["2020-07-06", "2020-07-10", "2020-01-02", "2021-01-04"], dtype="datetime64[D]")
    decided, opened, closed = week_times(named)
    assert [str(day) for day in decided] == ["2020-07-02", "2020-07-02", "2019-12-27", "2020-12-31"]
    assert [str(day) for day in opened] == ["2020-07-06", "2020-07-06", "2019-12-30", "2021-01-04"]
    assert [str(day) for day in closed] == ["2020-07-10", "2020-07-10", "2020-01-03", "2021-01-08"]
