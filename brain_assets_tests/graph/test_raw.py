"""Raw tables in the graph: fetched once, their source said, headlines scored by a real classifier."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brain_assets.errors import SettingsError
from brain_assets.live.market import LiveMarket
from brain_assets.market.sample import SampleMarket
from brain_assets.prove.perturbation import RecordedMarket
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import END, FIRST_DAY
from brain_assets_tests.graph.worlds import RAW, metadata_of, run_year, world
from brain_assets_tests.market.test_finbert import save_model

SIGNALS = ("raw_fundamentals", "raw_news_sentiment")


def test_headlines_are_scored_by_the_classifier_of_the_configuration(market: SimulatorMarket, tmp_path: Path) -> None:
    folder, model = tmp_path / "files", tmp_path / "classifier"
    folder.mkdir()
    save_model(model)
    market.prices(FIRST_DAY, datetime.date(2020, 1, 1)).to_parquet(folder / "prices.parquet")
    headlines = [
        ("2019-06-14T15:59:00-04:00", "AAA", "w1 w2 w3"),  # a Friday
        ("2019-06-14T16:01:00-04:00", "AAA", "w4 w5"),  # after the close: Monday's
        ("2019-06-16T12:00:00+00:00", "BBB", "w1 w2 w3"),  # Sunday: Monday's
        ("2019-12-31T16:30:00-05:00", "AAA", "w6"),  # after the last close of the year: next year's
    ]
    pd.DataFrame(headlines, columns=["published", "symbol", "title"]).to_csv(folder / "headlines.csv", index=False)
    tables = TableStore(tmp_path / "data", {"market": "files"})
    resources = world(FilesMarket(folder), tmp_path / "data" / "models", tables)
    config = {"ops": {"raw_news_sentiment": {"config": {"model": str(model), "batch_size": 2}}}}
    result = run_year(2019, resources, names=["raw_news_sentiment"], run_config=config)
    table = tables.read_year("raw_news_sentiment", 2019)
    assert table["date"].dt.strftime("%Y-%m-%d").tolist() == ["2019-06-14", "2019-06-17", "2019-06-17"]
    assert table["symbol"].tolist() == ["AAA", "AAA", "BBB"]
    assert table["n_articles"].tolist() == [1, 1, 1]
    scores = table["sentiment_score"].to_numpy()
    assert scores[0] == scores[2] != scores[1]  # the same words, the same score
    shown = metadata_of(result, "raw_news_sentiment")
    assert shown["source"] == "headlines from 1 file"
    assert shown["symbols_without_any"] == "CCC, DDD, EEE, FFF"
    [kept] = (tmp_path / "data" / "cache" / "headlines").glob("*.parquet")
    assert len(pd.read_parquet(kept)) == 2  # each distinct headline of the year once


def test_a_market_without_news_and_fundamentals_says_so(tmp_path: Path) -> None:
    resources = world(SampleMarket(), tmp_path)
    result = run_year(2019, resources, names=SIGNALS)
    for name in SIGNALS:
        shown = metadata_of(result, name)
        assert shown["source"] == "none: the data set has closes only"
        assert "neutral" in shown["neutral"]
        assert resources["table_io"].store.read_year(name, 2019).empty


def test_live_fundamentals_without_an_identity_are_one_sentence_and_can_be_left_out(tmp_path: Path) -> None:
    year = datetime.date(2019, 1, 1), datetime.date(2020, 1, 1)
    with pytest.raises(SettingsError, match="BRAIN_EDGAR_IDENTITY: expected who asks SEC EDGAR"):
        LiveMarket(("AAPL",)).fundamentals(*year)
    left_out = LiveMarket(("AAPL",), edgar_identity="none").fundamentals(*year)
    assert left_out.table.empty
    assert left_out[1] == "none: BRAIN_EDGAR_IDENTITY is none"


@pytest.mark.parametrize("name", RAW)
def test_a_year_is_fetched_once_and_a_forced_fetch_keeps_what_it_replaces(
    market: SimulatorMarket, tmp_path: Path, name: str
) -> None:
    tables = TableStore(tmp_path, {"market": "simulator"})
    path = tables.path(name, 2019)
    other: Any = RecordedMarket(market, FIRST_DAY, END).perturbed(datetime.date(2019, 6, 30))

    def run(source: Any, **config: bool) -> dict[str, Any]:
        resources = world(source, tmp_path / "models", tables)
        return metadata_of(run_year(2019, resources, None, [name], {"ops": {name: {"config": config}}}), name)

    assert run(market)["reused"] is False
    old = path.read_bytes()
    assert run(market, force=True)["reused"] is run(other)["reused"] is True
    assert path.read_bytes() == old
    forced = run(other, force=True)
    assert forced["reused"] is False
    kept = forced["replaced_prices" if name == "raw_prices" else "replaced"]
    assert Path(kept).read_bytes() == old != path.read_bytes()
    assert run(other, force=True)["reused"] is True
    assert name != "raw_prices" or forced["changed_returns"] > 100
