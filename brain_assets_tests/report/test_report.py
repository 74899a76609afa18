"""What a report puts together, on tables with known answers."""

import numpy as np
import pandas as pd
import pytest

from brain_assets import registry
from brain_assets.errors import TableError
from brain_assets.forecasting.metrics import mean_skill, weekly_rank_correlation
from brain_assets.portfolio.strategy import TUNING_TRIALS, annual_return
from brain_assets.report.report import Report, build_report, held_weights, measure_forecasts
from brain_assets.report.tables import conclude
from brain_assets_tests.report.toy_results import N_WEEKS, NOTE, TRIALS, backtest_table, forecast_table, mondays
from examples.momentum_policy import MomentumRank


def returns(mean: float, seed: int, n_weeks: int = N_WEEKS) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.02, n_weeks)


NET = {
    "equal_weight": returns(0.001, 1),
    "ppo": returns(0.001, 1) + 0.002,
    "ppo_seed_1": returns(0.001, 1),
    "ppo_seed_2": returns(0.001, 1)[: N_WEEKS - 1],
    "momentum_top": returns(0.0, 2),
    "my_rule": returns(0.0, 3),
}


@pytest.fixture(scope="module")
def report() -> Report:
    """Of tables whose rows are in any order."""
    tables = [table.sample(frac=1.0, random_state=1) for table in (backtest_table(NET), forecast_table(N_WEEKS, 0.5))]
    return build_report(*tables, TRIALS, NOTE)


def test_policies_come_first_then_rules_then_what_nobody_knows_and_ours_before_others() -> None:
    registry.register(MomentumRank)
    net = {**NET, "momentum_rank": NET["ppo"], "zebra_top": NET["ppo"], "lstm_top": NET["ppo"]}
    forecasts = forecast_table(N_WEEKS, 0.5).rename(columns=lambda name: name.replace("patchtst", "zebra"))
    found = build_report(backtest_table(net), forecasts, [], NOTE)
    assert list(found.strategies[["label", "is_policy"]].itertuples(name=None)) == [
        ("ppo", "PPO", True),
        ("momentum_rank", MomentumRank.label, True),
        ("equal_weight", "equal weight", False),
        ("momentum_top", "momentum, top third", False),
        ("lstm_top", "LSTM forecasts, top third", False),
        ("zebra_top", "zebra forecasts, top third", False),
        ("my_rule", "my_rule", False),
    ]
    assert list(found.policies.index) == ["ppo", "momentum_rank"]
    assert found.forecasts.skill["label"].tolist() == ["LSTM", "zebra", "4-week momentum"]
    assert "momentum, by rank earned" in conclude(found).can


def test_figures_are_those_of_the_returns_and_seeds_are_one_policy_deflated_by_what_was_tried(report: Report) -> None:
    policy, net = report.policies.loc["ppo"], NET["ppo"]
    assert report.span == "2020-2021"
    np.testing.assert_array_equal(report.returns["ppo"], net)
    assert policy["annual_return"].value == pytest.approx(np.prod(1 + net) ** (52 / N_WEEKS) - 1)
    assert policy["turnover"] == pytest.approx(5.2)
    assert policy["active_return"].side > 0  # two thousandths a week ahead, every week
    assert list(report.seeds["ppo"]) == ["ppo", "ppo_seed_1"]  # only whole ones count
    np.testing.assert_array_equal(report.seeds["ppo"]["ppo_seed_1"], NET["equal_weight"])
    tuned = sum(TUNING_TRIALS[family] for family in ("ppo", "lstm", "patchtst"))  # sac is not in it
    assert (report.n_trials, report.n_tuned) == (2 + tuned, tuned)
    assert policy["deflated_sharpe"] < policy["probabilistic_sharpe"]


def test_strategies_are_compared_on_the_weeks_that_all_traded() -> None:
    """As in the bootstrap window, which no policy trades."""
    found = build_report(backtest_table({**NET, "ppo": NET["ppo"][:40]}), pd.DataFrame(), [], NOTE)
    assert (len(found.returns), found.weeks_left_out, found.n_trials) == (40, N_WEEKS - 40, 0)
    equal = found.strategies["annual_return"]["equal_weight"].value
    assert equal == pytest.approx(annual_return(NET["equal_weight"][:40]))
    assert np.isnan(found.policies["deflated_sharpe"]["ppo"])
    assert found.forecasts.skill.empty


def test_a_top_tenth_costs_nobody_a_week_and_is_left_out_where_it_lacks_one() -> None:
    whole, half = ({**NET, "lstm_decile": NET["ppo"][:count]} for count in (N_WEEKS, 40))
    for net, names in ((whole, ["lstm_decile"]), (half, [])):
        found = build_report(backtest_table(net), forecast_table(N_WEEKS), TRIALS, NOTE)
        assert len(found.returns) == N_WEEKS
        assert [name for name in found.strategies.index if name.endswith("_decile")] == names
        assert list(found.seeds["ppo"]) == ["ppo", "ppo_seed_1"]


@pytest.mark.parametrize("net", [{"ppo": NET["ppo"]}, {"equal_weight": [np.nan], "ppo": [0.0]}])
def test_without_a_week_to_compare_on_it_says_so(net) -> None:
    with pytest.raises(TableError, match="expected weeks that all strategies traded, equal_weight among them"):
        build_report(backtest_table(net), pd.DataFrame(), [], NOTE)


def test_weights_are_read_with_the_largest_first_and_cash_last() -> None:
    found = held_weights(pd.Series(['{"B": 0.1, "cash": 0.9}', '{"A": 0.5, "B": 0.3, "cash": 0.2}'], [7, 8]))
    assert (list(found), list(found.index)) == (["A", "B", "cash"], [7, 8])
    np.testing.assert_array_equal(found, [[0.0, 0.1, 0.9], [0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(held_weights(pd.Series(['{"A": 1.0}']))[["A", "cash"]], [[1.0, 0.0]])


# Forecasts


def test_rank_correlations_are_those_of_each_forecaster(report: Report) -> None:
    skill = report.forecasts.skill
    assert skill["label"].tolist() == ["LSTM", "PatchTST", "4-week momentum"]
    table = forecast_table(N_WEEKS, 0.5)
    wide = [table[name].to_numpy().reshape(N_WEEKS, 12) for name in ("lstm", "realized")]
    lstm, patchtst, momentum = skill["rank_correlation"]
    assert lstm.value == pytest.approx(weekly_rank_correlation(*wide).mean())
    assert lstm.side > 0
    expected = mean_skill(weekly_rank_correlation(*wide))
    found = skill.loc["lstm", ["t_statistic", "smallest_detectable"]].tolist()
    assert found == pytest.approx([expected.t_statistic, expected.smallest_detectable])
    assert patchtst.low < 0 < patchtst.high
    assert momentum.value == pytest.approx(-1.0)  # the opposite of what came
    by_year = report.forecasts.by_year["lstm"]
    assert (53 * by_year["value"][2020] + 7 * by_year["value"][2021]) / 60 == pytest.approx(lstm.value)
    assert by_year["low"].isna().tolist() == [False, True]  # seven weeks


def test_deciles_of_a_perfect_forecast_rise_and_sum_to_nothing() -> None:
    table = forecast_table(30, n_symbols=20)
    table["lstm"] = table["realized"] / 2 + 0.01
    deciles = measure_forecasts(table).deciles["lstm"]
    assert list(deciles.index) == list(range(1, 11))
    assert deciles["value"].is_monotonic_increasing
    assert deciles["value"].sum() == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(deciles["forecast"], deciles["value"] / 2, atol=1e-12)


def test_what_momentum_stood_in_for_does_not_count() -> None:
    skill = measure_forecasts(forecast_table(N_WEEKS, 0.5, n_bootstrap=30)).skill
    assert skill["n_weeks"].to_dict() == {"lstm": 30, "patchtst": 30, "momentum": 30}
    without = measure_forecasts(forecast_table(N_WEEKS, n_bootstrap=N_WEEKS)).skill
    assert without["n_weeks"].to_dict() == {"momentum": N_WEEKS}
    assert list(measure_forecasts(forecast_table(N_WEEKS, patchtst=False)).skill.index) == ["lstm", "momentum"]


def test_the_average_and_further_yardsticks_stand_beside_the_others() -> None:
    table = forecast_table(N_WEEKS, 0.5, n_bootstrap=10)
    source = table["lstm_source"].map(lambda name: name if name == "momentum" else f"lstm {name}, patchtst {name}")
    source[table["week_start"] == mondays(N_WEEKS)[59]] = "lstm snapshot-2019-12-31, lstm snapshot-2018-12-31"
    table = table.assign(average=table["lstm"] * 2, average_source=source, reversal=table["realized"])
    found = measure_forecasts(table)
    assert found.skill["label"].tolist() == ["LSTM", "PatchTST", "average", "4-week momentum", "1-week reversal"]
    assert found.skill["n_weeks"].eq(N_WEEKS - 10).all()
    assert found.skill["color"].nunique() == 5
    assert found.skill.loc["average", "rank_correlation"] == found.skill.loc["lstm", "rank_correlation"]
    assert list(found.deciles) == ["lstm", "patchtst", "average"]
