"""Places on this machine and elsewhere; a store in trouble: tried again, then one sentence."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fsspec.config import conf
from upath import UPath

from brain_assets.errors import StorageError
from brain_assets.paths import (
    DataPath,
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
from brain_assets_tests.loopback_s3 import DROP, STALL, TRUNCATE, LoopbackS3, forget_connections


@pytest.mark.parametrize(
    ("text", "path"),
    [("/mnt/x/", "/mnt/x"), ("file:///mnt/x%20y", "/mnt/x y"), ("FILE://localhost/mnt", "/mnt"), ("a:b/c", "a:b/c")],
)
def test_places_on_this_machine_are_plain_paths(text: str, path: str) -> None:
    assert parse_place(text) == Path(path)
    assert not is_remote(parse_place(text))


def test_other_urls_keep_their_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert str((parse_place("s3://bucket") / "models").parent / "reports") == "s3://bucket/reports"
    for text in ("s3://bucket/prefix/", "S3://bucket/prefix"):
        monkeypatch.setenv("BRAIN_DATA_DIR", text)
        settings = read_settings()
        assert is_remote(settings.data_dir)
        assert str(settings.data_dir / "raw" / "2019.parquet") == "s3://bucket/prefix/raw/2019.parquet"
        assert settings.differing_variables()["BRAIN_DATA_DIR"] == "s3://bucket/prefix"
        assert read_settings(data_dir=settings.data_dir).data_dir == settings.data_dir == parse_place(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "nonsense://bucket",
            "expected a path, or a URL of a scheme such as s3, gs, az, file, whose package is installed, got nonsense://",
        ),
        ("gs://bucket", r"expected a path, .*, got gs:// \(Please install gcsfs to access Google Storage\)"),
        ("file://data/x", "expected an absolute path in a URL of this machine, file:///folder, got another"),
        ("s3:///prefix", "expected a bucket, s3://bucket/prefix, got none"),
        ("s3:///AKIA:hush@bucket", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("s3://AKIA:hu/hush@bucket", r"expected a URL without a password, got one with it \(not shown here\)"),
        ("simplecache::s3://AKIA:hush@b", r"expected a URL without a password, got one with it \(not shown here\)"),
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


@pytest.fixture(params=["disk", "s3", "memory"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> DataPath:
    if request.param == "disk":
        return tmp_path / "none"
    return UPath(f"memory://{tmp_path.name}") if request.param == "memory" else request.getfixturevalue("s3").place()


def test_files_come_back_and_are_listed(anywhere: DataPath) -> None:
    assert list_names(anywhere) == []
    assert not is_file(anywhere / "a" / "x")
    replace_file(anywhere / "a" / "x", b"one")
    replace_file(anywhere / "b", "")
    assert list_names(anywhere) == ["a", "b"]
    assert (is_file(anywhere / "a" / "x"), is_file(anywhere / "a")) == (True, False)
    assert list(read_all([anywhere / "a" / "x", anywhere / "none", anywhere / "b"])) == [b"one", None, b""]
    with pytest.raises(FileNotFoundError):
        read_bytes(anywhere / "none")
    for contents in ({"1": b"1", "2": b"2", "last": b"3"}, {"1": b"one", "2": b"two", "last": b"three"}):
        replace_folder(anywhere / "folder", contents)
        assert list(read_all([anywhere / "folder" / name for name in contents])) == list(contents.values())


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


@pytest.mark.parametrize("status", [500, DROP, TRUNCATE, STALL])
def test_trouble_that_passes_is_waited_for(
    s3: LoopbackS3, place: UPath, status: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 0.2}})
    forget_connections()
    data = os.urandom(300_000)
    replace_file(place / "a", data)
    for act in (read_bytes,) if status == TRUNCATE else ACTS.values():
        left = iter([status])
        with s3.faulty(lambda request, left=left: next(left, None)), s3.counted() as requests:
            answer = act(place if act is list_names else place / "a")
        assert act is not read_bytes or answer == data
        assert len(requests) == 2, requests


@pytest.mark.parametrize(
    ("status", "said", "n_requests"), [(500, "InternalError, made up", 3), (403, "AccessDenied, made up", 1)]
)
def test_trouble_without_end_is_one_sentence(
    s3: LoopbackS3, place: UPath, status: int, said: str, n_requests: int
) -> None:
    replace_file(place / "a", b"1")
    with s3.faulty(lambda request: status), pytest.raises(StorageError) as caught, s3.counted() as requests:
        read_bytes(place / "a")
    assert len(requests) == n_requests
    assert str(caught.value).startswith(f"s3://results/prefix/a: expected to read it, got: {said}; run again once the")
    assert "secret" not in str(caught.value)
    assert read_bytes(place / "a") == b"1"


@pytest.mark.parametrize(
    ("url", "variable", "value", "said"),
    [
        ("s3://none/x", "AWS_PROFILE", "", "NoSuchBucket, "),
        ("s3://No_Bucket!/x", "AWS_PROFILE", "", "Parameter validation failed: Invalid bucket name"),
        ("s3://results/x", "AWS_PROFILE", "nobody", "The config profile .nobody. could not be found"),
        ("s3://results/x", "AWS_ACCESS_KEY_ID", None, "Unable to locate credentials; .*AWS_ACCESS_KEY_ID"),
        ("s3://results/x", "AWS_ENDPOINT_URL", "http://127.0.0.1:9", "Could not connect"),
    ],
)
def test_what_is_wrong_with_the_environment_is_one_sentence(
    s3: LoopbackS3, url: str, variable: str, value: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    if value is None:
        monkeypatch.delenv(variable)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    elif value:
        monkeypatch.setenv(variable, value)
    forget_connections()
    with pytest.raises(StorageError, match=rf"expected to read it, got: {said}"):
        read_bytes(parse_place(url))


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
