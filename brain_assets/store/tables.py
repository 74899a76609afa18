"""Tables by year: one Parquet file a partition, written whole or not at all.

The first partition's file holds the whole bootstrap window. Prices are adjusted for splits and dividends as of the day
they were fetched, so files fetched at different times may stand on different levels; each remembers the last close
before it on its own level, and reading several years chains later files to earlier ones (`chain_prices`).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow

from brain_assets.errors import StorageError, TableError
from brain_assets.files import replace_file
from brain_assets.market.fundamentals import validate_fundamentals
from brain_assets.market.news import validate_news
from brain_assets.market.prices import PRICE_FIELDS, validate_prices
from brain_assets.objects import create_object
from brain_assets.paths import DataPath, is_file, is_remote, read_all, read_bytes, readable

FOLDERS = {
    "raw_prices": "raw/prices",
    "raw_news_sentiment": "raw/news_sentiment",
    "raw_fundamentals": "raw/fundamentals",
    "walkforward_forecasts": "forecasts",
    "backtest": "backtests",
}
"""From the asset's name to its folder."""

RAW = ("raw_prices", "raw_news_sentiment", "raw_fundamentals")
"""What comes from the market."""

VALIDATORS: Mapping[str, Callable[[pd.DataFrame, str], pd.DataFrame]] = {
    "raw_prices": validate_prices,
    "raw_news_sentiment": validate_news,
    "raw_fundamentals": validate_fundamentals,
}
"""What is asked of a table that came from outside, whenever it is read."""

SO_FAR: Literal["so_far"] = "so_far"
"""Takes the place of a year: rows since the last complete one, which are no year yet, and are replaced week by week."""

Part = int | Literal["so_far"]
"""A partition year, or `SO_FAR`."""

PREVIOUS_BARS = "previous_bars"
"""Key in ``DataFrame.attrs`` of a price table: symbol -> (date, close, volume) of the last bar before it, on its own
level."""

IDENTITY_FILE = "market.json"


class TableStore(ABC):
    """Tables by asset name and partition year."""

    @abstractmethod
    def exists(self, name: str, year: Part) -> bool:
        """Tell whether a year of a table is there."""

    @abstractmethod
    def read_year(self, name: str, year: Part) -> pd.DataFrame:
        """Read one year; raises `TableError` if it is not there."""

    @abstractmethod
    def write(self, name: str, year: Part, frame: pd.DataFrame) -> str:
        """Write one year, replacing what is there, and say where it lies."""

    @abstractmethod
    def keep_replaced(self, name: str, year: Part) -> str:
        """Keep a copy of a year that is about to be replaced, and say where it lies."""

    def read(self, name: str, years: Sequence[int]) -> pd.DataFrame:
        """Read years into one table in date order.

        Raises
        ------
        TableError
            If one of the years is not there: history with a hole, or one that ends early, is never handed out.
        """
        frames = self._read_years(name, sorted(years))
        if not frames:
            raise TableError(f"{name}: expected at least one year, got none; ask for one.")
        pyarrow.default_memory_pool().release_unused()  # what reading left behind is a third of the table
        return chain_prices(frames) if name == "raw_prices" else pd.concat(frames, ignore_index=True)

    def _read_years(self, name: str, years: Sequence[int]) -> list[pd.DataFrame]:
        return [self.read_year(name, year) for year in years]


class MemoryTableStore(TableStore):
    """Tables of one test, gone with it; by year, as on disk."""

    def __init__(self) -> None:
        self._frames: dict[tuple[str, Part], pd.DataFrame] = {}

    def exists(self, name: str, year: Part) -> bool:
        """Tell whether a year of a table is there."""
        return (name, year) in self._frames

    def read_year(self, name: str, year: Part) -> pd.DataFrame:
        """Read one year; raises `TableError` if it is not there."""
        if not self.exists(name, year):
            raise TableError(_absent(name, year))
        return self._frames[name, year].copy()

    def write(self, name: str, year: Part, frame: pd.DataFrame) -> str:
        """Write one year, replacing what is there."""
        self._frames[name, year] = frame.copy()
        return f"memory:{name}/{year}"

    def keep_replaced(self, name: str, year: Part) -> str:
        """Keep a copy of a year that is about to be replaced."""
        kept = f"replaced/{name}"
        self._frames[kept, year] = self._frames[name, year]
        return f"memory:{kept}/{year}"


class ParquetTableStore(TableStore):
    """Tables under a data folder.

    Parameters
    ----------
    data_dir : Path or UPath
    identity : mapping
        JSON values that say where the data comes from. The first write leaves them in ``market.json``; a folder of
        another market is refused, since its years would be taken for this one's.
    """

    def __init__(self, data_dir: DataPath, identity: Mapping[str, Any]) -> None:
        self.data_dir = data_dir
        self._identity = dict(identity)
        self._is_claimed = False

    def path(self, name: str, year: Part) -> DataPath:
        """Give the file of a year, whether it exists or not."""
        return self.data_dir / FOLDERS[name] / f"{year}.parquet"

    def exists(self, name: str, year: Part) -> bool:
        """Tell whether a year of a table is there."""
        return is_file(self.path(name, year))

    def read_year(self, name: str, year: Part) -> pd.DataFrame:
        """Read one year; raises `TableError` if it is not there or is no table."""
        self.check_identity()
        path = self.path(name, year)
        if not is_remote(path) and not path.is_file():
            raise TableError(_absent(name, year))
        try:
            source = readable(path)
        except FileNotFoundError as error:
            raise TableError(_absent(name, year)) from error
        return self._table(name, path, source)

    def _read_years(self, name: str, years: Sequence[int]) -> list[pd.DataFrame]:
        """Read years; from elsewhere, all at the same time."""
        if not is_remote(self.data_dir):
            return super()._read_years(name, years)
        self.check_identity()
        paths = [self.path(name, year) for year in years]
        contents = read_all(paths)
        for year, content in zip(years, contents, strict=True):
            if content is None:
                raise TableError(_absent(name, year))
        return [self._table(name, path, BytesIO(content or b"")) for path, content in zip(paths, contents, strict=True)]

    def _table(self, name: str, path: DataPath, source: Path | BytesIO) -> pd.DataFrame:
        try:
            frame = pd.read_parquet(source)
        except (OSError, ValueError) as error:
            raise TableError(f"{path}: expected a Parquet table, got {error}; remove the file.") from error
        return VALIDATORS[name](frame, str(path)) if name in VALIDATORS else frame

    def write(self, name: str, year: Part, frame: pd.DataFrame) -> str:
        """Write one year to a temporary sibling, flush it, and rename it over what is there."""
        path = self.path(name, year)
        self._claim()
        replace_file(path, lambda temporary: frame.to_parquet(temporary, index=False))
        return str(path)

    def keep_replaced(self, name: str, year: Part) -> str:
        """Keep a copy of a year that is about to be replaced, named by its content."""
        path = self.path(name, year)
        data = read_bytes(path)
        kept = path.parent / "replaced" / f"{year}-{hashlib.sha256(data).hexdigest()[:12]}.parquet"
        replace_file(kept, lambda temporary: temporary.write_bytes(data))
        return str(kept)

    def check_identity(self) -> None:
        """Raise `StorageError` if the folder holds another market's results."""
        if self._is_claimed:
            return
        path = self.data_dir / IDENTITY_FILE
        try:
            found = json.loads(read_bytes(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError.unwritable(path, error.strerror or error) from error
        except ValueError as error:  # JSON or text that cannot be decoded
            raise StorageError(f"{path}: expected JSON, got {error}; remove the file.") from error
        if not isinstance(found, dict):
            raise StorageError(f"{path}: expected a JSON object, got {type(found).__name__}; remove the file.")
        differing = [key for key in self._identity if found.get(key) != self._identity[key]]
        if differing:
            was, now = ({key: side.get(key) for key in differing} for side in (found, self._identity))
            raise StorageError(
                f"{self.data_dir}: expected results of the market asked for ({now}), got those of another ({was}); set "
                "BRAIN_DATA_DIR to another folder, or the market back."
            )
        self._is_claimed = is_remote(path)  # not asked for again there: every look is a request

    def _claim(self) -> None:
        self.check_identity()
        path = self.data_dir / IDENTITY_FILE
        content = json.dumps(self._identity, indent=2) + "\n"
        if is_remote(path):
            if not self._is_claimed:
                create_object(path, content.encode())
                self.check_identity()  # another driver may have been faster
        elif not path.exists():
            replace_file(path, lambda temporary: temporary.write_text(content))


def chain_prices(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join price tables of consecutive years, each put onto the level of the one before.

    Parameters
    ----------
    frames : sequence of DataFrame
        In year order; ``attrs["previous_bars"]`` of a later one may hold the last bar before it on its own level.

    Returns
    -------
    DataFrame
        All rows in date order. A later year's prices of a symbol are multiplied by what the close on the common date
        says, its volume by what the volume says (dividends move the level of prices, but not of volume, so one cannot
        stand for the other); an earlier year is never touched, and returns stay as they are within each file. A symbol
        that was never seen before keeps its level.

    Raises
    ------
    TableError
        If the bar before a year that it remembers is not in the history: it was revised between two fetches.
    """
    chained = [frames[0]]
    last_known = _last_bars(frames[0])
    for frame in frames[1:]:
        factors = _level_factors(chained, last_known, frame)
        price_factor, volume_factor = (
            frame["symbol"]
            .map({symbol: pair[side] for symbol, pair in factors.items()})
            .fillna(1.0)
            .to_numpy(np.float64)
            for side in (0, 1)
        )
        if (price_factor != 1).any() or (volume_factor != 1).any():
            frame = frame.copy()
            for name in PRICE_FIELDS[:-1]:
                frame[name] = frame[name].to_numpy() * price_factor
            frame["volume"] = frame["volume"].to_numpy() * volume_factor
        chained.append(frame)
        last_known = _last_bars(pd.concat([last_known, frame]))
    joined = pd.concat(chained, ignore_index=True)
    joined.attrs = dict(frames[0].attrs)
    return joined


def _last_bars(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop_duplicates("symbol", keep="last")


def _level_factors(
    history: Sequence[pd.DataFrame], last_known: pd.DataFrame, frame: pd.DataFrame
) -> dict[str, tuple[float, float]]:
    """Give what to multiply a frame's prices and volumes by, symbol by symbol, to stand on the level of the history.

    What it remembers is the last bar of the history, or an earlier one if the year between came later: any date in
    common tells the level.
    """
    last_bars: dict[str, Any] = {bar["symbol"]: bar for bar in last_known.to_dict("records")}
    factors = {}
    for symbol, (date, close, volume) in frame.attrs.get(PREVIOUS_BARS, {}).items():
        if symbol not in last_bars:
            continue
        known = last_bars[symbol]
        if f"{known['date']:%Y-%m-%d}" > date:
            known = _bar_on(history, symbol, date) or known
        if f"{known['date']:%Y-%m-%d}" != date:
            raise TableError(
                f"raw_prices: expected the last bar of {symbol} before {frame['date'].min():%Y-%m-%d} to be that of "
                f"{date}, got {known['date']:%Y-%m-%d}: the history was revised between two fetches; fetch both years "
                "again with --force."
            )
        price_factor = float(known["close"]) / close
        volumes_known = volume > 0 and known["volume"] > 0
        factors[symbol] = (price_factor, float(known["volume"]) / volume if volumes_known else 1 / price_factor)
    return factors


def _bar_on(history: Sequence[pd.DataFrame], symbol: str, date: str) -> dict[str, Any] | None:
    """Find a symbol's bar of a day; None: there is none."""
    for frame in reversed(history):
        found = frame[(frame["symbol"] == symbol) & (frame["date"] == pd.Timestamp(date))]
        if len(found):
            return {str(name): value for name, value in found.iloc[0].items()}
    return None


def content_hash(frame: pd.DataFrame) -> str:
    """Hash the content of a table: equal hash, equal columns, rows and order."""
    digest = hashlib.sha256("\n".join(map(str, frame.columns)).encode())
    digest.update(np.ascontiguousarray(pd.util.hash_pandas_object(frame, index=False).to_numpy()).data)
    digest.update(json.dumps(frame.attrs, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _absent(name: str, year: Part) -> str:
    return (
        f"{name}[{year}] is not materialized: expected every year up to the one asked for, got none for {year}; "
        f"materialize {name} for {year} first."
    )
