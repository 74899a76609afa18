"""How yearly tables are declared, and taken by other assets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import pandas as pd

from brain_assets.graph.checks import Checks, check_specs
from brain_assets.graph.years import Years
from brain_assets.market.prices import PricePanel
from brain_assets.market.schema import DAY, SCHEMAS
from brain_assets.market.signals import add_signals
from brain_assets.versions import CODE_VERSIONS

Columns = Sequence[tuple[str, str, str]]
"""Name, type and meaning of each, with its unit and when a row is known."""

WEEK = ("week_start", DAY, "First session of the week.")


def yearly_table(
    name: str, years: Years, columns: Columns = (), checks: Checks | None = None, version: str = "", **options: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Make the decorator of an asset that gives a table a year, whose columns the UI shows; a raw one's are known.

    `options` are those of `dagster.asset`.
    """
    if name in SCHEMAS:
        columns = [(column.name, column.kind, column.meaning) for column in SCHEMAS[name].columns]
    declare: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
        name=name,
        partitions_def=years.definition,
        check_specs=check_specs(name, checks or {}, years),
        code_version=version or CODE_VERSIONS[name],
        metadata={"dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in columns])},
        io_manager_key="table_io",
        kinds={"parquet"},
        **options,
    )
    return declare


def inputs(names: Sequence[str], mapping: dg.PartitionMapping) -> dict[str, dg.AssetIn]:
    """Declare the years of some tables that an asset takes."""
    return {name: dg.AssetIn(partition_mapping=mapping) for name in names}


def panel_of(tables: Mapping[str, pd.DataFrame]) -> PricePanel:
    """Put raw tables together; other tables are passed over, and without news and filings there are bars alone."""
    panel = PricePanel.from_frame(tables["raw_prices"])
    if "raw_news_sentiment" not in tables:
        return panel
    return add_signals(panel, tables["raw_news_sentiment"], tables["raw_fundamentals"])
