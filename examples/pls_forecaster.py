"""A forecaster of your own in one file: partial least squares on the returns of a window.

    BRAIN_PLUGINS=examples.pls_forecaster brain-assets backfill 2019-2021

A family says what it is, which channels it sees, how it is trained (`Config`), what arrays a model of it has
(`layout`), and how it learns and predicts. The platform does the rest: it cuts the data at the cut-off, finds the
windows, scales them with a scaler fitted on training rows only, turns predictions into weekly returns, stores the
arrays, and lets nothing of the future in. Assets, checks, columns, cards and commands follow from the registration.
"""

from collections.abc import Mapping

import numpy as np
import pydantic

from brain_assets import RETURNS, Forecaster, ForecasterConfig, Progress, Windows, register


class PlsConfig(ForecasterConfig):
    """How the regression is trained."""

    window: int = pydantic.Field(20, ge=2, le=1_000, description="Sessions of history in a window.")
    n_components: int = pydantic.Field(2, ge=1, le=10, description="Directions in the window that are kept.")


@register
class Pls(Forecaster):
    """Predicts from the few directions of a window that vary most with the target (Wold 1966)."""

    name, label = "pls", "PLS"
    Config = PlsConfig
    channels = RETURNS
    kinds = frozenset({"scikitlearn"})

    def layout(self, config: PlsConfig) -> Mapping[str, tuple[int, ...]]:
        """One coefficient a session and channel, and an intercept."""
        return {"coef": (config.window * len(self.channels),), "intercept": (1,)}

    def fit(
        self, train: Windows, validation: Windows, config: PlsConfig, progress: Progress, device: str
    ) -> dict[str, np.ndarray]:
        """Learn from the training windows; there are no epochs, so neither `validation` nor `progress` is needed."""
        from sklearn.cross_decomposition import PLSRegression  # here, so that naming the plug-in costs nothing

        fitted = PLSRegression(config.n_components, scale=False).fit(_flat(train), train.target)
        at_zero = fitted.predict(np.zeros((1, fitted.coef_.shape[1])))
        return {"coef": fitted.coef_[0].astype(np.float32), "intercept": at_zero.astype(np.float32)}

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: PlsConfig) -> np.ndarray:
        """Give a number a window, in the units of the targets."""
        predicted: np.ndarray = _flat(windows) @ arrays["coef"] + arrays["intercept"]
        return predicted


def _flat(windows: Windows) -> np.ndarray:
    """Give each window as a row of features, as scikit-learn takes them; (n_windows, window * n_channels)."""
    return windows.values.reshape(len(windows), -1)
