"""The arrays of a model: ``model.safetensors``, which is read, and two files beside it, which are only written.

The format's own library sees that a header fits its file, and each byte is of one array; names, types and shapes are
checked here.
``weights.pt`` and ``feature_scaler.pkl`` are for users of torch and scikit-learn, and never opened here: reading a
pickle can run anything.

The scaler subtracts each feature's mean and divides by its standard deviation.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brain_assets.arrays import LARGEST_WEIGHT, Float32Array, FloatArray
from brain_assets.store.manifest import CONFIG, MODEL, SCALER, WEIGHTS, refused, shown

LARGEST_SCALE = 1e9
LIMITS = {
    "scaler.mean": (-LARGEST_SCALE, LARGEST_SCALE),
    "scaler.scale": (1e-12, LARGEST_SCALE),
    "scaler.var": (0.0, LARGEST_SCALE**2),
    "scaler.n_samples_seen": (0, LARGEST_SCALE**2),
}
"""Of its arrays in a snapshot; scaled features are clipped to a few units anyway."""
SCALER_NAMES = tuple(LIMITS)


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
        return dict(zip(SCALER_NAMES, values, strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Scaler":
        """Find it among the arrays of a snapshot; raises `SnapshotError` if it cannot scale."""
        for name, (least, most) in LIMITS.items():
            if not ((arrays[name] >= least) & (arrays[name] <= most)).all():
                raise refused(MODEL, f"finite numbers of a usual size in {name}", "others")
        mean, scale, var, count = (arrays[name] for name in SCALER_NAMES)
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


Layout = Mapping[str, tuple[int, ...]]
"""Names of float32 arrays, without the scaler's, and their shapes."""


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Give the bytes of ``model.safetensors``; the same arrays give the same bytes, in whatever order."""
    from safetensors.numpy import save

    return bytes(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(data: bytes, layout: Layout) -> dict[str, np.ndarray]:
    """Read ``model.safetensors``, which may come from anywhere; raises `SnapshotError`.

    The arrays are as `check_arrays` wants them, in the order of the layout, the scaler's last; each has memory of its
    own.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise refused(MODEL, "a safetensors file", f"what cannot be read as such ({shown(str(error))})") from error
    check_arrays(arrays, layout)
    return {name: arrays[name].copy() for name in (*layout, *SCALER_NAMES)}


def check_arrays(arrays: Mapping[str, np.ndarray], layout: Layout) -> None:
    """Refuse other arrays than those of a layout and a scaler, or of no usual numbers; raises `SnapshotError`."""
    length = arrays[SCALER_NAMES[0]].shape[:1] if SCALER_NAMES[0] in arrays else ()
    wanted = {name: f"float32 {tuple(shape)}" for name, shape in layout.items()}
    wanted |= dict.fromkeys(SCALER_NAMES[:3], f"float64 {length or (1,)}") | {SCALER_NAMES[3]: "int64 ()"}
    for name in sorted(set(arrays) - set(wanted)):
        raise refused(MODEL, f"no arrays but {shown(', '.join(wanted))}", shown(name))
    for name, expected in wanted.items():
        if name not in arrays:
            raise refused(MODEL, f"the array {name}", "none")
        if (got := f"{arrays[name].dtype.name} {arrays[name].shape}") != expected:
            raise refused(MODEL, f"{name} {expected}, as {CONFIG} says", got)
    for name in layout:
        if not (abs(arrays[name]) <= LARGEST_WEIGHT).all():
            raise refused(MODEL, f"finite numbers of a usual size in {name}", "some that are not")
    Scaler.from_arrays(arrays)


def write_model(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Give the files of a model: the one that is read, a torch state dict, and scikit-learn's `StandardScaler`."""
    import cloudpickle
    import torch
    from sklearn.preprocessing import StandardScaler

    state, scaler = io.BytesIO(), Scaler.from_arrays(arrays)
    torch.save({name: torch.tensor(array) for name, array in arrays.items() if name not in SCALER_NAMES}, state)
    fitted = StandardScaler()  # attributes in the order in which fitting sets them: it pickles to the same bytes
    fitted.n_features_in_ = len(scaler.mean)
    fitted.n_samples_seen_ = np.int64(scaler.n_samples_seen)
    fitted.mean_, fitted.var_, fitted.scale_ = scaler.mean, scaler.var, scaler.scale
    pickled = bytes(cloudpickle.dumps(fitted, protocol=4))
    return {MODEL: write_arrays(arrays), WEIGHTS: state.getvalue(), SCALER: pickled}
