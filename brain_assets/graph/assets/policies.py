"""Policy snapshots by year, and how they fared the year after."""

import dagster as dg
import pandas as pd

from brain_assets.errors import SnapshotError
from brain_assets.graph.configs import PpoRunConfig, to_domain
from brain_assets.graph.partitions import FIRST_YEAR, PREVIOUS_YEARS, UP_TO_YEAR, YEARS, calendar_years
from brain_assets.graph.pictures import equity_chart
from brain_assets.graph.snapshots import Snapshots, make_snapshot, note_refusal, places
from brain_assets.market.base import Market, MarketNote
from brain_assets.portfolio.config import PpoConfig
from brain_assets.snapshots.names import cutoff_of_year
from brain_assets.tables import content_hash
from brain_assets.versions import CODE_VERSIONS


@dg.asset(
    partitions_def=YEARS,
    ins={
        "raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR),
        "walkforward_forecasts": dg.AssetIn(partition_mapping=UP_TO_YEAR),
    },
    code_version=CODE_VERSIONS["ppo_policy"],
    group_name="portfolio",
    kinds={"pytorch"},
)
def ppo_policy(
    context: dg.AssetExecutionContext,
    config: PpoRunConfig,
    raw_prices: pd.DataFrame,
    walkforward_forecasts: pd.DataFrame,
    market: dg.ResourceParam[Market],
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult[None]:
    """PPO policy over weekly weights, trained on walk-forward forecasts and weeks up to 31 December of the year."""
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.weekly import WeeklyBars
    from brain_assets.portfolio.policies import policy_fingerprint, train_policy_snapshot, training_weeks
    from brain_assets.progress import report

    cutoff_date = cutoff_of_year(int(context.partition_key))
    options = to_domain(config, PpoConfig)
    bars = WeeklyBars.from_panel(PricePanel.from_frame(raw_prices))
    weeks = training_weeks(bars, walkforward_forecasts, "ppo", cutoff_date)
    return make_snapshot(
        context,
        snapshots["ppo"],
        policy_fingerprint("ppo", weeks, options),
        config.force,
        lambda: train_policy_snapshot(
            "ppo",
            weeks,
            cutoff_date,
            options,
            MarketNote.of(market),
            lambda steps, total, reward: report(
                f"ppo {cutoff_date.year}: {steps:,} of {total:,} steps, reward of an episode {reward:.2f}"
            ),
        ),
    ).result


@dg.asset(
    partitions_def=YEARS,
    ins={"raw_prices": dg.AssetIn(partition_mapping=UP_TO_YEAR)},
    deps=[dg.AssetDep("ppo_policy", partition_mapping=PREVIOUS_YEARS)],
    code_version=CODE_VERSIONS["backtest"],
    io_manager_key="table_io",
    group_name="portfolio",
    kinds={"parquet"},
)
def backtest(
    context: dg.AssetExecutionContext,
    raw_prices: pd.DataFrame,
    walkforward_forecasts: pd.DataFrame,
    snapshots: dg.ResourceParam[Snapshots],
) -> dg.MaterializeResult[pd.DataFrame]:
    """Out-of-sample returns of the year: the policy of the year before beside equal weight, after the same costs."""
    from brain_assets.market.prices import PricePanel
    from brain_assets.portfolio.backtest import backtest as run_backtest
    from brain_assets.portfolio.backtest import growth

    year = int(context.partition_key)
    if year > FIRST_YEAR and snapshots["ppo"].hub is None:
        snapshots["ppo"].require_snapshot(cutoff_of_year(year - 1))
    here = snapshots["ppo"].list_snapshots()
    used: list[str] = []
    refusals: list[str] = []
    table = run_backtest(
        PricePanel.from_frame(raw_prices),
        walkforward_forecasts,
        calendar_years(year),
        "ppo",
        snapshots["ppo"],
        cutoff_of_year(FIRST_YEAR),
        note_refusal(context, refusals),
        used,
    )
    if year > FIRST_YEAR and not used:
        raise SnapshotError(
            f"backtest[{year}]: expected a policy that was finished before the year, here or on the Hub, got none"
            f"{''.join(f' ({sentence})' for sentence in refusals)}; materialize ppo_policy for {year - 1}."
        )
    returns = {name: rows.set_index("week_start")["net_return"] for name, rows in table.groupby("strategy")}
    return dg.MaterializeResult(
        value=table,
        metadata={
            "weeks": table["week_start"].nunique(),
            **{f"eval/{name}_net_return": growth(table, name) for name in returns},
            **{
                f"eval/{name}_mean_turnover": float(rows["turnover"].mean()) for name, rows in table.groupby("strategy")
            },
            "ppo_places": dg.MetadataValue.json(places(snapshots["ppo"], used, here)),
            **({"refused_snapshots": dg.MetadataValue.json(refusals)} if refusals else {}),
            "equity": equity_chart(f"backtest {year}", returns),
        },
        data_version=dg.DataVersion(content_hash(table)),
    )
