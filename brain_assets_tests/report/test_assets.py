"""The report in the graph: whatever years there are, one page, the same pictures in metadata."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from brain_assets.errors import TableError
from brain_assets.graph.project import build_resources
from brain_assets.market.schema import NEWS_TABLE, PRICE_TABLE, Finding, attach
from brain_assets.portfolio.strategy import TUNING_TRIALS, record_trial
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import MemoryTableStore
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import EVERY, metadata_of
from brain_assets_tests.market.test_price_checks import OPEN_TO_CLOSE, YEAR, between, year_of_bars
from brain_assets_tests.report.toy_results import backtest_table, forecast_table

FIRST = {2020: np.datetime64("2019-12-30"), 2021: np.datetime64("2021-01-04")}


@pytest.fixture
def tables() -> MemoryTableStore:
    """Years of 52 weeks in which PPO gains a thousandth a week on equal weight."""
    store = MemoryTableStore()
    for year, first in FIRST.items():
        equal = np.random.default_rng(year).normal(0.001, 0.02, 52)
        net = {"equal_weight": equal, "ppo": equal + 0.001, "momentum_top": equal[::-1]}
        store.write("backtest", year, backtest_table(net, first))
        store.write("walkforward_forecasts", year, forecast_table(52, 0.3, first=first))
    return store


TUNED = sum(TUNING_TRIALS[family] for family in ("lstm", "patchtst", "ppo"))
"""What chose the defaults of the families of these tables."""


def make(tables: MemoryTableStore, root: Path, **config: Any) -> dg.ExecuteInProcessResult:
    resources = build_resources(SimulatorMarket(SYMBOLS, seed=1), tables, root / "models")
    options = {"ops": {"report": {"config": config}}}
    return dg.materialize(EVERY, selection=["report"], resources=dict(resources), run_config=options)


def test_it_covers_the_years_that_were_backtested(tables: MemoryTableStore, tmp_path: Path) -> None:
    metadata = metadata_of(make(tables, tmp_path), "report")
    path = tmp_path / "reports" / "simulator-2020-2021.html"
    assert metadata["path"] == str(path)
    assert metadata["page"] == "http://127.0.0.1:3001/simulator-2020-2021.html"
    html = path.read_text(encoding="utf-8")
    assert metadata["bytes"] == path.stat().st_size
    assert metadata["can_be_concluded"].replace("'", "&#39;") in html
    assert "PPO earned" in metadata["can_be_concluded"]
    assert metadata["weeks"] == "104"
    equal = np.concatenate([np.random.default_rng(year).normal(0.001, 0.02, 52) for year in FIRST])
    assert metadata["eval/ppo_annual_return"] == round(np.prod(1.001 + equal) ** 0.5 - 1, 6)
    assert "<dt>symbols</dt><dd>2: AAA, BBB</dd>" in html
    assert "<dt>window</dt><dd>2019-12-30 to 2021-12-31, 104 weeks</dd>" in html
    variables = "BRAIN_MARKET=simulator BRAIN_FIRST_YEAR=2016 BRAIN_BOOTSTRAP_YEARS=4"
    assert f"<dt>command</dt><dd>{variables} brain-assets report --years 2020-2021</dd>" in html
    assert metadata["figures"].records[0].data["strategy"] == "PPO"
    assert metadata["policies"].records[0].data["training seeds"] == "1"
    for name in ("equity", "rank_correlation"):
        assert metadata[name].startswith("![")
        assert f'id="{name}"' in html


def test_years_can_be_chosen_and_holes_are_left_out(tables: MemoryTableStore, tmp_path: Path) -> None:
    for n_tried, year in ((1, 2019), (2, 2020), (4, 2021)):
        for number in range(n_tried):
            record_trial(tmp_path / "trials", "ppo", year, np.tile([0.02, -0.018], 26), {"number": number + year}, None)
    metadata = metadata_of(make(tables, tmp_path, first_year=2021, last_year=2021), "report")
    assert (metadata["years"], metadata["weeks"], metadata["configurations_tried"]) == ("2021", "52", str(4 + TUNED))
    assert (tmp_path / "reports" / "simulator-2021-2021.html").exists()
    tables.path("walkforward_forecasts", 2021).unlink()
    metadata = metadata_of(make(tables, tmp_path, first_year=2021), "report")
    assert "rank_correlation" not in metadata


def test_without_a_backtest_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"expected a backtest of a year from 2019 to \d+, the earlier first"):
        make(MemoryTableStore(), tmp_path)
    assert not (tmp_path / "reports").exists()


def test_it_says_what_is_doubted_in_the_stored_tables_of_its_years_and_those_before(
    tables: MemoryTableStore, tmp_path: Path
) -> None:
    prices = year_of_bars("A", "B")
    prices.loc[between(prices, "A", 0, 99), OPEN_TO_CLOSE] *= 4
    columns = list(PRICE_TABLE.names)
    tables.write("raw_prices", 2020, prices.sort_values(["date", "symbol"], ignore_index=True)[columns])
    found = Finding("rows_taken", "news.csv", "rows on days when the exchange was closed", "left out", 2019, 3, "a day")
    tables.write("raw_news_sentiment", 2019, attach(NEWS_TABLE.empty(), [found]))
    metadata = metadata_of(make(tables, tmp_path), "report")
    html = Path(metadata["path"]).read_text(encoding="utf-8")
    split = f"1 jump looks like a split or a dividend that was never taken out: A {YEAR[100]} 4:1; use adjusted prices."
    closed = "news.csv: 3 rows on days when the exchange was closed, the first a day; left out."
    assert metadata["doubts_of_the_data"] == f"2019 raw_news_sentiment: {closed} 2020 raw_prices: {split}"
    assert f"<dt>2019 raw_news_sentiment, rows_taken</dt><dd>{closed}</dd>" in html
    assert f"<dt>2020 raw_prices, no_jumps</dt><dd>{split}</dd>" in html
