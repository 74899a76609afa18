"""Tables in a bucket: as on disk, in few requests, and of one market."""

from pathlib import Path

import pytest

from brain_assets.cli_results import print_results
from brain_assets.errors import TableError
from brain_assets.paths import parse_place, read_bytes, replace_file
from brain_assets.registry import families_of
from brain_assets.store.tables import TableStore
from brain_assets_tests.loopback_s3 import LoopbackS3
from brain_assets_tests.store.test_tables import SIMULATED, forecasts, prices_2020


@pytest.fixture
def store(s3: LoopbackS3) -> TableStore:
    return TableStore(s3.place(), SIMULATED)


def test_a_table_has_the_bytes_that_it_has_on_disk_and_what_is_replaced_is_kept(
    store: TableStore, tmp_path: Path
) -> None:
    assert store.write("raw_prices", 2020, prices_2020()) == "s3://results/prefix/raw/prices/2020.parquet"
    TableStore(tmp_path, SIMULATED).write("raw_prices", 2020, prices_2020())
    for name in ("raw/prices/2020.parquet", "market.json"):
        assert read_bytes(store.data_dir / name) == (tmp_path / name).read_bytes()
    kept = parse_place(store.keep_replaced("raw_prices", 2020))
    assert (kept.parent, kept.name[:5]) == (store.data_dir / "raw" / "prices" / "replaced", "2020-")
    assert read_bytes(kept) == read_bytes(store.path("raw_prices", 2020))


def test_years_are_read_in_a_request_each(store: TableStore, s3: LoopbackS3) -> None:
    for year in range(2021, 2026):
        store.write("walkforward_forecasts", year, forecasts(year))
    with s3.counted() as requests:
        fresh = TableStore(store.data_dir, SIMULATED)
        assert len(fresh.read("walkforward_forecasts", range(2021, 2026))) == 10
    assert len(requests) == 6  # whose the folder is, and a request for each year


def test_what_is_no_table_is_named(store: TableStore) -> None:
    replace_file(store.path("walkforward_forecasts", 2019), b"junk")
    for read in (
        lambda: store.read_year("walkforward_forecasts", 2019),
        lambda: print_results(store.data_dir, [2019], families_of()),
    ):
        with pytest.raises(TableError, match=r"^s3://results/prefix/forecasts/2019.parquet: expected the table as it"):
            read()
