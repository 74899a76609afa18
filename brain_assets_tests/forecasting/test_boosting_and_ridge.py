"""What both families learn and store, on features whose answer is known and on a made-up market."""

import datetime
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from threadpoolctl import threadpool_limits

from brain_assets import registry
from brain_assets.errors import SnapshotError
from brain_assets.forecasting.features import WindowIndex, Windows
from brain_assets.forecasting.training import train_snapshot
from brain_assets.forecasting.walkforward import snapshot_verdicts
from brain_assets.forecasting.weekly_features import FEATURES, uniform_ranks
from brain_assets.market.prices import PricePanel
from brain_assets.market.weekly import WeeklyPanel
from brain_assets_tests.conftest import MADE_UP
from brain_assets_tests.forecasting.test_training import changed_after

CUTOFF = datetime.date(2019, 12, 31)
FAMILIES = ("ridge", "boosting")
SEEN = FEATURES.index("return_4w")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small trees wait for each other on several."""
    with threadpool_limits(limits=1):
        yield


def config_of(family: str, **options: object) -> object:
    return registry.get(family).Config(**{**registry.get(family).quick, **options})


def windows_of(n_weeks: int = 500, n_assets: int = 20, noise: float = 0.0, seed: int = 0) -> Windows:
    """Rows of features, of which the target is the four-week return and the square of the newest day."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n_assets, n_weeks, len(FEATURES))).astype(np.float32)
    week, asset = np.nonzero(np.ones((n_weeks, n_assets)))
    rows = features[asset, week]
    target = rows[:, SEEN] + rows[:, FEATURES.index("return_1d")] ** 2 - 1 + noise * random.normal(size=len(week))
    return Windows(features, WindowIndex(asset, week, week), 1, target.astype(np.float64))


def fit_and_predict(family: str, train: Windows, after: Windows, **options: object) -> tuple[dict, np.ndarray]:
    model, config = registry.get(family), config_of(family, **options)
    none = replace(train, index=WindowIndex(*np.empty((3, 0), dtype=np.int64)), target=np.empty(0))
    arrays = model.check_fitted(model.fit(train, none, config, lambda _: None, "cpu"), config)
    return arrays, model.predict(arrays, after, config)


def test_stored_trees_predict_what_the_estimator_does() -> None:
    train, after = windows_of(100, noise=1.0), windows_of(100, seed=1)
    options = {"max_iter": 20, "max_leaf_nodes": 11, "min_samples_leaf": 30, "learning_rate": 0.1}
    arrays, predicted = fit_and_predict("boosting", train, after, **options)
    estimator = HistGradientBoostingRegressor(**options, early_stopping=False, random_state=0)
    estimator.fit(train.values[:, 0], train.target)
    np.testing.assert_allclose(predicted, estimator.predict(after.values[:, 0]), rtol=1e-5, atol=1e-6)
    inner = arrays["left"] != arrays["right"]
    assert inner.sum(axis=1).tolist() == [10] * 20
    # a row that lies on a threshold goes left, and the next float32 goes right, as the estimator sends them
    tree, node = 0, 0
    rows = np.repeat(after.values[:1, 0], 2, axis=0)
    threshold, column = arrays["threshold"][tree, node], int(arrays["feature"][tree, node])
    rows[:, column] = threshold, np.nextafter(threshold, np.float32(np.inf))
    expected = estimator.predict(rows)
    assert expected[0] != expected[1]
    on = Windows(rows[:, None], WindowIndex(np.arange(2), np.zeros(2, int), np.zeros(2, int)), 1, np.zeros(2))
    predicted = registry.get("boosting").predict(arrays, on, config_of("boosting", **options))
    np.testing.assert_allclose(predicted, expected, rtol=1e-5, atol=1e-6)


def test_trees_that_stop_early_are_filled_up_with_leaves() -> None:
    train = windows_of(n_weeks=20)
    arrays, predicted = fit_and_predict("boosting", train, train, min_samples_leaf=400)  # no split has 400 on each side
    assert (arrays["left"] == arrays["right"]).all()
    np.testing.assert_allclose(predicted, train.target.mean(), rtol=1e-5)


def test_ridge_coefficients_are_shrunken_and_predict_linearly() -> None:
    train, after = windows_of(), windows_of(seed=1)
    arrays, predicted = fit_and_predict("ridge", train, after, alpha=10_000.0)
    # 10,000 rows of unit variance and a penalty of 10,000: half of the coefficient of 1 is left
    assert arrays["coef"][SEEN] == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.delete(arrays["coef"], SEEN)).max() < 0.03
    expected = after.values[:, 0] @ arrays["coef"] + arrays["intercept"]
    np.testing.assert_allclose(predicted, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("family", "heaviest"), [("ridge", ["return_4w"]), ("boosting", ["return_1d", "return_4w"])])
def test_the_weights_of_features_name_what_was_learned_from(family: str, heaviest: list[str]) -> None:
    arrays, _ = fit_and_predict(family, windows_of(), windows_of())
    weights = registry.get(family).feature_weights(arrays)
    assert tuple(weights) == FEATURES
    assert sorted(sorted(weights, key=lambda name: -abs(weights[name]))[: len(heaviest)]) == heaviest


@pytest.mark.parametrize("family", FAMILIES)
def test_what_volatility_explains_is_taken_out_of_the_ranks(family: str) -> None:
    train = windows_of(noise=1.0)
    _, plain = fit_and_predict(family, train, train)
    _, neutral = fit_and_predict(family, train, train, volatility_neutral=True)
    volatility = train.values[:, 0, FEATURES.index("volatility_52w")].astype(np.float64)
    for week in (0, 77):
        inside = train.index.week == week
        ranks = uniform_ranks(plain[inside, None])[:, 0]
        line = LinearRegression().fit(volatility[inside, None], ranks)
        left = ranks - line.predict(volatility[inside, None])
        expected = plain[inside].mean() + left / left.std() * plain[inside].std()
        np.testing.assert_allclose(neutral[inside], expected, rtol=1e-6)
        assert np.corrcoef(neutral[inside], volatility[inside])[0, 1] == pytest.approx(0, abs=1e-9)


# On a market


def test_trees_that_point_to_nothing_are_refused_by_their_file(panel: PricePanel) -> None:
    snapshot = train_snapshot("boosting", panel, CUTOFF, config_of("boosting"), MADE_UP)
    snapshot.check()
    for name, value in (("feature", 28.0), ("left", 0.5), ("right", -1.0), ("right", 15.0)):
        wrong = snapshot.arrays[name].copy()
        wrong[3, 2] = value
        hostile = replace(snapshot, arrays={**snapshot.arrays, name: wrong})
        with pytest.raises(
            SnapshotError, match=rf"^model.safetensors: expected whole numbers below \d+ in {name}, got"
        ):
            hostile.check()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tradable_symbol_has_a_forecast_and_the_losses_are_of_its_predictions(
    panel: PricePanel, family: str
) -> None:
    values = panel.values.copy()
    values[0, panel.sessions < np.datetime64("2020-03-02")] = np.nan  # as if listed then
    ragged = replace(panel, values=values)
    snapshot = train_snapshot(family, ragged, CUTOFF, config_of(family), MADE_UP)
    training = snapshot.metadata["training"]
    assert training["curve"] == []
    assert training["train_loss"] < training["zero_train_loss"]
    assert snapshot_verdicts(snapshot)["validation_loss_finite"].passed
    assert "debt to equity before the week" in snapshot.card
    bars = WeeklyPanel.from_panel(ragged)
    bars = bars.select(bars.weeks.start > np.datetime64(CUTOFF))
    forecasts = snapshot.forecast(ragged, bars.weeks)
    np.testing.assert_array_equal(np.isfinite(forecasts), bars.tradable)
    assert bars.tradable[:, 0].any()
    assert not bars.tradable[:, 0].all()


@pytest.mark.parametrize("family", [*FAMILIES, "patchtst"])
def test_what_comes_from_the_week_on_moves_no_forecast_of_it(panel: PricePanel, family: str) -> None:
    options = {"volatility_neutral": True} if family in FAMILIES else {}
    snapshot = train_snapshot(family, panel, CUTOFF, config_of(family, **options), MADE_UP)
    weeks = WeeklyPanel.from_panel(panel).weeks
    weeks = weeks.select(weeks.start > np.datetime64(CUTOFF))
    last = panel.sessions[weeks.first[30] - 1].item()
    changed, as_it_was = (snapshot.forecast(each, weeks) for each in (changed_after(panel, last), panel))
    np.testing.assert_array_equal(changed[:31], as_it_was[:31])
    assert not np.array_equal(changed[31:], as_it_was[31:])
