"""The report over all years that were backtested: a page, and its pictures."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
import pandas as pd
import pydantic

from brain_assets import __version__
from brain_assets.errors import TableError
from brain_assets.graph.conditions import FOLLOWS_YEARS
from brain_assets.graph.io_managers import SnapshotIOManager, Snapshots, TableIOManager
from brain_assets.graph.pictures import as_table, chart, plotted
from brain_assets.graph.project import Project
from brain_assets.graph.years import Years
from brain_assets.market.base import Market, MarketNote
from brain_assets.market.calendar import Clock, sessions_between
from brain_assets.market.price_checks import table_verdicts
from brain_assets.market.prices import describe_members
from brain_assets.market.schema import RAW
from brain_assets.paths import DataPath, replace_file
from brain_assets.plugins import require_extra
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.baselines import EQUAL_WEIGHT
from brain_assets.portfolio.strategy import CASH, read_trials
from brain_assets.registry import label
from brain_assets.report.metrics import wealth
from brain_assets.report.page import report_page
from brain_assets.report.report import Doubt, Report, build_report
from brain_assets.report.tables import conclude, headline_table, policy_table
from brain_assets.store.fingerprint import CODE_VERSIONS
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import TableStore

DECIDES_RESULTS = ("market", "symbols", "first_year", "bootstrap_years", "last_year", "files_dir", "plugins")
"""Fields of `brain_assets.settings.Settings` that another must set alike to have the same report."""


class ReportRunConfig(dg.Config):
    """Which years the report covers."""

    first_year: int | None = pydantic.Field(None, description="First partition; default: the first backtested.")
    last_year: int | None = pydantic.Field(None, description="Last partition; default: the last backtested.")


def definitions(project: Project) -> dg.Definitions:
    """Define the asset ``report`` and the job that makes it."""
    years, settings = project.years, project.settings

    @dg.asset(
        deps=[
            dg.AssetDep(name, partition_mapping=dg.AllPartitionMapping())
            for name in ("backtest", "walkforward_forecasts")
        ],
        code_version=CODE_VERSIONS["report"],
        automation_condition=FOLLOWS_YEARS,
        group_name="portfolio",
        kinds={"html"},
    )
    def report(
        context: dg.AssetExecutionContext,
        config: ReportRunConfig,
        market: dg.ResourceParam[Market],
        table_io: dg.ResourceParam[TableIOManager],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult[None]:
        """Tear sheet of the years that were backtested: figures with intervals, and what can be concluded from them.

        It is one HTML file that opens offline; its main pictures are here as well. Years without a backtest are left
        out. More: docs/report.md.
        """
        require_extra("report", "report", "arch", "plotly")
        backtested = _backtested(config, years, table_io.store)
        doubts, snapshots = read_doubts(table_io.store, years, backtested[-1]), snapshot_io.storages
        built = report_of(backtested, market, table_io.store, snapshots, table_io.data_dir / "trials")
        command = settings.command(f"brain-assets report --years {backtested[0]}-{backtested[-1]}", *DECIDES_RESULTS)
        made = {"made on": f"{clock():%Y-%m-%d}", **_provenance(built, backtested[-1], snapshots), "command": command}
        page = report_page(replace(built, doubts=doubts, provenance=made))
        path = table_io.data_dir / "reports" / f"{market.name}-{backtested[0]}-{backtested[-1]}.html"
        replace_file(path, page)
        context.log.info(f"report of {len(backtested)} years: {path}")
        conclusion, policies = conclude(built), policy_table(built)
        return dg.MaterializeResult(
            metadata={
                "page": dg.MetadataValue.url(f"{settings.reports_url}/{path.name}"),
                "figures": _table(headline_table(built)),
                **_charts(built),
                "can_be_concluded": conclusion.can,
                "cannot_be_concluded": conclusion.cannot,
                "path": dg.MetadataValue.path(str(path)),
                **({"policies": _table(policies)} if len(policies) else {}),
                "caveat": built.market.caveat,
                "doubts_of_the_data": " ".join(f"{each.year} {each.table}: {each.words}" for each in doubts) or "none",
                "years": ", ".join(map(str, backtested)),
                "weeks": str(len(built.returns)),
                "configurations_tried": str(built.n_trials or "not recorded"),
                "bytes": len(page.encode()),
                **plotted(
                    {
                        f"eval/{policy}_{name}": estimate.value
                        for name, column in (("annual_return", "annual_return"), ("sharpe_ratio", "sharpe"))
                        for policy, estimate in built.policies[column].items()
                    }
                ),
            }
        )

    said = "Writes the report over the years that were backtested."
    return dg.Definitions([report], jobs=[dg.define_asset_job("tear_sheet", [report], description=said)])


def report_of(
    years: Sequence[int], market: Market, tables: TableStore, snapshots: Snapshots, trials: DataPath
) -> Report:
    """Put together what is stored of some years, which have a backtest; of what is damaged, nothing."""
    for storage, year in itertools.product(snapshots.values(), years):
        storage.refuse_damaged(cutoff_of_year(year))
    forecast_years = [year for year in years if tables.exists("walkforward_forecasts", year)]
    return build_report(
        tables.read("backtest", years),
        tables.read("walkforward_forecasts", forecast_years) if forecast_years else pd.DataFrame(),
        [trial for trial in read_trials(trials) if trial.year in years],
        MarketNote.of(market),
    )


def read_doubts(tables: TableStore, years: Years, until: int) -> list[Doubt]:
    """Ask what is stored of the raw tables up to a year, which models learned from or traded in; by year."""
    doubts = []
    for year, name in itertools.product(years.up_to(until), RAW):
        if (table := tables.find(name, year)) is not None:
            if members := describe_members(table):
                doubts.append(Doubt(year, name, "universe", f"{members}."))
            checks = table_verdicts(name, table, sessions_between(*years.window(year)))
            doubts += [Doubt(year, name, check, found.words) for check, found in checks.items() if not found.passed]
    return doubts


def _provenance(built: Report, last_year: int, snapshots: Snapshots) -> dict[str, str]:
    """Say what a report was made from."""
    symbols = sorted(built.weights[EQUAL_WEIGHT].columns.drop(CASH))
    newest = {family: storage.read_metadata(cutoff_of_year(last_year)) for family, storage in snapshots.items()}
    hashes = [f"{label(family)} {each['fingerprint']['config'][:12]}" for family, each in newest.items() if each]
    versions = [f"{name} {CODE_VERSIONS[name]}" for name in ("walkforward_forecasts", "backtest", "report")]
    return {
        "version": f"brain_assets {__version__}; code of {', '.join(versions)}",
        "market": built.market.name,
        "symbols": f"{len(symbols)}: {', '.join(symbols)}",
        "window": f"{built.returns.index[0]:%Y-%m-%d} to {built.ends[-1]:%Y-%m-%d}, {len(built.returns):,} weeks",
        "constraints": ", ".join(f"{name} {value:g}" for name, value in CONSTRAINTS.model_dump().items()),
        "configuration": f"hashes of the models of {last_year}: {', '.join(hashes) or 'none is on this machine'}",
    }


def _backtested(config: ReportRunConfig, years: Years, tables: TableStore) -> list[int]:
    """Give the years that have a backtest, within those asked for; a hole between them is left out, and seen."""
    existing = years.existing()
    first, last = config.first_year or existing[0], config.last_year or existing[-1]
    found = [year for year in existing if first <= year <= last and tables.exists("backtest", year)]
    if not found:
        raise TableError(
            f"report: expected a backtest of a year from {first} to {last}, the earlier first, got none; materialize "
            "backtest, or run brain-assets backfill."
        )
    return found


def _charts(built: Report) -> dict[str, dg.MarkdownMetadataValue]:
    """Draw what a dollar became, and how well forecasts ranked the symbols, if there are any."""
    front = built.strategies[built.strategies["front"]]
    values = wealth(built.returns)
    lines = {label: values[name] for name, label in front["label"].items()}
    charts = {"equity": chart("equity", lines, 1.0, "What one dollar became, after costs, on a log scale.", log=True)}
    if built.forecasts.by_year:
        by_year, labels = built.forecasts.by_year, built.forecasts.skill["label"]
        ranks = {label: by_year[name]["value"] for name, label in labels.items()}
        charts["rank_correlation"] = chart("rank_correlation", ranks, 0.0, "Mean rank correlation, by year.")
    return charts


def _table(found: pd.DataFrame) -> dg.TableMetadataValue:
    """Give a table of the page as the UI shows it, a figure and its interval in one cell."""
    return as_table(found.map(lambda cell: cell.replace("\n", " ")))
