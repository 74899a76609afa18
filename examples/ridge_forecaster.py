"""A forecaster of your own in one file: ridge regression on the returns of a window.

    BRAIN_PLUGINS=examples.ridge_forecaster brain-assets backfill 2019-2021

A family says what it is, which channels it sees, how it is trained (`Config`), what arrays a model of it has
(`layout`), and how it learns and predicts. The platform does the rest: it cuts the data at the cut-off, finds the
windows, scales them with a scaler fitted on training rows only, turns predictions into weekly returns, stores the
arrays, and lets nothing of the future in. Assets, checks, columns, cards and commands follow from the registration.
"""

from collections.abc import Mapping

import numpy as np
import pydantic

from brain_assets import RETURNS, Forecaster, ForecasterConfig, Progress, Windows, register


class RidgeConfig(ForecasterConfig):
    """How the ridge regression is trained."""

    window: int = pydantic.Field(20, ge=2, le=1_000, description="Sessions of history in a window.")
    alpha: float = pydantic.Field(1_000.0, gt=0, description="Strength of the L2 penalty.")


@register
class Ridge(Forecaster):
    """Predicts a number that is linear in the scaled returns of a window (Hoerl & Kennard 1970)."""

    name, label = "ridge", "Ridge"
    Config = RidgeConfig
    channels = RETURNS
    kinds = frozenset({"scikitlearn"})

    def layout(self, config: RidgeConfig) -> Mapping[str, tuple[int, ...]]:
        """One coefficient a session and channel, and an intercept."""
        return {"coef": (config.window * len(self.channels),), "intercept": (1,)}

    def fit(
        self, train: Windows, validation: Windows, config: RidgeConfig, progress: Progress, device: str
    ) -> dict[str, np.ndarray]:
        """Learn from the training windows; there are no epochs, so neither `validation` nor `progress` is needed."""
        from sklearn.linear_model import Ridge as Regression  # here, so that naming the plug-in costs nothing

        fitted = Regression(alpha=config.alpha).fit(_flat(train), train.target)
        return {
            "coef": fitted.coef_.astype(np.float32),
            "intercept": np.array([fitted.intercept_], dtype=np.float32),
        }

    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: RidgeConfig) -> np.ndarray:
        """Give a number a window, in the units of the targets."""
        predicted: np.ndarray = _flat(windows) @ arrays["coef"] + arrays["intercept"]
        return predicted


def _flat(windows: Windows) -> np.ndarray:
    """Give each window as a row of features, as scikit-learn takes them; (n_windows, window * n_channels)."""
    return windows.values.reshape(len(windows), -1)
