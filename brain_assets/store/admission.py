"""What a snapshot of somebody else's must pass before it is used: its listing, its manifest, its content.

Every refusal is one sentence that names repo, branch, file and reason. Nothing of what is refused has run.
"""

import datetime
import reprlib
from collections.abc import Mapping
from typing import Any

from brain_assets.errors import RefusedSnapshotError, SnapshotError
from brain_assets.store.checks import IDENTITY, check_metadata
from brain_assets.store.folder import MANIFEST, PAYLOAD, check_files, read_manifest

LARGEST_MANIFEST = 4 * 2**20
LARGEST_FILE = 512 * 2**20
"""Bytes; no snapshot of ours comes near."""
HOUSEKEEPING = ".gitattributes"
"""The Hub puts it into every new repo; it is never read."""


def admit_listing(where: str, sizes: Mapping[str, int]) -> None:
    """Refuse a listing of other files than a snapshot's, or of huge ones, before any of them is read.

    Parameters
    ----------
    where : str
        Repo and branch, for messages.
    sizes : mapping of str to int
        Path -> bytes, as the Hub says; -1: it is no file.
    """
    expected = {*PAYLOAD, MANIFEST}
    for path in sorted(set(sizes) - expected - {HOUSEKEEPING}):
        raise _refusal(where, f"files among {', '.join(sorted(expected))}", f"one named {path!r}")
    for path in sorted(expected - set(sizes)):
        raise _refusal(where, f"a file {path}", "none")
    for path in sorted(expected):
        if sizes[path] < 0:
            raise _refusal(where, f"a file {path}", "a link or another repo of that name")
        limit = LARGEST_MANIFEST if path == MANIFEST else LARGEST_FILE
        if sizes[path] > limit:
            raise _refusal(where, f"at most {limit:,} bytes in {path}", f"{sizes[path]:,}")


def admit_manifest(
    where: str, data: bytes, family: str | None, cutoff_date: datetime.date | None, market: str | None = None
) -> dict[str, Any]:
    """Parse a manifest; refuse one that is broken, or of another family, date or market (None: any)."""
    try:
        manifest = read_manifest(data)
    except SnapshotError as error:
        raise _refusal(where, f"a readable {MANIFEST}", str(error)) from None
    date = cutoff_date.isoformat() if cutoff_date else None
    for key, expected in (("family", family), ("cutoff_date", date), ("market", market)):
        if expected is not None and manifest.get(key) != expected:
            raise _refusal(where, f"{key} {expected} in {MANIFEST}", reprlib.repr(manifest.get(key)))
    try:
        check_metadata(manifest, IDENTITY)
    except SnapshotError as error:
        raise RefusedSnapshotError(f"{where}/{error}") from None
    return manifest


def admit_sizes(where: str, manifest: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Refuse files that are larger or smaller than their manifest says."""
    stated = manifest.get("sizes")
    for path in PAYLOAD:
        size = stated.get(path) if isinstance(stated, dict) else None
        if size != sizes[path]:
            raise _refusal(where, f"the {size!r} bytes of {path} that {MANIFEST} states", f"{sizes[path]:,} bytes")


def admit_content(
    where: str,
    files: Mapping[str, bytes],
    family: str | None,
    cutoff_date: datetime.date | None,
    market: str | None = None,
) -> None:
    """Refuse files that do not match their manifest, or that hold anything but a model of this family and date."""
    from brain_assets.store.snapshot import ModelSnapshot

    manifest = admit_manifest(where, files[MANIFEST], family, cutoff_date, market)
    admit_sizes(where, manifest, {path: len(data) for path, data in files.items()})
    problem = check_files(files)
    if problem is not None:
        raise _refusal(where, "files that match their manifest", problem)
    try:
        ModelSnapshot.from_files(where, files)
    except RefusedSnapshotError:
        raise
    except SnapshotError as error:
        raise RefusedSnapshotError(str(error)) from None


def _refusal(where: str, expected: str, got: str) -> RefusedSnapshotError:
    return RefusedSnapshotError(f"{where}: expected {expected}, got {got}; do not use this snapshot.")
