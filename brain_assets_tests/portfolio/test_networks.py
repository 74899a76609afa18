import numpy as np
import pytest
import torch

from brain_assets import registry
from brain_assets.portfolio.arithmetic import PortfolioConstraints, equal_weight, target_weights
from brain_assets.portfolio.dataset import AVAILABLE, N_FEATURES, N_MARKET_FEATURES
from brain_assets.portfolio.networks import LogitNetwork, PpoNetwork, SacNetwork

CONSTRAINTS = PortfolioConstraints()
pytestmark = pytest.mark.parametrize("family", ["ppo", "sac"])


def untrained(family: str, **options: int) -> LogitNetwork:
    policy = registry.get(family)
    return policy.network(policy.Config(**options))


def lively_network(family: str, seed: int = 0) -> LogitNetwork:
    """Untrained, but with heads large enough that logits differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = untrained(family, hidden=16)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def values(network: LogitNetwork, observation: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """What the critics of a network say of an observation, and of an action in it."""
    seen = torch.from_numpy(observation.reshape(1, -1))
    with torch.no_grad():
        if isinstance(network, PpoNetwork):
            return network.values(seen).numpy().ravel()
        assert isinstance(network, SacNetwork)
        available = observation.reshape(-1, N_FEATURES)[:, AVAILABLE] > 0.5
        weights = torch.from_numpy(target_weights(logits, available, CONSTRAINTS).astype(np.float32)[None])
        return np.array([critic(seen, weights, CONSTRAINTS.max_weight).item() for critic in network.critics])


def random_observation(n_assets: int, seed: int = 0) -> np.ndarray:
    observation = np.random.default_rng(seed).normal(size=(n_assets, N_FEATURES)).astype(np.float32)
    observation[:, AVAILABLE] = 1.0
    return observation


@pytest.mark.parametrize("n_assets", [1, 40])
def test_any_number_of_assets_in_any_order(family: str, n_assets: int) -> None:
    network, observation = lively_network(family), random_observation(n_assets)
    logits = network.act(observation.ravel())
    assert logits.shape == (n_assets + 1,)
    order = np.random.default_rng(1).permutation(n_assets)
    shuffled = network.act(observation[order].ravel())
    np.testing.assert_allclose(shuffled[:-1], logits[:-1][order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shuffled[-1], logits[-1], rtol=1e-4, atol=1e-5)
    said, said_of_shuffled = values(network, observation, logits), values(network, observation[order], shuffled)
    np.testing.assert_allclose(said_of_shuffled, said, rtol=1e-4, atol=1e-5)


def test_each_logit_looks_at_its_own_asset_and_at_the_others(family: str) -> None:
    network, observation = lively_network(family), random_observation(4)
    logits = network.act(observation.ravel())
    for feature in range(N_MARKET_FEATURES + 1):
        changed = observation.copy()
        changed[0, feature] += 1.0
        moved = np.abs(network.act(changed.ravel()) - logits)
        assert moved[0] > 1e-3, feature
        assert moved[1:].min() > 1e-6, feature  # the others, and cash, through the mean


def test_what_is_not_available_says_nothing_to_the_others(family: str) -> None:
    network, observation = lively_network(family), random_observation(4)
    observation[2] = 0.0
    other = observation.copy()
    other[2, :N_MARKET_FEATURES] = 3.0
    kept = [0, 1, 3, 4]
    logits, changed = network.act(observation.ravel()), network.act(other.ravel())
    np.testing.assert_array_equal(logits[kept], changed[kept])
    np.testing.assert_array_equal(values(network, observation, logits), values(network, other, changed))


@pytest.mark.parametrize("n_assets", [3, 20, 347])
def test_it_starts_at_equal_weight_of_what_is_available(family: str, n_assets: int) -> None:
    """With the least cash, or what the caps leave: 3 assets hold 60 %."""
    torch.manual_seed(0)
    network, observation = untrained(family), random_observation(n_assets)
    observation[1::4, AVAILABLE] = 0.0
    available = observation[:, AVAILABLE] > 0.5
    weights = target_weights(network.act(observation.ravel()), available, CONSTRAINTS)
    np.testing.assert_allclose(weights, equal_weight(available, CONSTRAINTS), atol=1e-6)
