"""The arrays of a model: ``model.safetensors``, which is read, and two files beside it, which are only written.

The format's own library sees that a header fits its file, and each byte is of one array; names, types and shapes are
checked here.
``weights.pt`` and ``feature_scaler.pkl`` are for users of torch and scikit-learn, and never opened here: reading a
pickle can run anything.
"""

import io
from collections.abc import Mapping

import numpy as np

from brain_assets.arrays import LARGEST_WEIGHT
from brain_assets.store.manifest import CONFIG, MODEL, SCALER, WEIGHTS, refused, shown
from brain_assets.store.scaler import NAMES, Scaler, fitted_standard_scaler

Layout = Mapping[str, tuple[int, ...]]
"""Names of float32 arrays, without the scaler's, and their shapes."""


def write_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Give the bytes of ``model.safetensors``; the same arrays give the same bytes, in whatever order."""
    from safetensors.numpy import save

    return bytes(save({name: np.asarray(array, order="C") for name, array in arrays.items()}))


def read_arrays(data: bytes, layout: Layout | None = None) -> dict[str, np.ndarray]:
    """Read ``model.safetensors``, which may come from anywhere; raises `SnapshotError`.

    With a layout, they are as `check_arrays` wants them, in the order of the layout, the scaler's last. Each array has
    memory of its own.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise refused(MODEL, "a safetensors file", f"what cannot be read as such ({shown(str(error))})") from error
    if layout is not None:
        check_arrays(arrays, layout)
        arrays = {name: arrays[name] for name in (*layout, *NAMES)}
    return {name: array.copy() for name, array in arrays.items()}


def check_arrays(arrays: Mapping[str, np.ndarray], layout: Layout) -> None:
    """Refuse other arrays than those of a layout and a scaler, or of no usual numbers; raises `SnapshotError`."""
    length = arrays[NAMES[0]].shape[:1] if NAMES[0] in arrays else ()
    wanted = {name: f"float32 {tuple(shape)}" for name, shape in layout.items()}
    wanted |= dict.fromkeys(NAMES[:3], f"float64 {length or (1,)}") | {NAMES[3]: "int64 ()"}
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

    state = io.BytesIO()
    torch.save({name: torch.tensor(array) for name, array in arrays.items() if name not in NAMES}, state)
    scaler = cloudpickle.dumps(fitted_standard_scaler(Scaler.from_arrays(arrays)), protocol=4)
    return {MODEL: write_arrays(arrays), WEIGHTS: state.getvalue(), SCALER: bytes(scaler)}
