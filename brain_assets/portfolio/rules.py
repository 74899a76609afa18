"""The trading rules of every strategy in this package, and what a policy's configuration file says."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from brain_assets.configuration import from_mapping, require
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PolicyConfig
from brain_assets.portfolio.families import POLICIES

RULES = TradingRules()


def policy_options(config: PolicyConfig) -> dict[str, Any]:
    """Give what a policy's configuration file holds: how it was trained, and the rules it trades by."""
    return {"training": asdict(config), "rules": asdict(RULES)}


def read_policy_options(family: str, options: Mapping[str, Any]) -> tuple[PolicyConfig, TradingRules]:
    """Undo `policy_options`, believing nothing but the family.

    Parameters
    ----------
    family : str
        A key of `brain_assets.portfolio.families.POLICIES`.
    options : mapping

    Returns
    -------
    PolicyConfig
        Of the family's class.
    TradingRules

    Raises
    ------
    ConfigError
        If a part or a key is missing or unknown, or a value is not what its class takes.
    """
    require(set(options) == {"training", "rules"}, "keys", "training and rules", sorted(map(str, options)))
    for name, part in options.items():
        require(isinstance(part, Mapping), name, "an object", part)
    config = from_mapping(POLICIES[family].config_class, options["training"], complete=True)
    return config, from_mapping(TradingRules, options["rules"], complete=True)
