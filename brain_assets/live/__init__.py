"""Market `live`: prices by Yahoo, fundamentals by SEC EDGAR, news from the user's own files."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(markets={"live": "brain_assets.live.market:open_market"})
