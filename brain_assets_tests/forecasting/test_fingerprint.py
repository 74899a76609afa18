"""What a forecaster's fingerprint follows from: all that it learns from, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from brain_assets.forecasting.fingerprint import forecaster_fingerprint
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.patchtst import PatchTstConfig
from brain_assets.market.prices import PricePanel


def changed(panel: PricePanel, what: str) -> PricePanel:
    """Give a panel of which one thing is another."""
    assert panel.signals is not None
    if what == "symbol":
        return replace(panel, symbols=("ZZZ", *panel.symbols[1:]))
    if what == "session":
        return replace(panel, sessions=panel.sessions + np.timedelta64(7, "D"))
    if what == "volume":
        values = panel.values.copy()
        values[2, 50, 4] += 1
        return replace(panel, values=values)
    signals = panel.signals.copy()
    signals[2, 50, {"news": 0, "age of a filing": -1}[what]] += 0.001
    return replace(panel, signals=signals)


@pytest.mark.parametrize("what", ["symbol", "session", "volume", "news", "age of a filing"])
def test_it_changes_with_what_the_family_sees(
    panel: PricePanel, tiny_lstm: LstmConfig, tiny_patchtst: PatchTstConfig, what: str
) -> None:
    other = changed(panel, what)
    for family, config, sees in (("lstm", tiny_lstm, "symbol session volume"), ("patchtst", tiny_patchtst, what)):
        before, after = (forecaster_fingerprint(family, each, config).value for each in (panel, other))
        assert (before != after) == (what in sees), family
