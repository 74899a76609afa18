"""``model.safetensors`` from anybody: plain, finite arrays of the names and shapes asked for, or a sentence."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from brain_assets.errors import SnapshotError
from brain_assets.store.weights import Scaler, fit_scaler_by_column, read_arrays, write_arrays

NAN, INF = float("nan"), float("inf")
LAYOUT = {"head.weight": (2, 3), "head.bias": (2,), "empty": (0, 4), "number": ()}
WEIGHTS = {
    "head.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "head.bias": np.array([-1.5, 0.25], dtype=np.float32),
    "empty": np.zeros((0, 4), dtype=np.float32),
    "number": np.array(3, dtype=np.float32),
}
SCALER = Scaler(np.array([1.0, 2.0]), np.array([0.5, 4.0]), np.array([0.25, 16.0]), 7)
ARRAYS = {**WEIGHTS, **SCALER.arrays}


def refusal(data: bytes) -> str:
    with pytest.raises(SnapshotError) as raised:
        read_arrays(data, LAYOUT)
    sentence = str(raised.value)
    assert sentence.startswith("model.safetensors: expected ")
    assert sentence.endswith("; do not use this snapshot: train one with brain-assets backfill.")
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def shapes(data: bytes) -> dict[str, tuple[int, ...]] | None:
    """The shapes of what is read; None: it was refused in one sentence."""
    try:
        return {name: array.shape for name, array in read_arrays(data, LAYOUT).items()}
    except SnapshotError as error:
        return (
            None if re.fullmatch(r"model\.safetensors: expected .*; do not use this snapshot: .*\.", str(error)) else {}
        )


def file_of(header: bytes | dict[str, Any], content: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + content


def test_arrays_come_back_the_same_in_the_order_of_the_layout() -> None:
    data = write_arrays(ARRAYS)
    back = read_arrays(data, LAYOUT)
    assert list(back) == [*LAYOUT, *SCALER.arrays]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array, strict=True)
        back[name][...] = 9  # memory of its own
    assert write_arrays(dict(reversed(ARRAYS.items()))) == data
    turned = np.arange(6, dtype=np.float32).reshape(3, 2).T  # does not lie in a row
    np.testing.assert_array_equal(read_arrays(write_arrays({**SCALER.arrays, "a": turned}), {"a": (2, 3)})["a"], turned)


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
LIES = [
    b"",
    file_of(b" " * 100_000_000),
    file_of(b"{}", length=2**20),
    file_of(b"\xff\xfe\xff\xfe"),
    file_of(b"[" * 500_000),
    file_of(b'{"a": %b, "a": %b}' % ((json.dumps(ENTRY).encode(),) * 2), bytes(4)),
    file_of({"__metadata__": {"format": "pt"}}),
    file_of({"a": None}),
    write_arrays(ARRAYS) + b"\0",
    write_arrays(ARRAYS)[:-1],
    *(file_of({"a": {**ENTRY, "dtype": dtype}}, bytes(4)) for dtype in ("F16", "O", "f4", None)),
    *(file_of({"a": {**ENTRY, "shape": shape}}, bytes(4)) for shape in (None, [-1], [2**62], [2**62, 0], [1] * 9, [2])),
    *(file_of({"a": {**ENTRY, "data_offsets": each}}, bytes(4)) for each in (None, [0], [4, 0], [-4, 0], [0, 2**62])),
    *(
        file_of({name: {**ENTRY, "data_offsets": each} for name, each in zip("ab", offsets, strict=True)}, bytes(12))
        for offsets in (([0, 4], [0, 4]), ([0, 4], [2, 6]), ([0, 4], [8, 12]), ([4, 8], [8, 12]))  # shared, or left out
    ),
]


def test_a_file_that_lies_is_refused_before_anything_is_made_of_it() -> None:
    for data in LIES:
        refusal(data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head.weight": None}, "expected the array head.weight, got none"),
        ({"scaler.var": None}, "expected the array scaler.var, got none"),
        ({"extra": WEIGHTS["number"]}, "got extra"),
        ({"x\ny" * 1000: WEIGHTS["number"]}, "got 'x\\ny"),
        ({"head.weight": np.zeros((2, 4), np.float32)}, "head.weight float32 (2, 3), as config.json says, got float32"),
        ({"head.bias": np.zeros(2)}, "expected head.bias float32 (2,), as config.json says, got float64 (2,)"),
        ({"number": np.zeros(1, np.float32)}, "got float32 (1,)"),
        ({"scaler.scale": np.ones(3)}, "expected scaler.scale float64 (2,), as config.json says, got float64 (3,)"),
        ({"scaler.n_samples_seen": np.zeros(2, np.int64)}, "got int64 (2,)"),
        *(({"scaler.scale": np.array([1.0, value])}, "a usual size in scaler.scale") for value in (0.0, 1e-300)),
        *(({"scaler.mean": np.array([1.0, value])}, "a usual size in scaler.mean") for value in (1e300, NAN)),
        ({"scaler.var": np.array([-1.0, 1.0])}, "a usual size in scaler.var"),
        ({"scaler.n_samples_seen": np.array(-3)}, "a usual size in scaler.n_samples_seen"),
        *(({"head.bias": np.array([0, value], np.float32)}, "a usual size in head.bias") for value in (NAN, INF, -2e6)),
    ],
)
def test_arrays_that_are_not_those_of_the_network_are_refused(changes: dict[str, Any], words: str) -> None:
    arrays = {name: array for name, array in {**ARRAYS, **changes}.items() if array is not None}
    assert words in refusal(write_arrays(arrays))


@given(st.data())
def test_any_change_of_a_header_gives_the_same_arrays_or_a_sentence(data: st.DataObject) -> None:
    good = write_arrays(ARRAYS)
    length = int.from_bytes(good[:8], "little")
    place = data.draw(st.integers(0, 7 + length))
    cut = data.draw(st.integers(0, 20))
    bad = good[:place] + data.draw(st.binary(max_size=20)) + good[place + cut :]
    assert shapes(bad) in (None, {name: array.shape for name, array in ARRAYS.items()})


def test_a_scaler_is_fitted_to_what_is_known_of_each_feature_as_scikit_learn_does() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(4, 50, 3))
    values[:, :10, 1] = NAN
    values[:, :, 2] = NAN
    scaler = fit_scaler_by_column(values)
    full, part = (StandardScaler().fit(values[:, skip:, i].reshape(-1, 1)) for i, skip in ((0, 0), (1, 10)))
    assert scaler.mean.tolist() == [full.mean_[0], part.mean_[0], 0.0]
    assert scaler.scale.tolist() == [full.scale_[0], part.scale_[0], 1.0]
    assert scaler.var.tolist() == [full.var_[0], part.var_[0], 0.0]
    assert scaler.n_samples_seen == 200
