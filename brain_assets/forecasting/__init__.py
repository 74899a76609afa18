"""Forecasters: from a price panel to weekly returns, trained year by year."""
