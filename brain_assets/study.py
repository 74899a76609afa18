"""A data folder in a notebook: the main job run from there, and what it left as DataFrames with names and dates.

A Dagster partition is a year. The first holds the whole bootstrap window, in which momentum stands in for models and no
policy trades: it is left out of forecasts and backtests unless asked for, so that years can be chained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from brain_assets.cli_run import places_of, print_results, print_summary, run_years
from brain_assets.errors import RunError, SettingsError, StorageError, TableError
from brain_assets.graph.backfill import Backfill
from brain_assets.graph.build import open_session
from brain_assets.graph.options import read_options
from brain_assets.graph.project import table_store
from brain_assets.graph.status import StatusReader, asset_names
from brain_assets.graph.tasks import BAD
from brain_assets.graph.workers import open_pool
from brain_assets.market.base import MarketNote
from brain_assets.paths import DataPath, as_place, list_names
from brain_assets.plugins import require_extra, resolve
from brain_assets.portfolio.strategy import CASH, weights_table
from brain_assets.settings import Settings, read_settings
from brain_assets.store.names import cutoff_of_year, snapshot_name
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets.store.storage import SnapshotLocalStorage, hub_address
from brain_assets.store.tables import read_identity
from brain_assets.terminal import parse_years, read_years, warnings_shown

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HUB = "hf://"
"""What the name of a model repo begins with, ``hf://user/name``."""
Years = int | str | Iterable[int] | None
"""Partition years: 2022, ``"2020-2022"``, ``range(2020, 2023)``; None: all that are there."""


def open(  # noqa: A001 - called as `brain_assets.open`
    place: str | DataPath, *, market: str | None = None, files: str | Path | None = None
) -> Study | HubStudy:
    """Open what the main job left in a data folder; nothing is written.

    Parameters
    ----------
    place : str, Path or UPath
        A folder; a URL such as ``s3://bucket/prefix``; or ``hf://user/name``, a model repo of the Hub, which holds
        snapshots only.
    market : str, optional
        Default: what the folder says it is of; where it does not, ``BRAIN_MARKET``.
    files : str or Path, optional
        Folder of the price files of market ``files``; default: ``BRAIN_FILES_DIR``.

    Raises
    ------
    StorageError
        If there is nothing, or another market's results.
    """
    if str(place).startswith(HUB):
        return HubStudy(str(place).removeprefix(HUB).strip("/"))
    folder = as_place(place)
    if not list_names(folder):
        raise StorageError(
            f"{folder}: expected a data folder, got nothing there; correct it, or make one with brain_assets.run."
        )
    return Study(_settings(folder, market, files))


def run(
    first: int,
    last: int | None = None,
    *,
    market: str | None = None,
    files: str | Path | None = None,
    folder: str | DataPath | None = None,
    jobs: int | None = None,
    config: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Study:
    """Do the main job for some years, as `brain-assets backfill` does: what is done is skipped, each step is a line.

    Parameters
    ----------
    first, last : int
        Partition years, both included; `last` defaults to `first`.
    market : str, optional
        Default: ``files`` if `files`, a folder of price files, is given; else as in `open`.
    folder : str, Path or UPath, optional
        Where all is stored; default: ``BRAIN_DATA_DIR``.
    jobs : int, optional
        Years of assets at a time; default: as many as there are cores and memory for.
    config : mapping, optional
        Dagster run configuration, as in the UI's launchpad: ``{"ops": {"lstm_snapshot": {"config": {...}}}}``.
    **settings
        Other fields of `brain_assets.settings.Settings`, such as ``symbols=("AAPL", "KO")``.

    Raises
    ------
    RunError
        If a year of an asset could not be made; what could be stays.
    """
    if jobs is not None and jobs < 1:
        raise SettingsError(f"jobs: expected 1 or more, got {jobs}; correct it.")
    chosen = _settings(folder, market, files, **settings)
    with open_session(chosen) as (project, instance), warnings_shown():
        years = parse_years(f"{first}-{last or first}", project.years)
        options = read_options(project.definitions, config or {})
        job = Backfill(project.definitions, instance, options=options)
        outcomes = run_years(job, years, open_pool(project, instance, jobs))
        print_results(chosen.data_dir, years, chosen.families)
        print_summary(outcomes)
    if bad := [(each.asset, each.year) for each in outcomes if each.kind in BAD]:
        raise RunError(
            f"run: expected all years of all assets to be made, got none of {places_of(bad)}; the reasons are above: "
            "what is done stays."
        )
    return Study(chosen, config)


class Study:
    """What the main job left in a data folder, or in a bucket; `brain_assets.open` and `run` give one.

    `config` is the run configuration that models were trained with.
    """

    def __init__(self, settings: Settings, config: Mapping[str, Any] | None = None) -> None:
        self.settings, self.config = settings, config or {}
        self._tables = table_store(settings)
        self._tables.check_identity()

    def __repr__(self) -> str:
        """Name market and folder, and the years that there are backtests of."""
        found = [year for year in self._tables.years("backtest") if year != self.settings.first_partition_year]
        span = f"backtests of {found[0]} to {found[-1]}" if found else "no backtest yet"
        return f"Study of market {self.settings.market} in {self.settings.data_dir}: {span}"

    def status(self) -> pd.DataFrame:
        """Tell what is done, missing, damaged or stale, and why; a row an asset, a column a partition year."""
        with open_session(self.settings, looking=True) as (project, instance):
            defs, years = project.definitions, project.years.existing()
            reader, names = StatusReader(defs, instance, read_options(defs, self.config)), asset_names(defs)
            found = [[reader.read(name, year) for year in years] for name in names]
        cells = [[each.state.value + (f": {each.reason}" if each.reason else "") for each in row] for row in found]
        return pd.DataFrame(cells, pd.Index(names, name="asset"), pd.Index(years, name="year"))

    def table(self, asset: str, years: Years = None) -> pd.DataFrame:
        """Give the table of an asset as it is stored, such as ``raw_prices``; the bootstrap window included."""
        return self._read(asset, years, bootstrap=True)

    def forecasts(self, years: Years = None, *, bootstrap: bool = False) -> pd.DataFrame:
        """Give out-of-sample forecasts of weekly returns, indexed by ``week_start`` and ``symbol``.

        A column a forecaster, beside it ``<name>_source``, the snapshot that gave it; yardsticks such as ``momentum``;
        all known at the last close before the week. ``realized`` is known at the week's last close.
        """
        return self._read("walkforward_forecasts", years, bootstrap).set_index(["week_start", "symbol"])

    def backtest(self, years: Years = None, *, bootstrap: bool = False) -> pd.DataFrame:
        """Give the weekly returns of strategies after costs, known at each week's last close; out of sample.

        Indexed by ``week_start``, the first session; a column a strategy, NaN where it did not trade.
        """
        table = self._read("backtest", years, bootstrap)
        return table.pivot(index="week_start", columns="strategy", values="net_return")

    def weights(self, strategy: str, years: Years = None, *, bootstrap: bool = False) -> pd.DataFrame:
        """Give what a strategy held after trading at each week's first open, as shares of its value.

        Indexed by ``week_start``; a column a symbol that any strategy held, in alphabetical order, then ``cash``.
        """
        table = self._read("backtest", years, bootstrap).set_index("week_start")
        if strategy not in (known := table["strategy"].unique()):
            raise TableError(f"strategy: expected one of {', '.join(known)}, got {strategy!r}; correct it.")
        held = weights_table(table["weights"]).set_axis(table.index)[(table["strategy"] == strategy).to_numpy()]
        return held[[*sorted(held.columns.drop(CASH)), CASH]].sort_index()

    def snapshot(self, family: str, year: int) -> ModelSnapshot:
        """Read the model of a family that saw nothing after 31 December of a year; its ``forecast`` takes prices.

        With ``STORAGE_BACKEND=hf`` one that is not here is pulled. Raises `SnapshotError` if there is none.
        """
        settings = self.settings
        hub, models = hub_address(settings, family), settings.data_dir / "models"
        return SnapshotLocalStorage(family, models, hub, market=settings.market).fetch_snapshot(cutoff_of_year(year))

    def plot_equity(self, years: Years = None) -> Figure:
        """Draw what one dollar became with each strategy, on the weeks that all traded: the report's own chart."""
        return self._draw("equity", "What one dollar became, after costs", years, legend_traceorder="reversed")

    def plot_rank_correlation(self, years: Years = None) -> Figure:
        """Draw each year's mean weekly rank correlation by forecaster with 95 % intervals: the report's own chart."""
        return self._draw("rank_correlation", "Rank correlation of forecasts, mean over a year's weeks", years)

    def _draw(self, name: str, title: str, years: Years, **look: str) -> Figure:
        require_extra("report", f"plot_{name}", "arch", "plotly")
        tables = [self._read(table, years, False) for table in ("backtest", "walkforward_forecasts")]
        built = resolve("brain_assets.report.report:build_report")(*tables, [], MarketNote(self.settings.market, ""))
        figures = resolve("brain_assets.report.page:report_figures")(built)
        if name not in figures:
            raise TableError(f"plot_{name}: expected forecasts by models, got none; train them for the year before.")
        return figures[name].update_layout(template="plotly_white", title=title, **look)

    def _read(self, name: str, years: Years, bootstrap: bool) -> pd.DataFrame:
        first = self.settings.first_partition_year
        if isinstance(years, str):
            years = read_years(years)
        asked = self._tables.years(name) if years is None else [years] if isinstance(years, int) else list(years)
        kept = [year for year in asked if bootstrap or year != first]
        if not kept:
            hint = f"{first} holds the bootstrap window: ask with bootstrap=True" if asked else "make them with run"
            raise TableError(
                f"{name}: expected years after {first}, got {', '.join(map(str, asked)) or 'none'}; {hint}."
            )
        return self._tables.read(name, kept)


class HubStudy(NamedTuple):
    """The snapshots of one family in a model repo of the Hub; `brain_assets.open` gives one."""

    repo: str

    def snapshot(self, family: str, year: int) -> ModelSnapshot:
        """Read the model of a family that saw nothing after 31 December of a year; see `ModelSnapshot.from_hub`."""
        return ModelSnapshot.from_hub(self.repo, revision=snapshot_name(cutoff_of_year(year)), family=family)


def _settings(folder: str | DataPath | None, market: str | None, files: str | Path | None, **others: Any) -> Settings:
    """Read the environment; what a folder says of itself wins over it, and what the caller says over both."""
    told = {} if folder is None else read_identity(as_place(folder)) or {}
    market = market or ("files" if files else told.get("market"))
    return read_settings(data_dir=folder, files_dir=files, **{**told, "market": market, **others})
