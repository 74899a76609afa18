"""A trained model as data: names, dates, configuration, arrays, card. It knows no family."""

import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import SecretStr

from brain_assets import registry
from brain_assets.configuration import without_advice
from brain_assets.errors import ConfigError, LookAheadError, RefusedSnapshotError, SnapshotError, SnapshotFileError
from brain_assets.paths import DataPath
from brain_assets.store.checks import check_identity, located
from brain_assets.store.hub import HubStore
from brain_assets.store.hub_client import HubAddress
from brain_assets.store.manifest import (
    CARD,
    CONFIG,
    MANIFEST,
    MODEL,
    build,
    parse,
    parse_json,
    refused,
    render_json,
    verify,
)
from brain_assets.store.names import MAIN_BRANCH, parse_snapshot_name, parse_version_name, snapshot_name
from brain_assets.store.places import FolderStore, read_files
from brain_assets.store.scaler import NAMES as SCALER_NAMES
from brain_assets.store.scaler import Scaler
from brain_assets.store.weights import Layout, check_arrays, read_arrays, write_model

if TYPE_CHECKING:
    from brain_assets.arrays import DateArray, FloatArray
    from brain_assets.market.calendar import Weeks
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.weekly import WeeklyPanel

_OF_THE_FOLDER = ("family", "cutoff_date", "files", "sizes", "manifest")
"""What a manifest says besides a snapshot's metadata."""


@dataclass(frozen=True, eq=False)
class ModelSnapshot:
    """One model: no feature and no target of its training lies after its cut-off.

    Attributes
    ----------
    family, cutoff_date
    config, metadata : mapping
        JSON values: the training configuration; fingerprint, data window, symbols, losses or rewards.
    arrays : mapping of str to ndarray
        The weights by their names in the network, and the scaler: ``scaler.mean``, ``scaler.scale``, ``scaler.var``,
        ``scaler.n_samples_seen``.
    card : str
        Markdown.
    """

    family: str
    cutoff_date: datetime.date
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    card: str

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

    def forecast(self, panel: "PricePanel", weeks: "Weeks") -> "FloatArray":
        """Forecast weekly returns of the panel's symbols; known at each week's decision time.

        Bars after the last week's decision time are not looked at. NaN where a symbol's last sessions before the week
        are not all known. Raises as `refuse_known_weeks`.
        """
        self.refuse_known_weeks(weeks.start)
        forecasts: FloatArray = registry.get(self.family).forecast(self, panel, weeks)
        return forecasts

    def decide(self, bars: "WeeklyPanel", forecasts: "FloatArray") -> "FloatArray":
        """Give target weights of the symbols and, last, cash, week after week; known at each week's decision time.

        Forecasts are weekly returns, (n_weeks, n_assets), NaN where there is none. Raises as `refuse_known_weeks`.
        """
        self.refuse_known_weeks(bars.weeks.start)
        weights: FloatArray = registry.get(self.family).decide(self, bars, forecasts)
        return weights

    def refuse_known_weeks(self, week_starts: "DateArray") -> None:
        """Raise `LookAheadError` if a week begins on or before the cut-off."""
        if len(week_starts) and week_starts.min().item() <= self.cutoff_date:
            raise LookAheadError(
                f"{self.family} snapshot of {self.cutoff_date}: expected weeks that begin after its cut-off, got "
                f"one of {week_starts.min()}; use an earlier snapshot."
            )

    def save(self, folder: DataPath) -> None:
        """Write the snapshot's folder, whole or not at all."""
        FolderStore(folder.parent).write(folder.name, self.files)

    @property
    def files(self) -> dict[str, bytes]:
        """The files of its folder, which verify; raises `SnapshotError` if its parts are no finite JSON values."""
        identity = {"family": self.family, "cutoff_date": self.cutoff_date.isoformat()}
        try:
            payload = {
                **write_model(self.arrays),
                CONFIG: render_json(self.config),
                CARD: self.card.encode(),
            }
            return build(payload, {**self.metadata, **identity})
        except (ValueError, TypeError) as error:
            raise SnapshotError(
                f"{self.family} {self.name}: expected a configuration and metadata of finite JSON values, got others "
                f"({error}); correct what made them."
            ) from error

    @classmethod
    def load(cls, folder: DataPath) -> "ModelSnapshot":
        """Read a folder; nothing in it is run, and nothing in it is believed. Raises as `from_files`."""
        return cls.from_files(str(folder), read_files(folder))

    @classmethod
    def from_hub(cls, repo: str, *, revision: str, token: str | None = None) -> "ModelSnapshot":
        """Read a snapshot from the Hugging Face Hub into memory; nothing in it is run, and nothing in it is believed.

        Parameters
        ----------
        repo : str
            Model repo, ``user/name``.
        revision : str
            Branch of a snapshot, such as ``snapshot-2020-12-31``, or of a main version; ``main`` is the current one.
        token : str, optional
            For a private repo; default: ``HF_TOKEN``, or what `hf auth login` has stored.

        Raises
        ------
        SnapshotError
            If there is no such branch, or, a `RefusedSnapshotError`, what it holds is not to be believed.
        HubError
            If the Hub fails or refuses.
        """
        if not (parse_snapshot_name(revision) or parse_version_name(revision) or revision == MAIN_BRANCH):
            raise SnapshotError(
                "revision: expected a branch such as snapshot-2020-12-31, that of a main version, or main, got "
                f"{revision!r}; correct it."
            )
        hub = HubStore(HubAddress(repo, SecretStr(token) if token else None))
        return believe(f"{repo}@{revision}", revision, hub.read(revision))

    @classmethod
    def from_files(cls, place: str, files: Mapping[str, bytes]) -> "ModelSnapshot":
        """Make a snapshot of files that came from a place, anywhere; only ``model.safetensors`` is opened as a model.

        Raises `DamagedSnapshotError` if they do not verify; `SnapshotError` (place, file, reason) if family, date,
        configuration or metadata are none that there are, or the arrays others than plain, finite ones of the network
        that the configuration describes and of a scaler of its features.
        """
        with located(place):
            return cls._from_files(files)

    @classmethod
    def _from_files(cls, files: Mapping[str, bytes]) -> "ModelSnapshot":
        manifest = verify(files)
        family = manifest.get("family")
        if family not in registry.names():
            raise refused(MANIFEST, f"family to be one of {', '.join(registry.names())}", repr(family)[:60])
        check_identity(manifest, None, None)
        snapshot = cls(
            family=str(family),
            cutoff_date=datetime.date.fromisoformat(manifest["cutoff_date"]),
            config=parse_json(CONFIG, files[CONFIG]),
            metadata={key: value for key, value in manifest.items() if key not in _OF_THE_FOLDER},
            arrays={},
            card=_read_text(files[CARD]),
        )
        snapshot = replace(snapshot, arrays=read_arrays(files[MODEL], _layout(snapshot.family, snapshot.config)))
        snapshot.check()
        return snapshot

    def check(self) -> None:
        """Refuse parts that do not fit each other; raises `SnapshotError` that begins with a file's name."""
        check_arrays(self.arrays, _layout(self.family, self.config))
        registry.get(self.family).check(self)


_ONE_AT_A_TIME = threading.Lock()
"""Snapshots are pulled in threads, and transformers breaks where two import it at once to lay a network out."""


def believe(
    place: str, name: str, files: Mapping[str, bytes], family: str | None = None, market: str | None = None
) -> ModelSnapshot:
    """Make a snapshot of a stranger's files, which were found under a name; family and market: None is any.

    Raises `RefusedSnapshotError` if they are not a model of that name, family and market; nothing of them has run.
    """
    with located(place, RefusedSnapshotError), _ONE_AT_A_TIME:
        check_named(parse(files[MANIFEST]), name, family, market)
        return ModelSnapshot._from_files(files)


def check_named(manifest: Mapping[str, Any], name: str, family: str | None, market: str | None) -> None:
    """Refuse a manifest of another model than its folder or branch is named after; ``main`` holds any version."""
    check_identity(manifest, family, parse_snapshot_name(name) or parse_version_name(name), market)
    expected = None if parse_snapshot_name(name) else name
    if name != MAIN_BRANCH and manifest.get("version") != expected:
        raise refused(MANIFEST, f"version {expected or 'to be absent'}", repr(manifest.get("version"))[:60])


def _read_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise refused(CARD, "UTF-8 text", f"byte {error.start} that is not") from error


def _layout(family: str, config: Mapping[str, Any]) -> Layout:
    """Give names and shapes of the weights that a configuration asks for; raises `SnapshotError`."""
    try:
        layout: Layout = registry.get(family).layout(registry.get(family).read_config(config))
    except ConfigError as error:
        raise SnapshotFileError(CONFIG, without_advice(error)) from error
    return layout
