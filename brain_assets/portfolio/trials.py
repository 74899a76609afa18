"""How many configurations were tried: whoever tries many and shows the best shows luck.

Every backtest of a year leaves one file for each policy, ``trials/<family>-<configuration>-<year>.json``, so runs that
are repeated count once. Other training seeds of one configuration are no trials: all are shown. What was tried before,
to choose the defaults, counts as well: `TUNING_TRIALS`.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from brain_assets.configuration import ModelConfig, build
from brain_assets.errors import ConfigError, TableError
from brain_assets.paths import DataPath, list_names, read_all, replace_file
from brain_assets.store.fingerprint import hash_json

TUNING_TRIALS = {"lstm": 68, "patchtst": 69, "ridge": 2, "boosting": 4, "ppo": 24, "sac": 22, "direct": 10}
"""Family -> configurations that were compared to choose its defaults. ``benchmarks/README.md`` lists them, and says
after each comparison how many they were, in lines of which these are the sums."""


class Trial(ModelConfig):
    """A configuration of a policy in one year, out of sample."""

    family: str
    configuration: str  # hash of that of the policy, and of that of the forecaster whose forecasts it trades on
    year: int
    n_weeks: int
    mean: float  # of the weekly net returns
    std: float  # with n_weeks - 1 degrees of freedom; 0 with one week


def record_trial(
    folder: DataPath, family: str, year: int, net_return: np.ndarray, options: Mapping[str, Any], forecaster: str | None
) -> None:
    """Leave a file of what a configuration earned in a year, from the returns of its weeks after costs; at least one.

    `options` is the policy's ``config.json``, `forecaster` the hash of the forecaster's configuration; None: not known.
    """
    made = {"policy": dict(options), "forecaster": forecaster}
    std = float(net_return.std(ddof=1)) if len(net_return) > 1 else 0.0
    digest, mean = hash_json(made)[:12], float(net_return.mean())
    trial = Trial(family=family, configuration=digest, year=year, n_weeks=len(net_return), mean=mean, std=std)
    content = json.dumps({"trial": trial.model_dump(), **made}, indent=2) + "\n"
    replace_file(folder / f"{family}-{digest}-{year}.json", content)


def read_trials(folder: DataPath) -> list[Trial]:
    """Read all trials of a folder; `TableError` if a file is none: fewer than there were would flatter the result."""
    trials = []
    paths = [folder / name for name in list_names(folder) if name.endswith(".json") and not name.startswith(".")]
    contents = read_all(paths)
    for path in paths:
        try:
            trials.append(build(Trial, json.loads(next(contents) or b"")["trial"], complete=True))
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise TableError(
                f"{path}: expected the record of a configuration that was tried, got {error!r}; run that year's "
                "backtest again, and remove the file if it is of a configuration that you no longer have."
            ) from error
    return trials
