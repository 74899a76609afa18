"""Code versions: raise one when the code behind an asset would give other bytes for the same data and configuration."""

CODE_VERSIONS = {
    "raw_prices": "1",
    "lstm_snapshot": "2",
    "walkforward_forecasts": "1",
    "ppo_policy": "2",
    "backtest": "1",
}
