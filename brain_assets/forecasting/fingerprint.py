"""Fingerprints of forecasters; torch-free, so that asking whether a model is up to date costs nothing."""

from dataclasses import asdict

from brain_assets.forecasting.config import ForecasterConfig
from brain_assets.market.prices import PricePanel
from brain_assets.snapshots.fingerprint import Fingerprint, hash_arrays, hash_json
from brain_assets.versions import CODE_VERSIONS


def forecaster_fingerprint(family: str, panel: PricePanel, config: ForecasterConfig) -> Fingerprint:
    """Tell what a forecaster's bytes follow from; `panel` ends at its cut-off."""
    code = CODE_VERSIONS[f"{family}_snapshot"]
    return Fingerprint(
        family, code, hash_json(asdict(config)), hash_arrays(panel.symbols, panel.sessions, panel.values)
    )
