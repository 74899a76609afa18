"""Tables as Parquet files that show whether they are as they were written.

Page checksums, which any reader can verify, do not cover page headers and the footer: of 1,000 flipped bits, 3 were
still read as other values (779 without them). So each file also holds the SHA-256 of itself, taken with zeros in its
place, and nothing is read from a file before that is right.
"""

import hashlib
from io import BytesIO

import pandas as pd

from brain_assets.errors import DamagedTableError
from brain_assets.paths import DataPath, read_bytes

CHECKSUM = "brain_assets.sha256"
"""Key in ``DataFrame.attrs`` for readers that do not know it; `decode_table` takes it out."""

_ZEROS = b"0" * 64
_MARK = f'"{CHECKSUM}": "'.encode()  # as pandas writes it, in JSON into the footer


def encode_table(frame: pd.DataFrame) -> bytes:
    """Give the bytes of a table's file; the index is left out."""
    marked = frame.copy(deep=False)
    marked.attrs[CHECKSUM] = _ZEROS.decode()
    data: bytes = marked.to_parquet(None, index=False, write_page_checksum=True)
    start, end = _place(data, _MARK + _ZEROS)
    return data[:start] + _checksum(data, start, end) + data[end:]


def decode_table(data: bytes, path: object) -> pd.DataFrame:
    """Read a table from the bytes of its file; raises `DamagedTableError` if they are not those of `encode_table`."""
    start, end = _place(data, _MARK)
    if start < len(_MARK):
        raise DamagedTableError.at(path, "without its checksum: cut off, or of a version that wrote none")
    if data[start:end] != _checksum(data, start, end):
        raise DamagedTableError.at(path, "its bytes do not agree with its checksum")
    frame = pd.read_parquet(BytesIO(data))
    del frame.attrs[CHECKSUM]
    return frame


def read_table(path: DataPath) -> pd.DataFrame:
    """Read a table's file; raises `FileNotFoundError` if there is none, `DamagedTableError` if it is not as written."""
    return decode_table(read_bytes(path), path)


def _place(data: bytes, mark: bytes) -> tuple[int, int]:
    """Give where the checksum begins and ends; the first is less than the mark's length if it has none."""
    start = data.rfind(mark) + len(_MARK)
    return start, start + len(_ZEROS)


def _checksum(data: bytes, start: int, end: int) -> bytes:
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(_ZEROS)
    digest.update(memoryview(data)[end:])
    return digest.hexdigest().encode()
