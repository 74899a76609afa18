"""Array aliases: one name for each kind of array that crosses a module border."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
DateArray = npt.NDArray[np.datetime64]
"""Dates are ``datetime64[D]``: a session has a day, never a time or a zone."""
MomentArray = npt.NDArray[np.datetime64]
"""Moments are ``datetime64[us]`` in UTC."""

LARGEST_WEIGHT = 1e6
"""Of a model, either way; those of trained networks are below 100."""


def describe(value: object) -> str:
    """Give dtype and shape of an array, and of anything else its type."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
