import builtins
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from brain_assets.errors import SnapshotError
from brain_assets.store.scaler_file import dump_scaler, load_scaler


def test_scaler_comes_back_the_same_and_its_bytes_repeat() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 5))
    scaler = StandardScaler().fit(rows)
    data = dump_scaler(scaler)
    assert data == dump_scaler(StandardScaler().fit(rows.copy()))
    np.testing.assert_array_equal(load_scaler(data).mean_, scaler.mean_)
    np.testing.assert_array_equal(load_scaler(data).scale_, scaler.scale_)


class Gadget:
    """A pickle that would run something when it is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def gadgets(target: Path) -> dict[str, object]:
    command = f"touch {target}"
    return {
        "os.system": Gadget(os.system, command),
        "subprocess": Gadget(subprocess.call, ["touch", str(target)]),
        "eval": Gadget(builtins.eval, f"open({str(target)!r}, 'w')"),
        "nested": [{"scaler": (1, Gadget(os.system, command))}],
        "getattr": Gadget(builtins.getattr, "", "join"),
    }


@pytest.mark.parametrize("name", ["os.system", "subprocess", "eval", "nested", "getattr"])
def test_pickle_that_would_run_code_is_refused_before_it_runs(tmp_path: Path, name: str) -> None:
    target = tmp_path / "was-here"
    with pytest.raises(SnapshotError, match=r"expected a fitted StandardScaler, got a pickle that asks for"):
        load_scaler(pickle.dumps(gadgets(target)[name]))
    assert not target.exists()


@pytest.mark.parametrize(
    ("data", "got"),
    [
        (b"", "broken pickle"),
        (b"not a pickle", "broken pickle"),
        (pickle.dumps(3), "got int"),
        (pickle.dumps(StandardScaler()), "got one with others, or not all of them"),  # not fitted
        (pickle.dumps(MinMaxScaler()), "asks for sklearn.preprocessing._data.MinMaxScaler"),
    ],
)
def test_anything_but_a_fitted_scaler_is_refused(data: bytes, got: str) -> None:
    with pytest.raises(SnapshotError, match=got):
        load_scaler(data)
