"""Market `files`: prices, news and fundamentals from the user's own CSV and Parquet files."""

from brain_assets.plugins import Plugin

PLUGIN = Plugin(
    markets={"files": "brain_assets.user_files.market:open_market"},
    commands={"check-files": "brain_assets.user_files.check:check_files"},
)
