"""All years of a market in a fresh folder, without Dagster: the same functions in the same order as the assets.

Every function is given as much as its contract allows: forecasters see the bars of *all* years and must cut them at
their cut-off themselves. So a cut that is forgotten shows, although the graph hands over nothing later than the year.

Layout: as of a data folder of the graph (``raw/…``, ``forecasts/…``, ``backtests/…``, ``models/…``).
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from brain_assets import registry
from brain_assets.forecasting import training, walkforward
from brain_assets.market import signals
from brain_assets.market.archive import fetch_prices
from brain_assets.market.base import FILED_BEFORE, Market, MarketNote
from brain_assets.market.prices import PricePanel
from brain_assets.market.schema import RAW
from brain_assets.market.weekly import WeeklyBars
from brain_assets.portfolio import backtest, policies
from brain_assets.registry import Families
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.store.tables import FOLDERS, ParquetTableStore


def upstream_of(families: Families) -> dict[str, tuple[str, ...]]:
    """Tell what each stage is made from; stages in an order in which they can be made."""
    models = {family.asset: family.tables for family in families.forecasters.values()}
    policies = {family.asset: (*RAW, "walkforward_forecasts") for family in families.policies.values()}
    return {
        **dict.fromkeys(RAW, ()),
        **models,
        "walkforward_forecasts": (*RAW, *models),
        **policies,
        "backtest": (*RAW, "walkforward_forecasts", *policies),
    }


@dataclass(frozen=True)
class Span:
    """The years of a run."""

    first_year: int
    """The first with data."""
    first_partition: int
    last_year: int
    """The year whose partition holds everything up to it, and the last partition."""

    @property
    def years(self) -> range:
        """The partitions."""
        return range(self.first_partition, self.last_year + 1)

    def window(self, year: int) -> tuple[datetime.date, datetime.date]:
        """Give the first day of a partition and the day after the last."""
        first = self.first_year if year == self.first_partition else year
        return datetime.date(first, 1, 1), datetime.date(year + 1, 1, 1)


@dataclass(frozen=True)
class Run:
    """What a run left behind."""

    folder: Path
    """A data folder."""
    span: Span
    families: Families
    """Those that may have made models."""
    metadata: Mapping[tuple[str, int], Mapping[str, str]] = field(default_factory=dict)
    """What the materializations of a stage and year showed, texts; empty for a run without Dagster."""

    @property
    def upstream(self) -> dict[str, tuple[str, ...]]:
        """What each stage is made from."""
        return upstream_of(self.families)

    @property
    def first_cutoff(self) -> datetime.date:
        """Cut-off of the first snapshots."""
        return cutoff_of_year(self.span.first_partition)

    def calendar_years(self, year: int) -> range:
        """Give the years that a partition covers."""
        return range(self.span.window(year)[0].year, year + 1)

    def table(self, stage: str, year: int) -> Path:
        """Give the file of a year of a table, whether it is there or not."""
        return self.folder / FOLDERS[stage] / f"{year}.parquet"

    def storage(self, family: str) -> SnapshotLocalStorage:
        """Give the storage of a family's snapshots."""
        return SnapshotLocalStorage(family, self.folder / "models")


def run_pipeline(market: Market, folder: Path, span: Span, configs: Mapping[str, Any]) -> Run:
    """Make the raw tables of all years, then models, forecasts and backtests year by year, in an empty folder.

    Headlines are scored without a model. `configs` say by family how it is trained; a family without an entry is left
    out, and so is the backtest without any policy.
    """
    tables = ParquetTableStore(folder, {"market": market.name})
    for year in span.years:
        _fetch(market, tables, span, year)
    run = Run(folder, span, Families.of(registry.get(name) for name in registry.names() if name in configs))
    whole = _panel(tables, list(span.years))
    for year in span.years:
        panel = whole if year == span.last_year else _panel(tables, list(range(span.first_partition, year + 1)))
        _forecast_year(run, tables, configs, MarketNote.of(market), year, whole, panel)
        if run.families.policies:
            _trade_year(run, tables, configs, MarketNote.of(market), year, panel)
    return run


def _panel(tables: ParquetTableStore, years: list[int]) -> PricePanel:
    prices, news, filings = (tables.read(name, years) for name in RAW)
    return signals.add_signals(PricePanel.from_frame(prices), news, filings)


def _fetch(market: Market, tables: ParquetTableStore, span: Span, year: int) -> None:
    start, end = span.window(year)
    first = year == span.first_partition
    tables.write("raw_prices", year, fetch_prices(market, start, end, overlap=not first))
    tables.write("raw_news_sentiment", year, market.news_sentiment(start, end, score_by_length).table)
    filed_from = start - FILED_BEFORE if first else start
    tables.write("raw_fundamentals", year, market.fundamentals(filed_from, end).table)


def score_by_length(titles: Any) -> Any:
    """Score headlines without a model, by a number in [-1, 1] that follows from a title's length."""
    return np.array([(len(title) * 37 % 201 - 100) / 100 for title in titles], dtype=np.float64)


def _forecast_year(
    run: Run,
    tables: ParquetTableStore,
    configs: Mapping[str, Any],
    note: MarketNote,
    year: int,
    whole: PricePanel,
    panel: PricePanel,
) -> None:
    """Make the forecasters and forecasts of a year: `whole` is of all years, `panel` up to this one."""
    sources = {name: run.storage(name) for name in run.families.forecasters}
    for name, storage in sources.items():
        split = training.split_weeks  # as it is now: a test may have planted another
        storage.write_snapshot(
            training.train_snapshot(name, whole, cutoff_of_year(year), configs[name], note, split_by=split)
        )
    forecasts = walkforward.build_forecast_features(panel, run.calendar_years(year), sources, run.first_cutoff)
    tables.write("walkforward_forecasts", year, forecasts)


def _trade_year(
    run: Run, tables: ParquetTableStore, configs: Mapping[str, Any], note: MarketNote, year: int, panel: PricePanel
) -> None:
    """Make the policies and the backtest of a year."""
    cutoff_date = cutoff_of_year(year)
    forecasts = tables.read("walkforward_forecasts", [each for each in run.span.years if each <= year])
    traders = {name: run.storage(name) for name in run.families.policies}
    for name, storage in traders.items():
        weeks = policies.training_weeks(WeeklyBars.from_panel(panel), forecasts, name, cutoff_date)
        storage.write_snapshot(policies.train_policy_snapshot(name, weeks, cutoff_date, configs[name], note))
    own = tables.read_year("walkforward_forecasts", year)
    result = backtest.backtest(panel, own, run.calendar_years(year), traders, run.first_cutoff)
    tables.write("backtest", year, result.table)
