"""Weights as a backtest stores them: JSON by symbol, zeros left out."""

import json
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from brain_assets.arrays import FloatArray

CASH = "cash"
"""Name of what is not invested, beside the symbols."""


def write_weights(weights: FloatArray, symbols: Sequence[str]) -> str:
    """Write the weights of a week, (n_symbols + 1,), cash last."""
    return json.dumps({name: float(w) for name, w in zip((*symbols, CASH), weights, strict=True) if w > 0})


def weights_table(texts: Iterable[str]) -> pd.DataFrame:
    """Read weights: a row a text, a column a symbol as they first come, `CASH` last."""
    table = pd.DataFrame([json.loads(text) for text in texts]).fillna(0.0)
    symbols = [name for name in table.columns if name != CASH]
    return table.reindex(columns=[*symbols, CASH], fill_value=0.0).astype(np.float64)
