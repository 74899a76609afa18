"""The trading rules of every strategy in this package."""

from dataclasses import asdict
from typing import Any

from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PpoConfig

RULES = TradingRules()


def policy_options(config: PpoConfig) -> dict[str, Any]:
    """Give what a policy's configuration file holds: how it was trained, and the rules it trades by."""
    return {"training": asdict(config), "rules": asdict(RULES)}
