"""Walk-forward price forecasters and portfolio policies as a Dagster asset graph."""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "ModelSnapshot": "brain_assets.store.snapshot",
    "SnapshotLocalStorage": "brain_assets.store.storage",
}
"""Public name -> module, which is imported when somebody asks for the name."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
