"""A plug-in of pytest: no wing can be imported, and none is installed, but the simulator's, which tests run on.

Test files that import a wing, to show it at work on the core, are passed over.
"""

import configparser
import importlib.abc
import importlib.metadata
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

_setup = configparser.ConfigParser()
_setup.read(Path(__file__).parents[1] / "setup.cfg")
_lines = _setup["options.entry_points"]["brain_assets.plugins"].split("\n")
WINGS = [line.partition("=")[2].strip() for line in _lines if line.strip() and "simulator" not in line]
"""The packages that are gone."""


class _Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if any(f"{name}.".startswith(f"{wing}.") for wing in WINGS):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def _installed(**options: str) -> Any:
    found = _all(**options)
    if options.get("group") != "brain_assets.plugins":
        return found
    return importlib.metadata.EntryPoints(point for point in found if point.module not in WINGS)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Pass over a file that imports a wing."""
    is_test = collection_path.suffix == ".py"
    return True if is_test and any(f"from {wing}" in collection_path.read_text() for wing in WINGS) else None


_all = importlib.metadata.entry_points
importlib.metadata.entry_points = _installed
sys.meta_path.insert(0, _Gone())
