"""Walk-forward price forecasters and portfolio policies as a Dagster asset graph."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brain_assets.configuration import ModelConfig as ModelConfig
    from brain_assets.forecasting.features import RETURNS as RETURNS
    from brain_assets.forecasting.features import Windows as Windows
    from brain_assets.forecasting.forecaster import Forecaster as Forecaster
    from brain_assets.forecasting.forecaster import ForecasterConfig as ForecasterConfig
    from brain_assets.forecasting.forecaster import Progress as Progress
    from brain_assets.market.signals import SIGNALS as SIGNALS
    from brain_assets.portfolio.arithmetic import PortfolioConstraints as PortfolioConstraints
    from brain_assets.portfolio.dataset import PolicyDataset as PolicyDataset
    from brain_assets.portfolio.policy import Act as Act
    from brain_assets.portfolio.policy import OnProgress as OnProgress
    from brain_assets.portfolio.policy import Policy as Policy
    from brain_assets.registry import register as register
    from brain_assets.store.snapshot import ModelSnapshot as ModelSnapshot
    from brain_assets.store.storage import SnapshotLocalStorage as SnapshotLocalStorage
    from brain_assets.study import Study as Study
    from brain_assets.study import open as open  # noqa: A004 - called as `brain_assets.open`
    from brain_assets.study import run as run

__version__ = "0.1.0"

_NAMES = {
    "configuration": ("ModelConfig",),
    "forecasting.features": ("RETURNS", "Windows"),
    "forecasting.forecaster": ("Forecaster", "ForecasterConfig", "Progress"),
    "market.signals": ("SIGNALS",),
    "portfolio.arithmetic": ("PortfolioConstraints",),
    "portfolio.dataset": ("PolicyDataset",),
    "portfolio.policy": ("Act", "OnProgress", "Policy"),
    "registry": ("register",),
    "store.snapshot": ("ModelSnapshot",),
    "store.storage": ("SnapshotLocalStorage",),
    "study": ("Study", "open", "run"),
}
_HOMES = {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names}
"""Public name -> module, which is imported when somebody asks for the name (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module(f"{__name__}.testing")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, "testing"])
