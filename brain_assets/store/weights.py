"""The arrays of a model: ``model.safetensors``, which is read, and two files beside it, which are only written.

A safetensors file is 8 bytes with the length of its header, the header (JSON: name -> dtype, shape and bytes of each
array), and the bytes of all arrays, one after the other. All that a header says is checked before an array is made.
``weights.pt`` and ``feature_scaler.pkl`` are for users of torch and scikit-learn, and never opened here: reading a
pickle can run anything.
"""

import io
import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from brain_assets.arrays import LARGEST_WEIGHT
from brain_assets.store.checks import refused, shown
from brain_assets.store.manifest import CONFIG, LARGEST_FILE, MODEL, SCALER, WEIGHTS
from brain_assets.store.scaler import NAMES, Scaler, fitted_standard_scaler

LARGEST_HEADER = 2**20
DTYPES: Mapping[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}

Layout = Mapping[str, tuple[int, ...]]
"""Names of float32 arrays, without the scaler's, and their shapes."""


class _Entry(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int

    def __str__(self) -> str:
        return f"{self.dtype.name} {self.shape}"


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Give the bytes of ``model.safetensors``; the same arrays give the same bytes, in whatever order."""
    from safetensors.numpy import save

    return bytes(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(data: bytes, layout: Layout | None = None) -> dict[str, np.ndarray]:
    """Read ``model.safetensors``, which may come from anywhere; raises `SnapshotError`.

    With a layout, its arrays and the scaler's four must be there, and nothing else may. Gives finite numbers of a usual
    size, each array with memory of its own, in the order of the layout, the scaler's last.
    """
    if len(data) > LARGEST_FILE:
        raise refused(MODEL, f"at most {LARGEST_FILE:,} bytes", f"{len(data):,}")
    header, start = _read_header(data)
    entries = {name: _read_entry(name, values) for name, values in header.items()}
    _check_bytes(entries, len(data) - start)
    if layout is not None:
        _check_layout({name: entry[:2] for name, entry in entries.items()}, layout)
        entries = {name: entries[name] for name in (*layout, *NAMES)}
    return {name: _read_array(name, entry, data, start) for name, entry in entries.items()}


def _read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Give the header and the position of the first array."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(data) - 8):
        raise refused(MODEL, f"a header of at most {LARGEST_HEADER:,} bytes within the file", f"one of {length:,}")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise refused(MODEL, "a header in JSON", f"what cannot be read as such ({shown(str(error))})") from error
    if not isinstance(header, dict):
        raise refused(MODEL, "a header that names arrays", type(header).__name__)
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(values := dict(pairs)) != len(pairs):
        raise ValueError("a name that stands there twice")
    return values


def _is_size(value: object) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_FILE


def _read_entry(name: str, values: object) -> _Entry:
    expected = f"dtype, shape and data_offsets of {shown(name)}"
    if not (isinstance(values, dict) and set(values) == {"dtype", "shape", "data_offsets"}):
        raise refused(MODEL, expected, "something else")
    dtype, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
    if not (isinstance(dtype, str) and dtype in DTYPES):
        raise refused(MODEL, f"{expected}, the first one of {', '.join(DTYPES)}", shown(str(dtype)))
    if not (isinstance(shape, list) and len(shape) <= 8 and all(map(_is_size, shape))):
        raise refused(MODEL, f"{expected}, the shape a few small integers >= 0", shown(str(shape)))
    if not (isinstance(offsets, list) and len(offsets) == 2 and all(map(_is_size, offsets))):
        raise refused(MODEL, f"{expected}, the last two positions in the file", shown(str(offsets)))
    entry = _Entry(DTYPES[dtype], tuple(shape), offsets[0], offsets[1])
    size = math.prod(shape) * entry.dtype.itemsize
    if entry.end - entry.begin != size:
        raise refused(MODEL, f"{size:,} bytes for {shown(name)}, {entry}", f"{entry.end - entry.begin:,}")
    return entry


def _check_bytes(entries: Mapping[str, _Entry], n_bytes: int) -> None:
    """Refuse arrays that share bytes, or leave some to nobody."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != position:
            raise refused(MODEL, f"{shown(name)} to begin where the array before ends, {position}", f"{entry.begin}")
        position = entry.end
    if position != n_bytes:
        raise refused(MODEL, f"{position:,} bytes of arrays, as the header says", f"{n_bytes:,}")


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


def _read_array(name: str, entry: _Entry, data: bytes, start: int) -> np.ndarray:
    array: np.ndarray = np.ndarray(entry.shape, entry.dtype, data, start + entry.begin).copy()
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
