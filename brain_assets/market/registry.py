"""From the word in ``BRAIN_MARKET`` to a market."""

from pathlib import Path

from brain_assets.errors import MarketError
from brain_assets.market.base import MARKETS, Market
from brain_assets.market.files import FilesMarket
from brain_assets.market.live import DEFAULT_SYMBOLS, LiveMarket
from brain_assets.market.sample import SampleMarket
from brain_assets.market.simulator import SimulatorMarket


def open_market(
    name: str, symbols: tuple[str, ...] = (), files_dir: Path | None = None, edgar_identity: str | None = None
) -> Market:
    """Construct the market of a name; cheap, and without the network.

    Raises
    ------
    MarketError
        If the name is unknown, or `files` has no folder.
    """
    if name == "sample":
        return SampleMarket(symbols)
    if name == "simulator":
        return SimulatorMarket(tuple(sorted(symbols)))  # there, what a symbol does depends on its position
    if name == "live":
        return LiveMarket(symbols or DEFAULT_SYMBOLS, files_dir=files_dir, edgar_identity=edgar_identity)
    if name == "files":
        if files_dir is None:
            raise MarketError("BRAIN_FILES_DIR: expected a folder for the market files, got nothing; set it.")
        return FilesMarket(files_dir, symbols)
    raise MarketError(f"BRAIN_MARKET: expected one of {', '.join(MARKETS)}, got {name}; choose one of them.")
