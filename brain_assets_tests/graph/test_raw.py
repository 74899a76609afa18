"""Raw tables in the graph: fetched once, their source said, and rows since the last complete year."""

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import SettingsError
from brain_assets.graph.assets.raw import fetch_year_to_date, join
from brain_assets.live.market import LiveMarket
from brain_assets.market.base import SourcedTable
from brain_assets.market.sample import SampleMarket
from brain_assets.market.schema import Finding, attach
from brain_assets.prove.runs import RecordedMarket
from brain_assets.simulator.market import SimulatorMarket
from brain_assets.store.tables import TableStore
from brain_assets.user_files.market import FilesMarket
from brain_assets_tests.conftest import END, FIRST_DAY, SYMBOLS
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


YEAR, NEXT_YEAR, MARCH = datetime.date(2020, 1, 1), datetime.date(2021, 1, 1), datetime.date(2021, 3, 1)


class Split(SimulatorMarket):
    """Has split every symbol in two since the year was fetched, and adjusts all that it gives."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        bars = super().prices(start, end)
        bars[["open", "high", "low", "close"]] /= 2
        return bars.assign(volume=2 * bars["volume"])


def test_they_are_put_on_the_level_of_the_year_before(market: SimulatorMarket) -> None:
    before, expected = market.prices(YEAR, NEXT_YEAR), market.prices(YEAR, MARCH)
    later = fetch_year_to_date(Split(SYMBOLS, seed=1, signal=0.15), (NEXT_YEAR, MARCH), None, ["raw_prices"])
    joined = join("raw_prices", before, later["raw_prices"])
    assert joined[["date", "symbol"]].equals(expected[["date", "symbol"]])
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(joined[name], expected[name])


class Slipped(SimulatorMarket):
    """A market in which prices of 4 February 2021 are ten times too high, and whose filings are not all there."""

    def prices(self, start: datetime.date, end: datetime.date) -> pd.DataFrame:
        bars = super().prices(start, end)
        bars.loc[(bars["date"] == "2021-02-04") & (bars["symbol"] == "AAA"), ["open", "high", "low", "close"]] *= 10
        return bars

    def fundamentals(self, start: datetime.date, end: datetime.date) -> SourcedTable:
        found = super().fundamentals(start, end)
        gone = Finding("rows_taken", "BBB", "facts without a value", "left out", 2021, 2)
        return found._replace(table=attach(found.table, [gone]))


def test_what_the_checks_of_a_year_would_find_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    fetch_year_to_date(SimulatorMarket(SYMBOLS), (NEXT_YEAR, MARCH), None)
    assert caplog.messages == []
    fetch_year_to_date(Slipped(SYMBOLS), (NEXT_YEAR, MARCH), None)
    slip = "1 jump looks like a decimal point that slipped: AAA 2021-02-04 1:10 until 2021-02-05; correct these bars."
    assert caplog.messages == [
        f"raw_prices since 2021-01-01, no_jumps: {slip}",
        "raw_fundamentals since 2021-01-01, rows_taken: BBB: 2 facts without a value; left out.",
    ]
