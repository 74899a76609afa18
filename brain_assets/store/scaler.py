"""Scaling of features, one feature at a time: subtract the mean, divide by the standard deviation.

A scaler is four of a model's arrays, by the names that `sklearn.preprocessing.StandardScaler` has for them:
``scaler.mean``, ``scaler.scale`` and ``scaler.var``, float64 of shape (n_features,), and ``scaler.n_samples_seen``, an
int64 of shape ().
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from brain_assets.arrays import Float32Array, FloatArray
from brain_assets.store.checks import refused
from brain_assets.store.manifest import MODEL

MEAN, SCALE, VARIANCE, N_SAMPLES = "scaler.mean", "scaler.scale", "scaler.var", "scaler.n_samples_seen"
SCALER_ARRAYS = (MEAN, SCALE, VARIANCE, N_SAMPLES)
LARGEST, SMALLEST_SCALE = 1e9, 1e-12
"""Of a feature's mean and scale; scaled features are clipped to a few units anyway."""


def fit_scaler_by_column(values: FloatArray | Float32Array) -> dict[str, np.ndarray]:
    """Fit a scaler to what is known of each feature.

    Parameters
    ----------
    values : ndarray of float, shape (..., n_features)
        NaN: not known, and left out of its own feature only.

    Returns
    -------
    dict of str to ndarray
        A feature that is known nowhere has a mean of 0 and a scale of 1.
    """
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
    return {MEAN: mean, SCALE: scale, VARIANCE: variance, N_SAMPLES: np.array(n_samples, dtype=np.int64)}


def check_scaler(arrays: Mapping[str, np.ndarray], n_features: int) -> None:
    """Refuse arrays of a scaler that cannot scale so many features; raises `SnapshotError`."""
    if (got := arrays[MEAN].shape) != (n_features,):
        raise refused(MODEL, f"a scaler of {n_features} features", f"one of {got[0] if len(got) == 1 else got}")
    for name, least, most in ((MEAN, -LARGEST, LARGEST), (SCALE, SMALLEST_SCALE, LARGEST), (VARIANCE, 0.0, LARGEST**2)):
        if not ((arrays[name] >= least) & (arrays[name] <= most)).all():
            raise refused(MODEL, f"finite numbers of a usual size in {name}", "others")
    if arrays[N_SAMPLES] < 0:
        raise refused(MODEL, f"a number of samples >= 0 in {N_SAMPLES}", str(arrays[N_SAMPLES]))


def standard_scaler(arrays: Mapping[str, np.ndarray]) -> Any:
    """Build a fitted `sklearn.preprocessing.StandardScaler`: it pickles as one that was fitted."""
    from sklearn.preprocessing import StandardScaler

    fitted = StandardScaler()  # attributes in the order in which fitting sets them: it pickles to the same bytes
    fitted.n_features_in_ = len(arrays[MEAN])
    fitted.n_samples_seen_ = arrays[N_SAMPLES][()]
    fitted.mean_, fitted.var_, fitted.scale_ = arrays[MEAN], arrays[VARIANCE], arrays[SCALE]
    return fitted
