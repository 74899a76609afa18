"""Tables by year: one Parquet file a partition, written whole or not at all.

The first partition's file holds the whole bootstrap window. Prices are adjusted for splits and dividends as of the day
they were fetched, so files fetched at different times may stand on different levels; each remembers the last close
before it on its own level, and reading several years chains later files to earlier ones (`chain_prices`).
"""

import hashlib
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow
from upath import UPath

from brain_assets.errors import DamagedTableError, StorageError, TableError
from brain_assets.market.archive import chain_prices
from brain_assets.market.schema import FINDINGS, SCHEMAS
from brain_assets.parquet import decode_table, encode_table
from brain_assets.paths import DataPath, is_file, list_names, read_all, read_bytes, replace_file
from brain_assets.progress import warn

FOLDERS = {
    "raw_prices": "raw/prices",
    "raw_news_sentiment": "raw/news_sentiment",
    "raw_fundamentals": "raw/fundamentals",
    "walkforward_forecasts": "forecasts",
    "backtest": "backtests",
}
"""From the asset's name to its folder; that of any other asset is its name under ``tables``."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}(/[A-Za-z0-9_-]{1,100})*")

YEAR_TO_DATE: Literal["year_to_date"] = "year_to_date"
"""Takes the place of a year: rows since the last complete one, which are no year yet, and are replaced week by week."""
Part = int | Literal["year_to_date"]
IDENTITY_FILE = "market.json"


def folder_of(name: str) -> str:
    """Give the folder of an asset's table in the data folder; raises `TableError` if the name cannot be one."""
    if not _NAME.fullmatch(name):
        raise TableError(
            f"{name!r}: expected an asset's name of letters, digits, _ and -, which its folder is called by, got other "
            "characters; rename the asset."
        )
    return FOLDERS.get(name, f"tables/{name}")


def read_identity(data_dir: DataPath) -> dict[str, Any] | None:
    """Read where the data of a folder comes from, see `TableStore`; None: it does not say. Raises `StorageError`."""
    path = data_dir / IDENTITY_FILE
    try:
        return dict(json.loads(read_bytes(path)))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:  # what cannot be decoded, or is no object
        raise StorageError(f"{path}: expected a JSON object, got {error}; remove the file.") from error


class TableStore:
    """Tables by asset name and partition year, under a data folder.

    Parameters
    ----------
    data_dir : Path or UPath
    identity : mapping
        JSON values that say where the data comes from, nothing that a path decides; the order of lists counts for
        nothing. The first write leaves them in ``market.json``; a folder of another market is refused, since its years
        would be taken for this one's. What else stands there is not asked.
    """

    def __init__(self, data_dir: DataPath, identity: Mapping[str, Any]) -> None:
        self.data_dir, self._identity = data_dir, dict(identity)

    def path(self, name: str, year: Part) -> DataPath:
        """Give the file of a year, whether it exists or not."""
        return self.data_dir / folder_of(name) / f"{year}.parquet"

    def exists(self, name: str, year: Part) -> bool:
        """Tell whether a year of a table is there."""
        return is_file(self.path(name, year))

    def years(self, name: str) -> list[int]:
        """Give the partition years of a table that are there, oldest first."""
        found = (re.fullmatch(r"(\d{4})\.parquet", each) for each in list_names(self.data_dir / folder_of(name)))
        return [int(match[1]) for match in found if match]

    def read_year(self, name: str, year: Part) -> pd.DataFrame:
        """Read one year; raises `TableError` if it is not there, damaged, or breaks its schema."""
        return self._read_years(name, [year])[0]

    def find(self, name: str, year: Part) -> pd.DataFrame | None:
        """Read one year; None: it is not there, or damaged, which is said and counts as not there."""
        try:
            return self.read_year(name, year) if self.exists(name, year) else None
        except DamagedTableError as error:
            warn(str(error))
            return None

    def read(self, name: str, years: Sequence[int]) -> pd.DataFrame:
        """Read years into one table in date order.

        Raises `TableError` if one is not there: history with a hole, or one that ends early, is never handed out.
        """
        frames = self._read_years(name, sorted(years))
        if not frames:
            raise TableError(f"{name}: expected at least one year, got none; ask for one.")
        pyarrow.default_memory_pool().release_unused()  # what reading left behind is a third of the table
        return chain_prices(frames) if name == "raw_prices" else pd.concat(frames, ignore_index=True)

    def _read_years(self, name: str, years: Sequence[Part]) -> list[pd.DataFrame]:
        self.check_identity()
        paths, frames = [self.path(name, year) for year in years], []
        for year, path, data in zip(years, paths, read_all(paths), strict=True):
            if data is None:
                raise TableError(
                    f"{name}[{year}] is not materialized: expected every year up to the one asked for, got none for "
                    f"{year}; materialize {name} for {year} first."
                )
            frame = decode_table(data, path)
            frames.append(SCHEMAS[name].validate(frame, str(path)) if name in SCHEMAS else frame)
        return frames

    def write(self, name: str, year: Part, frame: pd.DataFrame) -> str:
        """Write one year whole or not at all."""
        path = self.path(name, year)
        if not self.check_identity():
            replace_file(self.data_dir / IDENTITY_FILE, json.dumps(self._identity, indent=2) + "\n")
        replace_file(path, encode_table(frame))
        return str(path)

    def keep_replaced(self, name: str, year: Part) -> str:
        """Keep a copy of a year that is about to be replaced, named by its content."""
        path = self.path(name, year)
        data = read_bytes(path)
        kept = path.parent / "replaced" / f"{year}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
        replace_file(kept, data)
        return str(kept)

    def check_identity(self) -> bool:
        """Raise `StorageError` if the folder holds another market's results; tells whether it holds any."""
        found, known = read_identity(self.data_dir), self._identity
        if found is None:
            return False
        if differing := [key for key, value in known.items() if _any_order(found.get(key)) != _any_order(value)]:
            was, now = ({key: side.get(key) for key in differing} for side in (found, known))
            raise StorageError(
                f"{self.data_dir}: expected results of the market asked for ({now}), got those of another ({was}); "
                "set BRAIN_DATA_DIR to another folder, or the market back."
            )
        return True


class MemoryTableStore(TableStore):
    """Tables in the memory of this process, which nobody else has; gone with it."""

    def __init__(self) -> None:
        super().__init__(UPath(f"memory://{uuid.uuid4().hex}"), {})


def content_hash(frame: pd.DataFrame) -> str:
    """Hash the content of a table: equal hash, equal columns, rows and order; what was found of it does not count."""
    digest = hashlib.sha256("\n".join(map(str, frame.columns)).encode())
    digest.update(np.ascontiguousarray(pd.util.hash_pandas_object(frame, index=False).to_numpy()).data)
    attributes = {key: value for key, value in frame.attrs.items() if key != FINDINGS}
    digest.update(json.dumps(attributes, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _any_order(value: object) -> object:
    """Put a list of symbols into one order: they are a set, in whatever order somebody names them."""
    return sorted(value, key=str) if isinstance(value, list) else value
