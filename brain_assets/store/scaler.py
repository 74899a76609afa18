"""Scaling of features, one feature at a time: subtract the mean, divide by the standard deviation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.store.manifest import MODEL, refused

LARGEST = 1e9
LIMITS = {
    "scaler.mean": (-LARGEST, LARGEST),
    "scaler.scale": (1e-12, LARGEST),
    "scaler.var": (0.0, LARGEST**2),
    "scaler.n_samples_seen": (0, LARGEST**2),
}
"""Of its arrays in a snapshot; scaled features are clipped to a few units anyway."""
NAMES = tuple(LIMITS)


@dataclass(frozen=True, eq=False)
class Scaler:
    """What each feature is scaled by, as `sklearn.preprocessing.StandardScaler` names it.

    A feature that was known nowhere has a mean of 0 and a scale of 1; the samples are those of the best known one.
    """

    mean: FloatArray
    scale: FloatArray
    var: FloatArray
    n_samples_seen: int

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of it in a snapshot."""
        values = (self.mean, self.scale, self.var, np.array(self.n_samples_seen, dtype=np.int64))
        return dict(zip(NAMES, values, strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Scaler":
        """Find it among the arrays of a snapshot; raises `SnapshotError` if it is not there, or cannot scale."""
        for name, (least, most) in LIMITS.items():
            if name not in arrays:
                raise refused(MODEL, f"the array {name}", "none")
            if not ((arrays[name] >= least) & (arrays[name] <= most)).all():
                raise refused(MODEL, f"finite numbers of a usual size in {name}", "others")
        mean, scale, var, count = (arrays[name] for name in NAMES)
        return cls(mean, scale, var, int(count))


def fit_scaler_by_column(values: FloatArray | Float32Array) -> Scaler:
    """Fit a scaler to values of shape (..., n_features); NaN, not known, is left out of its own feature only."""
    from sklearn.preprocessing import StandardScaler

    n_features = values.shape[-1]
    mean, variance, scale = np.zeros(n_features), np.zeros(n_features), np.ones(n_features)
    n_samples = 0
    for feature in range(n_features):  # a feature at a time: a copy of all would be as large as the values
        column = values[..., feature]
        known = column[np.isfinite(column)].reshape(-1, 1)
        if len(known):
            fitted = StandardScaler().fit(known)
            mean[feature], variance[feature], scale[feature] = fitted.mean_[0], fitted.var_[0], fitted.scale_[0]
        n_samples = max(n_samples, len(known))
    return Scaler(mean, scale, variance, n_samples)


def check_scaler(arrays: Mapping[str, np.ndarray], n_features: int) -> None:
    """Refuse the scaler of another number of features; raises `SnapshotError`."""
    if (got := len(Scaler.from_arrays(arrays).mean)) != n_features:
        raise refused(MODEL, f"a scaler of {n_features} features", f"one of {got}")


def fitted_standard_scaler(scaler: Scaler) -> Any:
    """Build a fitted `sklearn.preprocessing.StandardScaler`: it pickles as one that was fitted."""
    from sklearn.preprocessing import StandardScaler

    fitted = StandardScaler()  # attributes in the order in which fitting sets them: it pickles to the same bytes
    fitted.n_features_in_ = len(scaler.mean)
    fitted.n_samples_seen_ = np.int64(scaler.n_samples_seen)
    fitted.mean_, fitted.var_, fitted.scale_ = scaler.mean, scaler.var, scaler.scale
    return fitted
