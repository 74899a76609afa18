"""What an asset shows of a family of models, and what it asks for: from this alone follow its assets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brain_assets.forecasting.config import LstmConfig, PatchTstConfig
from brain_assets.portfolio.config import PpoConfig, SacConfig
from brain_assets.store.names import FAMILY_LABELS
from brain_assets.store.tables import RAW


@dataclass(frozen=True)
class GraphFamily:
    """A family of forecasters or of policies.

    Attributes
    ----------
    name : str
    config_class : type
        How it is trained; the configuration of its assets has the same fields.
    description : str
        Of its yearly asset, one sentence.
    inputs : tuple of str
        Raw tables that it sees.
    kinds : frozenset of str
        Badges in the UI.
    """

    name: str
    config_class: type[Any]
    description: str
    inputs: tuple[str, ...] = RAW
    kinds: frozenset[str] = frozenset({"pytorch"})

    @property
    def label(self) -> str:
        """What a reader calls it."""
        return FAMILY_LABELS[self.name]


FORECASTERS = (
    GraphFamily(
        "lstm",
        LstmConfig,
        "LSTM forecaster of weekly returns, trained on bars and targets up to 31 December of the year, never later.",
        ("raw_prices",),
    ),
    GraphFamily(
        "patchtst",
        PatchTstConfig,
        "PatchTST forecaster of weekly returns from bars, news and filings, all known by 31 December of the year.",
        kinds=frozenset({"pytorch", "huggingface"}),
    ),
)
POLICIES = (
    GraphFamily(
        "ppo",
        PpoConfig,
        "PPO policy over weekly weights, trained on LSTM forecasts, signals and weeks up to 31 December.",
    ),
    GraphFamily(
        "sac",
        SacConfig,
        "SAC policy over weekly weights, trained on PatchTST forecasts, signals and weeks up to 31 December.",
    ),
)
FAMILIES: Mapping[str, GraphFamily] = {family.name: family for family in (*FORECASTERS, *POLICIES)}
