"""Tables by year that models make: walk-forward forecasts, and how policies fared the year after they were trained."""

from collections.abc import Collection, Sequence
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from brain_assets import registry
from brain_assets.errors import SnapshotError
from brain_assets.forecasting.average import averaged_families, families_in, snapshots_in
from brain_assets.forecasting.metrics import mean_skill
from brain_assets.forecasting.walkforward import (
    YARDSTICKS,
    build_forecast_features,
    column_label,
    forecast_verdicts,
    weekly_correlations,
    weeks_by_source,
)
from brain_assets.formatting import format_figure
from brain_assets.graph.assets.inputs import WEEK, Columns, inputs, panel_of, table_result, yearly_table
from brain_assets.graph.checks import BACKTEST_CHECKS, FORECAST_CHECKS
from brain_assets.graph.conditions import COMPUTED
from brain_assets.graph.io_managers import Metadata, SnapshotIOManager, Snapshots, TableIOManager, note_refusal, stored
from brain_assets.graph.options import ForecastsConfig, RunConfig
from brain_assets.graph.pictures import as_table, chart, plotted
from brain_assets.graph.years import Years
from brain_assets.market.schema import NUMBER, RAW, SYMBOL, TEXT
from brain_assets.paths import DataPath
from brain_assets.portfolio.arithmetic import CONSTRAINTS
from brain_assets.portfolio.backtest import BacktestResult, backtest_weights_verdict, beats_equal_weight, compare
from brain_assets.portfolio.backtest import backtest as run_backtest
from brain_assets.portfolio.baselines import EQUAL_WEIGHT, benchmark_strategies, is_tenth, seed_strategy
from brain_assets.portfolio.policy import followed_by
from brain_assets.portfolio.strategy import record_trial
from brain_assets.progress import warn
from brain_assets.registry import AVERAGE, OURS, Family
from brain_assets.store.fingerprint import CODE_VERSIONS, hash_json
from brain_assets.store.names import cutoff_of_year
from brain_assets.store.tables import TableStore

BACKTEST_COLUMNS: Columns = (
    WEEK,
    ("strategy", TEXT, "A policy, one of its other training seeds, or a rule without learning."),
    ("net_return", NUMBER, "What it earned from the last close before the week to its last close, after costs."),
    ("turnover", NUMBER, "Dollars bought and sold at the first open, over the value there."),
    ("weights", TEXT, "JSON: share of the value in each symbol, and in cash, after trading at the first open."),
)


def forecasts_asset(forecasters: Collection[Family], years: Years) -> dg.AssetsDefinition:
    """Define the asset ``walkforward_forecasts`` with a column for each of some forecasters."""
    families, models = [family.name for family in forecasters], [family.asset for family in forecasters]
    added = [family.name for family in forecasters if type(family).__module__ not in OURS]  # a column more everywhere
    run_config = RunConfig(ForecastsConfig, lambda given: averaged_families(given.average, families), families)

    @yearly_table(
        "walkforward_forecasts",
        years,
        _columns(families),
        FORECAST_CHECKS,
        ".".join([CODE_VERSIONS["walkforward_forecasts"], *added]),
        ins=inputs(RAW, years.up_to_year) | inputs(models, years.previous),
        config_schema=run_config,
        group_name="forecasting",
        **COMPUTED,
    )
    def walkforward_forecasts(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext, **given: Any
    ):
        """Forecasts of every week of the year, by the newest snapshot whose cut-off lies before the week begins.

        That is the snapshot of the year before, from this machine, else from the Hub, else the closest earlier one; the
        source of every forecast stands beside it. In the bootstrap window there is none: the forecast is 4-week
        momentum. Beside them stand the average of the forecasters' ranks, and what all of them have to beat: momentum
        over 4 weeks and over 12 months less the last, and one-week reversal. More: docs/assets.md.
        """
        year = int(context.partition_key)
        config = run_config.read(context.op_execution_context.op_config)
        sources = {family.name: stored(given.pop(family.asset)) for family in forecasters}
        refusals: list[str] = []
        forecasts = build_forecast_features(
            panel_of(given),
            years.calendar_years(year),
            sources,
            cutoff_of_year(years.first),
            note_refusal(refusals),
            config.average,
        )
        weekly = weekly_correlations(forecasts)
        columns = [name for name in families_in(forecasts) if name in weekly]
        used = {name: weeks_by_source(forecasts, name) for name in families_in(forecasts)}
        metadata: Metadata = {
            "skill": _skill(weekly),
            "rank_correlation": chart(
                f"forecasts {year}",
                {column_label(name): np.nancumsum(weekly[name]) for name in columns or weekly},
                0.0,
                "Sum of the weekly rank correlations.",
            ),
            **plotted({f"eval/{name}_rank_correlation": weekly[name].mean() for name in columns}),
            "weeks": str(forecasts["week_start"].nunique()),
            "weeks_by_source": used,
            "places": {name: sources[name].locations(used[name]) for name in used if name in sources},
        }
        if config.average is not None:
            metadata["averaged"] = dg.MetadataValue.json(config.average)  # `StatusReader` compares it
        if refusals:
            metadata["refused_snapshots"] = dg.MetadataValue.json(refusals)
        verdicts = forecast_verdicts(forecasts, config.max_rank_correlation)
        return table_result(forecasts, metadata, FORECAST_CHECKS, verdicts)

    return walkforward_forecasts


def _skill(weekly: pd.DataFrame) -> dg.TableMetadataValue:
    skills = {name: mean_skill(weekly[name].to_numpy()) for name in weekly}
    lines = [
        {
            "forecast": column_label(name),
            "rank correlation": format_figure(skill.rank_correlation, "+.3f"),
            "t": format_figure(skill.t_statistic, "+.1f"),
            "detectable": format_figure(skill.smallest_detectable, ".3f"),
        }
        for name, skill in skills.items()
    ]
    return as_table(pd.DataFrame(lines))


def _columns(families: Sequence[str]) -> Columns:
    of_week = "Return of the week, from its first open to its last close, as a fraction"
    forecast = f"{of_week}, forecast after the last close before it. Empty: too little history."
    source = "Where it comes from: the snapshot's name, or momentum where there was none yet."
    average = (
        "Mean of the ranks that forecasters give the symbols of the week, as a return less the week's mean, of the "
        "size of their forecasts. Empty: none of them has a forecast."
    )
    counted = "The snapshots whose ranks were averaged, each after its family, or momentum where there was none yet."
    pairs = [((family, NUMBER, forecast), (f"{family}_source", TEXT, source)) for family in families]
    return (
        WEEK,
        (SYMBOL.name, SYMBOL.kind, SYMBOL.meaning),
        *(column for pair in pairs for column in pair),
        (AVERAGE, NUMBER, average),
        (f"{AVERAGE}_source", TEXT, counted),
        *((name, NUMBER, yardstick.meaning) for name, yardstick in YARDSTICKS.items()),
        ("realized", NUMBER, f"{of_week}, as it came; known at its last close. Empty: not known."),
    )


def backtest_asset(policies: Collection[Family], years: Years) -> dg.AssetsDefinition:
    """Define the asset ``backtest`` of some policies."""
    families, models = [family.name for family in policies], [family.asset for family in policies]

    @yearly_table(
        "backtest",
        years,
        BACKTEST_COLUMNS,
        BACKTEST_CHECKS,
        ins=inputs(RAW, years.up_to_year) | inputs(models, years.previous),
        deps=[dg.AssetDep("backtest", partition_mapping=years.before)],
        group_name="portfolio",
        **COMPUTED,
    )
    def backtest(  # type: ignore[no-untyped-def]  # with checks there are several outputs: Dagster takes no single type
        context: dg.AssetExecutionContext,
        walkforward_forecasts: pd.DataFrame,
        table_io: dg.ResourceParam[TableIOManager],
        snapshot_io: dg.ResourceParam[SnapshotIOManager],
        **given: Any,
    ):
        """Out-of-sample returns of the year, after costs: policies of the year before beside rules without learning.

        The rules: equal weight, buy and hold, hierarchical risk parity, minimum variance, and the top third by momentum
        and by the forecasts of each forecaster, for which there are a cost-aware tilt and, among 50 symbols or more, a
        top tenth as well; where no policy trades, equal weight alone. Each begins with what it held at the end of the
        year before; in cash if it is new, or that year has no backtest. Left out, and named: a rule whose forecaster
        has no model yet, seeds that were not trained beside each snapshot, and for all strategies the weeks in which a
        model that others have is not there. More: docs/assets.md.
        """
        year = int(context.partition_key)
        sources = {family.name: stored(given.pop(family.asset)) for family in policies}
        if year > years.first:
            for source in sources.values():
                source.require(cutoff_of_year(year - 1))
        other_seeds = {family: source.other_seeds() for family, source in sources.items()}
        before = read_year_before(TableIOManager.of(table_io).store, years, year)
        refusals: list[str] = []
        result = run_backtest(
            panel_of(given),
            walkforward_forecasts,
            years.calendar_years(year),
            sources,
            cutoff_of_year(years.first),
            note_refusal(refusals),
            other_seeds,
            before,
        )
        missing = [family for family in families if not result.used.get(family)]
        if year > years.first and missing:
            raise SnapshotError(
                f"backtest[{year}]: expected a policy of each family that was finished before the year, here or on the "
                f"Hub, got none of {', '.join(missing)}{''.join(f' ({sentence})' for sentence in refusals)}; "
                f"materialize {', '.join(f'{family}_policy' for family in missing)} for {year - 1}."
            )
        table = result.table
        storages = SnapshotIOManager.of(snapshot_io, registry.names()).storages
        _record_trials(year, result, walkforward_forecasts, storages, TableIOManager.of(table_io).data_dir / "trials")
        compared = compare(table)
        returns = table.pivot(index="week_start", columns="strategy", values="net_return")
        trading = [family for family in families if result.used.get(family)]  # beside no other is a seed left out
        offered = [seed_strategy(family, number) for family in trading for number in other_seeds[family]]
        benchmarks = [name for name in benchmark_strategies(families_in(walkforward_forecasts)) if not is_tenth(name)]
        metadata = {
            "equity": _equity(year, returns[[*trading, EQUAL_WEIGHT]]),
            "strategies": _figures(compared),
            **plotted({f"eval/{name}_active_return": compared["active_return"][name] for name in trading}),
            "weeks": str(len(returns)),
            "begins_in": "cash" if before is None else f"what was held at the end of {year - 1}",
            "weeks_left_out": str(walkforward_forecasts["week_start"].nunique() - len(returns)),
            "rules_left_out": ", ".join(name for name in benchmarks if name not in returns) or "none",
            "seeds_left_out": ", ".join(name for name in offered if name not in returns) or "none",
            "places": {name: sources[name].locations(used) for name, used in result.used.items() if name in sources},
            **({"refused_snapshots": dg.MetadataValue.json(refusals)} if refusals else {}),
        }
        verdicts = {
            "weights_keep_rules": backtest_weights_verdict(table, CONSTRAINTS),
            "beats_equal_weight": beats_equal_weight(table),
        }
        return table_result(table, metadata, BACKTEST_CHECKS, verdicts)

    return backtest


def read_year_before(tables: TableStore, years: Years, year: int) -> pd.DataFrame | None:
    """Read the backtest from whose end a year goes on; None: it begins in cash, which is said unless it must.

    It must after the first partition, in which equal weight traded alone: the others have yet to pay for buying in.
    """
    if year - 1 <= years.first:
        return None
    found = tables.find("backtest", year - 1)
    if found is None:
        warn(f"backtest[{year}]: every strategy begins in cash, since there is no backtest[{year - 1}]")
    return found


def _figures(compared: pd.DataFrame) -> dg.TableMetadataValue:
    columns = {
        "return": [format_figure(value, "+.1%") for value in compared["net_return"]],
        "active": [format_figure(value, "+.1%") for value in compared["active_return"]],
        "Sharpe": compared["sharpe_ratio"].map(format_figure),
        "turnover": [format_figure(value, ".1%") for value in compared["mean_turnover"]],
        "break-even": [format_figure(value, ".1f", " bp") for value in compared["break_even"]],
    }
    order = compared["net_return"].argsort()[::-1]
    return as_table(pd.DataFrame(columns, index=compared.index).iloc[order].reset_index())


def _equity(year: int, returns: pd.DataFrame) -> dg.MarkdownMetadataValue:
    lines = {registry.label(str(name)).replace("_", " "): wealth for name, wealth in (1 + returns).cumprod().items()}
    return chart(f"backtest {year}", lines, 1.0, "What one dollar became, after costs; dashed: one dollar.")


def _record_trials(
    year: int, result: BacktestResult, forecasts: pd.DataFrame, snapshots: Snapshots, folder: DataPath
) -> None:
    """Leave a record of each policy's configuration, and of that of the forecaster whose forecasts it traded on."""
    for family, policy in result.latest.items():
        forecaster = followed_by(policy)
        used = snapshots_in(forecasts[f"{forecaster}_source"].iloc[-1], forecaster)
        read = [(name, snapshots[name].read_metadata(cutoff_date)) for name, cutoff_date in used if name in snapshots]
        configs = [(name, metadata["fingerprint"]["config"]) for name, metadata in read if metadata]
        net_return = result.table.loc[result.table["strategy"] == family, "net_return"].to_numpy()
        forecaster_config = configs[0][1] if configs else None
        if forecaster == AVERAGE and configs:
            forecaster_config = hash_json({AVERAGE: configs})
        record_trial(folder, family, year, net_return, policy.config, forecaster_config)
