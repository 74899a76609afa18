"""What the main job found, a row a year: read from the data folder, and printed after a backfill."""

from collections.abc import Iterator, Sequence

import pandas as pd

from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import YARDSTICKS, column_label, weekly_correlations
from brain_assets.formatting import format_figure
from brain_assets.parquet import read_table
from brain_assets.paths import DataPath, is_file
from brain_assets.portfolio.backtest import growth
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.registry import AVERAGE, Families
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS
from brain_assets.terminal import console, new_table

LOSSES = ("train_loss", "validation_loss", "zero_validation_loss")
"""Of a snapshot; the last is that of predicting zero on the validation weeks."""
SKILL_FORMS = ("+.3f", "+.1f", ".3f")
"""Of the mean rank correlation, its t statistic, and the smallest mean that can be detected."""


def print_results(data_dir: DataPath, years: Sequence[int], families: Families) -> None:
    """Print the figures of some partition years; a dash stands for what is not there."""
    forecasters = new_table(
        *("year", "forecaster", "train\nloss", "valid.\nloss", "loss\nof zero", "rank\ncorr.", "t", "detect-\nable"),
        title="Forecasters, by year",
        caption="Losses of the year's snapshot: mean squared error over the targets' variance. Rank correlation: out "
        "of sample, forecasts of the year by the snapshots of the year before, which the first year has none of; mean "
        "over the weeks, t statistic (Newey-West), and the smallest mean that so many weeks can tell from chance.",
    )
    policies = new_table(
        *("year", *(family.label for family in families.policies.values()), "equal weight"),
        title="Portfolios, out of sample",
        caption="Return of the policies of the year before, after costs, beside equal weight on the same weeks.",
    )
    forecasts = {year: _read(data_dir, "walkforward_forecasts", year) for year in years}
    for year in years:
        losses = {name: _losses(data_dir, name, year) for name in families.forecasters}
        for name, figures in _skill(forecasts[year], families):
            forecasters.add_row(str(year), column_label(name), *losses.get(name, [""] * len(LOSSES)), *figures)
        forecasters.add_section()
        policies.add_row(str(year), *_returns(_read(data_dir, "backtest", year), list(families.policies)))
    known = [table for table in forecasts.values() if table is not None]
    for name, figures in _skill(pd.concat(known), families) if len(known) > 1 else ():
        forecasters.add_row("all", column_label(name), *[""] * len(LOSSES), *figures)
    console.print(forecasters)
    console.print(policies)


def _losses(data_dir: DataPath, family: str, year: int) -> list[str]:
    metadata = SnapshotLocalStorage(family, data_dir / "models").read_metadata(cutoff_of_year(year))
    return [format_figure(metadata["training"].get(loss) if metadata else None, ".4f") for loss in LOSSES]


def _skill(forecasts: pd.DataFrame | None, families: Families) -> Iterator[tuple[str, list[str]]]:
    """Give the figures (`SKILL_FORMS`) of each forecaster and yardstick."""
    weekly = pd.DataFrame() if forecasts is None else weekly_correlations(forecasts)
    for name in (*families.forecasters, AVERAGE, *YARDSTICKS):
        if name in weekly:
            *found, _ = mean_skill(weekly[name].to_numpy())
            yield name, [format_figure(value, form) for value, form in zip(found, SKILL_FORMS, strict=True)]
        elif name in families.forecasters:
            yield name, [format_figure(None)] * len(SKILL_FORMS)


def _returns(backtests: pd.DataFrame | None, policies: Sequence[str]) -> list[str]:
    """Write the returns of policies and of equal weight, which alone is compared with nothing."""
    if backtests is None or not set(backtests["strategy"]) & set(policies):
        return [format_figure(None)] * (len(policies) + 1)
    return [format_figure(growth(backtests, name), "+.1%") for name in (*policies, EQUAL_WEIGHT)]


def _read(data_dir: DataPath, name: str, year: int) -> pd.DataFrame | None:
    path = data_dir / FOLDERS[name] / f"{year}.parquet"
    return read_table(path) if is_file(path) else None
