"""Tables by year: what is written comes back, years are chained, and a file is there whole or not at all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.cli_run import print_results
from brain_assets.errors import DamagedTableError, StorageError, TableError
from brain_assets.market.archive import PREVIOUS_BARS, chain_prices
from brain_assets.paths import read_bytes, replace_file
from brain_assets.registry import families_of
from brain_assets.store.tables import TableStore, content_hash
from brain_assets_tests.loopback_s3 import LoopbackS3

SIMULATED = {"market": "simulator", "symbols": ["AAA", "BBB"], "seed": 0}


def bars(
    *rows: tuple[str, str, float], volume: float = 1000.0, previous: dict[str, list[Any]] | None = None
) -> pd.DataFrame:
    """A price table of (date, symbol, close); open is one below, high two above, low two below the close."""
    close = np.array([row[2] for row in rows], dtype=np.float64)
    frame = pd.DataFrame(
        {
            "date": np.array([row[0] for row in rows], dtype="datetime64[us]"),
            "symbol": pd.Series([row[1] for row in rows], dtype="str"),
            "open": close - 1,
            "high": close + 2,
            "low": close - 2,
            "close": close,
            "volume": volume,
        }
    )
    frame.attrs[PREVIOUS_BARS] = previous or {}
    return frame


def prices_2019() -> pd.DataFrame:
    rows = (("2019-12-30", "AAA", 100.0), ("2019-12-30", "BBB", 50.0))
    return bars(*rows, ("2019-12-31", "AAA", 104.0), ("2019-12-31", "BBB", 51.0))


def prices_2020() -> pd.DataFrame:
    """Fetched after AAA was split 4:1: what closed at 104 in 2019 is 26 here."""
    return bars(
        ("2020-01-02", "AAA", 27.0),
        ("2020-01-02", "BBB", 52.0),
        ("2020-01-03", "AAA", 28.0),
        ("2020-01-03", "CCC", 7.0),  # lists in 2020
        volume=4000.0,
        previous={"AAA": ["2019-12-31", 26.0, 4000.0], "BBB": ["2019-12-31", 51.0, 1000.0]},
    )


def forecasts(year: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "week_start": np.array([f"{year}-01-06", f"{year}-01-13"], dtype="datetime64[us]"),
            "symbol": pd.Series(["AAA", "AAA"], dtype="str"),
            "lstm": [0.1 + 0.2, np.nan],
            "lstm_source": pd.Series(["momentum", "momentum"], dtype="str"),
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> TableStore:
    return TableStore(tmp_path / "data", SIMULATED)


def files_under(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_year_comes_back_bit_for_bit_with_its_attributes_and_is_replaced_whole(store: TableStore) -> None:
    frame = prices_2020()
    frame.loc[0, "close"] = 27.1 + 1e-13  # all digits
    assert store.find("raw_prices", 2020) is None
    for written in (prices_2019(), frame):
        store.write("raw_prices", 2020, written)
    back = store.find("raw_prices", 2020)
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back.attrs == frame.attrs == prices_2020().attrs
    assert content_hash(back) == content_hash(frame)
    assert (store.exists("raw_prices", 2020), store.exists("raw_prices", 2019)) == (True, False)


def test_history_with_a_hole_or_a_shorter_one_is_never_handed_out(store: TableStore) -> None:
    for there, absent in ((2019, 2020), (2021, 2020), (2020, 2022)):
        store.write("backtest", there, forecasts(there))
        with pytest.raises(TableError) as caught:
            store.read("backtest", range(2019, 2023))
        assert str(caught.value) == (
            f"backtest[{absent}] is not materialized: expected every year up to the one asked for, got none for "
            f"{absent}; materialize backtest for {absent} first."
        )
    with pytest.raises(TableError, match="backtest: expected at least one year, got none"):
        store.read("backtest", [])


def test_reading_several_years_of_prices_chains_them_and_one_year_is_as_it_was_fetched(store: TableStore) -> None:
    store.write("raw_prices", 2019, prices_2019())
    store.write("raw_prices", 2020, prices_2020())
    both = store.read("raw_prices", [2020, 2019])
    pd.testing.assert_frame_equal(both, chain_prices([prices_2019(), prices_2020()]), check_exact=True)
    assert both["close"].tolist() == [100, 50, 104, 51, 108, 52, 112, 7]
    for one in (store.read("raw_prices", [2020]), store.read_year("raw_prices", 2020)):
        pd.testing.assert_frame_equal(one, prices_2020(), check_exact=True)


def test_stored_prices_are_checked_when_they_are_read(store: TableStore) -> None:
    path = store.write("raw_prices", 2019, prices_2019().assign(close=-1.0))
    with pytest.raises(TableError) as caught:
        store.read_year("raw_prices", 2019)
    assert f"{path}: column close: expected a finite price > 0, got -1.0 for 2019-12-30 AAA" in str(caught.value)


def test_a_name_that_cannot_be_a_folder_is_refused(store: TableStore) -> None:
    for name in ("", "../raw", "/tmp/x", "a//b", "a\\b", "x" * 101, "ä"):
        with pytest.raises(TableError, match=r"expected an asset's name of letters, digits, _ and -, .*; rename the"):
            store.write(name, 2020, forecasts(2020))


def test_files_lie_where_the_design_says(tmp_path: Path) -> None:
    expected = {
        "raw_prices": "raw/prices",
        "walkforward_forecasts": "forecasts",
        "backtest": "backtests",
        "my_table": "tables/my_table",
        "desk/my-table2": "tables/desk/my-table2",
    }
    store = TableStore(tmp_path, SIMULATED)
    with pytest.raises(TableError, match="is not materialized"):
        store.read_year("raw_prices", 2019)
    assert not store.check_identity()
    assert not list(tmp_path.iterdir())  # a folder is claimed by the first write, and not by looking
    for name, folder in expected.items():
        frame = prices_2020() if name == "raw_prices" else forecasts(2020)
        assert store.write(name, 2020, frame) == str(tmp_path / folder / "2020.parquet")
        back = TableStore(tmp_path, SIMULATED).read_year(name, 2020)  # as another process reads it
        pd.testing.assert_frame_equal(back, frame, check_exact=True)
    files = [f"{folder}/2020.parquet" for folder in expected.values()]
    assert files_under(tmp_path) == sorted([*files, "market.json"])


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_half_way_leaves_what_was_there_and_no_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    store = TableStore(tmp_path, SIMULATED)
    store.write("raw_prices", 2019, prices_2019())
    path, before, seen = store.path("raw_prices", 2019), files_under(tmp_path), []

    def half(where: Path, data: bytes) -> None:
        with where.open("wb") as file:
            file.write(data[: len(data) // 2])
        seen.append(files_under(tmp_path))
        raise error

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)) as caught:
        store.write("raw_prices", 2019, prices_2020())
    if isinstance(error, OSError):
        assert str(caught.value).startswith(f"{path}: expected a folder with room to write to, got: No space left on")
    assert len(seen[0]) == len(before) + 1  # half a file really lay there
    assert files_under(tmp_path) == before
    pd.testing.assert_frame_equal(store.read_year("raw_prices", 2019), prices_2019())


def test_what_cannot_be_read_is_one_sentence(store: TableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("backtest", 2020, forecasts(2020))

    def broken(path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(StorageError, match=r"expected a file that can be read, got: Input/output error; correct"):
        store.read_year("backtest", 2020)


@pytest.mark.parametrize("damage", [b"junk", -64, "plain"])
def test_a_file_that_is_not_as_it_was_written_is_named_and_counts_as_absent(
    store: TableStore, damage: bytes | int | str, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path(store.write("raw_prices", 2020, prices_2020()))
    if damage == "plain":  # as versions without checksums wrote it
        prices_2020().to_parquet(path, index=False)
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else path.read_bytes()[:damage])
    for read in (lambda: store.read_year("raw_prices", 2020), lambda: store.read("raw_prices", [2020])):
        with pytest.raises(DamagedTableError) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: expected the table as it was written, got a damaged file (")
        assert str(caught.value).endswith("); run the year again.")
    assert store.find("raw_prices", 2020) is None
    assert caplog.messages == [str(caught.value)]


def test_what_is_replaced_is_kept_under_a_name_of_its_own(tmp_path: Path) -> None:
    store = TableStore(tmp_path, SIMULATED)
    path = Path(store.write("raw_prices", 2020, prices_2020()))
    first = path.read_bytes()
    kept = Path(store.keep_replaced("raw_prices", 2020))
    assert kept == Path(store.keep_replaced("raw_prices", 2020))  # the same content once
    store.write("raw_prices", 2020, prices_2020().assign(volume=1.0))
    other = Path(store.keep_replaced("raw_prices", 2020))
    assert kept.read_bytes() == first
    assert other.read_bytes() == path.read_bytes() != first
    assert kept.parent == other.parent == path.parent / "replaced"
    assert len(files_under(tmp_path)) == 4  # market.json, the year, two kept


@pytest.mark.parametrize("other", [{"market": "sample"}, {"symbols": ["AAA"]}, {"seed": 1}])
def test_the_folder_of_another_market_is_refused_for_reading_and_writing(tmp_path: Path, other: dict[str, Any]) -> None:
    path = Path(TableStore(tmp_path, SIMULATED).write("raw_prices", 2019, prices_2019()))
    before = path.read_bytes()
    stranger, was = TableStore(tmp_path, SIMULATED | other), {key: SIMULATED[key] for key in other}
    for year, act in ((2019, stranger.find), (2020, lambda *of: stranger.write(*of, prices_2020()))):
        with pytest.raises(StorageError) as caught:
            act("raw_prices", year)
        assert str(caught.value) == (
            f"{tmp_path}: expected results of the market asked for ({other}), got those of another ({was}); set "
            "BRAIN_DATA_DIR to another folder, or the market back."
        )
    assert path.read_bytes() == before
    assert files_under(tmp_path) == ["market.json", "raw/prices/2019.parquet"]


def test_the_order_of_symbols_and_what_else_is_noted_make_no_other_market(tmp_path: Path) -> None:
    made_before = SIMULATED | {"files_dir": "/home/somebody/else"}
    (tmp_path / "market.json").write_text(json.dumps(made_before))
    swapped = TableStore(tmp_path, SIMULATED | {"symbols": ["BBB", "AAA"]})
    swapped.write("raw_prices", 2020, prices_2020())
    assert json.loads((tmp_path / "market.json").read_text()) == made_before
    for symbols in (["AAA", "CCC"], ["AAA", "BBB", "BBB"], [], None):
        with pytest.raises(StorageError, match="expected results of the market asked for"):
            TableStore(tmp_path, SIMULATED | {"symbols": symbols}).check_identity()


def test_identity_of_another_shape_is_one_sentence(store: TableStore) -> None:
    store.data_dir.mkdir()
    for content in (b"[3]", b"\xff\xfe"):
        (store.data_dir / "market.json").write_bytes(content)
        with pytest.raises(StorageError, match=r"market\.json: expected a JSON object, got .*; remove the file\.$"):
            store.check_identity()


def test_a_hash_changes_with_a_value_the_order_a_name_or_an_attribute_and_not_with_the_index() -> None:
    frame = prices_2020()
    frame.index = pd.Index([7, 5, 3, 1])
    assert content_hash(frame) == content_hash(prices_2020())
    value, attribute, symbol = prices_2020(), prices_2020(), prices_2020()
    value.loc[2, "low"] = np.nextafter(value.loc[2, "low"], np.inf)  # by one bit
    attribute.attrs[PREVIOUS_BARS]["AAA"][1] = 26.5
    symbol.loc[3, "symbol"] = "CCD"
    variants = [
        *(value, attribute, symbol),
        frame.iloc[[1, 0, 2, 3]],
        frame.rename(columns={"close": "adjusted_close"}),
        frame[["symbol", "date", *frame.columns[2:]]],
        frame.assign(high=frame["low"], low=frame["high"]),
        frame.iloc[:3],
    ]
    hashes = {content_hash(variant) for variant in variants}
    assert content_hash(frame) not in hashes
    assert len(hashes) == len(variants)


# In a bucket


def test_a_table_in_a_bucket_has_the_bytes_that_it_has_on_disk(s3: LoopbackS3, tmp_path: Path) -> None:
    there, here = TableStore(s3.place(), SIMULATED), TableStore(tmp_path, SIMULATED)
    for store in (there, here):
        store.write("raw_prices", 2020, prices_2020())
        for year in (2021, 2022):
            store.write("walkforward_forecasts", year, forecasts(year))
    for name in ("raw/prices/2020.parquet", "market.json"):
        assert read_bytes(there.data_dir / name) == (tmp_path / name).read_bytes()
    assert there.keep_replaced("raw_prices", 2020).startswith("s3://results/prefix/raw/prices/replaced/2020-")
    with s3.counted() as requests:
        assert len(TableStore(s3.place(), SIMULATED).read("walkforward_forecasts", [2021, 2022])) == 4
    assert len(requests) == 3  # whose the folder is, and a request for each year
    replace_file(there.path("walkforward_forecasts", 2021), b"junk")
    for read in (
        lambda: there.read_year("walkforward_forecasts", 2021),
        lambda: print_results(there.data_dir, [2021], families_of()),
    ):
        with pytest.raises(TableError, match=r"^s3://results/prefix/forecasts/2021.parquet: expected the table as it"):
            read()
