"""The assets: raw tables, models, and the tables that models make."""
