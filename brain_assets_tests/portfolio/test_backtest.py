import datetime
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.formatting import CheckResult
from brain_assets.market.calendar import sessions_between
from brain_assets.market.prices import PricePanel
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel, past_weekly_returns
from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import PortfolioConstraints
from brain_assets.portfolio.backtest import (
    backtest,
    backtest_weights_verdict,
    beats_equal_weight,
    compare,
    growth,
    weights_verdict,
)
from brain_assets.portfolio.baselines import BASELINES, BaselineInputs, is_tenth
from brain_assets.portfolio.dataset import market_weeks
from brain_assets.portfolio.policies import train_policy_snapshot, training_weeks
from brain_assets.portfolio.strategy import Choose, follow, weights_table
from brain_assets.store.snapshot import ModelSnapshot
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.portfolio.conftest import CONFIG
from brain_assets_tests.portfolio.toy_results import NO_MODELS, Stored, cheap_rules

WITHOUT_FORECASTS = set(BASELINES)


@pytest.fixture(autouse=True, scope="module")
def cheap() -> Iterator[None]:
    with cheap_rules():
        yield


def rising_market(symbols: str, first: datetime.date, rise: str, end: datetime.date) -> PricePanel:
    """Symbols at 100, of which the first rises by 10 % after the open of a Monday; then all are flat again."""
    sessions = sessions_between(first, end)
    values = np.full((len(symbols), len(sessions), 5), 100.0)
    values[:, ::2, 1:4] *= 1 + 1e-9  # a hair of movement, so that volatility is not 0 and nothing else changes
    monday = int(np.searchsorted(sessions, np.datetime64(rise)))
    values[0, monday:, 1:4] = 110.0
    values[0, monday + 1 :, 0] = 110.0
    return add_signals(PricePanel(sessions, tuple(symbols), values))


@pytest.fixture(scope="module")
def ragged(panel: PricePanel) -> PricePanel:
    """The same market, whose first symbol is listed on 1 June 2020; its first week is that of 6 July."""
    values = panel.values.copy()
    values[0, panel.sessions < np.datetime64("2020-06-01")] = np.nan
    return replace(panel, values=values)


def held(table: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Weights by week and symbol."""
    rows = table[table["strategy"] == strategy]
    return weights_table(rows["weights"]).set_axis(rows["week_start"])


def test_all_trade_the_same_weeks_from_the_first_that_all_can(panel, forecasts, snapshots) -> None:
    sources = {"ppo": Stored(snapshots["ppo", 2018], snapshots["ppo", 2019]), "sac": Stored(snapshots["sac", 2019])}
    table, used, *_ = backtest(panel, forecasts, [2019, 2020], sources)
    weeks = {name: rows["week_start"].tolist() for name, rows in table.groupby("strategy")}
    assert set(weeks) == {"ppo", "sac", *WITHOUT_FORECASTS}
    assert all(each == weeks["ppo"] for each in weeks.values())
    assert min(weeks["ppo"]) == pd.Timestamp("2020-01-06")  # that of 2019-12-30 is none that the second can trade
    assert used == {"ppo": ("snapshot-2019-12-31",), "sac": ("snapshot-2019-12-31",)}
    alone, used, *_ = backtest(panel, forecasts, [2019, 2020], {"ppo": sources["ppo"]})
    assert alone["week_start"].min() < pd.Timestamp("2019-02-01")
    assert used == {"ppo": ("snapshot-2018-12-31", "snapshot-2019-12-31")}
    table, used, *_ = backtest(panel, forecasts, [2018], sources)  # where no policy trades, equal weight is alone
    assert used == {"ppo": (), "sac": ()}
    assert set(table["strategy"]) == {"equal_weight"}
    assert growth(table, "equal_weight") == pytest.approx(np.prod(1 + table["net_return"]) - 1)
    assert np.isnan(growth(table, "ppo"))


def test_other_seeds_trade_the_same_weeks_under_their_own_names(panel, bars, forecasts, snapshots) -> None:
    main = snapshots["ppo", 2018]

    def trained(seed: int, first_week: int = 0) -> ModelSnapshot:
        options = CONFIG["ppo"].replace(seed=seed)
        weeks = training_weeks(bars, forecasts, "ppo", main.cutoff_date, options).select(slice(first_week, None))
        return train_policy_snapshot("ppo", weeks, main.cutoff_date, options, MADE_UP)

    second = trained(1)
    sources = {
        1: Stored(second),
        2: Stored(second),  # under the number of another
        3: Stored(trained(3, first_week=1)),  # from other data
        4: Stored(),
    }
    table = backtest(panel, forecasts, [2019], {"ppo": Stored(main)}, other_seeds={"ppo": sources}).table
    of = {name: rows.reset_index(drop=True).drop(columns="strategy") for name, rows in table.groupby("strategy")}
    assert set(of) == {"ppo", "ppo_seed_1", *WITHOUT_FORECASTS}
    assert not of["ppo_seed_1"]["weights"].equals(of["ppo"]["weights"])
    alone = backtest(panel, forecasts, [2019], {"ppo": Stored(second)}).table
    expected = alone[alone["strategy"] == "ppo"].reset_index(drop=True).drop(columns="strategy")
    pd.testing.assert_frame_equal(of["ppo_seed_1"], expected)
    # 2020 is traded by the snapshots of 2018 (the week of 2019-12-30) and 2019; seed 1 lacks the second
    both = Stored(main, snapshots["ppo", 2019])
    table = backtest(panel, forecasts, [2020], {"ppo": both}, other_seeds={"ppo": {1: Stored(second)}}).table
    assert "ppo_seed_1" not in set(table["strategy"])


def test_after_a_listing_in_mid_year_all_go_on_from_what_they_held_and_see_their_own_past(
    ragged, snapshots, monkeypatch
) -> None:
    """What is traded in a week is what its weights lack of those of the week before, drifted to the open.

    And a rule that holds what rose in the week before holds just that.
    """

    def rose(known: BaselineInputs, rules: PortfolioConstraints) -> Choose:
        return follow(arithmetic.equal_weight(known.weeks.available & (known.past_returns[:, -1] > 0), rules))

    monkeypatch.setitem(BASELINES, "risk_parity", replace(BASELINES["risk_parity"], rule=rose))  # type: ignore[arg-type]
    forecasts = build_forecast_features(ragged, [2020], NO_MODELS)
    table = backtest(ragged, forecasts, [2020], {"ppo": Stored(snapshots["ppo", 2019])}).table
    bars = WeeklyPanel.from_panel(ragged)
    bars = bars.select(np.isin(bars.weeks.start, table["week_start"].to_numpy("datetime64[D]")))
    weeks = market_weeks(bars, bars.momentum)
    [first, *_] = np.flatnonzero(weeks.available[:, 0])
    assert weeks.week_start[first] == np.datetime64("2020-07-06")  # 20 daily returns are known by then
    for strategy in ("ppo", *WITHOUT_FORECASTS):
        weights = held(table, strategy).reindex(columns=[*ragged.symbols, "cash"], fill_value=0.0).to_numpy()
        grown = weights.copy()
        grown[:, :-1] *= 1 + weeks.weekly_return
        at_open = grown / grown.sum(axis=1, keepdims=True)
        at_open[:-1, :-1] *= 1 + weeks.pre_open_return[1:]
        at_open /= at_open.sum(axis=1, keepdims=True)
        traded = np.abs(weights[1:] - at_open[:-1])[:, :-1].sum(axis=1)
        turnover = table.loc[table["strategy"] == strategy, "turnover"].to_numpy()
        np.testing.assert_allclose(turnover[1:], traded, rtol=0, atol=1e-12, err_msg=strategy)
        assert turnover[0] == pytest.approx(weights[0, :-1].sum())
        if strategy == "risk_parity":
            risen = weeks.available & (past_weekly_returns(ragged, bars.weeks)[:, -1] > 0)
            np.testing.assert_array_equal(weights[:, :-1] > 0, risen)


def test_holdings_go_over_new_year_by_hand(snapshots) -> None:
    """0.98 / 6 of each is bought, of the first 1.1 times as much is left at New Year, of all 1 + 0.098 / 6."""
    panel = rising_market("ABCDEF", datetime.date(2020, 11, 2), "2020-12-28", datetime.date(2021, 2, 1))
    sources = {"ppo": Stored(snapshots["ppo", 2019])}
    forecasts = build_forecast_features(panel, [2020, 2021], NO_MODELS)
    first = backtest(panel, forecasts, [2020], sources).table
    after = backtest(panel, forecasts, [2021], sources, before=first).table
    january = after[after["week_start"] == "2021-01-04"].set_index("strategy")
    even = 0.98 / 6
    risen, others, cash = even * 1.1 / (1 + even * 0.1), even / (1 + even * 0.1), 0.02 / (1 + even * 0.1)
    refill = 0.02 - cash  # to the least cash that a trade may leave: sold of all alike, and the only trade
    expected = {"A": risen - refill / 6, **dict.fromkeys("BCDEF", others - refill / 6), "cash": 0.02}
    assert json.loads(january.loc["buy_and_hold", "weights"]) == pytest.approx(expected, abs=1e-8)
    traded = january.loc["buy_and_hold", ["turnover", "net_return"]].tolist()
    assert traded == pytest.approx([refill, -0.001 * refill], abs=1e-8)
    back_to_even = (risen - even) + 5 * (even - others)
    assert january.loc["equal_weight", "turnover"] == pytest.approx(back_to_even, abs=1e-8)
    assert january.loc["equal_weight", "net_return"] == pytest.approx(-0.001 * back_to_even, abs=1e-8)


def test_year_after_year_is_as_all_years_at_once(ragged, snapshots) -> None:
    """Though one symbol is listed in the first year, and another ends with it: it is sold in the first week after."""
    values = ragged.values.copy()
    values[1, ragged.sessions >= np.datetime64("2020-12-28")] = np.nan
    panel, sources = replace(ragged, values=values), {"ppo": Stored(snapshots["ppo", 2019])}
    forecasts = build_forecast_features(panel, [2020, 2021], NO_MODELS)
    at_once = backtest(panel, forecasts, [2020, 2021], sources).table
    first = backtest(panel, forecasts, [2020], sources).table
    after = backtest(panel, forecasts, [2021], sources, before=first).table
    assert panel.symbols[1] in held(first, "buy_and_hold")
    assert panel.symbols[1] not in held(after, "buy_and_hold")
    chained = pd.concat([first, after], ignore_index=True)
    for column in ("net_return", "turnover"):
        np.testing.assert_allclose(chained[column], at_once[column], rtol=0, atol=1e-12)
    for strategy in ("ppo", *WITHOUT_FORECASTS):
        pd.testing.assert_frame_equal(held(chained, strategy), held(at_once, strategy), check_like=True, atol=1e-12)


def test_nobody_holds_what_one_forecaster_does_not_know(panel, forecasts, snapshots) -> None:
    one, other = panel.symbols[0], panel.symbols[1]
    march = forecasts["week_start"].between("2020-03-01", "2020-03-31")
    forecasts = forecasts.copy()
    forecasts.loc[march & (forecasts["symbol"] == one), "lstm"] = np.nan
    forecasts.loc[march & (forecasts["symbol"] == other), "patchtst"] = np.nan
    sources = {"ppo": Stored(snapshots["ppo", 2019]), "sac": Stored(snapshots["sac", 2019])}
    table, _, *_ = backtest(panel, forecasts, [2020], sources)
    for strategy in ("ppo", "sac", *WITHOUT_FORECASTS):
        weights = held(table, strategy).reindex(columns=[*panel.symbols, "cash"], fill_value=0.0)
        unknown = (weights.index >= "2020-03-01") & (weights.index <= "2020-03-31")
        assert unknown.sum() == 5
        assert not weights.loc[unknown, [one, other]].to_numpy().any()
        if strategy in ("ppo", "sac", "equal_weight"):
            assert weights.loc[~unknown, [one, other]].to_numpy().all()
        np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_rules_that_follow_forecasts_trade_only_where_a_model_made_them(panel, forecasts, snapshots) -> None:
    """In the bootstrap window forecasts are momentum under another name; a week without a model costs all of them."""
    own = forecasts.copy()
    second_half = own["week_start"].between("2020-07-01", "2020-12-31")
    own.loc[second_half, "lstm_source"] = "snapshot-2019-12-31"
    ppo = {"ppo": Stored(snapshots["ppo", 2019])}
    table = backtest(panel, own, [2020], ppo).table
    assert set(table["strategy"]) == {"ppo", *WITHOUT_FORECASTS, "lstm_top", "lstm_tilt"}
    assert table["week_start"].min() == pd.Timestamp("2020-07-06")
    assert set(backtest(panel, forecasts, [2020], ppo).table["strategy"]) == {"ppo", *WITHOUT_FORECASTS}


def test_a_top_tenth_is_there_where_the_first_week_has_symbols_enough(ragged, snapshots, monkeypatch) -> None:
    """What is listed in July decides nothing about January."""
    own = build_forecast_features(ragged, [2020], NO_MODELS).assign(lstm_source="snapshot-2019-12-31")
    for enough, names in ((len(ragged.symbols) - 1, {"lstm_decile"}), (len(ragged.symbols), set())):
        monkeypatch.setattr("brain_assets.portfolio.baselines.ENOUGH_FOR_TENTHS", enough)
        table = backtest(ragged, own, [2020], {"ppo": Stored(snapshots["ppo", 2019])}).table
        assert {name for name in set(table["strategy"]) if is_tenth(name)} == names


def test_what_cannot_be_traded_is_one_sentence(panel, forecasts, snapshots) -> None:
    sources = {"ppo": Stored(snapshots["ppo", 2019])}
    with pytest.raises(TableError, match="backtest: expected complete weeks in 2030, got none; choose other years"):
        backtest(panel, forecasts, [2030], sources)
    first = backtest(panel, forecasts, [2020], sources).table
    gone = first.assign(weights=[text.replace(panel.symbols[0], "GONE") for text in first["weights"]])
    words = r"backtest: expected prices of what was held after the week of 2020-12-28, got none of GONE; make the year"
    with pytest.raises(TableError, match=words):
        backtest(panel, forecasts, [2021], sources, before=gone)


def test_strategies_compared_by_hand() -> None:
    """Costs are 10 basis points of a dollar traded."""
    net = {"equal_weight": (0.02, 0.01), "ppo": (0.03, 0.02)}
    turnover = {"equal_weight": (1.0, 0.0), "ppo": (1.0, 0.5)}
    rows = [
        (week, name, net[name][week], turnover[name][week], "{}")
        for week in range(2)
        for name in ("ppo", "equal_weight")
    ]
    table = pd.DataFrame(rows, columns=["week_start", "strategy", "net_return", "turnover", "weights"])
    equal, ppo = compare(table).loc[["equal_weight", "ppo"]].to_dict("records")
    assert equal["net_return"] == pytest.approx(1.02 * 1.01 - 1)
    assert equal["active_return"] == 0.0
    assert np.isnan(equal["break_even"])
    assert ppo["active_return"] == pytest.approx(1.03 * 1.02 - 1.02 * 1.01)
    lead = np.log(1.03 * 1.02 / 0.999 / 0.9995) - np.log(1.02 * 1.01 / 0.999)
    assert ppo["break_even"] == pytest.approx(lead / 0.5 * 10_000)
    assert ppo["mean_turnover"] == pytest.approx(0.75)
    assert ppo["sharpe_ratio"] == pytest.approx(0.025 / np.std([0.03, 0.02], ddof=1) * 52**0.5)


RULES = PortfolioConstraints(max_weight=0.5, min_cash=0.02)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ([0.6, 0.3, 0.1], "hold more than 50% of one symbol"),
        ([0.5, 0.49, 0.01], "hold less than 2% of cash"),
        ([-0.1, 0.5, 0.6], "are short"),
        ([0.4, 0.4, 0.1], "do not add up to 1"),
        ([np.nan, 0.4, 0.1], "are not finite"),
    ],
)
def test_weights_are_checked_by_hand(weights: list[float], problem: str) -> None:
    found = weights_verdict(np.array([[0.3, 0.3, 0.4], weights]), RULES)
    assert not found.passed
    assert f"got 1 {problem} of 2; " in found.words


def test_weights_of_a_backtest_have_cash_last_and_a_third_of_few_symbols_may_exceed_the_cap() -> None:
    weights = {
        "ppo": {"A": 0.4, "cash": 0.6},
        "ppo_seed_1": {"cash": 0.5, "B": 0.5},
        "lstm_top": {"A": 0.98, "cash": 0.02},
    }
    table = pd.DataFrame({"strategy": list(weights), "weights": [json.dumps(each) for each in weights.values()]})
    assert backtest_weights_verdict(table, RULES).words == "3 sets of weights keep the trading rules"
    for n_concentrated, row in ((1, 0), (2, 2)):
        table.loc[row, "weights"] = '{"A": 0.6, "B": 0.38, "cash": 0.02}'
        found = backtest_weights_verdict(table, RULES).words
        assert f"got {n_concentrated} hold more than 50% of one symbol of 3" in found


def test_each_policy_has_to_beat_equal_weight() -> None:
    def told(**returns: float) -> CheckResult:
        return beats_equal_weight(pd.DataFrame({"strategy": list(returns), "net_return": list(returns.values())}))

    assert told(ppo=0.2, sac=0.15, equal_weight=0.1, lstm_tilt=0.05, momentum_top=0.0).passed
    assert told(equal_weight=0.1).passed
    found = told(ppo=0.2, sac=0.05, equal_weight=0.1, ppo_seed_1=0.0)
    assert (found.passed, found.words) == (False, "ppo +20.0%, sac +5.0%; equal weight +10.0%")
