"""From settings to a market."""

from typing import Any

from brain_assets.errors import MarketError
from brain_assets.market.base import Market
from brain_assets.market.files import FilesMarket
from brain_assets.market.live import DEFAULT_SYMBOLS, LiveMarket
from brain_assets.market.sample import SampleMarket
from brain_assets.market.simulator import SimulatorMarket


def sample(settings: Any) -> Market:
    """Open the market of real closes that come along."""
    return SampleMarket(settings.symbols)


def simulator(settings: Any) -> Market:
    """Open a market made up from a seed."""
    return SimulatorMarket(tuple(sorted(settings.symbols)))  # there, what a symbol does depends on its position


def live(settings: Any) -> Market:
    """Open the market of Yahoo and EDGAR."""
    return LiveMarket(
        settings.symbols or DEFAULT_SYMBOLS, files_dir=settings.files_dir, edgar_identity=settings.edgar_identity
    )


def files(settings: Any) -> Market:
    """Open the market of a user's files."""
    if settings.files_dir is None:
        raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
    return FilesMarket(settings.files_dir, settings.symbols)
