"""Weekly portfolios: the market arithmetic, environments to learn in, policies, baselines and their backtests."""
