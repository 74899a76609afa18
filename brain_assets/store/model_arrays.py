"""The arrays of a model by name, as families give and take them: its weights, and those of its scaler.

The one place that turns them into what a `ModelSnapshot` holds, and back.
"""

import datetime
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from brain_assets.store.checks import CONFIG, SCALER, WEIGHTS, refused
from brain_assets.store.model_snapshot import ModelSnapshot
from brain_assets.store.scaler_file import assemble_scaler

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

MEAN, SCALE, VARIANCE, N_SAMPLES = "scaler.mean", "scaler.scale", "scaler.var", "scaler.n_samples_seen"
"""Arrays of the feature scaler: float64 of shape (n_features,), the last a number of shape ()."""
SCALER_ARRAYS = (MEAN, SCALE, VARIANCE, N_SAMPLES)


def scaler_arrays(scaler: "StandardScaler") -> dict[str, np.ndarray]:
    """Give the arrays of a fitted scaler."""
    values = (scaler.mean_, scaler.scale_, scaler.var_, np.asarray(scaler.n_samples_seen_))
    return dict(zip(SCALER_ARRAYS, values, strict=True))


def arrays_of(snapshot: ModelSnapshot) -> dict[str, np.ndarray]:
    """Give all arrays of a snapshot, the scaler's last."""
    weights = {name: tensor.numpy() for name, tensor in snapshot.state_dict.items()}
    return {**weights, **scaler_arrays(snapshot.scaler)}


def make_snapshot(
    family: str,
    cutoff_date: datetime.date,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    card: str,
) -> ModelSnapshot:
    """Make a snapshot of arrays, the scaler's among them."""
    import torch

    scaler = assemble_scaler(arrays[MEAN], arrays[VARIANCE], arrays[SCALE], arrays[N_SAMPLES][()])
    state_dict = {name: torch.tensor(array) for name, array in arrays.items() if name not in SCALER_ARRAYS}
    return ModelSnapshot(family, cutoff_date, config, metadata, state_dict, scaler, card)


def check_arrays(snapshot: ModelSnapshot, layout: Mapping[str, tuple[int, ...]], n_features: int) -> None:
    """Refuse arrays that are not those of the model which the configuration describes.

    Parameters
    ----------
    snapshot : ModelSnapshot
    layout : mapping of str to tuple of int
        Names and shapes of its float32 arrays.
    n_features : int
        How many numbers the scaler must scale.

    Raises
    ------
    SnapshotError
        Naming the first array that is missing, of another shape or type, unknown, or not finite.
    """
    arrays = {name: array for name, array in arrays_of(snapshot).items() if name not in SCALER_ARRAYS}
    strangers = sorted(set(arrays) - set(layout))
    if strangers:
        raise refused(WEIGHTS, f"no weights but {', '.join(layout)}", reprlib.repr(strangers[0]))
    for name, shape in layout.items():
        if name not in arrays:
            raise refused(WEIGHTS, f"the weights {name}", "none")
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise refused(WEIGHTS, f"{name} float32 {shape}, as {CONFIG} says", f"{array.dtype} {array.shape}")
        if not np.isfinite(array).all():
            raise refused(WEIGHTS, f"finite numbers in {name}", "some that are not")
    if snapshot.scaler.n_features_in_ != n_features:
        raise refused(SCALER, f"a scaler of {n_features} features", f"one of {snapshot.scaler.n_features_in_}")
