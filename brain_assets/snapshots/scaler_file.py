"""Reading ``feature_scaler.pkl`` without running what is in it."""

import io
import pickle
from typing import Any

from brain_assets.errors import SnapshotError

ADMITTED = frozenset(
    {
        ("sklearn.preprocessing._data", "StandardScaler"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
    }
)
"""Every name that the pickle of a fitted `StandardScaler` looks up, and nothing else."""


class _ScalerUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise SnapshotError(
                f"feature_scaler.pkl: expected a fitted StandardScaler, got a pickle that asks for {module}.{name}; "
                "do not use this snapshot."
            )
        return super().find_class(module, name)


def dump_scaler(scaler: Any) -> bytes:
    """Pickle a fitted scaler; the same scaler gives the same bytes."""
    return pickle.dumps(scaler, protocol=4)


def load_scaler(data: bytes) -> Any:
    """Unpickle a fitted `StandardScaler`, admitting only the names that one needs.

    Raises
    ------
    SnapshotError
        If the pickle asks for anything else (nothing of it has run then), is broken, or holds no fitted scaler.
    """
    from sklearn.preprocessing import StandardScaler

    try:
        scaler = _ScalerUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError, ValueError, KeyError) as error:
        raise SnapshotError(
            f"feature_scaler.pkl: expected a fitted StandardScaler, got a broken pickle ({error}); train it again."
        ) from (error)
    if not isinstance(scaler, StandardScaler) or not hasattr(scaler, "scale_"):
        raise SnapshotError(
            f"feature_scaler.pkl: expected a fitted StandardScaler, got {type(scaler).__name__}; do not use it."
        )
    return scaler
