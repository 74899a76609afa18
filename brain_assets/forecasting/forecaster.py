"""What a forecaster is, and the one road from what it predicts to forecasts.

A family predicts a number a window. The platform finds the windows, scales what it sees, checks what it gives, and
turns that into weekly returns.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pandas as pd
import pydantic
from threadpoolctl import threadpool_limits

from brain_assets.arrays import Float32Array, FloatArray, describe
from brain_assets.configuration import ModelConfig, build
from brain_assets.device import N_THREADS
from brain_assets.errors import LookAheadError, PluginError
from brain_assets.forecasting.features import (
    CHANNELS,
    Target,
    WindowIndex,
    Windows,
    build_features,
    known_returns,
    scale_features,
    sees_signals,
    window_index,
)
from brain_assets.market.calendar import Weeks, complete_weeks
from brain_assets.market.prices import PricePanel
from brain_assets.market.schema import RAW, SCHEMAS
from brain_assets.market.signals import SIGNALS, add_signals
from brain_assets.market.weekly import tradable
from brain_assets.progress import warn
from brain_assets.registry import Family
from brain_assets.store import checks
from brain_assets.store.checks import COUNT, DATE, NUMBER, NUMBER_OR_NULL, TEXT, check_dates, check_metadata
from brain_assets.store.manifest import MANIFEST, refused
from brain_assets.store.names import parse_version_name
from brain_assets.store.weights import check_scaler

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot


@dataclass(frozen=True)
class EpochLosses:
    """Mean squared errors after one epoch, in units of the training targets' variance."""

    epoch: int  # from 1
    train: float  # mean over the epoch's batches, as the model was while it learned from them
    validation: float  # over all validation windows; NaN where there are none, as when all weeks are learned from

    def words(self, epochs: int | None = None) -> str:
        """Say where the training stands."""
        of = f" of {epochs}" if epochs else ""
        validation = "all weeks" if np.isnan(self.validation) else f"validation {self.validation:.4f}"
        return f"epoch {self.epoch}{of}, loss {self.train:.4f}, {validation}"


class ForecasterConfig(ModelConfig):
    """What every forecaster's training is told."""

    window: int = pydantic.Field(60, ge=2, le=1_000, description="Sessions of history in a window.")
    target: Target = pydantic.Field(
        "ranked", description="What is learned of the weekly return: raw, demeaned or ranked over the symbols."
    )
    clip: float = pydantic.Field(
        5.0, gt=0, description="Scaled features are cut off at plus and minus this many standard deviations."
    )
    seed: int = pydantic.Field(0, ge=0, le=2**32 - 1, description="Seed of all random numbers.")


DATA = {
    **dict.fromkeys(("first_session", "last_session", "last_training_target"), DATE),
    **dict.fromkeys(("first_validation_week", "last_validation_target"), DATE),
    **dict.fromkeys(("n_training_windows", "n_validation_windows"), COUNT),
    "symbols": checks.NAMES,
}
TRAINING = {
    **dict.fromkeys(("train_loss", "validation_loss", "zero_train_loss", "zero_validation_loss"), NUMBER),
    **dict.fromkeys(("validation_rank_correlation", "validation_momentum_rank_correlation"), NUMBER_OR_NULL),
    "curve": [{"epoch": COUNT, "train": NUMBER, "validation": NUMBER}],
}
OWN = {"data": DATA, "training": TRAINING, "forecast_scale": checks.RETURN_SCALE, "uninformative_features": [TEXT]}
"""Besides what every family's says. `training` is of a training that never saw the validation weeks; the model learned
from them too. Of a family without epochs, the curve is empty."""

SCORES = {
    **dict.fromkeys(("first_week", "last_week"), DATE),
    **dict.fromkeys(("loss", "zero_loss"), NUMBER),
    "n_weeks": COUNT,
    "previous_loss": NUMBER_OR_NULL,
    "verdict": TEXT,
}
"""What a main version's says besides, of how it did."""


Progress = Callable[[EpochLosses], None]


class Forecaster(Family):
    """A family of forecasters: one class in one file, registered by `brain_assets.registry.register`."""

    role: ClassVar[Literal["forecaster", "policy"]] = "forecaster"
    code_version: ClassVar[str] = "2"
    """Of how all are trained (2: on every week); it is in the hash of a family that does not set its own."""
    channels: ClassVar[tuple[str, ...]]
    """What it sees of a session, some of `known_channels`."""
    known_channels: ClassVar[tuple[str, ...]] = CHANNELS
    """All that `inputs` can give: returns of bars and signals, unless it is another's."""
    Config: ClassVar[type[ForecasterConfig]]

    @property
    def tables(self) -> tuple[str, ...]:
        """Raw tables that its channels come from: prices alone, or news and fundamentals too."""
        return RAW if sees_signals(self.channels) else RAW[:1]

    def inputs(self, panel: PricePanel, weeks: Weeks, config: Any) -> tuple[Float32Array, WindowIndex]:
        """Give what it sees, not scaled yet, (n_assets, n_rows, n_channels), and where in it the windows of weeks lie.

        Rows are sessions here; another family's may be weeks. A window holds nothing that is known after its week's
        decision time.
        """
        index = window_index(known_returns(panel), weeks, config.window)
        return build_features(panel, self.channels, self.name), index

    @abstractmethod
    def fit(
        self, train: Windows, validation: Windows, config: Any, progress: Progress, device: str
    ) -> Mapping[str, np.ndarray]:
        """Learn to predict the targets of windows, and give the float32 arrays that `layout` names.

        Targets are in units of the training targets' standard deviation. It is called twice: with validation windows,
        of later weeks, on which losses may be measured, and with none (length 0), to learn from all weeks; the second
        gives the model. `config` is of the family's `Config`; `progress` is to be called after each epoch, if there are
        epochs; `device` is ``cpu`` or ``cuda``. The same windows, config and device must give the same bytes.
        """

    @abstractmethod
    def predict(self, arrays: Mapping[str, np.ndarray], windows: Windows, config: Any) -> np.ndarray:
        """Predict a finite number a window, shape (n_windows,), in the units of the targets, from what `fit` gave."""

    def feature_weights(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, float]:  # noqa: ARG002 - a hook
        """Say what each feature weighs in a model, for its picture; empty, as here: it has no such weights."""
        return {}

    def forecast(self, snapshot: "ModelSnapshot", panel: PricePanel, weeks: Weeks) -> FloatArray:
        """Forecast weekly returns in one batched pass; see `ModelSnapshot.forecast`, which guards it."""
        config = build(self.Config, snapshot.config)
        features, index = self.inputs(panel, weeks, config)
        scaled = scale_features(features, snapshot.scaler, config.clip)
        windows = Windows(scaled, index, config.window, np.full(len(index), np.nan))
        predicted = predict(self, snapshot.weights, windows, config) * float(snapshot.metadata["forecast_scale"])
        return by_week(predicted, index, (len(weeks), len(panel.symbols)))

    def forecast_tables(self, snapshot: "ModelSnapshot", tables: Sequence[pd.DataFrame | None]) -> pd.DataFrame:
        """Forecast the weeks after the cut-off from tables in the order of `RAW`; see `ModelSnapshot.forecast`."""
        given = zip(RAW, tables, strict=True)
        prices, news, filings = (
            SCHEMAS[name].empty() if table is None else SCHEMAS[name].validate(table, name) for name, table in given
        )
        panel = add_signals(PricePanel.from_frame(prices), news, filings)
        absent = [*(SIGNALS[:1] if news.empty else ()), *(SIGNALS[1:] if filings.empty else ())]
        learned = set(self.channels) - set(snapshot.metadata["uninformative_features"])
        if lacks := [name for name in absent if name in learned]:
            warn(f"{self.name} {snapshot.name} learned from {', '.join(lacks)}, too: here they count as not known")
        weeks = complete_weeks(panel.sessions)
        weeks = weeks.select(weeks.start > np.datetime64(snapshot.cutoff_date, "D"))
        if len(weeks) == 0:
            raise LookAheadError(
                f"{self.name} {snapshot.name}: expected prices of a complete week that begins after its cut-off, got "
                f"prices until {panel.sessions[-1]}; give later ones, or use an earlier snapshot."
            )
        values = np.where(tradable(panel, weeks), self.forecast(snapshot, panel, weeks), np.nan)
        starts = pd.Index(weeks.start.astype("datetime64[us]"), name="week_start")
        return pd.DataFrame(values, starts, pd.Index(panel.symbols, name="symbol"))

    def check(self, snapshot: "ModelSnapshot") -> None:
        """Refuse a snapshot whose metadata, configuration and arrays are not those of one forecaster of the family."""
        metadata, cutoff_date = snapshot.metadata, snapshot.cutoff_date
        check_metadata(metadata, OWN)
        if "version" in metadata:
            check_metadata(metadata, {"version": TEXT, "scores": SCORES})
            if parse_version_name(metadata["version"]) != cutoff_date:
                raise refused(MANIFEST, f"the name of a version of {cutoff_date}", metadata["version"])
        check_dates(metadata["data"], ("last_session", "last_training_target", "last_validation_target"), cutoff_date)
        check_scaler(snapshot.arrays, len(self.channels))

    @classmethod
    def problem(cls) -> tuple[str, str] | None:
        """See `brain_assets.registry.Family.problem`."""
        channels = getattr(cls, "channels", None)
        if not (isinstance(channels, tuple) and channels and set(channels) <= set(cls.known_channels)):
            return f"a tuple of channels among {', '.join(cls.known_channels)}", repr(channels)
        if len(set(channels)) < len(channels):
            return "each channel once", repr(channels)
        if not issubclass(cls.Config, ForecasterConfig):
            return "a subclass of ForecasterConfig as Config", cls.Config.__name__
        return None


def fit(
    family: Forecaster, train: Windows, validation: Windows, config: ForecasterConfig, progress: Progress, device: str
) -> dict[str, np.ndarray]:
    """Let a family learn on one thread, and check what it gives; raises `TrainingError` naming the family."""
    with threadpool_limits(limits=N_THREADS):
        return family.check_fitted(family.fit(train, validation, config, progress, device), config)


def predict(family: Forecaster, arrays: Mapping[str, np.ndarray], windows: Windows, config: ModelConfig) -> np.ndarray:
    """Let a family predict on one thread, (n_windows,); raises `PluginError` if not a finite number a window."""
    if len(windows) == 0:
        return np.empty(0)
    with threadpool_limits(limits=N_THREADS):
        predicted = family.predict(arrays, windows, config)
    expected = f"{family.name}: expected predict to give"
    if not isinstance(predicted, np.ndarray) or predicted.dtype.kind != "f" or predicted.shape != (len(windows),):
        raise PluginError(
            f"{expected} floats of shape (n_windows,) = ({len(windows)},), got {describe(predicted)}; correct it."
        )
    n_wrong = int((~np.isfinite(predicted)).sum())
    if n_wrong:
        raise PluginError(f"{expected} finite numbers, got {n_wrong:,} of {len(windows):,} that are not; correct it.")
    return predicted


def by_week(predicted: np.ndarray, index: WindowIndex, shape: tuple[int, ...]) -> FloatArray:
    """Lay predictions out by week and symbol; NaN where there is no window."""
    forecasts = np.full(shape, np.nan)
    forecasts[index.week, index.asset] = predicted
    return forecasts
