"""Models find what is planted, and judge and blur do what they say.

Quick: the parts that need no training, and one seed of one forecaster. Slow: claims about planted
signals in full, about three minutes each; a seed took 25 to 45 seconds on one busy core, so those about 20 seeds take
ten minutes each and more, and are left to `prove_skill()`, which puts all to the test in an hour or more.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from brain_assets.errors import ConfigError, PluginError
from brain_assets.forecasting.metrics import mean_rank_correlation
from brain_assets.proofs.skill import (
    FORECAST_SPREAD,
    OURS,
    QUICK_OURS,
    Claim,
    SeedResult,
    blurred,
    claims_of,
    judge,
    prove,
    prove_skill,
)
from brain_assets.registry import families_of

CLAIMS = [claim for claims in OURS.values() for claim in claims]
OTHERS = [claim for claims in QUICK_OURS.values() for claim in claims][1:]


def result(value: float, error: float = 0.01, best: float = 0.15) -> SeedResult:
    return SeedResult(0, value, error, best)


def test_a_share_is_of_the_means_over_the_seeds() -> None:
    claim = Claim("lstm", "found", "reversal", 0.15, 2, 0.85)
    # (0.10 + 0.16) / (0.10 + 0.20) = 0.8667, although the mean of the shares 1 and 0.8 is 0.9
    finding = judge(claim, [result(0.10, best=0.10), result(0.16, best=0.20)])
    assert finding.value == pytest.approx(0.8667, abs=1e-4)
    assert finding.passed
    assert not judge(claim, [result(0.10, best=0.10), result(0.15, best=0.20)]).passed  # 0.8333


def test_an_interval_of_1_96_standard_errors_covers_zero_or_lies_above_it() -> None:
    values = [-0.0197, -0.0195, 0.0, 0.0195, 0.0197]  # with an error of 0.01
    assert [result(value).covers_zero for value in values] == [False, True, True, True, False]
    assert [result(value).above_zero for value in values] == [False, False, False, False, True]


@pytest.mark.parametrize(
    ("kind", "bound", "n_above", "passed"),
    [("beats", 2, 2, True), ("beats", 2, 1, False), ("beaten", 1, 1, True), ("beaten", 1, 2, False)],
)
def test_policies_are_judged_by_the_number_of_seeds(kind: str, bound: float, n_above: int, passed: bool) -> None:
    seeds = [result(0.03)] * n_above + [result(0.01)] * (4 - n_above)
    finding = judge(Claim("ppo", kind, "reversal", 0.3, 4, bound), seeds)
    assert finding.value == n_above
    assert finding.passed is passed
    assert ("holds" in finding.words) is passed


def test_without_a_signal_seeds_that_cover_zero_are_counted() -> None:
    claim = Claim("lstm", "absent", "reversal", 0.0, 3, 2)
    assert judge(claim, [result(0.0), result(0.01), result(-0.03)]).passed
    assert not judge(claim, [result(0.0), result(0.03), result(-0.03)]).passed


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


def test_the_claims_are_those_that_are_asked_for() -> None:
    asked = {(claim.family, claim.kind, claim.signal): (claim.n_seeds, claim.bound) for claim in CLAIMS}
    assert asked["lstm", "found", 0.15] == (5, 0.85)
    assert asked["patchtst", "found", 0.15] == (5, 0.80)
    for family in ("lstm", "patchtst"):
        assert asked[family, "found", 0.08] == (5, 0.70)
        assert asked[family, "absent", 0.0] == (20, 18)
    for family in ("ppo", "sac"):
        assert asked[family, "beats", 0.3] == (10, 8)
        assert asked[family, "beaten", 0.0] == (20, 2)


def test_a_family_that_nobody_has_measured_has_claims_by_what_it_sees() -> None:
    def kinds(quick: bool = False, **attributes: object) -> dict[str, tuple[str, int, float]]:
        claims = claims_of(SimpleNamespace(name="mine", **attributes), quick)
        assert {claim.family for claim in claims} == {"mine"}
        return {claim.kind: (claim.planted, claim.n_seeds, claim.bound) for claim in claims}

    prices, news = ("close_return", "news_sentiment"), ("news_sentiment",)
    both = {"found": ("reversal", 5, 0.5), "absent": ("reversal", 20, 18)}
    assert kinds(role="forecaster", channels=prices) == both
    assert kinds(role="forecaster", channels=news) == {"found": ("news", 5, 0.5), "absent": ("news", 20, 18)}
    assert list(kinds(role="forecaster", channels=("net_margin",))) == ["absent"]
    assert kinds(role="policy") == {"beaten": ("reversal", 20, 2)}
    assert kinds(True, role="policy") == {"beaten": ("reversal", 5, 1)}


def test_a_ridge_regression_finds_a_reversal_and_nothing_where_there_is_none() -> None:
    families_of(["examples.ridge_forecaster"])
    findings = prove_skill(["ridge"], quick=True)
    assert [finding.claim.kind for finding in findings] == ["found", "absent"]
    assert all(finding.passed for finding in findings), [finding.words for finding in findings]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(PluginError, match=r"family: expected one of lstm, patchtst, ppo, sac.*, got 'mlp'; correct"):
        prove_skill(["mlp"])
    with pytest.raises(ConfigError, match="kind: expected one of found, absent, beats, beaten, got best; choose"):
        prove(Claim("lstm", "best", "reversal", 0.1, 1, 1))


def test_a_planted_reversal_is_found_out_of_sample() -> None:
    lines: list[str] = []
    (finding,) = prove_skill(["lstm"], quick=True, on_progress=lines.append)
    assert finding.passed, finding.words
    assert len(lines) == 2  # one a seed, one a claim
    assert lines[0].startswith("lstm found 0.15 reversal: seed 1 of 1: +0.1")


@pytest.mark.slow
@pytest.mark.parametrize("claim", OTHERS, ids=lambda claim: claim.family)
def test_the_other_families_find_it_too(claim: Claim) -> None:
    (finding,) = prove_skill([claim.family], quick=True)
    assert finding.passed, finding.words


@pytest.mark.slow
@pytest.mark.claim
@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.kind == "found"], ids=lambda claim: claim.words)
def test_forecasters_find_the_stated_share_of_a_planted_signal(claim: Claim) -> None:
    finding = prove(claim)
    assert finding.passed, finding.words
