"""The assets, one file a stage."""

from brain_assets.graph.assets.forecasters import lstm_snapshot
from brain_assets.graph.assets.forecasts import walkforward_forecasts
from brain_assets.graph.assets.policies import backtest, ppo_policy
from brain_assets.graph.assets.prices import raw_prices

ASSETS = [raw_prices, lstm_snapshot, walkforward_forecasts, ppo_policy, backtest]

__all__ = ["ASSETS", "backtest", "lstm_snapshot", "ppo_policy", "raw_prices", "walkforward_forecasts"]
