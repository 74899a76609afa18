"""Models find the signal that is injected, and judge and blur do what they say.

Quick: the parts that need no training, and one forecaster. Slow: tests of power in full, about three
minutes each; a seed took 25 to 45 seconds on one busy core, so those of 20 seeds take ten minutes each and more, and
are left to `prove_skill()`, which runs all in an hour or more.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from brain_assets import registry
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.prove.skill import (
    FORECAST_SPREAD,
    TESTS,
    SkillTest,
    blurred,
    judge,
    prove,
    prove_skill,
    skill_tests,
)
from brain_assets.registry import families_of
from brain_assets_tests.conftest import FAMILIES


def result(value: float, error: float = 0.01, best: float = 0.15) -> tuple[float, float, float]:
    return value, error, best


def test_a_share_is_of_the_means_over_the_seeds() -> None:
    test = SkillTest("lstm", "reversal", 0.15, 2, 0.85)
    # (0.10 + 0.16) / (0.10 + 0.20) = 0.8667, although the mean of the shares 1 and 0.8 is 0.9
    found = judge(test, [result(0.10, best=0.10), result(0.16, best=0.20)])
    assert found == (test, "87%", True, 0.0)
    assert not judge(test, [result(0.10, best=0.10), result(0.15, best=0.20)]).passed  # 0.8333


@pytest.mark.parametrize(
    ("family", "signal", "bound", "values", "n_counted", "passed"),
    [  # an interval of 1.96 standard errors of 0.01 covers zero or lies above it
        ("lstm", 0.0, 3, [-0.0197, -0.0195, 0.0, 0.0195, 0.0197], 3, True),
        ("lstm", 0.0, 4, [-0.0197, -0.0195, 0.0, 0.0195, 0.0197], 3, False),
        ("ppo", 0.3, 1, [-0.0197, 0.0, 0.0195, 0.0197], 1, True),
        ("ppo", 0.3, 2, [-0.0197, 0.0, 0.0195, 0.0197], 1, False),
        ("ppo", 0.0, 1, [-0.0197, 0.0, 0.0195, 0.0197], 1, True),
        ("ppo", 0.0, 1, [0.03, 0.03, 0.01, 0.01], 2, False),
    ],
)
def test_seeds_are_counted_by_their_intervals(family, signal, bound, values, n_counted, passed) -> None:
    found = judge(SkillTest(family, "reversal", signal, len(values), bound), [result(value) for value in values])
    assert (found.got, found.passed) == (f"{n_counted}", passed)


def test_policies_see_a_forecast_of_the_stated_skill_and_size() -> None:
    expectation = np.random.default_rng(0).normal(size=(2000, 20))
    expectation[:, 3] = np.nan
    forecast = blurred(expectation, seed=1)
    assert np.isnan(forecast[:, 3]).all()
    # of normals correlated by 0.85, ranks are correlated by 6 / pi * asin(0.425) = 0.838, less in a small sample
    assert mean_rank_correlation(forecast, expectation) == pytest.approx(0.82, abs=0.02)
    assert np.nanstd(forecast) == pytest.approx(FORECAST_SPREAD, rel=0.03)
    alone = blurred(np.zeros((2000, 20)), seed=1)
    assert alone.std() == pytest.approx(FORECAST_SPREAD, rel=0.03)


def test_a_family_that_nobody_has_measured_is_tested_by_what_it_sees() -> None:
    def tests(quick: bool = False, **attributes: object) -> list[tuple[object, ...]]:
        found = skill_tests(SimpleNamespace(name="mine", **attributes), quick)
        assert {test.family for test in found} == {"mine"}
        return [(test.channel, test.signal, test.n_seeds, test.bound) for test in found]

    prices, news = ("close_return", "news_sentiment"), ("news_sentiment",)
    assert tests(role="forecaster", channels=prices) == [("reversal", 0.15, 5, 0.5), ("reversal", 0.0, 20, 18)]
    assert tests(role="forecaster", channels=news) == [("news", 0.15, 5, 0.5), ("news", 0.0, 20, 18)]
    assert tests(role="forecaster", channels=("net_margin",)) == [("news", 0.0, 20, 18)]
    assert tests(role="policy") == [("reversal", 0.0, 20, 2)]
    assert tests(True, role="policy") == [("reversal", 0.0, 5, 1)]
    for name, channel, signal, bound in (("patchtst", "news", 0.15, 0.6), ("sac", "reversal", 0.3, 1)):
        assert skill_tests(registry.get(name), quick=True) == [SkillTest(name, channel, signal, 1, bound)]


def test_partial_least_squares_find_a_reversal_and_nothing_where_there_is_none() -> None:
    families_of(["examples.pls_forecaster"])
    lines: list[str] = []
    results = prove_skill(["pls"], quick=True, on_progress=lines.append)
    assert [found.test.signal for found in results] == [0.15, 0.0]
    assert all(found.passed for found in results), results
    assert lines[0].startswith("pls power 0.15 reversal: seed 1 of 1: +0.")
    assert len(lines) == 1 + 1 + 3 + 1  # one a seed, one a test


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES[1:])  # the first by its command, in `test_command`
def test_our_families_find_it_too(family: str) -> None:
    (found,) = prove_skill([family], quick=True)
    assert found.passed, found


@pytest.mark.slow
@pytest.mark.claim
@pytest.mark.parametrize("test", [test for test in TESTS if test.signal in (0.15, 0.08)], ids=lambda test: test.name)
def test_forecasters_find_the_stated_share_of_an_injected_signal(test: SkillTest) -> None:
    found = prove(test)
    assert found.passed, found
