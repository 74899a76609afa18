"""The cost model on points that were made by hand, and one real point."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.growth import N_SEEDS, SEEDS, SIMULATE, STAGES, Point, measure
from benchmarks.scaling import LINEAR, exponent, fit, growth_rows, predict

SIZES = [(200, 4), (200, 8), (400, 4), (400, 8), (800, 8)]


def point(
    stage: str, symbols: int, years: int, cpu: float, stored: dict[str, int], epoch: float | None = None
) -> Point:
    epochs = None if epoch is None else 4
    return Point(stage, symbols, years, 2 * cpu, cpu, 1.0, 500 + 0.1 * symbols * years, 400.0, stored, epochs, epoch)


def made_by_hand() -> list[Point]:
    points = []
    for s, y in SIZES:
        raw = {"raw_prices": 1000 * s, "raw_news_sentiment": 200 * s, "raw_fundamentals": 50 * s}
        points.append(point(SIMULATE, s, y, 1.0, raw))
        epoch = 0.001 * s * y
        points.append(point("lstm_snapshot", s, y, 10 + 4 * epoch, {"lstm": 10 * s}, epoch))
        points.append(point("patchtst_snapshot", s, y, 20 + 8 * epoch, {"patchtst": 10 * s}, 2 * epoch))
        points.append(point("forecasts", s, y, 3 + epoch, {"walkforward_forecasts": 100 * s}))
        points.append(point("ppo_policy", s, y, 0.1 * s, {"ppo": 20 * s}))
        points.append(point("sac_policy", s, y, 0.2 * s, {"sac": 30 * s}))
        points.append(point("backtest", s, y, 0.01 * s, {"backtest": 400 * s}))
        seeds = point(SEEDS, s, y, 0.01 * s + N_SEEDS * 0.002 * s, {"backtest": 400 * s + N_SEEDS * 100 * s})
        points.append(replace(seeds, peak_mib=seeds.peak_mib + N_SEEDS * 0.05 * s))
    return points


def test_a_fit_finds_the_sum_that_the_values_are_of_and_an_exponent_tells_linear_from_quadratic() -> None:
    cost = fit(SIZES, [2 + 3 * s + 0.5 * s * y for s, y in SIZES], LINEAR)
    assert cost.coefficients == pytest.approx((2, 3, 0.5), rel=1e-6)
    assert cost.at(5_000, 30) == pytest.approx(2 + 15_000 + 75_000)
    assert cost.words() == "2 + 3 s + 0.5 s y"
    assert min(fit(SIZES, [s * y - 0.01 * s for s, y in SIZES], LINEAR).coefficients) >= 0
    assert exponent([100, 500, 7_500], [3, 15, 225]) == pytest.approx(1)
    assert exponent([100, 500, 7_500], [100, 2_500, 562_500]) == pytest.approx(2)
    rows = {row[0]: row for row in growth_rows([p for p in made_by_hand() if p.stage != SIMULATE])}
    assert rows["lstm_snapshot (an epoch)"][1:3] == ("1.00", "1.00")
    assert rows["ppo_policy"][2] == "1.00"


def test_a_prediction_by_hand() -> None:
    """1,000 symbols, five years, three seeds: two partitions, with histories of four and of five years."""
    found = predict(made_by_hand(), 1_000, 5, 3)
    hours = {stage: 3600 * value for stage, value in found.core_hours.items()}
    assert hours == pytest.approx(
        {
            "lstm_snapshot": (10 + 4 * 4 + 1) + (10 + 4 * 5 + 1),  # a second of imports each
            "patchtst_snapshot": (20 + 8 * 4 + 1) + (20 + 8 * 5 + 1),
            "forecasts": (3 + 4 + 1) + (3 + 5 + 1),
            "ppo_policy": 3 * 2 * (100 + 1),
            "sac_policy": 3 * 2 * (200 + 1),
            "backtest": 2 * (10 + 1 + 2 * 2),  # two more seeds of two seconds
        }
    )
    peaks = {**dict.fromkeys(STAGES, 500 + 500), "backtest": 500 + 500 + 2 * 50}
    assert {stage: 1024 * value for stage, value in found.peak_gib.items()} == pytest.approx(peaks)
    assert 3600 * found.longest_hours == pytest.approx((20 + 8 * 5 + 1) + (3 + 5 + 1) + (200 + 1) + 15)
    first_year = (20 + 8 * 4 + 1) + (3 + 4 + 1) + (200 + 1) + 15
    assert found.sequence_hours == pytest.approx(found.longest_hours + first_year / 3600)
    assert found.tasks == 2 * (3 + 2 + 1 + 2 * 3 + 1)
    stored = {name: value * 2**30 for name, value in found.stored_gib.items()}
    assert stored == pytest.approx(
        {
            "raw tables": 5 * 1_250_000,
            "forecasts": 5 * 100_000,
            "backtests": 2 * (400_000 + 2 * 100_000),
            "forecasters": 2 * 20_000,
            "policies": 2 * 3 * 50_000,
        }
    )
    a_policy = 4 + 5  # years of history that a family's tasks read over the two partitions
    assert found.read_gib * 2**30 == pytest.approx(
        a_policy * (1_000_000 + 3 * 1_250_000 + 2 * 3 * (1_250_000 + 100_000)) + 2 * (20_000 + 3 * 50_000 + 100_000)
    )
    n_snapshots = 2 * (2 + 2 * 3)
    assert found.puts == 2 * (3 + 2) + 6 * n_snapshots
    assert found.gets == (1 + 2) * (1 + 3 + 3 + 3 + 2 * 3 * 4) + 2 + 6 * n_snapshots
    assert found.deletes == n_snapshots
    assert found.event_rows == 26 * 30


@pytest.mark.slow
@pytest.mark.claim
def test_a_stage_is_the_very_asset_in_a_process_of_its_own(tmp_path: Path) -> None:
    made, lstm, backtest = measure(tmp_path, 9, 5, ["lstm_snapshot", "backtest"])
    assert made.key == (SIMULATE, 9, 5)
    table = tmp_path / "9x5" / "backtests" / "2022.parquet"
    assert backtest.stored == {"backtest": table.stat().st_size}
    assert lstm.stored["lstm"] > 10_000
    assert lstm.epochs is not None
    assert 0 < lstm.epochs * (lstm.epoch_cpu_seconds or 0) < lstm.cpu_seconds
    for found in (made, lstm, backtest):
        assert found.peak_mib > found.imports_mib > 100
        assert found.import_cpu_seconds > 0.5
