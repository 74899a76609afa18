"""What the main job found, a row a year: read from the data folder, and printed after a backfill."""

from collections.abc import Sequence

import pandas as pd

from brain_assets.forecasting.walkforward import MOMENTUM, forecast_quality
from brain_assets.parquet import read_table
from brain_assets.paths import DataPath, is_file
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import Families
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS
from brain_assets.terminal import console, new_table

LOSSES = ("train_loss", "validation_loss", "zero_validation_loss")
"""Of a snapshot; the last is that of predicting zero on the validation weeks."""


def print_results(data_dir: DataPath, years: Sequence[int], families: Families) -> None:
    """Print the figures of some partition years; a dash stands for what is not there."""
    forecasters = new_table(
        *("year", "snapshot", "model", "train\nloss", "valid.\nloss", "loss\nof zero", "rank\ncorrelation"),
        "that of\nmomentum",
        title="Forecasters, by year",
        caption="Losses: mean squared error over the targets' variance. Rank correlation: out of sample, forecasts of "
        "the year by the snapshot of the year before (momentum itself in the bootstrap window).",
    )
    policies = new_table(
        *("year", *(family.label for family in families.policies.values()), "equal weight"),
        title="Portfolios, out of sample",
        caption="Return of the policies of the year before, after costs, beside equal weight on the same weeks.",
    )
    for year in years:
        forecasts = _read(data_dir, "walkforward_forecasts", year)
        for name, family in families.forecasters.items():
            metadata = SnapshotLocalStorage(name, data_dir / "models").read_metadata(cutoff_of_year(year))
            snapshot = snapshot_name(cutoff_of_year(year)) if metadata else "-"
            losses = [_figure(metadata["training"].get(loss) if metadata else None, ".4f") for loss in LOSSES]
            ranks = [_rank_correlation(forecasts, name), _rank_correlation(forecasts, MOMENTUM)]
            forecasters.add_row(str(year), snapshot, family.label, *losses, *ranks)
        policies.add_row(str(year), *_returns(_read(data_dir, "backtest", year), list(families.policies)))
    console.print(forecasters)
    console.print(policies)


def _rank_correlation(forecasts: pd.DataFrame | None, column: str) -> str:
    if forecasts is None or column not in forecasts:  # the year was run without the family
        return "-"
    return _figure(forecast_quality(forecasts, column).known, "+.3f")


def _returns(backtests: pd.DataFrame | None, policies: Sequence[str]) -> list[str]:
    """Write the returns of policies and of equal weight, which alone is compared with nothing."""
    traded = set() if backtests is None else set(backtests["strategy"])
    has_policy = bool(traded & set(policies))
    return [
        _figure(growth(backtests, name) if has_policy and name in traded else None, "+.1%")
        for name in (*policies, EQUAL_WEIGHT)
    ]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _read(data_dir: DataPath, name: str, year: int) -> pd.DataFrame | None:
    path = data_dir / FOLDERS[name] / f"{year}.parquet"
    return read_table(path) if is_file(path) else None
