"""How many configurations were tried: whoever tries many and shows the best shows luck.

Every backtest of a year leaves one file for each policy, ``trials/<family>-<configuration>-<year>.json``, so runs that
are repeated count once. Other training seeds of one configuration are no trials: all are shown. What was tried before,
to choose the defaults, counts as well: `TUNING_TRIALS`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from brain_assets.arrays import FloatArray
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


def weekly_sharpe_ratios(trials: Sequence[Trial]) -> FloatArray:
    """Give the weekly Sharpe ratio of every configuration tried, over all years that it has, (n_configurations,).

    In the order in which configurations first come. 0 where returns never moved: it held cash, and was a trial.
    """
    years: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for trial in (trial for trial in trials if trial.n_weeks > 0):
        years.setdefault((trial.family, trial.configuration), []).append((trial.n_weeks, trial.mean, trial.std))
    ratios = np.zeros(len(years))
    for place, found in enumerate(years.values()):
        n_weeks, means, deviations = np.array(found).T
        mean = np.average(means, weights=n_weeks)
        squares = ((n_weeks - 1.0) * deviations**2 + n_weeks * (means - mean) ** 2).sum()
        deviation = math.sqrt(squares / max(n_weeks.sum() - 1.0, 1.0))  # of the weeks of all years
        if deviation > 1e-12:
            ratios[place] = mean / deviation
    return ratios


def deflated_sharpe(net: FloatArray, trial_ratios: FloatArray, n_tuned: int) -> float:
    """Give the probability that a true Sharpe ratio is above the best that trials without skill are expected to reach.

    As of Bailey & López de Prado (2014). The trials are those recorded, `trial_ratios` of `weekly_sharpe_ratios`, and
    `n_tuned` others, which chose the defaults. How far their ratios lie apart is known of those recorded; where that is
    one only, it is what chance alone does to the ratio of as many weeks, one over their root (Lo 2002). NaN if none is.
    """
    from skfolio import measures

    if len(trial_ratios) == 0:
        return math.nan
    apart = float(trial_ratios.std(ddof=1)) if len(trial_ratios) > 1 else len(net) ** -0.5
    best = measures.expected_max_sharpe_ratio(len(trial_ratios) + n_tuned, apart)
    return float(measures.probabilistic_sharpe_ratio(net, best))
