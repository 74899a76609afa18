"""Market `simulator`: made up from a seed, with a signal of known strength."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(markets={"simulator": "brain_assets.simulator.market:open_market"})
