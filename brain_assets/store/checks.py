"""What is asked of a snapshot's content before any of it is used: it may come from a stranger.

Every refusal is a `SnapshotFileError`; whoever reads the folder adds its place.
"""

import datetime
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from brain_assets.device import CPU, CUDA
from brain_assets.errors import LateTrainingError, SnapshotFileError
from brain_assets.store.manifest import MANIFEST, refused
from brain_assets.store.names import parse_snapshot_name, parse_version_name


@contextmanager
def located(place: object, kind: type[SnapshotFileError] | None = None) -> Iterator[None]:
    """Let an error about a file name the place of the snapshot, the innermost, and be of a kind; None: of its own."""
    try:
        yield
    except SnapshotFileError as error:
        raise (kind or type(error))(error.file, error.problem, error.place or str(place)) from error


class Kind(NamedTuple):
    """What a JSON value must be: in words, and how to tell."""

    expected: str
    admits: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]  # numbers, by then


def _is_date(value: object) -> bool:
    try:
        date = datetime.date.fromisoformat(value) if isinstance(value, str) else datetime.date.min
        return date.isoformat() == value and 1900 <= date.year <= 2200
    except ValueError:
        return False


LARGEST = 1e18

NUMBER = Kind("a finite number", _is_number)
NUMBER_OR_NULL = Kind("a finite number or null", lambda value: value is None or _is_number(value))
SCALE = Kind("a finite number >= 0", lambda value: _is_number(value) and value >= 0)
RETURN_SCALE = Kind("a number from 0 to 100", lambda value: _is_number(value) and 0 <= value <= 100)
COUNT = Kind("an integer >= 0", lambda value: type(value) is int and value >= 0)
TEXT = Kind("a text", lambda value: isinstance(value, str))
DATE = Kind("a date such as 2019-12-31", _is_date)
HASH = Kind("64 hexadecimal digits", lambda value: bool(re.fullmatch("[0-9a-f]{64}", str(value))))
NAMES = Kind(
    "a list of names",
    lambda value: isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value),
)

DEVICE = Kind("cpu or cuda", lambda value: value in (CPU, CUDA))

Shape = Kind | Mapping[str, Any] | list[Any]
"""A kind; an object of shapes by key, where further keys may stand; or a list of one shape, any number of times."""

IDENTITY: Mapping[str, Shape] = {
    "cutoff_date": DATE,
    "fingerprint": {"value": HASH, "config": HASH},
    "market": TEXT,
    "caveat": TEXT,
    "n_threads": COUNT,
    "device": DEVICE,
}
"""What the metadata of every family says."""


def check_metadata(values: object, shape: Shape, path: str = "") -> None:
    """Refuse metadata that lacks what is asked for later, or has something else in its place.

    The `SnapshotError` names the key, such as ``training.curve[0].epoch``.
    """
    if isinstance(shape, Kind):
        if not shape.admits(values):
            raise refused(MANIFEST, f"{path} to be {shape.expected}", reprlib.repr(values))
    elif isinstance(shape, list):
        if not isinstance(values, list):
            raise refused(MANIFEST, f"{path} to be a list", type(values).__name__)
        for position, value in enumerate(values):
            check_metadata(value, shape[0], f"{path}[{position}]")
    else:
        if not isinstance(values, Mapping):
            raise refused(MANIFEST, f"{path or 'it'} to be an object", type(values).__name__)
        for key, inner in shape.items():
            where = f"{path}.{key}" if path else key
            if key not in values:
                raise refused(MANIFEST, f"{where}", "nothing")
            check_metadata(values[key], inner, where)


def check_identity(
    manifest: Mapping[str, Any], name: str = "", family: str | None = None, market: str | None = None
) -> None:
    """Refuse one that says too little, or is of another model than its folder or branch is named after.

    No name, and ``main``, which holds any main version, tell nothing; family and market: None is any.
    """
    cutoff_date = parse_snapshot_name(name) or parse_version_name(name)
    date = cutoff_date.isoformat() if cutoff_date else None
    for key, expected in (("family", family), ("cutoff_date", date), ("market", market)):
        if expected is not None and manifest.get(key) != expected:
            raise refused(MANIFEST, f"{key} {expected}", reprlib.repr(manifest.get(key)))
    version = name if parse_version_name(name) else None
    if cutoff_date and manifest.get("version") != version:
        raise refused(MANIFEST, f"version {version or 'to be absent'}", reprlib.repr(manifest.get("version")))
    check_metadata({"device": CPU, **manifest}, IDENTITY)  # one that names no device is of a model of the CPU


def check_dates(data: Mapping[str, Any], names: Sequence[str], cutoff_date: datetime.date) -> None:
    """Refuse data of a training that went on after the cut-off; dates in ISO form."""
    for name in names:
        if datetime.date.fromisoformat(data[name]) > cutoff_date:
            expected = f"data.{name} on or before the cut-off {cutoff_date}"
            raise refused(MANIFEST, expected, data[name], LateTrainingError)
