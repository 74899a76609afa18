"""A trained model with everything that is needed to use it."""

import datetime
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brain_assets import registry
from brain_assets.errors import LookAheadError, SnapshotError
from brain_assets.paths import DataPath
from brain_assets.store.checks import (
    CARD,
    CONFIG,
    IDENTITY,
    METADATA,
    SCALER,
    WEIGHTS,
    check_device,
    check_metadata,
    refused,
    shown,
)
from brain_assets.store.folder import MANIFEST, read_folder, read_manifest, write_folder
from brain_assets.store.names import (
    MAIN_BRANCH,
    parse_snapshot_name,
    parse_version_name,
    snapshot_name,
)
from brain_assets.store.scaler_file import dump_scaler, load_scaler
from brain_assets.store.weights_file import dump_weights, load_weights

if TYPE_CHECKING:
    import torch
    from sklearn.preprocessing import StandardScaler

    from brain_assets.arrays import DateArray, FloatArray
    from brain_assets.market.calendar import Weeks
    from brain_assets.market.prices import PricePanel
    from brain_assets.market.weekly import WeeklyBars


@dataclass(frozen=True)
class ModelSnapshot:
    """One model, trained on data up to its cut-off.

    Attributes
    ----------
    family : str
        ``lstm``, ``patchtst``, ``ppo`` or ``sac``.
    cutoff_date : datetime.date
        No feature and no target of its training lies after it.
    config : mapping
        The training configuration, JSON values.
    metadata : mapping
        Evidence, JSON values: fingerprint, data window, symbols, losses or rewards.
    state_dict : mapping of str to Tensor
        Plain weights.
    scaler : StandardScaler
        Fitted on training rows.
    card : str
        The model card, Markdown.
    """

    family: str
    cutoff_date: datetime.date
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    state_dict: "Mapping[str, torch.Tensor]"
    scaler: "StandardScaler"
    card: str

    @property
    def name(self) -> str:
        """The name of its folder and branch: ``snapshot-<date>``, or that of a main version."""
        return str(self.metadata.get("version") or snapshot_name(self.cutoff_date))

    @property
    def fingerprint(self) -> str:
        """The hash of what its bytes follow from."""
        return str(self.metadata["fingerprint"]["value"])

    def forecast(self, panel: "PricePanel", weeks: "Weeks") -> "FloatArray":
        """Forecast weekly returns; known at each week's decision time.

        Parameters
        ----------
        panel : PricePanel
            Bars up to the last week's decision time at least; later ones are not looked at.
        weeks : Weeks
            Weeks of the panel's sessions.

        Returns
        -------
        ndarray of float64, shape (n_weeks, n_assets)
            NaN where the symbol's last sessions before the week are not all known.

        Raises
        ------
        LookAheadError
            If a week begins on or before the cut-off: the model may have been trained on it.
        """
        self.refuse_known_weeks(weeks.start)
        forecasts: FloatArray = registry.get(self.family).forecast(self, panel, weeks)
        return forecasts

    def decide(self, bars: "WeeklyBars", forecasts: "FloatArray") -> "FloatArray":
        """Give target weights, week after week; known at each week's decision time.

        Parameters
        ----------
        bars : WeeklyBars
            The weeks to trade.
        forecasts : ndarray of float64, shape (n_weeks, n_assets)
            Forecast weekly returns; NaN where there is none.

        Returns
        -------
        ndarray of float64, shape (n_weeks, n_assets + 1)
            Target weights of the symbols of `bars`, cash last; each row sums to 1.

        Raises
        ------
        LookAheadError
            If a week begins on or before the cut-off.
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
        payload = {
            WEIGHTS: dump_weights(self.state_dict),
            SCALER: dump_scaler(self.scaler),
            CONFIG: (json.dumps(dict(self.config), indent=2, sort_keys=True) + "\n").encode(),
            CARD: self.card.encode(),
        }
        identity = {"family": self.family, "cutoff_date": self.cutoff_date.isoformat()}
        write_folder(folder, payload, {**self.metadata, **identity})

    @classmethod
    def load(cls, folder: DataPath) -> "ModelSnapshot":
        """Read a folder that verifies; nothing in it is run, and nothing in it is believed.

        Raises
        ------
        SnapshotError
            As `from_payload`, and if the folder does not verify.
        """
        payload, metadata = read_folder(folder)
        return cls.from_payload(str(folder), payload, metadata)

    @classmethod
    def from_hub(cls, repo: str, *, revision: str, token: str | None = None) -> "ModelSnapshot":
        """Read a snapshot from the Hugging Face Hub into memory; nothing in it is run, and nothing in it is believed.

        Parameters
        ----------
        repo : str
            Model repo, ``user/name``.
        revision : str
            The snapshot's branch, such as ``snapshot-2020-12-31``; that of a main version; or ``main``, which is the
            current main version.
        token : str, optional
            For a private repo; default: ``HF_TOKEN``, or what `hf auth login` has stored.

        Raises
        ------
        RefusedSnapshotError
            If what the branch holds is not to be believed: one sentence with repo, branch, file and reason.
        SnapshotError
            If there is no such branch.
        HubError
            If the Hub fails or refuses.
        """
        named = parse_snapshot_name(revision) or parse_version_name(revision)
        if named is None and revision != MAIN_BRANCH:
            raise SnapshotError(
                "revision: expected a branch such as snapshot-2020-12-31, that of a main version, or main, got "
                f"{revision!r}; correct it."
            )
        from pydantic import SecretStr

        from brain_assets.store.hub import HubRepo
        from brain_assets.store.hub_address import HubAddress

        hub = HubRepo(None, HubAddress(repo, SecretStr(token) if token else None))
        files, _ = hub.pull_branch(revision, named)
        metadata = read_manifest(files.pop(MANIFEST))
        return cls.from_payload(f"{repo}@{revision}", files, metadata)

    @classmethod
    def from_payload(cls, place: str, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> "ModelSnapshot":
        """Make a snapshot of files that came from anywhere.

        Parameters
        ----------
        place : str
            Where they came from, such as a folder or a repository and its branch; errors begin with it.
        payload : mapping of str to bytes
            Content of every file in `brain_assets.store.folder.PAYLOAD`.
        metadata : mapping
            Content of ``metadata.json``.

        Raises
        ------
        SnapshotError
            Naming the place, the file and the reason: an unknown family; a date, a configuration or evidence that is
            not what the family has; anything but plain, finite weights of the network that the configuration
            describes; anything but a fitted scaler of its features.
        """
        try:
            return cls._from_payload(payload, metadata)
        except SnapshotError as error:
            raise SnapshotError(f"{place}/{error}") from error

    @classmethod
    def _from_payload(cls, payload: Mapping[str, bytes], metadata: Mapping[str, Any]) -> "ModelSnapshot":
        family = metadata.get("family")
        if family not in registry.names():
            raise refused(METADATA, f"family to be one of {', '.join(registry.names())}", reprlib.repr(family))
        check_metadata(metadata, IDENTITY)
        check_device(metadata)
        snapshot = cls(
            family=str(family),
            cutoff_date=datetime.date.fromisoformat(metadata["cutoff_date"]),
            config=_read_json(payload[CONFIG]),
            metadata={key: value for key, value in metadata.items() if key not in ("family", "cutoff_date")},
            state_dict=load_weights(payload[WEIGHTS]),
            scaler=load_scaler(payload[SCALER]),
            card=_read_text(payload[CARD]),
        )
        snapshot.check()
        return snapshot

    def check(self) -> None:
        """Refuse parts that do not fit each other; raises `SnapshotError` that begins with a file's name."""
        registry.get(self.family).check(self)


def _read_json(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise refused(CONFIG, "JSON", f"what cannot be read as such ({shown(str(error))})") from error
    if not isinstance(values, dict):
        raise refused(CONFIG, "an object", type(values).__name__)
    return values


def _read_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise refused(CARD, "UTF-8 text", f"byte {error.start} that is not") from error
