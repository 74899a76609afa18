"""The arrays of a model: ``model.safetensors``, which is read, and two files beside it, which are only written.

A safetensors file is 8 bytes with the length of its header, the header (JSON: name -> dtype, shape and bytes of each
array), and the bytes of all arrays, one after the other. The format's own library sees that each byte is of one array;
what else a header says is checked before an array is made.
``weights.pt`` and ``feature_scaler.pkl`` are for users of torch and scikit-learn, and never opened here: reading a
pickle can run anything.
"""

import io
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from brain_assets.arrays import LARGEST_WEIGHT
from brain_assets.store.manifest import CONFIG, LARGEST_FILE, MODEL, SCALER, WEIGHTS, refused, shown
from brain_assets.store.scaler import NAMES, Scaler, fitted_standard_scaler

LARGEST_HEADER = 2**20
KEYS = {"dtype", "shape", "data_offsets"}
DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}

Layout = Mapping[str, tuple[int, ...]]
"""Names of float32 arrays, without the scaler's, and their shapes."""


class _Entry(NamedTuple):
    dtype: str
    shape: list[int]
    data: bytes


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Give the bytes of ``model.safetensors``; the same arrays give the same bytes, in whatever order."""
    from safetensors.numpy import save

    return bytes(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(data: bytes, layout: Layout | None = None) -> dict[str, np.ndarray]:
    """Read ``model.safetensors``, which may come from anywhere; raises `SnapshotError`.

    With a layout, its arrays and the scaler's four must be there, and nothing else may. Gives finite numbers of a usual
    size, each array with memory of its own, in the order of the layout, the scaler's last.
    """
    from safetensors import SafetensorError, deserialize

    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(data) - 8) or len(data) > LARGEST_FILE:
        raise refused(MODEL, f"a header of at most {LARGEST_HEADER:,} bytes in at most {LARGEST_FILE:,}", f"{length:,}")
    header = data[8 : 8 + length]
    try:
        entries = {name: _Entry(**values) for name, values in deserialize(data)}  # type: ignore[no-untyped-call]
        described = json.loads(header).values()
    except (SafetensorError, TypeError, ValueError, RecursionError) as error:
        raise refused(MODEL, "a safetensors file", f"what cannot be read as such ({shown(str(error))})") from error
    if header.count(b'"data_offsets"') != len(entries) or any(set(each) != KEYS for each in described):
        raise refused(MODEL, "dtype, shape and data_offsets of every array, once, in its header", "something else")
    for name, entry in entries.items():
        if entry.dtype not in DTYPES or len(entry.shape) > 8:
            raise refused(MODEL, f"{shown(name)} of {', '.join(DTYPES)} and few dimensions", shown(str(entry[:2])))
    if layout is not None:
        _check_layout({name: (DTYPES[entry.dtype], tuple(entry.shape)) for name, entry in entries.items()}, layout)
        entries = {name: entries[name] for name in (*layout, *NAMES)}
    return {name: _read_array(name, entry) for name, entry in entries.items()}


def check_arrays(arrays: Mapping[str, np.ndarray], layout: Layout) -> None:
    """Refuse other arrays than those of a layout and a scaler; raises `SnapshotError`."""
    _check_layout({name: (array.dtype, array.shape) for name, array in arrays.items()}, layout)


def _check_layout(got: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], layout: Layout) -> None:
    names = (*layout, *NAMES)
    for name in sorted(set(got) - set(names)):
        raise refused(MODEL, f"no arrays but {shown(', '.join(names))}", shown(name))
    for name in names:
        if name not in got:
            raise refused(MODEL, f"the array {name}", "none")
    length = got[NAMES[0]][1][:1] or (1,)
    wanted = {name: f"float32 {tuple(shape)}" for name, shape in layout.items()}
    wanted |= dict.fromkeys(NAMES[:3], f"float64 {length}") | {NAMES[3]: "int64 ()"}
    for name, expected in wanted.items():
        if (described := f"{got[name][0].name} {got[name][1]}") != expected:
            raise refused(MODEL, f"{name} {expected}, as {CONFIG} says", described)


def _read_array(name: str, entry: _Entry) -> np.ndarray:
    array: np.ndarray = np.ndarray(entry.shape, DTYPES[entry.dtype], entry.data).copy()
    limit = LARGEST_WEIGHT if name not in NAMES else np.finfo(float).max  # `Scaler` has limits of its own
    if not ((array >= -limit) & (array <= limit)).all():
        raise refused(MODEL, f"finite numbers of a usual size in {shown(name)}", "some that are not")
    return array


def write_model(arrays: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """Give the files of a model: the one that is read, a torch state dict, and scikit-learn's `StandardScaler`."""
    import cloudpickle
    import torch

    state = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in arrays.items() if name not in NAMES}, state)
    scaler = cloudpickle.dumps(fitted_standard_scaler(Scaler.from_arrays(arrays)), protocol=4)
    return {MODEL: write_arrays(arrays), WEIGHTS: state.getvalue(), SCALER: bytes(scaler)}
