"""A snapshot's folder on an object store, which has no rename and no folders.

Layout: the folder as it is on disk under ``snapshot-2019-12-31/<first 12 hex digits of the manifest's SHA-256>/``, and,
written last, in one request, the same manifest as ``snapshot-2019-12-31/metadata.json``. That one makes the snapshot
exist and says which inner folder is meant; listings read nothing else. So there is no moment without a whole snapshot
while it is replaced, a process that dies leaves objects that nothing reads, and of two writers the last one's snapshot
stands, whole. What the manifest no longer names is removed by a later write, an hour after it was written: a reader
that was just about to read it finds it gone, and looks at the manifest again.

A folder that another tool copied up from a disk, with all files beside the manifest, is read as well.

Payload is read through a cache on this machine: ``<cache>/<SHA-256 of the manifest>/`` is an ordinary folder of
`brain_assets.store.folder`, believed if it verifies and has the manifest that the store has now. It can be removed
at any time.
"""

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from upath import UPath

from brain_assets.errors import SnapshotError, StorageError
from brain_assets.progress import warn
from brain_assets.store import folder as local
from brain_assets.store import objects as object_store

LEFT_ALONE = 3600.0
"""Seconds: what was written since then may be another writer's, whose manifest is still to come."""
_LOOKS = 10
"""At a manifest that others replace meanwhile."""
MANIFEST = local.MANIFEST


def write(folder: UPath, files: Mapping[str, bytes]) -> None:
    """Write a snapshot of exactly these files, which verify; one that stands there is replaced.

    Raises
    ------
    StorageError
        If the store fails or refuses; what stood there still does.
    """
    inner = _inner(folder, files[MANIFEST])
    object_store.write_objects({inner / name: files[name] for name in local.PAYLOAD})
    object_store.write_object(inner / MANIFEST, files[MANIFEST])
    object_store.write_object(folder / MANIFEST, files[MANIFEST])
    _remember(files)
    try:
        _remove_unnamed(folder, files[MANIFEST])
    except StorageError as error:  # the snapshot is there, and a later write removes them
        warn(f"{folder}: replaced, but the objects of the one before stay: {error}")


def _inner(folder: UPath, manifest: bytes) -> UPath:
    return folder / hashlib.sha256(manifest).hexdigest()[:12]


def _remove_unnamed(folder: UPath, manifest: bytes) -> None:
    """Remove what the manifest does not name, unless it is young or the manifest is no longer this one."""
    named, own = folder / MANIFEST, _inner(folder, manifest)
    times = {path: written for path, written in object_store.find_objects(folder).items() if written is not None}
    now = max(times.values(), default=0.0)  # by the store's clock: this machine's may be wrong
    old = [
        path for path, written in times.items() if path != named and path.parent != own and now - written > LEFT_ALONE
    ]
    if old and object_store.read_object(named) == manifest:
        object_store.remove_objects(old)


def read_manifest_file(folder: UPath) -> tuple[bytes, str | None]:
    """Read the manifest alone, and what is wrong with it."""
    try:
        manifest = object_store.read_object(folder / MANIFEST)
    except FileNotFoundError:
        return b"", f"{MANIFEST} is absent"
    return manifest, _problem(manifest)


def _problem(manifest: bytes) -> str | None:
    try:
        local.read_manifest(manifest)
    except SnapshotError as error:
        return str(error)
    return None


def those_there(parent: UPath, names: Iterable[str]) -> list[str]:
    """Give those of some names under which a snapshot exists; all are asked for at the same time."""
    asked = list(names)
    manifests = object_store.read_objects([parent / name / MANIFEST for name in asked])
    return [
        name
        for name, manifest in zip(asked, manifests, strict=True)
        if manifest is not None and _problem(manifest) is None
    ]


def read(folder: UPath) -> tuple[dict[str, bytes], str | None]:
    """Read all files, and what is wrong with them; looks again while another process replaces the snapshot."""
    manifest, problem = read_manifest_file(folder)
    for _ in range(_LOOKS):
        if problem is not None:
            return {}, problem
        files = _remembered(manifest)
        if files is not None:
            return files, None
        files, problem = _fetch(folder, manifest)
        if problem is None:
            _remember(files)
            return files, None
        before = manifest
        manifest, manifest_problem = read_manifest_file(folder)
        if manifest == before:
            return files, problem
        problem = manifest_problem
    return {}, f"other processes replaced it {_LOOKS} times in a row"


def _fetch(folder: UPath, manifest: bytes) -> tuple[dict[str, bytes], str | None]:
    """Read the files that a manifest names, and what is wrong with them."""
    inner = _inner(folder, manifest)
    contents = object_store.read_objects([inner / name for name in local.PAYLOAD])
    if not any(content is not None for content in contents):
        contents = object_store.read_objects([folder / name for name in local.PAYLOAD])
    files = {MANIFEST: manifest}
    for name, content in zip(local.PAYLOAD, contents, strict=True):
        if content is None:
            return {}, f"{name} is absent"
        files[name] = content
    return files, local.check_files(files)


def _remembered(manifest: bytes) -> dict[str, bytes] | None:
    """Give the files of a manifest from the cache; None: it does not have them, or not whole."""
    place = _cache_folder(manifest)
    try:
        files = None if place is None or not place.is_dir() else local.read_files(place)
    except (SnapshotError, OSError):  # damaged, or not for this user: read them from the store, and write them anew
        return None
    return files if files is not None and files[MANIFEST] == manifest else None


def _remember(files: Mapping[str, bytes]) -> None:
    """Put files into the cache."""
    place = _cache_folder(files[MANIFEST])
    if place is None:
        _warn_once(
            "BRAIN_CACHE_DIR: expected a folder for snapshots that were read, as this user has no home; got none"
        )
        return
    try:
        local.write_files(place, files)
    except StorageError as error:
        reason = getattr(error.__cause__, "strerror", None) or error
        _warn_once(f"{place.parent}: expected a folder with room for snapshots that were read, got: {reason}")


def _cache_folder(manifest: bytes) -> Path | None:
    from brain_assets.settings import read_settings

    folder = read_settings().snapshot_cache
    return None if folder is None else folder / hashlib.sha256(manifest).hexdigest()


@lru_cache
def _warn_once(problem: str) -> None:
    warn(f"{problem}; goes on without, and downloads them whenever they are read; set BRAIN_CACHE_DIR.")
