"""What the main job found, a row a year, read from the data folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brain_assets.errors import TableError
from brain_assets.snapshots.names import cutoff_of_year, snapshot_name
from brain_assets.snapshots.storage import SnapshotLocalStorage
from brain_assets.tables import FOLDERS


@dataclass(frozen=True)
class YearResult:
    """One year; None stands for what is not there.

    Attributes
    ----------
    year : int
    snapshot : str or None
        The LSTM snapshot of the year.
    train_loss, validation_loss, zero_loss : float or None
        Of that snapshot; the last of predicting zero on the validation weeks.
    lstm_rank_correlation, momentum_rank_correlation : float or None
        Of the year's forecasts, by the snapshot of the year before (momentum itself in the bootstrap window).
    ppo_return, equal_weight_return : float or None
        Of the PPO policy of the year before and of equal weight, over the same weeks, after costs.
    """

    year: int
    snapshot: str | None
    train_loss: float | None
    validation_loss: float | None
    zero_loss: float | None
    lstm_rank_correlation: float | None
    momentum_rank_correlation: float | None
    ppo_return: float | None
    equal_weight_return: float | None


def read_results(data_dir: Path, years: Sequence[int]) -> list[YearResult]:
    """Read the figures of some partition years."""
    from brain_assets.forecasting.walkforward import forecast_quality
    from brain_assets.portfolio.backtest import EQUAL_WEIGHT, growth

    storage = SnapshotLocalStorage("lstm", data_dir / "models")
    results = []
    for year in years:
        metadata = storage.read_metadata(cutoff_of_year(year))
        training: dict[str, Any] = metadata["training"] if metadata else {}
        forecasts = _read(data_dir, "walkforward_forecasts", year)
        backtests = _read(data_dir, "backtest", year)
        traded = backtests is not None and "ppo" in set(backtests["strategy"])
        results.append(
            YearResult(
                year=year,
                snapshot=snapshot_name(cutoff_of_year(year)) if metadata else None,
                train_loss=training.get("train_loss"),
                validation_loss=training.get("validation_loss"),
                zero_loss=training.get("zero_validation_loss"),
                lstm_rank_correlation=None if forecasts is None else forecast_quality(forecasts, "lstm").known,
                momentum_rank_correlation=None if forecasts is None else forecast_quality(forecasts, "momentum").known,
                ppo_return=growth(backtests, "ppo") if traded else None,
                equal_weight_return=growth(backtests, EQUAL_WEIGHT) if traded else None,
            )
        )
    return results


def _read(data_dir: Path, name: str, year: int) -> pd.DataFrame | None:
    path = data_dir / FOLDERS[name] / f"{year}.parquet"
    try:
        return pd.read_parquet(path) if path.is_file() else None
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: expected a Parquet table, got {error}; remove the file and run the year.") from error
