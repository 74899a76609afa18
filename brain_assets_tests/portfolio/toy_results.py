"""Snapshots in memory, as what is computed from them takes them, and a policy that says what a test says."""

import datetime
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from brain_assets.configuration import ModelConfig
from brain_assets.portfolio import baselines
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.policy import Act, Policy, PolicyRunner
from brain_assets.portfolio.strategy import StrategyRun
from brain_assets.store.snapshot import ModelSnapshot


class Stored:
    """Snapshots in memory."""

    def __init__(self, *snapshots: ModelSnapshot) -> None:
        self.by_date = {snapshot.cutoff_date: snapshot for snapshot in snapshots}

    def list_candidates(self, wanted: Collection[datetime.date]) -> list[datetime.date]:
        return sorted(self.by_date)

    def fetch_snapshot(self, cutoff_date: datetime.date) -> ModelSnapshot:
        return self.by_date[cutoff_date]


NO_MODELS = {"lstm": Stored(), "patchtst": Stored(), "boosting": Stored()}
"""Of forecasters: all of their forecasts are momentum."""


@contextmanager
def cheap_rules() -> Iterator[None]:
    """Rules that ask skfolio or cvxpy take most time, and have tests of their own: here all are equal weight."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("risk_parity", "min_variance"):
            patch.setitem(baselines.BASELINES, name, replace(baselines.BASELINES[name], rule=baselines.equal_weight))
        patch.setattr(baselines, "forecast_tilt", lambda family: baselines.equal_weight)
        yield


class Said(Policy):
    """Says the same logits of each week, or those of its row."""

    name, label, code_version, forecaster = "said", "Said", "1", "lstm"
    Config = ModelConfig

    def __init__(self, said: object = 0.0, rate: float = 1.0) -> None:
        self.said, self.rate = said, rate

    def fit(self, *_: object) -> Mapping[str, np.ndarray]:
        return {}

    def act(self, arrays: Mapping[str, np.ndarray], config: ModelConfig, weeks: PolicyDataset) -> Act:
        by_week = np.ndim(self.said) == 2
        return lambda week, held: self.said[week] if by_week else self.said  # type: ignore[index, return-value]

    def trading_rate(self, config: ModelConfig) -> float:
        return self.rate


def rollout(said: object, rate: float, weeks: PolicyDataset, rules: PortfolioConstraints) -> StrategyRun:
    return PolicyRunner(Said(said, rate), {}, ModelConfig(), weeks, rules).rollout()
