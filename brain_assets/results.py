"""What the main job found, a row a year, read from the data folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brain_assets.forecasting.walkforward import forecast_quality
from brain_assets.parquet import read_table
from brain_assets.paths import DataPath, is_file
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import Families
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS


@dataclass(frozen=True)
class ForecasterResult:
    """One year of one forecaster; None stands for what is not there."""

    family: str
    snapshot: str | None
    """That of the year."""
    train_loss: float | None
    validation_loss: float | None
    zero_loss: float | None
    """Of that snapshot; the last of predicting zero on the validation weeks."""
    rank_correlation: float | None
    """Of the year's forecasts, by the snapshot of the year before (momentum itself in the bootstrap window)."""


@dataclass(frozen=True)
class YearResult:
    """One year; None stands for what is not there."""

    year: int
    forecasters: tuple[ForecasterResult, ...]
    """One for each family."""
    momentum_rank_correlation: float | None
    """Of 4-week momentum, on the year's weeks."""
    returns: Mapping[str, float | None]
    """Of the policy of the year before, by family, and of equal weight, over the same weeks, after costs."""


def read_results(data_dir: DataPath, years: Sequence[int], families: Families) -> list[YearResult]:
    """Read the figures of some partition years."""
    results = []
    for year in years:
        forecasts = _read(data_dir, "walkforward_forecasts", year)
        backtests = _read(data_dir, "backtest", year)
        traded = set() if backtests is None else set(backtests["strategy"])
        has_policy = bool(traded & set(families.policies))  # equal weight alone is compared with nothing
        results.append(
            YearResult(
                year=year,
                forecasters=tuple(_read_forecaster(data_dir, name, year, forecasts) for name in families.forecasters),
                momentum_rank_correlation=None if forecasts is None else forecast_quality(forecasts, "momentum").known,
                returns={
                    name: growth(backtests, name) if has_policy and name in traded else None
                    for name in (*families.policies, EQUAL_WEIGHT)
                },
            )
        )
    return results


def _read_forecaster(data_dir: DataPath, family: str, year: int, forecasts: pd.DataFrame | None) -> ForecasterResult:
    metadata = SnapshotLocalStorage(family, data_dir / "models").read_metadata(cutoff_of_year(year))
    training: dict[str, Any] = metadata["training"] if metadata else {}
    has_forecasts = forecasts is not None and family in forecasts  # else the year was run without the family
    return ForecasterResult(
        family=family,
        snapshot=snapshot_name(cutoff_of_year(year)) if metadata else None,
        train_loss=training.get("train_loss"),
        validation_loss=training.get("validation_loss"),
        zero_loss=training.get("zero_validation_loss"),
        rank_correlation=forecast_quality(forecasts, family).known if has_forecasts else None,
    )


def _read(data_dir: DataPath, name: str, year: int) -> pd.DataFrame | None:
    path = data_dir / FOLDERS[name] / f"{year}.parquet"
    return read_table(path) if is_file(path) else None
