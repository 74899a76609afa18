"""A trained model with everything that is needed to use it."""

import datetime
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_assets.errors import LookAheadError, SnapshotError
from brain_assets.snapshots.folder import read_folder, write_folder
from brain_assets.snapshots.scaler_file import dump_scaler, load_scaler

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
        from brain_assets.forecasting.forecasters import forecast

        return forecast(self, panel, weeks)

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
        from brain_assets.portfolio.policies import decide

        return decide(self, bars, forecasts).weights

    def refuse_known_weeks(self, week_starts: "DateArray") -> None:
        """Raise `LookAheadError` if a week begins on or before the cut-off."""
        if len(week_starts) and week_starts.min().item() <= self.cutoff_date:
            raise LookAheadError(
                f"{self.family} snapshot of {self.cutoff_date}: expected weeks that begin after its cut-off, got "
                f"one of {week_starts.min()}; use an earlier snapshot."
            )

    def save(self, folder: Path) -> None:
        """Write the snapshot's folder, whole or not at all."""
        import torch

        weights = io.BytesIO()
        torch.save(dict(self.state_dict), weights)
        payload = {
            "weights.pt": weights.getvalue(),
            "feature_scaler.pkl": dump_scaler(self.scaler),
            "config.json": (json.dumps(dict(self.config), indent=2, sort_keys=True) + "\n").encode(),
            "README.md": self.card.encode(),
        }
        identity = {"family": self.family, "cutoff_date": self.cutoff_date.isoformat()}
        write_folder(folder, payload, {**self.metadata, **identity})

    @classmethod
    def load(cls, folder: Path) -> "ModelSnapshot":
        """Read a folder that verifies; weights load as tensors only, the scaler as a scaler only.

        Raises
        ------
        SnapshotError
            If the folder does not verify or holds anything but plain weights and a scaler.
        """
        import pickle

        import torch

        payload, metadata = read_folder(folder)
        try:
            state_dict = torch.load(io.BytesIO(payload["weights.pt"]), weights_only=True, map_location="cpu")
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise SnapshotError(f"{folder}/weights.pt: expected plain tensors; do not use this snapshot.") from error
        files = metadata.pop("files")
        snapshot = cls(
            family=metadata.pop("family"),
            cutoff_date=datetime.date.fromisoformat(metadata.pop("cutoff_date")),
            config=json.loads(payload["config.json"]),
            metadata=metadata,
            state_dict=state_dict,
            scaler=load_scaler(payload["feature_scaler.pkl"]),
            card=payload["README.md"].decode(),
        )
        return replace(snapshot, metadata={**metadata, "files": files})
