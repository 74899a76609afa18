"""The trading rules of every strategy in this package."""

from brain_assets.portfolio.arithmetic import TradingRules

RULES = TradingRules()
