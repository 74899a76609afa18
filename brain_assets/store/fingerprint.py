"""Fingerprints: equal fingerprint, equal bytes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np

from brain_assets.device import CPU

CODE_VERSIONS = {
    "raw_prices": "1",
    "raw_news_sentiment": "1",
    "raw_fundamentals": "1",
    "walkforward_forecasts": "3",
    "backtest": "9",
    "report": "4",
    "raw_year_to_date": "1",
    "target_weights": "5",
}
"""Of assets that are no model: raise one when the code would give other bytes for the same data and configuration.

A family of models has its own, `brain_assets.registry.Family.code_version`.
"""


@dataclass(frozen=True)
class Fingerprint:
    """What a model's bytes follow from.

    Of code and libraries it is the versions, of the configuration (the seed among it) and the exact training data the
    hashes, and the device that it is trained on, see `brain_assets.device`.
    """

    family: str
    code: str
    config: str
    data: str
    libraries: str = field(default_factory=lambda: library_versions())
    device: str = CPU

    @property
    def parts(self) -> dict[str, str]:
        """All parts by name; the device if it is not the CPU, where models had fingerprints before it was one."""
        parts = asdict(self)
        return parts if self.device != CPU else {name: part for name, part in parts.items() if name != "device"}

    @property
    def value(self) -> str:
        """The hash over all parts: 64 hexadecimal digits."""
        return hash_json(self.parts)

    @property
    def metadata(self) -> dict[str, str]:
        """What a model's metadata says of it: the parts and the hash."""
        return {**self.parts, "value": self.value}

    def keeps(self, recorded: Mapping[str, Any]) -> bool:
        """Tell whether a model with a recorded fingerprint stays: it differs in the libraries' versions at most."""
        return _without_libraries(recorded) == _without_libraries(self.parts)


def _without_libraries(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in parts.items() if name not in ("libraries", "value")}


def other_libraries(recorded: Mapping[str, Any]) -> str:
    """Say with which other versions of libraries than those here a model was made; empty: with none."""
    made, here = recorded["libraries"].split(", "), library_versions().split(", ")
    if made == here:
        return ""
    before, now = sorted({*made} - {*here}), sorted({*here} - {*made})
    return f"made with {', '.join(before)}, here is {', '.join(now)}: --force to make it again"


def library_versions() -> str:
    """Name the libraries that turn data into weights, with their versions."""
    names = ("numpy", "scikit-learn", "stable_baselines3", "torch", "transformers")
    return ", ".join(f"{name} {version(name)}" for name in names)


def hash_arrays(names: Sequence[str], *arrays: np.ndarray) -> str:
    """Hash exact data: equal hash, equal names, shapes, types and bytes."""
    digest = hashlib.sha256("\n".join(names).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def hash_json(values: Mapping[str, Any]) -> str:
    """Hash plain values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
