"""The boosting forecaster: small trees on weekly features, each fitted to what those before it leave.

Arrays hold the trees flat: of each tree the nodes in preorder, so a parent comes before its children. An inner node
sends a row left where its feature is at most the threshold. A leaf has itself as both children; so have the nodes that
fill a tree up to the most that there can be.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pydantic

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.forecasting.features import Windows
from brain_assets.forecasting.forecaster import Progress
from brain_assets.forecasting.weekly_features import FEATURES, WeeklyConfig, WeeklyForecaster
from brain_assets.registry import register
from brain_assets.store.manifest import MODEL, refused

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot


class BoostingConfig(WeeklyConfig):
    """How the trees are trained."""

    max_iter: int = pydantic.Field(300, ge=1, le=5_000, description="Trees.")
    learning_rate: float = pydantic.Field(0.03, gt=0, le=1, description="Share of each tree's prediction that counts.")
    max_leaf_nodes: int = pydantic.Field(8, ge=2, le=64, description="Leaves of a tree at most.")
    min_samples_leaf: int = pydantic.Field(200, ge=1, le=1_000_000, description="Training windows in a leaf at least.")


@register
class Boosting(WeeklyForecaster):
    """Predicts by boosted trees (Friedman 2001) on weekly features, from all weeks up to the cut-off."""

    name, label, code_version = "boosting", "Boosting", "1"
    Config = BoostingConfig
    quick: ClassVar[Mapping[str, Any]] = {"max_iter": 10, "min_samples_leaf": 20}

    def layout(self, config: BoostingConfig) -> Mapping[str, tuple[int, ...]]:
        """Name the nodes of all trees, what is predicted before the first, and what splits by each feature gain."""
        nodes = (config.max_iter, 2 * config.max_leaf_nodes - 1)
        names = ("feature", "threshold", "left", "right", "value")
        return {**dict.fromkeys(names, nodes), "baseline": (1,), "gain": (len(FEATURES),)}

    def fit(
        self, train: Windows, validation: Windows, config: BoostingConfig, progress: Progress, device: str
    ) -> dict[str, np.ndarray]:
        """Learn from the training windows alone; nothing is stopped early."""
        del validation, progress, device  # nothing is chosen, there are no epochs, the CPU is enough
        from sklearn.ensemble import HistGradientBoostingRegressor

        fitted = HistGradientBoostingRegressor(
            learning_rate=config.learning_rate,
            max_iter=config.max_iter,
            max_leaf_nodes=config.max_leaf_nodes,
            min_samples_leaf=config.min_samples_leaf,
            early_stopping=False,
            random_state=config.seed,
        ).fit(train.values[:, 0], train.target)
        return _flatten(fitted, self.layout(config))

    def check(self, snapshot: "ModelSnapshot") -> None:
        """Refuse trees that point to features or nodes that there are not; see `Forecaster.check`."""
        super().check(snapshot)
        n_nodes = snapshot.arrays["value"].shape[1]
        for name, count in (("feature", len(FEATURES)), ("left", n_nodes), ("right", n_nodes)):
            if not np.isin(snapshot.arrays[name], np.arange(count)).all():
                raise refused(MODEL, f"whole numbers below {count} in {name}", "others")

    def feature_weights(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, float]:
        """Give each feature's share of the gain of all splits."""
        return dict(zip(FEATURES, arrays["gain"].tolist(), strict=True))

    def predict_rows(self, arrays: Mapping[str, np.ndarray], rows: Float32Array) -> FloatArray:
        """See `WeeklyForecaster.predict_rows`."""
        columns = np.ascontiguousarray(rows.T)
        feature, left, right = (arrays[name].astype(np.int64) for name in ("feature", "left", "right"))
        predicted = np.full(len(rows), float(arrays["baseline"][0]))
        for tree, values in enumerate(arrays["value"].astype(np.float64)):
            at = np.zeros(len(rows), dtype=np.uint8)  # where each row stands; all rows go down one node at a time
            for node in np.flatnonzero(left[tree] != right[tree]):
                below = columns[feature[tree, node]] <= arrays["threshold"][tree, node]
                children = np.where(below, np.uint8(left[tree, node]), np.uint8(right[tree, node]))
                at = np.where(at == node, children, at)
            predicted += values[at]
        return predicted


def _flatten(fitted: Any, layout: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Lay the trees of a `HistGradientBoostingRegressor` out as float32 arrays."""
    arrays = {name: np.zeros(shape, dtype=np.float32) for name, shape in layout.items()}
    arrays["left"][:] = arrays["right"][:] = np.arange(arrays["left"].shape[1])
    gain = np.zeros(len(FEATURES))
    for tree, [predictor] in enumerate(fitted._predictors):
        nodes = predictor.nodes
        arrays["value"][tree, : len(nodes)] = nodes["value"]
        inner = np.flatnonzero(nodes["is_leaf"] == 0)
        for name, column in (("feature", "feature_idx"), ("left", "left"), ("right", "right")):
            arrays[name][tree, inner] = nodes[column][inner]
        arrays["threshold"][tree, inner] = _rounded_down(nodes["num_threshold"][inner])
        np.add.at(gain, nodes["feature_idx"][inner], nodes["gain"][inner])
    arrays["baseline"][:] = np.ravel(fitted._baseline_prediction)
    arrays["gain"][:] = gain / max(gain.sum(), 1e-12)
    return arrays


def _rounded_down(thresholds: FloatArray) -> Float32Array:
    """Give the largest float32 up to each threshold: the same float32 values lie above it, none changes its side."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
