"""The ridge regression forecaster: one coefficient for each weekly feature."""

from collections.abc import Mapping

import numpy as np
import pydantic

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.forecasting.features import Windows
from brain_assets.forecasting.forecaster import Progress
from brain_assets.forecasting.weekly_features import FEATURES, WeeklyConfig, WeeklyForecaster
from brain_assets.registry import register


class RidgeConfig(WeeklyConfig):
    """How the ridge regression is trained."""

    alpha: float = pydantic.Field(
        30_000.0,
        gt=0,
        description="Strength of the L2 penalty: some 30 features that together explain 0.1 % of the variance (a rank "
        "correlation of 0.03) are expected of it, 30 / 0.001.",
    )


@register
class Ridge(WeeklyForecaster):
    """Predicts linearly from weekly features (Hoerl & Kennard 1970), from all weeks up to the cut-off."""

    name, label, code_version = "ridge", "Ridge", "1"
    Config = RidgeConfig

    def layout(self, config: RidgeConfig) -> Mapping[str, tuple[int, ...]]:  # noqa: ARG002 - always the same
        """Name a coefficient for each feature, and an intercept."""
        return {"coef": (len(FEATURES),), "intercept": (1,)}

    def fit(
        self, train: Windows, validation: Windows, config: RidgeConfig, progress: Progress, device: str
    ) -> dict[str, np.ndarray]:
        """Learn from the training windows alone; there are no epochs."""
        del validation, progress, device  # nothing is chosen, there are no epochs, the CPU is enough
        from sklearn.linear_model import Ridge as Regression

        fitted = Regression(alpha=config.alpha).fit(train.values[:, 0].astype(np.float64), train.target)
        return {"coef": fitted.coef_.astype(np.float32), "intercept": np.array([fitted.intercept_], dtype=np.float32)}

    def feature_weights(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, float]:
        """Give each feature's coefficient: what the prediction gains with a standard deviation of the feature."""
        return dict(zip(FEATURES, arrays["coef"].tolist(), strict=True))

    def predict_rows(self, arrays: Mapping[str, np.ndarray], rows: Float32Array) -> FloatArray:
        """Predict a number a row; see `WeeklyForecaster.predict_rows`."""
        return (rows.astype(np.float64) * arrays["coef"]).sum(axis=1) + arrays["intercept"]
