"""Places on this machine and elsewhere; a store in trouble: tried again for a while, then one sentence."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from upath import UPath

from brain_assets import paths
from brain_assets.errors import StorageError
from brain_assets.paths import (
    is_file,
    is_remote,
    list_names,
    parse_place,
    read_all,
    read_bytes,
    replace_file,
    replace_folder,
)
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import REPOSITORY
from brain_assets_tests.loopback_s3 import DROP, STALL, TRUNCATE, LoopbackS3, forget_connections
from brain_assets_tests.store.places import memory_place


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data", "data"),
        ("/mnt/x/", "/mnt/x"),
        ("file:///mnt/x%20y", "/mnt/x y"),
        ("file://localhost/mnt/x", "/mnt/x"),
        ("FILE:///mnt", "/mnt"),
        ("a:b/c", "a:b/c"),  # no URL
    ],
)
def test_places_on_this_machine_are_plain_paths(text: str, path: str) -> None:
    assert parse_place(text) == Path(path)
    assert not is_remote(parse_place(text))


@pytest.mark.parametrize("text", ["s3://bucket/prefix", "s3://bucket/prefix/", "S3://bucket/prefix"])
def test_other_urls_keep_their_scheme(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = parse_place(text)
    assert is_remote(place)
    assert str(place / "raw" / "2019.parquet") == "s3://bucket/prefix/raw/2019.parquet"
    assert str((parse_place("s3://bucket") / "models").parent / "reports") == "s3://bucket/reports"
    monkeypatch.setenv("BRAIN_DATA_DIR", text)
    settings = read_settings()
    assert settings.data_dir == UPath("s3://bucket/prefix")
    assert settings.differing_variables()["BRAIN_DATA_DIR"] == "s3://bucket/prefix"
    assert read_settings(data_dir=settings.data_dir).data_dir == settings.data_dir


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "nonsense://bucket",
            "expected a path, or a URL of a scheme such as s3, gs, az, file, whose package is installed, got nonsense://",
        ),
        ("file://data/x", "expected an absolute path in a URL of this machine, file:///folder, got another"),
        ("s3:///prefix", "expected a bucket, s3://bucket/prefix, got none"),
        ("s3:///AKIA:hush@bucket", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("s3://AK/IA:hush@bucket", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("s3://AKIA:hu/hush@bucket", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("simplecache::s3://AKIA:hush@b", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("simplecache::s3://bucket", "expected a path, or a URL of a scheme .*, got simplecache::s3://"),
        ("sftp://me:hush@host/data", r"expected a URL without a password, got one with it \(not shown here\)"),
    ],
)
def test_what_is_no_place_is_said_in_one_sentence(text: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=words):
        parse_place(text)
    monkeypatch.setenv("BRAIN_DATA_DIR", text)
    with pytest.raises(Exception, match=f"^BRAIN_DATA_DIR: {words}") as caught:
        read_settings()
    assert str(caught.value).endswith("; correct it.")
    assert "hush" not in str(caught.value)


def test_a_scheme_whose_package_is_absent_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = import_module("fsspec.registry")  # fsspec has a mapping of the same name

    monkeypatch.delitem(registry._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ValueError, match=r"whose package is installed, got s3:// \(Install s3fs to access S3\)$"):
        parse_place("s3://bucket")
    monkeypatch.delitem(registry._registry, "gs", raising=False)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ValueError, match=r"got gs:// \(Please install gcsfs to access Google Storage\)$"):
        parse_place("gs://bucket")


def test_a_local_folder_imports_nothing_of_s3() -> None:
    code = (
        "import sys; from brain_assets.paths import parse_place, list_names; list_names(parse_place('data'));"
        "from brain_assets.store.storage import SnapshotLocalStorage; from brain_assets.store.tables import *;"
        "from brain_assets.settings import read_settings; read_settings();"
        "print([name for name in ('s3fs', 'botocore', 'aiohttp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout == "[]\n"


def test_files_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").mkdir()
    assert list_names(tmp_path) == ["a", "b"]
    assert list_names(tmp_path / "none") == []
    assert (is_file(tmp_path / "b"), is_file(tmp_path / "a")) == (True, False)
    assert read_bytes(tmp_path / "b") == b"2"
    assert list(read_all([tmp_path / "b", tmp_path / "c"])) == [b"2", None]


# Elsewhere


ACTS: dict[str, Callable[[UPath], object]] = {
    "read": read_bytes,
    "write": lambda path: replace_file(path, b"1"),
    "list": list_names,
    "look for": is_file,
}


@pytest.fixture
def place(s3: LoopbackS3) -> UPath:
    return s3.place()


@pytest.fixture(params=["s3", "memory"])
def anywhere(request: pytest.FixtureRequest) -> UPath:
    return memory_place() if request.param == "memory" else request.getfixturevalue("s3").place()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits."""
    monkeypatch.setattr(paths, "POLICY", replace(paths.POLICY, first_wait=0.01, total_seconds=3.0))


def test_objects_come_back_and_are_listed(anywhere: UPath) -> None:
    assert list_names(anywhere) == []
    assert not is_file(anywhere / "a" / "x")
    replace_file(anywhere / "a" / "x", b"one")
    replace_file(anywhere / "b", b"")
    assert list_names(anywhere) == ["a", "b"]
    assert (is_file(anywhere / "a" / "x"), is_file(anywhere / "a")) == (True, False)
    assert list(read_all([anywhere / "a" / "x", anywhere / "none", anywhere / "b"])) == [b"one", None, b""]
    with pytest.raises(FileNotFoundError):
        read_bytes(anywhere / "none")
    for contents in ({"1": b"1", "2": b"2", "last": b"3"}, {"1": b"one", "2": b"two", "last": b"three"}):
        replace_folder(anywhere / "folder", contents)
        assert list(read_all([anywhere / "folder" / name for name in contents])) == list(contents.values())


@pytest.mark.parametrize("n_written", [0, 1, 2])
def test_a_folder_whose_writer_died_has_no_last_file(n_written: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells whether all are there: where a folder is replaced, that of the one before is gone first."""
    folder, left = memory_place() / "folder", iter(range(n_written))
    replace_folder(folder, {"1": b"1", "2": b"2", "last": b"3"})
    write = paths.replace_file

    def write_or_die(path: UPath, data: bytes) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        write(path, data)

    monkeypatch.setattr(paths, "replace_file", write_or_die)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(folder, {"1": b"one", "2": b"two", "last": b"three"})
    assert list_names(folder) == ["1", "2"]


@pytest.mark.parametrize("status", [500, 502, 503, DROP, TRUNCATE])
def test_trouble_that_passes_is_waited_for(s3: LoopbackS3, place: UPath, status: int | str, quick: None) -> None:
    data = os.urandom(300_000)
    replace_file(place / "a", data)
    for act in (read_bytes,) if status == TRUNCATE else ACTS.values():
        left = iter([status] * 3)
        with s3.faulty(lambda request, left=left: next(left, None)), s3.counted() as requests:
            answer = act(place if act is list_names else place / "a")
        assert act is not read_bytes or answer == data
        assert len(requests) == 4, requests  # neither s3fs nor botocore has tried again by itself


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
def test_trouble_without_end_is_one_sentence(s3: LoopbackS3, place: UPath, status: int, code: str, quick: None) -> None:
    replace_file(place / "a", b"1")
    with s3.faulty(lambda request: status), pytest.raises(StorageError) as caught, s3.counted() as requests:
        read_bytes(place / "a")
    assert len(requests) > 2
    assert str(caught.value) == (
        f"s3://results/prefix/a: expected a store that answers, got {code}, made up; run again once it does: what is "
        "done stays."
    )
    assert read_bytes(place / "a") == b"1"


def test_a_store_that_does_not_answer_or_is_not_there_is_left_after_a_time_out(
    s3: LoopbackS3, place: UPath, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 1.0}})
    forget_connections()
    replace_file(place / "a", b"1")
    left = iter([STALL, STALL])
    with s3.faulty(lambda request: next(left, None)), s3.counted() as requests:
        started = time.monotonic()
        assert read_bytes(place / "a") == b"1"
    assert len(requests) == 3
    assert time.monotonic() - started >= 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_connections()
    with pytest.raises(StorageError, match=r"expected a store that answers, got Could not connect .*; run again"):
        read_bytes(place / "a")


@pytest.mark.parametrize("purpose", ACTS)
def test_who_is_refused_is_told_so_at_once(s3: LoopbackS3, place: UPath, purpose: str) -> None:
    with s3.faulty(lambda request: 403), pytest.raises(StorageError) as caught, s3.counted() as requests:
        ACTS[purpose](place / "a")
    assert str(caught.value).startswith(f"s3://results/prefix/a: expected to {purpose} it, got: ")
    assert "secret" not in str(caught.value)
    assert len(requests) == 1


@pytest.mark.parametrize("act", ["read", "write", "list"])
def test_a_bucket_that_is_not_there_is_said_so_at_once(s3: LoopbackS3, act: str) -> None:
    with pytest.raises(StorageError, match=rf"^s3://none/x: expected to {act} it, got: NoSuchBucket, .*; correct "):
        ACTS[act](parse_place("s3://none/x"))  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_to_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some packages say of a bucket that is not there what they say of a file."""

    class Files:
        def pipe_file(self, path: str, data: bytes) -> None:
            raise FileNotFoundError(path)

    monkeypatch.setattr(paths, "filesystem", lambda *_: Files())
    with pytest.raises(StorageError, match="expected to write it, got: "):
        replace_file(UPath("memory://none/x"), b"")


def test_without_credentials_the_variables_are_named(
    place: UPath, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    forget_connections()
    with pytest.raises(StorageError, match=r"got: Unable to locate credentials; .*AWS_ACCESS_KEY_ID"):
        read_bytes(place / "a")


@pytest.mark.parametrize(("place", "profile"), [("s3://No_Bucket!/x", ""), ("s3://results/x", "nobody")])
def test_a_name_that_cannot_be_and_a_profile_that_is_not_there_are_said_at_once(
    s3: LoopbackS3, place: str, profile: str, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    forget_connections()
    with pytest.raises(StorageError, match=r"expected to read it, got: .*; correct BRAIN_DATA_DIR, or the credentials"):
        read_bytes(parse_place(place))


def test_a_mistake_of_this_program_stays_one(place: UPath) -> None:
    with pytest.raises(TypeError):
        replace_file(place / "a", 1)  # type: ignore[arg-type]


def test_a_process_that_was_forked_has_connections_of_its_own(place: UPath) -> None:
    replace_file(place / "a", b"1")
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if list(read_all([place / "a", place / "b"])) == [b"1", None] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read_bytes(place / "a") == b"1"
