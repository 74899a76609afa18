"""The trading rules of every strategy in this package, and what a policy's configuration file says."""

from collections.abc import Mapping
from typing import Any, TypeVar

from brain_assets.configuration import ModelConfig, build, require
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.store.fingerprint import hash_json

CONSTRAINTS = PortfolioConstraints()

Config = TypeVar("Config", bound=ModelConfig)


def policy_options(config: ModelConfig) -> dict[str, Any]:
    """Give what a policy's configuration file holds: how it was trained, and the rules it trades by."""
    return {"training": config.model_dump(), "rules": CONSTRAINTS.model_dump()}


def read_policy_options(config_class: type[Config], options: Mapping[str, Any]) -> tuple[Config, PortfolioConstraints]:
    """Undo `policy_options`, believing nothing; raises `ConfigError`."""
    require(set(options) == {"training", "rules"}, "keys", "training and rules", sorted(map(str, options)))
    for name, part in options.items():
        require(isinstance(part, Mapping), name, "an object", part)
    config = build(config_class, options["training"], complete=True)
    return config, build(PortfolioConstraints, options["rules"], complete=True)


def with_seed(options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Give what `policy_options` gives for a policy's other training of a number, whose seed is larger by so much."""
    training = options["training"]
    return {**options, "training": {**training, "seed": training["seed"] + number}}


def stands_beside(
    policy: Mapping[str, Any], options: Mapping[str, Any], number: int, fingerprint: Mapping[str, Any]
) -> bool:
    """Tell whether a fingerprint is that of a policy with the seed of a number, from its own and `policy_options`."""
    expected = {**policy, "config": hash_json(with_seed(options, number))}
    return all(fingerprint[part] == expected[part] for part in ("code", "config", "data"))
