"""Reading ``weights.pt`` without running what is in it."""

import io
import pickle
import reprlib
import struct
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

from brain_assets.store.checks import WEIGHTS, refused

if TYPE_CHECKING:
    import torch

MAX_BYTES = 512 * 2**20
"""More than the largest network that a configuration may ask for: 8 LSTM layers of 1,024 units have 252 MB."""

MAX_PICKLE_BYTES = 64_000
"""Of the part that names the tensors, about 200 bytes each: too small to be nested until the interpreter breaks."""

START, END = b"PK\x03\x04", b"PK\x05\x06"
"""Signatures of a zip archive with nothing before its first entry and no comment after its directory, 22 bytes long:
such a one has one directory only, whoever reads it."""

PLAIN = "plain tensors"

BROKEN = (
    *(pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError),
    *(ArithmeticError, AssertionError, ImportError, MemoryError, OSError, RuntimeError, struct.error),
)
"""What loading nonsense raises."""


def dump_weights(state_dict: "Mapping[str, torch.Tensor]") -> bytes:
    """Store tensors by name; the same tensors give the same bytes."""
    import torch

    content = io.BytesIO()
    torch.save(dict(state_dict), content)
    return content.getvalue()


def load_weights(data: bytes) -> "dict[str, torch.Tensor]":
    """Read tensors by name, as tensors only.

    Returns
    -------
    dict of str to Tensor
        On the CPU, each with memory of its own.

    Raises
    ------
    SnapshotError
        If it is no archive of stored entries, is larger than it may be, or holds anything but tensors by name.
    """
    import torch

    _refuse_archive(data)
    try:
        loaded = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    except BROKEN as error:
        raise refused(WEIGHTS, PLAIN, f"what cannot be read as such ({type(error).__name__})") from error
    if not isinstance(loaded, dict):
        raise refused(WEIGHTS, f"{PLAIN} by name", type(loaded).__name__)
    for name, value in loaded.items():
        _refuse_value(name, value)
    if sum(value.nbytes for value in loaded.values()) > len(data):  # views of one memory, or of none
        raise refused(WEIGHTS, f"{PLAIN}, each with its own numbers", "more numbers than the file has")
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in loaded.items()}


def _refuse_archive(data: bytes) -> None:
    """Look into the directory of the archive: nothing in it may unpack to more than the file itself."""
    if len(data) > MAX_BYTES:
        raise refused(WEIGHTS, f"at most {MAX_BYTES:,} bytes", f"{len(data):,}")
    if not data.startswith(START) or data[-22:-18] != END:
        raise refused(WEIGHTS, PLAIN, "no archive of them")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise refused(WEIGHTS, PLAIN, "an archive with a broken directory") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise refused(WEIGHTS, f"{PLAIN}, stored as they are", "a compressed archive")
    size = sum(entry.file_size for entry in entries)
    if size > len(data):
        raise refused(WEIGHTS, PLAIN, f"a file of {len(data):,} bytes that would unpack to {size:,}")
    for entry in entries:
        if entry.filename.endswith(".pkl") and entry.file_size > MAX_PICKLE_BYTES:
            raise refused(WEIGHTS, f"at most {MAX_PICKLE_BYTES:,} bytes of names", f"{entry.file_size:,}")


def _refuse_value(name: object, value: object) -> None:
    """Refuse what is no plain tensor in main memory, by name."""
    import torch

    expected = f"{PLAIN} by name"
    if not isinstance(name, str) or type(value) is not torch.Tensor:
        raise refused(WEIGHTS, expected, f"{type(value).__name__} under {reprlib.repr(name)}")
    if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
        raise refused(WEIGHTS, expected, f"another kind of tensor under {reprlib.repr(name)}")
