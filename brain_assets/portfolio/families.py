"""What tells one policy family from another; torch-free, so that the graph can read it when definitions load."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from brain_assets.device import CPU
from brain_assets.portfolio.arithmetic import TradingRules
from brain_assets.portfolio.config import PolicyConfig, PpoConfig, SacConfig
from brain_assets.portfolio.market_weeks import MarketWeeks

if TYPE_CHECKING:
    from brain_assets.portfolio.policy import ScoreNetwork
    from brain_assets.portfolio.training import OnProgress, PolicyResult


class Trainer(Protocol):
    """Learns from weeks that have all gone by, on a device from `brain_assets.device.resolve_device`."""

    def __call__(
        self,
        weeks: MarketWeeks,
        config: Any,
        rules: TradingRules,
        on_progress: "OnProgress | None" = None,
        device: str = CPU,
    ) -> "PolicyResult":
        """Train."""


@dataclass(frozen=True)
class PolicyFamily:
    """What tells one family from another."""

    config_class: type[PolicyConfig]

    forecaster: str
    """Family of the forecasts that it sees."""

    train: Trainer

    network: "Callable[[Any], ScoreNetwork]"
    """Build the network that a configuration describes, untrained."""


def _train_ppo(
    weeks: MarketWeeks,
    config: PpoConfig,
    rules: TradingRules,
    on_progress: "OnProgress | None" = None,
    device: str = CPU,
) -> "PolicyResult":
    from brain_assets.portfolio.ppo import train_ppo

    return train_ppo(weeks, config, rules, on_progress, device)


def _ppo_network(config: PpoConfig) -> "ScoreNetwork":
    from brain_assets.portfolio.policy import PpoNetwork

    return PpoNetwork(config.hidden, config.score_std)


def _train_sac(
    weeks: MarketWeeks,
    config: SacConfig,
    rules: TradingRules,
    on_progress: "OnProgress | None" = None,
    device: str = CPU,
) -> "PolicyResult":
    from brain_assets.portfolio.sac import train_sac

    return train_sac(weeks, config, rules, on_progress, device)


def _sac_network(config: SacConfig) -> "ScoreNetwork":
    from brain_assets.portfolio.policy import SacNetwork

    return SacNetwork(config.hidden, config.score_limit)


POLICIES: Mapping[str, PolicyFamily] = {
    "ppo": PolicyFamily(PpoConfig, "lstm", _train_ppo, _ppo_network),
    "sac": PolicyFamily(SacConfig, "patchtst", _train_sac, _sac_network),
}
