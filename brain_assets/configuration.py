"""How model configurations are declared: frozen dataclasses whose fields carry their description."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from brain_assets.errors import ConfigError

Config = TypeVar("Config")


def option(default: Any, description: str) -> Any:
    """Declare a field of a configuration with its default and a description (meaning and unit)."""
    return dataclasses.field(default=default, metadata={"description": description})


def require(condition: bool, name: str, expected: str, got: object) -> None:
    """Refuse a value.

    Raises
    ------
    ConfigError
        One sentence with the option's name, what was expected and what came.
    """
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {got!r}; correct the run configuration.")


def from_mapping(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """Build a configuration from JSON or YAML values; unknown keys are refused by name.

    Raises
    ------
    ConfigError
        On an unknown key, or a value that the class refuses.
    """
    known = [field.name for field in dataclasses.fields(config_class)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ConfigError(
            f"{config_class.__name__}: expected keys among {', '.join(known)}, got {', '.join(unknown)}; remove them."
        )
    return config_class(**values)
