import numpy as np
import pytest
import torch

from brain_assets.portfolio.arithmetic import TradingRules, all_cash, target_weights
from brain_assets.portfolio.config import SIGNAL_SCALE, SacConfig
from brain_assets.portfolio.environment import SCORE_LIMIT
from brain_assets.portfolio.families import POLICIES
from brain_assets.portfolio.observations import (
    AVAILABLE,
    N_FEATURES,
    N_MARKET_FEATURES,
    ObservationBuilder,
    fit_observation_scaler,
)
from brain_assets.portfolio.policy import (
    PpoNetwork,
    SacNetwork,
    ScoreNetwork,
    empty_policy,
    restore_policy,
    run_policy,
)
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()
pytestmark = pytest.mark.parametrize("family", POLICIES)


def lively_network(family: str, seed: int = 0) -> ScoreNetwork:
    """Untrained, but with heads large enough that scores differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = POLICIES[family].network(POLICIES[family].config_class(hidden=16))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def values(network: ScoreNetwork, observation: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """What the critics of a network say of an observation, and of an action in it."""
    seen = torch.from_numpy(observation.reshape(1, -1))
    with torch.no_grad():
        if isinstance(network, PpoNetwork):
            return network.values(seen).numpy().ravel()
        assert isinstance(network, SacNetwork)
        available = observation.reshape(-1, N_FEATURES)[:, AVAILABLE] > 0.5
        weights = torch.from_numpy(target_weights(scores, available, RULES).astype(np.float32)[None])
        return np.array([critic(seen, weights, RULES.max_weight).item() for critic in network.critics])


def random_observation(n_assets: int, seed: int = 0) -> np.ndarray:
    observation = np.random.default_rng(seed).normal(size=(n_assets, N_FEATURES)).astype(np.float32)
    observation[:, AVAILABLE] = 1.0
    return observation


@pytest.mark.parametrize("n_assets", [1, 5, 40])
def test_any_number_of_assets_in_any_order(family: str, n_assets: int) -> None:
    network, observation = lively_network(family), random_observation(n_assets)
    scores = network.act(observation.ravel())
    assert scores.shape == (n_assets + 1,)
    order = np.random.default_rng(1).permutation(n_assets)
    shuffled = network.act(observation[order].ravel())
    np.testing.assert_allclose(shuffled[:-1], scores[:-1][order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shuffled[-1], scores[-1], rtol=1e-4, atol=1e-5)
    said, said_of_shuffled = values(network, observation, scores), values(network, observation[order], shuffled)
    np.testing.assert_allclose(said_of_shuffled, said, rtol=1e-4, atol=1e-5)


def test_each_score_looks_at_its_own_asset_and_at_the_others(family: str) -> None:
    network, observation = lively_network(family), random_observation(4)
    scores = network.act(observation.ravel())
    changed = observation.copy()
    changed[0, 0] += 1.0
    moved = np.abs(network.act(changed.ravel()) - scores)
    assert moved[0] > 1e-3
    assert moved[1:].min() > 1e-6  # the others, and cash, through the mean


@pytest.mark.parametrize("feature", range(N_MARKET_FEATURES + 1))
def test_every_feature_can_matter(family: str, feature: int) -> None:
    network, observation = lively_network(family), random_observation(4)
    changed = observation.copy()
    changed[0, feature] += 1.0
    assert abs(network.act(changed.ravel()) - network.act(observation.ravel()))[0] > 1e-3


def test_what_is_not_available_says_nothing_to_the_others(family: str) -> None:
    network, observation = lively_network(family), random_observation(4)
    observation[2] = 0.0
    other = observation.copy()
    other[2, :N_MARKET_FEATURES] = 3.0
    kept = [0, 1, 3, 4]
    scores, changed = network.act(observation.ravel()), network.act(other.ravel())
    np.testing.assert_array_equal(scores[kept], changed[kept])
    np.testing.assert_array_equal(values(network, observation, scores), values(network, other, changed))


def test_it_starts_at_nearly_equal_weights(family: str) -> None:
    torch.manual_seed(0)
    network = POLICIES[family].network(POLICIES[family].config_class())
    weights = target_weights(network.act(random_observation(20).ravel()), np.ones(20, dtype=bool), RULES)
    np.testing.assert_allclose(weights, 1 / 21, rtol=0.15)


def test_stored_and_restored_it_acts_the_same(family: str) -> None:
    network = lively_network(family)
    config = POLICIES[family].config_class(hidden=16)
    restored = restore_policy(family, config, {name: value.clone() for name, value in network.state_dict().items()})
    observation = random_observation(7).ravel()
    np.testing.assert_array_equal(restored.act(observation), network.act(observation))


def test_the_empty_network_has_names_and_shapes_but_no_memory(family: str) -> None:
    config = POLICIES[family].config_class(hidden=16)
    empty = empty_policy(family, config).state_dict()
    full = lively_network(family).state_dict()
    assert {name: value.shape for name, value in empty.items()} == {name: value.shape for name, value in full.items()}
    assert all(value.is_meta for value in empty.values())


def test_the_state_dict_has_the_documented_names(family: str) -> None:
    layers = ["score", "cash", *(f"actor.{layer}" for layer in ("embed", "own", "others"))]
    if family == "ppo":
        layers += ["value", *(f"critic.{layer}" for layer in ("embed", "own", "others"))]
    else:
        inner = ("assets.embed", "assets.own", "assets.others", "value")
        layers += [f"critics.{n}.{layer}" for n in (0, 1) for layer in inner]
    names = {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")} | {"log_std"}
    assert set(POLICIES[family].network(POLICIES[family].config_class()).state_dict()) == names


def test_scores_stay_within_their_bounds(family: str) -> None:
    network = lively_network(family)
    torch.nn.init.constant_(network.score.bias, 1e6)
    scores = network.act(random_observation(5).ravel())
    if family == "sac":
        assert network.score_limit == SacConfig().score_limit
        np.testing.assert_allclose(scores[:-1], network.score_limit)
    else:  # unbounded; the environment cuts explored ones off
        assert network.score_limit == SCORE_LIMIT
        assert scores[:-1].min() > SCORE_LIMIT


def test_run_policy_decides_from_the_observation_with_what_is_held(family: str) -> None:
    weeks = toy_weeks(20, 5)
    scaler = fit_observation_scaler(weeks)
    network = lively_network(family)
    run = run_policy(network, scaler, weeks, RULES, SIGNAL_SCALE)
    builder = ObservationBuilder(weeks, scaler, RULES, SIGNAL_SCALE)
    first = target_weights(network.act(builder.build(0, all_cash(5))), weeks.available[0], RULES)
    np.testing.assert_array_equal(run.weights[0], first)
    head = run_policy(network, scaler, weeks.select(slice(0, 11)), RULES, SIGNAL_SCALE)
    tail = run_policy(network, scaler, weeks.select(slice(11, None)), RULES, SIGNAL_SCALE, held=head.held)
    np.testing.assert_array_equal(run.weights, np.concatenate([head.weights, tail.weights]))
    np.testing.assert_array_equal(run.net_return, np.concatenate([head.net_return, tail.net_return]))
