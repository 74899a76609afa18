"""A trained model as data: names, dates, configuration, arrays, card. It knows no family."""

import datetime
import reprlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd
from pydantic import SecretStr

from brain_assets import registry
from brain_assets.errors import ConfigError, LookAheadError, RefusedSnapshotError, SnapshotError, SnapshotFileError
from brain_assets.paths import DataPath, as_place
from brain_assets.store.checks import check_identity, located
from brain_assets.store.hub import HubAddress, HubStore
from brain_assets.store.manifest import CARD, CONFIG, MANIFEST, MODEL, build, parse_json, refused, render_json, verify
from brain_assets.store.names import MAIN_BRANCH, parse_snapshot_name, parse_version_name, snapshot_name
from brain_assets.store.places import FolderStore, read_files
from brain_assets.store.weights import SCALER_NAMES, Layout, Scaler, check_arrays, read_arrays, write_model

if TYPE_CHECKING:
    from brain_assets.arrays import DateArray, FloatArray
    from brain_assets.market.calendar import Weeks
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.weekly import WeeklyPanel

_OF_THE_FOLDER = ("family", "cutoff_date", "files", "sizes", "manifest")
"""What a manifest says besides a snapshot's metadata."""


@dataclass(frozen=True, eq=False)
class ModelSnapshot:
    """One model: no feature and no target of its training lies after its cut-off."""

    family: str
    cutoff_date: datetime.date
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    """JSON values: the training configuration; fingerprint, data window, symbols, losses or rewards."""
    arrays: Mapping[str, np.ndarray]
    """The weights by their names in the network, and those of `brain_assets.store.weights.SCALER_NAMES`."""
    card: str  # Markdown

    @property
    def name(self) -> str:
        """The name of its folder and branch: ``snapshot-<date>``, or that of a main version."""
        return str(self.metadata.get("version") or snapshot_name(self.cutoff_date))

    @property
    def fingerprint(self) -> str:
        """The hash of what its bytes follow from."""
        return str(self.metadata["fingerprint"]["value"])

    @property
    def scaler(self) -> Scaler:
        """Fitted on training rows."""
        return Scaler.from_arrays(self.arrays)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The arrays without the scaler's."""
        return {name: array for name, array in self.arrays.items() if name not in SCALER_NAMES}

    @overload
    def forecast(self, prices: "PricePanel", weeks: "Weeks") -> "FloatArray": ...

    @overload
    def forecast(
        self, prices: pd.DataFrame, *, news: pd.DataFrame | None = None, fundamentals: pd.DataFrame | None = None
    ) -> pd.DataFrame: ...

    def forecast(
        self, prices: Any, weeks: Any = None, *, news: Any = None, fundamentals: Any = None
    ) -> "FloatArray | pd.DataFrame":
        """Forecast weekly returns, last close / first open - 1; each is known at the last close before its week.

        Parameters
        ----------
        prices : DataFrame or PricePanel
            Daily bars as `brain_assets.market.schema.PRICE_TABLE`, with a window of sessions before the first week; or
            the same as a panel, of which `weeks` are forecast. Bars after a week's decision time are not looked at.
        weeks : Weeks, optional
        news, fundamentals : DataFrame, optional
            Of the same symbols, as `NEWS_TABLE` and `FUNDAMENTAL_TABLE`. Without them, which is said where the model
            learned from such, nothing is known of news and filings; a panel has its own.

        Returns
        -------
        DataFrame or ndarray
            Of a table, all its complete weeks that begin after the cut-off: indexed by ``week_start``, a column a
            symbol; of a panel, (n_weeks, n_assets). NaN where a symbol's sessions before the week are not all known.

        Raises
        ------
        LookAheadError
            If one of `weeks` begins on or before the cut-off, or no week of the table after it.
        TableError
            If a table breaks its schema.
        """
        family = registry.get(self.family)
        if isinstance(prices, pd.DataFrame):
            return family.forecast_tables(self, (prices, news, fundamentals))
        self.refuse_known_weeks(weeks.start)
        return family.forecast(self, prices, weeks)

    def decide(self, bars: "WeeklyPanel", forecasts: "FloatArray") -> "FloatArray":
        """Give target weights of the symbols and, last, cash, week after week; known at each week's decision time.

        Forecasts are weekly returns, (n_weeks, n_assets), NaN where there is none. Raises as `refuse_known_weeks`.
        """
        self.refuse_known_weeks(bars.weeks.start)
        return registry.get(self.family).decide(self, bars, forecasts)

    def refuse_known_weeks(self, week_starts: "DateArray") -> None:
        """Raise `LookAheadError` if a week begins on or before the cut-off."""
        if len(week_starts) and week_starts.min().item() <= self.cutoff_date:
            raise LookAheadError(
                f"{self.family} snapshot of {self.cutoff_date}: expected weeks that begin after its cut-off, got "
                f"one of {week_starts.min()}; use an earlier snapshot."
            )

    def save(self, folder: str | DataPath) -> None:
        """Write the snapshot's folder, whole or not at all."""
        folder = as_place(folder)
        FolderStore(folder.parent).write(folder.name, self.files)

    @property
    def files(self) -> dict[str, bytes]:
        """The files of its folder, which verify; raises `SnapshotError` if its parts are no finite JSON values."""
        identity = {"family": self.family, "cutoff_date": self.cutoff_date.isoformat()}
        try:
            payload = {**write_model(self.arrays), CONFIG: render_json(self.config), CARD: self.card.encode()}
            return build(payload, {**self.metadata, **identity})
        except (ValueError, TypeError) as error:
            raise SnapshotError(
                f"{self.family} {self.name}: expected a configuration and metadata of finite JSON values, got others "
                f"({error}); correct what made them."
            ) from error

    @classmethod
    def load(cls, folder: str | DataPath) -> "ModelSnapshot":
        """Read a folder; nothing in it is run, and nothing in it is believed. Raises as `from_files`."""
        return cls.from_files(str(folder), read_files(as_place(folder)))

    @classmethod
    def from_hub(
        cls, repo: str, *, revision: str, token: str | None = None, family: str | None = None
    ) -> "ModelSnapshot":
        """Read a snapshot from the Hugging Face Hub into memory; nothing in it is run, and nothing in it is believed.

        The repo is ``user/name``, the revision a branch such as ``snapshot-2020-12-31``, that of a main version, or
        ``main``, the current one; a private repo needs a token: default is ``HF_TOKEN``, or what `hf auth login` has
        stored. Raises `SnapshotError`, also if it is of another family than the one asked for, or `HubError` if the
        Hub fails or refuses.
        """
        if not (parse_snapshot_name(revision) or parse_version_name(revision) or revision == MAIN_BRANCH):
            raise SnapshotError(
                "revision: expected a branch such as snapshot-2020-12-31, that of a main version, or main, got "
                f"{revision!r}; correct it."
            )
        hub = HubStore(HubAddress(repo, SecretStr(token) if token else None))
        return cls.from_files(f"{repo}@{revision}", hub.read(revision), revision, family, kind=RefusedSnapshotError)

    @classmethod
    def from_files(
        cls,
        place: object,
        files: Mapping[str, bytes],
        name: str = "",
        family: str | None = None,
        market: str | None = None,
        kind: type[SnapshotFileError] | None = None,
    ) -> "ModelSnapshot":
        """Make a snapshot of files that came from a place, anywhere; only ``model.safetensors`` is opened as a model.

        Raises, with the place, `DamagedSnapshotError` if they do not verify, and `SnapshotFileError` if what they say
        is not that of a model of this name, family and market (see `check_identity`), or the arrays are others than
        plain, finite ones of the network that the configuration describes and of a scaler of its features; or, of all
        of that, the kind of error that is asked for.
        """
        with located(place, kind):
            manifest = verify(files)
            if manifest.get("family") not in registry.names():
                got = reprlib.repr(manifest.get("family"))
                raise refused(MANIFEST, f"family to be one of {', '.join(registry.names())}", got)
            check_identity(manifest, name, family, market)
            family = str(manifest["family"])
            config, card = parse_json(CONFIG, files[CONFIG]), files[CARD].decode(errors="replace")
            if card.encode() != files[CARD]:
                raise refused(CARD, "UTF-8 text", "bytes that are none")
            snapshot = cls(
                family=family,
                cutoff_date=datetime.date.fromisoformat(manifest["cutoff_date"]),
                config=config,
                metadata={key: value for key, value in manifest.items() if key not in _OF_THE_FOLDER},
                arrays=read_arrays(files[MODEL], _layout(family, config)),
                card=card,
            )
            registry.get(family).check(snapshot)
        return snapshot

    def check(self) -> None:
        """Refuse parts that do not fit each other; raises `SnapshotError` that begins with a file's name."""
        check_arrays(self.arrays, _layout(self.family, self.config))
        registry.get(self.family).check(self)


_ONE_AT_A_TIME = threading.Lock()
"""Snapshots are pulled in threads, and transformers breaks where two import it at once to lay a network out."""


def _layout(family: str, config: Mapping[str, Any]) -> Layout:
    """Give names and shapes of the weights that a configuration asks for; raises `SnapshotError`."""
    try:
        with _ONE_AT_A_TIME:
            layout: Layout = registry.get(family).layout(registry.get(family).read_config(config))
    except ConfigError as error:
        problem = str(error).rpartition("; ")[0]  # what to do about a snapshot is said otherwise
        raise SnapshotFileError(CONFIG, problem) from error
    return layout
