import numpy as np
import pytest
import torch

from brain_assets.portfolio.arithmetic import TradingRules, all_cash, target_weights
from brain_assets.portfolio.observations import N_FEATURES, ObservationBuilder, fit_observation_scaler
from brain_assets.portfolio.policy import PolicyNetwork, restore_policy, run_policy
from brain_assets_tests.portfolio.toy_markets import toy_weeks

RULES = TradingRules()


def lively_network(seed: int = 0) -> PolicyNetwork:
    """Untrained, but with heads large enough that scores differ."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = PolicyNetwork(hidden=16)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return network.eval()


def random_observation(n_assets: int, seed: int = 0) -> np.ndarray:
    observation = np.random.default_rng(seed).normal(size=(n_assets, N_FEATURES)).astype(np.float32)
    observation[:, -1] = 1.0
    return observation


@pytest.mark.parametrize("n_assets", [1, 5, 40])
def test_any_number_of_assets_in_any_order(n_assets: int) -> None:
    network, observation = lively_network(), random_observation(n_assets)
    scores = network.act(observation.ravel())
    assert scores.shape == (n_assets + 1,)
    order = np.random.default_rng(1).permutation(n_assets)
    shuffled = network.act(observation[order].ravel())
    np.testing.assert_allclose(shuffled[:-1], scores[:-1][order], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(shuffled[-1], scores[-1], rtol=1e-4, atol=1e-5)


def test_each_score_looks_at_its_own_asset_and_at_the_others() -> None:
    network, observation = lively_network(), random_observation(4)
    scores = network.act(observation.ravel())
    changed = observation.copy()
    changed[0, 0] += 1.0
    moved = np.abs(network.act(changed.ravel()) - scores)
    assert moved[0] > 1e-3
    assert moved[1:].min() > 1e-6  # the others, and cash, through the mean


def test_what_is_not_available_says_nothing_to_the_others() -> None:
    network, observation = lively_network(), random_observation(4)
    observation[2] = 0.0
    other = observation.copy()
    other[2, :3] = 3.0
    kept = [0, 1, 3, 4]
    np.testing.assert_array_equal(network.act(observation.ravel())[kept], network.act(other.ravel())[kept])
    values = [network.values(torch.from_numpy(each.reshape(1, -1))).item() for each in (observation, other)]
    assert values[0] == values[1]


def test_it_starts_at_nearly_equal_weights() -> None:
    torch.manual_seed(0)
    scores = PolicyNetwork().act(random_observation(20).ravel())
    weights = target_weights(scores, np.ones(20, dtype=bool), RULES)
    np.testing.assert_allclose(weights, 1 / 21, rtol=0.1)


def test_stored_and_restored_it_acts_the_same() -> None:
    network = lively_network()
    restored = restore_policy({name: value.clone() for name, value in network.state_dict().items()})
    observation = random_observation(7).ravel()
    np.testing.assert_array_equal(restored.act(observation), network.act(observation))


def test_the_state_dict_has_the_documented_names() -> None:
    layers = [f"{network}.{layer}" for network in ("actor", "critic") for layer in ("embed", "own", "others")]
    names = {f"{layer}.{kind}" for layer in [*layers, "score", "cash", "value"] for kind in ("weight", "bias")}
    assert set(PolicyNetwork().state_dict()) == names | {"log_std"}


def test_run_policy_decides_from_the_observation_with_what_is_held() -> None:
    weeks = toy_weeks(20, 5)
    scaler = fit_observation_scaler(weeks)
    network = lively_network()
    run = run_policy(network, scaler, weeks, RULES)
    builder = ObservationBuilder(weeks, scaler, RULES)
    first = target_weights(network.act(builder.build(0, all_cash(5))), weeks.available[0], RULES)
    np.testing.assert_array_equal(run.weights[0], first)
    head = run_policy(network, scaler, weeks.select(slice(0, 11)), RULES)
    tail = run_policy(network, scaler, weeks.select(slice(11, None)), RULES, held=head.held)
    np.testing.assert_array_equal(run.weights, np.concatenate([head.weights, tail.weights]))
    np.testing.assert_array_equal(run.net_return, np.concatenate([head.net_return, tail.net_return]))
