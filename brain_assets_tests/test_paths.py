import subprocess
import sys
from pathlib import Path

import pytest
from upath import UPath

from brain_assets.paths import is_file, is_remote, list_names, parse_place, read_all, read_bytes
from brain_assets.settings import read_settings
from brain_assets_tests.backfills import REPOSITORY


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
        ("file://data/x", "expected an absolute path in a URL of this machine, file:///folder, got 'file://data/x'"),
        ("s3:///prefix", "expected a bucket, s3://bucket/prefix, got 's3:///prefix'"),
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
    from importlib import import_module

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
