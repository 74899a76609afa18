"""Scalers: fitted feature by feature, stored as a pickle, and read without running what is in it.

The few names that the pickle of a fitted `StandardScaler` looks up are answered with records of our own that note what
they are given: nothing of numpy, scikit-learn or anything else is called by a pickle, whatever it holds. A scaler is
then built anew from the three arrays that were noted, once they are what arrays of a scaler must be.
"""

import io
import pickle
import pickletools
import struct
from typing import TYPE_CHECKING, Any

from brain_assets.store.checks import SCALER, refused, shown

if TYPE_CHECKING:
    import numpy as np
    from sklearn.preprocessing import StandardScaler

    from brain_assets.arrays import Float32Array, FloatArray

MAX_BYTES = 20_000
"""A scaler of 5 features has about 600. Small enough that nothing in it can be nested until the interpreter breaks."""

ATTRIBUTES = frozenset(
    {
        *("with_mean", "with_std", "copy", "n_features_in_", "n_samples_seen_"),
        *("mean_", "var_", "scale_", "_sklearn_version"),
    }
)
"""All that a fitted scaler's pickle notes."""

BROKEN = (
    *(pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(ArithmeticError, ImportError, MemoryError, RuntimeError, struct.error),
)
"""What unpickling nonsense raises."""


class _Record:
    """Stands in for whatever a scaler's pickle makes; notes what it is made of and does nothing."""

    parts: tuple[object, ...]
    state: object

    def __new__(cls, *parts: object) -> "_Record":
        record = super().__new__(cls)
        record.parts, record.state = parts, None
        return record

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Scaler(_Record):
    """Of `StandardScaler`."""


class _Array(_Record):
    """Of an array, by numpy's ``_reconstruct``."""


class _Number(_Record):
    """Of a numpy scalar."""


class _Type(_Record):
    """Of a numpy dtype."""


ADMITTED: dict[tuple[str, str], object] = {
    ("sklearn.preprocessing._data", "StandardScaler"): _Scaler,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "scalar"): _Number,
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Type,
}
"""Every name that the pickle of a fitted `StandardScaler` looks up, and what stands in for it."""


class _ScalerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise refused(SCALER, "a fitted StandardScaler", f"a pickle that asks for {shown(f'{module}.{name}')}")
        return ADMITTED[module, name]


def fit_scaler_by_column(values: "FloatArray | Float32Array") -> "StandardScaler":
    """Fit a scaler to what is known of each feature.

    Parameters
    ----------
    values : ndarray of float, shape (..., n_features)
        NaN: not known, and left out of its own feature only.

    Returns
    -------
    StandardScaler
        A feature that is known nowhere has a mean of 0 and a scale of 1.
    """
    import numpy as np
    from sklearn.preprocessing import StandardScaler

    n_features = values.shape[-1]
    mean, variance, scale = np.zeros(n_features), np.zeros(n_features), np.ones(n_features)
    n_samples = np.int64(0)
    for feature in range(n_features):  # a feature at a time: a copy of all would be as large as the values
        column = values[..., feature]
        known = column[np.isfinite(column)].reshape(-1, 1)
        if len(known):
            fitted = StandardScaler().fit(known)
            mean[feature], variance[feature], scale[feature] = fitted.mean_[0], fitted.var_[0], fitted.scale_[0]
        n_samples = max(n_samples, np.int64(len(known)))
    return assemble_scaler(mean, variance, scale, n_samples)


def dump_scaler(scaler: Any) -> bytes:
    """Pickle a fitted scaler; the same scaler gives the same bytes."""
    return pickle.dumps(scaler, protocol=4)


def load_scaler(data: bytes) -> "StandardScaler":
    """Read a fitted `StandardScaler` and build it anew; it transforms, and pickles, exactly as the one that was stored.

    Raises
    ------
    SnapshotError
        If the pickle asks for anything but a scaler's names (nothing of it has run then), is broken, or does not hold
        a scaler with finite arrays of one length and a scale > 0.
    """
    try:
        _refuse_opcodes(data)
        record = _ScalerUnpickler(io.BytesIO(data)).load()
    except BROKEN as error:
        raise refused(SCALER, "a fitted StandardScaler", f"a broken pickle ({_reason(error)})") from error
    if not (isinstance(record, _Scaler) and isinstance(record.state, dict)):
        raise refused(SCALER, "a fitted StandardScaler", _name(record))
    if set(record.state) != ATTRIBUTES:
        raise refused(SCALER, "a fitted StandardScaler with its attributes", "one with others, or not all of them")
    return _rebuild(record.state)


def _name(record: object) -> str:
    return type(record).__name__.lstrip("_")


def _refuse_opcodes(data: bytes) -> None:
    """Refuse what could take memory or look up names behind the unpickler's back; reads the pickle, runs nothing."""
    if len(data) > MAX_BYTES:
        raise refused(SCALER, f"at most {MAX_BYTES:,} bytes", f"{len(data):,}")
    for opcode, argument, _ in pickletools.genops(data):
        far = opcode.name in ("PUT", "LONG_BINPUT") and int(argument or 0) > len(data)  # the memo would grow up to it
        if far or opcode.name.startswith("EXT"):
            raise refused(SCALER, "a fitted StandardScaler", f"a pickle with the instruction {opcode.name}")


def _reason(error: BaseException) -> str:
    return shown(str(error)) if str(error) else type(error).__name__


def _rebuild(state: dict[str, Any]) -> "StandardScaler":
    if not (state["with_mean"] is True and state["with_std"] is True):
        raise refused(SCALER, "a scaler that subtracts the mean and divides by the scale", "another one")
    mean, variance, scale = (_read_array(name, state[name]) for name in ("mean_", "var_", "scale_"))
    n_features = state["n_features_in_"]
    if not (type(n_features) is int and n_features == len(mean) == len(variance) == len(scale)):
        lengths = f"{len(mean)}, {len(variance)} and {len(scale)}"
        raise refused(SCALER, "arrays of one length, n_features_in_", f"lengths of {lengths}")
    if not (scale > 0).all():
        raise refused(SCALER, "scales > 0", f"{scale.min()}")
    return assemble_scaler(mean, variance, scale, _read_count(state["n_samples_seen_"]))


def assemble_scaler(
    mean: "FloatArray", variance: "FloatArray", scale: "FloatArray", n_samples: "np.float64 | np.int64"
) -> "StandardScaler":
    """Build a fitted scaler of its arrays, each of shape (n_features,): it pickles as one that was fitted."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()  # attributes in the order in which fitting sets them: it pickles to the same bytes
    scaler.n_features_in_ = len(mean)
    scaler.n_samples_seen_ = n_samples
    scaler.mean_, scaler.var_, scaler.scale_ = mean, variance, scale
    return scaler


def _type_code(record: object) -> object:
    """Give the code of a little-endian dtype, such as "f8"; None: it is something else."""
    if isinstance(record, _Type) and isinstance(record.state, tuple) and record.state[1:2] == ("<",):
        return next(iter(record.parts), None)
    return None


def _read_array(name: str, record: object) -> "FloatArray":
    """Read one finite float64 array of one dimension out of the record of it."""
    import numpy as np

    expected = f"{name} to be a finite float64 array of one dimension"
    state = record.state if isinstance(record, _Array) else None
    if not (isinstance(state, tuple) and len(state) == 5):
        raise refused(SCALER, expected, _name(record))
    _, shape, kind, _, content = state
    if not (_type_code(kind) == "f8" and isinstance(content, bytes) and isinstance(shape, tuple) and len(shape) == 1):
        raise refused(SCALER, expected, "an array of another type or shape")
    (length,) = shape
    if not (type(length) is int and length >= 1 and len(content) == 8 * length):
        raise refused(SCALER, expected, f"{len(content):,} bytes for another length")
    array: FloatArray = np.frombuffer(content, dtype="<f8").astype(np.float64)
    if not np.isfinite(array).all():
        raise refused(SCALER, expected, "one with numbers that are not finite")
    return array


def _read_count(record: object) -> "np.float64 | np.int64":
    """Read the number of samples, a numpy scalar; nothing depends on it but the bytes of the scaler's pickle."""
    import numpy as np

    kind, content = record.parts if isinstance(record, _Number) and len(record.parts) == 2 else (None, None)
    if _type_code(kind) in ("f8", "i8") and isinstance(content, bytes) and len(content) == 8:
        count: np.float64 | np.int64 = np.frombuffer(content, dtype=f"<{_type_code(kind)}")[0]
        if np.isfinite(count) and count >= 0:
            return count
    raise refused(SCALER, "n_samples_seen_ to be a number of samples", _name(record))
