"""Walk-forward price forecasters and portfolio policies as a Dagster asset graph."""

__version__ = "0.1.0"
