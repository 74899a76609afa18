"""The files of a snapshot's folder, wherever it is, and the manifest that they verify against.

``metadata.json`` is the manifest, written last. Besides what is known of the model it carries the SHA-256 of every
other file under ``files``, their bytes under ``sizes``, and under ``manifest`` the SHA-256 of its own canonical JSON
without that entry. A snapshot *exists* where all of that verifies.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from brain_assets.errors import DamagedSnapshotError, SnapshotFileError

MODEL, WEIGHTS, SCALER = "model.safetensors", "weights.pt", "feature_scaler.pkl"
"""The model: the first is the only one that is ever read."""
CONFIG, CARD = "config.json", "README.md"
MANIFEST = "metadata.json"
PAYLOAD = (MODEL, WEIGHTS, SCALER, CONFIG, CARD)
FILES = (*PAYLOAD, MANIFEST)
"""All files of a folder, in the order in which they are written."""

LARGEST_TEXT = 4 * 2**20
LARGEST_FILE = 512 * 2**20
"""Bytes of ``config.json``, ``README.md`` and ``metadata.json``, and of the others; no snapshot of ours comes near."""
_OWN_HASH = "manifest"


def build(payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Add the manifest, with this metadata (JSON values), to all of `PAYLOAD`; gives all of `FILES`, which verify."""
    values = {
        **{key: value for key, value in metadata.items() if key != _OWN_HASH},
        "files": {name: hashlib.sha256(payload[name]).hexdigest() for name in PAYLOAD},
        "sizes": {name: len(payload[name]) for name in PAYLOAD},
    }
    manifest = render_json({**values, _OWN_HASH: _hash_values(values)})
    return {**{name: payload[name] for name in PAYLOAD}, MANIFEST: manifest}


def parse(data: bytes) -> dict[str, Any]:
    """Read a manifest; raises `DamagedSnapshotError` unless it is what it says of itself and lists the other files."""
    values = parse_json(MANIFEST, data)
    own_hash = values.pop(_OWN_HASH, None)
    if own_hash != _hash_values(values):
        raise damaged(MANIFEST, "the SHA-256 that it states of itself", "another")
    for key in ("files", "sizes"):
        listed = values.get(key)
        if not (isinstance(listed, dict) and set(listed) == set(PAYLOAD)):
            raise damaged(MANIFEST, f"{', '.join(PAYLOAD)} under {key}", "others")
    return {**values, _OWN_HASH: own_hash}


def verify(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Check all files of a snapshot against the manifest among them, and give it; raises `DamagedSnapshotError`."""
    check_listing({name: len(data) for name, data in files.items()})
    manifest = parse(files[MANIFEST])
    for name in PAYLOAD:
        if hashlib.sha256(files[name]).hexdigest() != manifest["files"][name]:
            raise damaged(name, f"the SHA-256 that {MANIFEST} states", "another")
    return manifest


def check_listing(sizes: Mapping[str, int]) -> None:
    """Refuse a listing (name -> bytes) of other files than a snapshot's, or of huge ones; `DamagedSnapshotError`."""
    for name in FILES[::-1]:
        if name not in sizes:
            raise damaged(name, "a file", "none")
        check_size(name, sizes[name])
    for name in sorted(set(sizes) - set(FILES)):
        raise damaged(repr(name), f"no files but {', '.join(FILES)}", "one more")


def check_size(name: str, size: int) -> None:
    """Refuse a huge file before it is read; raises `DamagedSnapshotError`."""
    limit = LARGEST_TEXT if name in (CONFIG, CARD, MANIFEST) else LARGEST_FILE
    if size > limit:
        raise damaged(name, f"at most {limit:,} bytes", f"{size:,}")


def render_json(values: Mapping[str, Any]) -> bytes:
    """Write JSON values as every JSON file of a snapshot is written; raises `ValueError` on NaN and infinities."""
    return (json.dumps(dict(values), indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def parse_json(name: str, data: bytes) -> dict[str, Any]:
    """Read a JSON file of a snapshot: an object, written as `render_json` does, of bounded size.

    Raises `DamagedSnapshotError` for anything else, such as a key that stands there twice, or NaN.
    """
    check_size(name, len(data))
    try:
        values = json.loads(data)
        same = isinstance(values, dict) and render_json(values) == data
    except (ValueError, RecursionError) as error:
        raise damaged(name, "JSON", f"what cannot be read as such ({str(error)[:80]!r})") from error
    if not same:
        raise damaged(name, "an object of JSON as this package writes it", "something else")
    return dict(values)


def _hash_values(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()


def refused(file: str, expected: str, got: str, kind: type[SnapshotFileError] = SnapshotFileError) -> SnapshotFileError:
    """Make the error that says why a snapshot is not used."""
    return kind(file, f"expected {expected}, got {got}")


def damaged(file: str, expected: str, got: str) -> SnapshotFileError:
    """Make the error that says that a file is not as it was written."""
    return refused(file, expected, got, DamagedSnapshotError)


def shown(text: str) -> str:
    """Give a stranger's words as they may stand in a sentence: short, and on one line."""
    return text if text.isprintable() and len(text) <= 100 else repr(text[:100])
