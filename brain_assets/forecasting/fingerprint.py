"""Fingerprints of forecasters: asking whether a model is up to date costs no training and no torch."""

from typing import TYPE_CHECKING

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.forecasting.features import require_signals, sees_signals
from brain_assets.store.fingerprint import Fingerprint, hash_arrays, hash_json, library_versions
from brain_assets.store.names import version_name
from brain_assets.versions import MAIN_VERSIONS

if TYPE_CHECKING:
    from brain_assets.forecasting.forecaster import Forecaster, ForecasterConfig
    from brain_assets.market.prices import PricePanel


def forecaster_fingerprint(
    family: str, panel: "PricePanel", config: "ForecasterConfig", device: str = CPU
) -> Fingerprint:
    """Tell what a forecaster's bytes follow from; `panel` ends at its cut-off."""
    model: Forecaster = registry.get(family)
    arrays = [panel.sessions, panel.values]
    if sees_signals(model.channels):
        arrays.append(require_signals(panel, family))
    data = hash_arrays(panel.symbols, *arrays)
    return Fingerprint(family, model.code_version, hash_json(config.model_dump()), data, device=device)


def main_version_name(
    family: str, panel: "PricePanel", config: "ForecasterConfig", market: str, device: str = CPU
) -> str:
    """Name the main version that a panel and a configuration make.

    It follows from the window of the data and all else that is hashed here, but not from the bars themselves, which a
    later download may adjust in their last digits.
    """
    first, last = panel.sessions[0].item(), panel.sessions[-1].item()
    digest = hash_json(
        {
            "window": [first.isoformat(), last.isoformat()],
            "symbols": list(panel.symbols),
            "market": market,
            "config": config.model_dump(),
            "code": f"{MAIN_VERSIONS}.{registry.get(family).code_version}",
            "libraries": library_versions(),
            **({} if device == CPU else {"device": device}),
        }
    )
    return version_name(last, digest)
