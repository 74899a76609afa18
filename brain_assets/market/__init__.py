"""Where data comes from: markets, their calendar and their tables."""
