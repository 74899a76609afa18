"""One policy's training with each of its seeds."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_assets.configuration import ModelConfig
from brain_assets.errors import ConfigError
from brain_assets.market.base import MarketNote
from brain_assets.portfolio.dataset import PolicyDataset
from brain_assets.portfolio.policies import policy_fingerprint, train_policy_snapshot
from brain_assets.portfolio.policy import OnProgress, PolicyProgress
from brain_assets.progress import report
from brain_assets.store.fingerprint import Fingerprint
from brain_assets.store.snapshot import ModelSnapshot

if TYPE_CHECKING:
    from brain_assets.store.storage import SnapshotLocalStorage


@dataclass(frozen=True)
class SeedTraining:
    """What a policy is trained on, and with which configuration; seed 0 is the policy itself."""

    family: str
    weeks: PolicyDataset
    cutoff_date: datetime.date
    config: ModelConfig  # of the policy; others have its seed plus their number
    market: MarketNote
    device: str

    def fingerprint(self, number: int) -> Fingerprint:
        """Tell what its bytes follow from."""
        return policy_fingerprint(self.family, self.weeks, self._config_of(number), self.device)

    def train(self, number: int, n_seeds: int = 1) -> ModelSnapshot:
        """Train with a seed, one of so many, and tell how far it is."""
        config, show = self._config_of(number), self._show(number, n_seeds)
        return train_policy_snapshot(self.family, self.weeks, self.cutoff_date, config, self.market, show, self.device)

    def store(self, of_family: SnapshotLocalStorage, force: bool, number: int, n_seeds: int) -> None:
        """Train with another seed and store what comes of it, unless it is there already and not forced."""
        storage = of_family.of_seed(number)
        found = storage.read_metadata(self.cutoff_date)
        if force or found is None or not self.fingerprint(number).keeps(found["fingerprint"]):
            storage.write_snapshot(self.train(number, n_seeds))

    def _show(self, number: int, n_seeds: int) -> OnProgress:
        head = f"{self.family} {self.cutoff_date.year}" + (f", seed {number + 1} of {n_seeds}" if n_seeds > 1 else "")

        def show(point: PolicyProgress) -> None:
            report(f"{head}: {point.steps:,} of {point.total_steps:,} steps, reward {point.mean_episode_reward:.2f}")

        return show

    def _config_of(self, number: int) -> ModelConfig:
        if number == 0:
            return self.config
        if "seed" not in type(self.config).model_fields:
            raise ConfigError(
                f"n_seeds: expected 1, as {self.family} has no seed, got more; correct the run configuration."
            )
        return self.config.replace(seed=self.config.model_dump()["seed"] + number)
