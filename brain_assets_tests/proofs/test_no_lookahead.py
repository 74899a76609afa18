"""Leaks as somebody would write them, each planted into the real code, and each caught; the code as it is passes."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import ProofError
from brain_assets.forecasting import forecasters, walkforward
from brain_assets.forecasting.features import TrainingSplit
from brain_assets.market import headlines, signals, weekly
from brain_assets.market.calendar import Weeks
from brain_assets.market.files import FilesMarket
from brain_assets.market.news import day_sessions
from brain_assets.market.prices import CLOSE, PricePanel
from brain_assets.market.simulator import SimulatorMarket
from brain_assets.portfolio import backtest, policy
from brain_assets.portfolio.baselines import Baseline, top_third
from brain_assets.portfolio.observations import fit_observation_scaler
from brain_assets.proofs.file_copies import corrupted_files
from brain_assets.proofs.no_lookahead import (
    GUARDED,
    LEAK,
    PASSED,
    VOID,
    Verdict,
    assert_no_lookahead,
    default_dates,
    prove_no_lookahead,
    small_configs,
)
from brain_assets.proofs.pipeline import Span, run_pipeline
from brain_assets.snapshots.model_snapshot import ModelSnapshot
from brain_assets_tests.conftest import SYMBOLS

SPAN = Span(2018, 2019, 2020)
YEAR_END, JULY = default_dates(SPAN.years)
MARKET = SimulatorMarket(SYMBOLS, seed=1)

Leak = Callable[[pytest.MonkeyPatch], None]


def verdict_of(
    folder: Path, date: datetime.date, families: Sequence[str] = ("lstm",), market: Any = MARKET, corrupt: Any = None
) -> Verdict:
    configs = {family: small_configs()[family] for family in families}
    [verdict] = prove_no_lookahead(
        market, SPAN, [date], folder, lambda each, place: run_pipeline(each, place, SPAN, configs), corrupt=corrupt
    )
    return verdict


def test_default_dates_are_the_end_of_the_year_before_and_a_week_early_in_july() -> None:
    assert (YEAR_END, JULY) == (datetime.date(2019, 12, 31), datetime.date(2020, 7, 2))  # 3 July was a holiday
    assert default_dates([2021]) == [datetime.date(2021, 7, 2)]


# The leaks


def scaler_fitted_on_validation_rows(patch: pytest.MonkeyPatch) -> None:
    fit = forecasters.fit_scaler
    patch.setattr(forecasters, "fit_scaler", lambda features, last_session: fit(features, features.shape[1] - 1))


def target_past_the_cutoff(patch: pytest.MonkeyPatch) -> None:
    """The panel is cut after the week of the cut-off, and a week that has begun by then is learned from."""
    until = PricePanel.until
    patch.setattr(PricePanel, "until", lambda panel, date: until(panel, date + datetime.timedelta(days=7)))

    def split(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
        inside = weeks.start <= np.datetime64(cutoff_date)
        validation = np.flatnonzero(inside & (weeks.start >= np.datetime64(f"{cutoff_date.year}-01-01")))
        return TrainingSplit(np.flatnonzero(inside & (weeks.end < weeks.start[validation[0]])), validation)

    patch.setattr(forecasters, "split_weeks", split)


def early_stopping_on_test_weeks(patch: pytest.MonkeyPatch) -> None:
    """The year that is forecast decides when the training stops."""
    until = PricePanel.until
    patch.setattr(PricePanel, "until", lambda panel, date: until(panel, date + datetime.timedelta(days=366)))

    def split(weeks: Weeks, cutoff_date: datetime.date) -> TrainingSplit:
        validation = np.flatnonzero(weeks.year >= min(cutoff_date.year + 1, weeks.year.max()))
        return TrainingSplit(np.flatnonzero(weeks.end < weeks.start[validation[0]]), validation)

    patch.setattr(forecasters, "split_weeks", split)


def bfill(patch: pytest.MonkeyPatch) -> None:
    from_frame = PricePanel.from_frame

    def filled(frame: pd.DataFrame) -> PricePanel:
        panel = from_frame(frame)
        values = np.stack([pd.DataFrame(bars).bfill().to_numpy() for bars in panel.values])
        return replace(panel, values=values)

    patch.setattr(PricePanel, "from_frame", filled)


def universe_chosen_at_the_end(patch: pytest.MonkeyPatch) -> None:
    from_frame = PricePanel.from_frame

    def survivors(frame: pd.DataFrame) -> PricePanel:
        still_there = frame.loc[frame["date"] == frame["date"].max(), "symbol"]
        return from_frame(frame[frame["symbol"].isin(still_there)])

    patch.setattr(PricePanel, "from_frame", survivors)


def centred_rolling_window(patch: pytest.MonkeyPatch) -> None:
    build = forecasters.build_features

    def smoothed(panel: PricePanel, family: str) -> np.ndarray:
        features = build(panel, family)
        rolled = [pd.DataFrame(rows).rolling(5, center=True, min_periods=1).mean().to_numpy() for rows in features]
        return np.where(np.isfinite(features), np.stack(rolled), np.nan).astype(np.float32)

    patch.setattr(forecasters, "build_features", smoothed)


def fiscal_date_for_filing_date(patch: pytest.MonkeyPatch) -> None:
    channels = signals.fundamental_channels
    patch.setattr(
        signals,
        "fundamental_channels",
        lambda panel, table: channels(panel, table.assign(filed=table["period_end"]).sort_values("filed")),
    )


def same_year_snapshot(patch: pytest.MonkeyPatch) -> None:
    def choose(weeks: Weeks, cutoffs: Sequence[datetime.date]) -> np.ndarray:
        years = np.array([cutoff.year for cutoff in cutoffs])
        return np.searchsorted(years, weeks.year, "right") - 1

    patch.setattr(walkforward, "choose_snapshots", choose)


def week_labelled_by_its_last_day(patch: pytest.MonkeyPatch) -> None:
    """As `resample("W-FRI")` would: and everything up to the day before the label counts as known."""
    complete_weeks = weekly.complete_weeks

    def labelled(sessions: np.ndarray) -> Weeks:
        weeks = complete_weeks(sessions)
        return Weeks(weeks.last, weeks.last, weeks.end, weeks.end)

    patch.setattr(weekly, "complete_weeks", labelled)


def normalized_by_full_sample_statistics(patch: pytest.MonkeyPatch) -> None:
    scale = forecasters.scale_features

    def normalized(features: np.ndarray, scaler: Any, clip: float) -> Any:
        scaler = replace_statistics(scaler, np.nanmean(features, axis=(0, 1)), np.nanstd(features, axis=(0, 1)))
        return scale(features, scaler, clip)

    patch.setattr(forecasters, "scale_features", normalized)


def replace_statistics(scaler: Any, mean: np.ndarray, deviation: np.ndarray) -> Any:
    from copy import copy

    changed = copy(scaler)
    changed.mean_, changed.scale_ = mean.astype(np.float64), deviation.astype(np.float64)
    return changed


def forecasts_shifted_by_one(patch: pytest.MonkeyPatch) -> None:
    forecast_family = walkforward._forecast_family

    def shifted(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        forecast, names = forecast_family(*arguments)
        return np.roll(forecast, -1, axis=0), names

    patch.setattr(walkforward, "_forecast_family", shifted)


def momentum_up_to_the_end_of_the_week(patch: pytest.MonkeyPatch) -> None:
    def momentum(panel: PricePanel, weeks: Weeks) -> np.ndarray:
        close = panel.values[:, :, CLOSE].T
        return close[weeks.last] / close[np.maximum(weeks.last - 20, 0)] - 1

    patch.setattr(weekly, "_momentum", momentum)


def after_close_news_on_the_same_day(patch: pytest.MonkeyPatch) -> None:
    def by_day(published: pd.Series) -> np.ndarray:
        return day_sessions(published.dt.tz_convert("America/New_York").dt.tz_localize(None).to_numpy())

    patch.setattr(headlines, "news_sessions", by_day)


LSTM_2019, LSTM_2020 = ("models/lstm/snapshot-2019-12-31", "models/lstm/snapshot-2020-12-31")
FORECASTS = "forecasts/2020.parquet"


@pytest.mark.parametrize(
    ("leak", "date", "artifact", "where"),
    [
        (scaler_fitted_on_validation_rows, YEAR_END, f"{LSTM_2020}/feature_scaler.pkl", "mean.0"),
        (bfill, JULY, "?", ""),
        (universe_chosen_at_the_end, JULY, "?", ""),
        (centred_rolling_window, JULY, FORECASTS, "week of 2020-07-06, AAA"),
        (week_labelled_by_its_last_day, JULY, "?", "?"),
        (normalized_by_full_sample_statistics, JULY, "?", ""),
        (forecasts_shifted_by_one, JULY, FORECASTS, "week of 2020-07-06, AAA"),
        (momentum_up_to_the_end_of_the_week, JULY, FORECASTS, "week of 2020-07-06, AAA"),
    ],
)
def test_leak_is_caught_and_its_first_artifact_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, leak: Leak, date: datetime.date, artifact: str, where: str
) -> None:
    leak(monkeypatch)
    verdict = verdict_of(tmp_path, date)
    assert verdict.result == LEAK
    assert verdict.first is not None
    assert (verdict.first.artifact, verdict.first.place) == (artifact, where), verdict.words
