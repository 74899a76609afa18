"""Code versions: raise one when the code would give other bytes for the same data and configuration.

A family of models has its own, `brain_assets.registry.Family.code_version`.
"""

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
