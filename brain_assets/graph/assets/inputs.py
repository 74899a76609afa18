"""How assets with a partition a year are declared, what they give back, and how others take them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.formatting import CheckResult
from brain_assets.graph.checks import Checks, check_results, check_specs
from brain_assets.graph.years import Years
from brain_assets.market.prices import PricePanel
from brain_assets.market.schema import DAY, SCHEMAS
from brain_assets.market.signals import add_signals
from brain_assets.registry import Family
from brain_assets.store.fingerprint import CODE_VERSIONS
from brain_assets.store.tables import content_hash

Columns = Sequence[tuple[str, str, str]]
"""Name, type and meaning of each, with its unit and when a row is known."""
Declare = Callable[[Callable[..., Any]], dg.AssetsDefinition]
"""A decorator."""

WEEK = ("week_start", DAY, "First session of the week.")


def yearly_table(
    name: str, years: Years, columns: Columns, checks: Checks, version: str = "", **options: Any
) -> Declare:
    """Make the decorator of an asset that gives a table a year, whose columns the UI shows; a raw one's are known.

    `options` are those of `dagster.asset`.
    """
    if name in SCHEMAS:
        columns = [(column.name, column.kind, column.meaning) for column in SCHEMAS[name].columns]
    return dg.asset(
        name=name,
        partitions_def=years.definition,
        check_specs=check_specs(name, checks, years),
        code_version=version or CODE_VERSIONS[name],
        metadata={"dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in columns])},
        io_manager_key="table_io",
        kinds={"parquet"},
        **options,
    )


def yearly_model(
    family: Family, years: Years, description: str, run_config: dg.Shape, checks: Checks, **options: Any
) -> Declare:
    """Make the decorator of an asset that gives a model a year; `options` are those of `dagster.asset`."""
    return dg.asset(
        name=family.asset,
        description=f"{description}\n\nMore: docs/assets.md.",
        partitions_def=years.definition,
        check_specs=check_specs(family.asset, checks, years),
        code_version=family.code_version,
        config_schema=run_config,
        io_manager_key="snapshot_io",
        kinds=set(family.kinds),
        **options,
    )


def table_result(
    table: pd.DataFrame, metadata: Mapping[str, Any], checks: Checks, verdicts: Mapping[str, CheckResult]
) -> dg.MaterializeResult[pd.DataFrame]:
    """Give what the asset of a table gives back; its data version is its content."""
    return dg.MaterializeResult(
        value=table,
        metadata=metadata,
        data_version=dg.DataVersion(content_hash(table)),
        check_results=check_results(checks, verdicts),
    )


def inputs(names: Sequence[str], mapping: dg.PartitionMapping) -> dict[str, dg.AssetIn]:
    """Declare the years of some tables that an asset takes."""
    return {name: dg.AssetIn(partition_mapping=mapping) for name in names}


def panel_of(tables: Mapping[str, pd.DataFrame]) -> PricePanel:
    """Put raw tables together; other tables are passed over, and without news and filings there are bars alone."""
    panel = PricePanel.from_frame(tables["raw_prices"])
    if "raw_news_sentiment" not in tables:
        return panel
    return add_signals(panel, tables["raw_news_sentiment"], tables["raw_fundamentals"])
