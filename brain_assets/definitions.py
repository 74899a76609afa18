"""Composition root: what `dagster dev` loads."""

import dagster as dg

from brain_assets.graph.assets.forecasters import lstm_snapshot
from brain_assets.graph.assets.forecasts import walkforward_forecasts
from brain_assets.graph.assets.policies import backtest, ppo_policy
from brain_assets.graph.assets.prices import raw_prices
from brain_assets.graph.jobs import walkforward
from brain_assets.graph.partitions import MARKET, SETTINGS
from brain_assets.graph.resources import resources_from

defs = dg.Definitions(
    assets=[raw_prices, lstm_snapshot, walkforward_forecasts, ppo_policy, backtest],
    jobs=[walkforward],
    resources=resources_from(SETTINGS, MARKET),
    executor=dg.in_process_executor,
)
