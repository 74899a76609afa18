import numpy as np
import pytest

from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import LOGIT_BOUND, PortfolioConstraints
from brain_assets.portfolio.dataset import SIGNAL_SCALE, ObservationBuilder, PolicyDataset, fit_observation_scaler
from brain_assets.portfolio.training import VectorizedPortfolioEnv
from brain_assets_tests.portfolio.toy_markets import toy_weeks

CONSTRAINTS = PortfolioConstraints()


def make_env(weeks: PolicyDataset, n_envs: int = 1, episode_weeks: int = 52) -> VectorizedPortfolioEnv:
    return VectorizedPortfolioEnv(
        weeks, fit_observation_scaler(weeks), n_envs, CONSTRAINTS, episode_weeks=episode_weeks
    )


def equal_weight_growth(weeks: PolicyDataset) -> np.ndarray:
    """Log growth of equal weight in each week, set right at the close before it, without costs."""
    equal = arithmetic.equal_weight(weeks.available, CONSTRAINTS)[:, :-1]
    to_open, of_week = (np.log1p((equal * each).sum(axis=1)) for each in (weeks.pre_open_return, weeks.weekly_return))
    return to_open + of_week


def test_every_episode_is_the_market_arithmetic_step_by_step() -> None:
    """120 steps of 12 episodes, with their ends: not a bit differs from one portfolio at a time."""
    weeks = toy_weeks(90, 8, seed=4)
    weeks.available[:] = np.random.default_rng(5).random(weeks.available.shape) > 0.2
    env = make_env(weeks, 12, episode_weeks=37)
    builder = ObservationBuilder(weeks, fit_observation_scaler(weeks), CONSTRAINTS, SIGNAL_SCALE)
    env.seed(0)
    seen = env.reset()
    week, held = env.start.copy(), [arithmetic.all_cash(8)] * 12
    for position in range(12):
        np.testing.assert_array_equal(builder.build(int(week[position]), held[position]), seen[position])
    random = np.random.default_rng(1)
    n_ended, sums, equal = 0, np.zeros(12), equal_weight_growth(weeks)
    for _ in range(120):
        actions = random.normal(scale=random.choice([0.1, 0.5]), size=(12, 9)).astype(np.float32)
        seen, rewards, done, infos = env.step(actions)
        for i, at in enumerate(week):
            logits = actions[i].astype(np.float64) * LOGIT_BOUND
            logits[-1] += np.log(0.02 / 0.98 * max(weeks.available[at].sum(), 1))  # from the least cash
            target = arithmetic.target_weights(logits, weeks.available[at], CONSTRAINTS)
            found = arithmetic.step(held[i], weeks.pre_open_return[at], target, weeks.weekly_return[at], CONSTRAINTS)
            held[i], week[i] = found.held_after, at + 1
            assert rewards[i] == pytest.approx(100.0 * (np.log1p(found.net_return) - equal[at]), rel=1e-12, abs=1e-12)
            sums[i] += rewards[i]
            after = builder.build(min(at + 1, 89), held[i])
            if done[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], after)
                assert infos[i]["TimeLimit.truncated"] is True
                assert infos[i]["episode"] == {"r": sums[i], "l": 37}
                week[i], held[i], sums[i] = env.start[i], arithmetic.all_cash(8), 0.0
                after = builder.build(int(week[i]), held[i])
                n_ended += 1
            else:
                assert infos[i] == {}
            np.testing.assert_array_equal(seen[i], after)
            assert env.observation_space.contains(seen[i])
    assert n_ended == 12 * (120 // 37)


def test_starts_are_random_repeat_with_the_seed_and_reach_both_ends() -> None:
    env = make_env(toy_weeks(60, 3), 64)
    starts = []
    for seed in (1, None, 1, None):
        if seed is not None:
            env.seed(seed)
        env.reset()
        starts.append(env.start.tolist())
    assert starts[:2] == starts[2:]
    assert starts[0] != starts[1]
    assert set(starts[0]) == set(range(9))  # 60 weeks have 9 starts of 52
