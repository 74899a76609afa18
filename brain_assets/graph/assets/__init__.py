"""The assets, one file a stage."""

from brain_assets.graph.assets.forecasters import lstm_snapshot, patchtst_snapshot
from brain_assets.graph.assets.forecasts import walkforward_forecasts
from brain_assets.graph.assets.main_models import lstm_model, patchtst_model
from brain_assets.graph.assets.policies import backtest, ppo_policy, sac_policy
from brain_assets.graph.assets.prices import raw_prices
from brain_assets.graph.assets.reports import report
from brain_assets.graph.assets.signals import raw_fundamentals, raw_news_sentiment
from brain_assets.graph.assets.week import raw_so_far, target_weights

YEARLY_ASSETS = [
    raw_prices,
    raw_news_sentiment,
    raw_fundamentals,
    lstm_snapshot,
    patchtst_snapshot,
    walkforward_forecasts,
    ppo_policy,
    sac_policy,
    backtest,
]
"""A partition a year."""

MAIN_MODELS = [lstm_model, patchtst_model]
"""No partitions."""

REPORTS = [report]
"""No partitions."""

THIS_WEEK = [raw_so_far, target_weights]
"""No partitions."""

ASSETS = [*YEARLY_ASSETS, *MAIN_MODELS, *REPORTS, *THIS_WEEK]

__all__ = [
    "ASSETS",
    "MAIN_MODELS",
    "REPORTS",
    "THIS_WEEK",
    "YEARLY_ASSETS",
    *(asset.key.to_user_string() for asset in ASSETS),
]
