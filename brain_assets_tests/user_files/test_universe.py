"""Who could be chosen when: files of memberships, and what they leave out of training, forecasts and portfolios."""

import datetime
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_assets.errors import TableError
from brain_assets.forecasting.lstm import LstmConfig
from brain_assets.forecasting.training import forecaster_fingerprint, train_snapshot
from brain_assets.forecasting.walkforward import build_forecast_features
from brain_assets.market.archive import chain_prices, fetch_prices
from brain_assets.market.base import MarketNote
from brain_assets.market.prices import MEMBERS, PricePanel, describe_members, member_mask
from brain_assets.market.schema import findings_of
from brain_assets.market.signals import add_signals
from brain_assets.market.weekly import WeeklyPanel
from brain_assets.portfolio.backtest import backtest
from brain_assets.prove.runs import RecordedMarket
from brain_assets.store.storage import SnapshotLocalStorage
from brain_assets.user_files.market import FilesMarket

SPANS = (
    "SYMBOL,from,to",
    "aaa,2016-01-01,2019-06-12",
    "BBB,2019-06-13,",
    "CCC,2016-01-01,",
    "GONE,2018-01-01,2018-12-31",
)
"""AAA is a member until a Wednesday, BBB from the day after it on; of GONE nobody has a price."""

JUNE = datetime.date(2019, 6, 12)
YEARS = (datetime.date(2016, 1, 1), datetime.date(2021, 1, 1))


@pytest.fixture
def folder(tmp_path: Path, prices: pd.DataFrame) -> Path:
    prices[prices["symbol"].isin(["AAA", "BBB", "CCC", "DDD"])].to_csv(tmp_path / "prices.csv", index=False)
    (tmp_path / "universe.csv").write_text("\n".join(SPANS))
    return tmp_path


def member_weeks(bars: WeeklyPanel, symbol: str) -> np.ndarray:
    """Give the first sessions of the weeks in which a symbol can be chosen."""
    return bars.weeks.start[bars.tradable[:, bars.symbols.index(symbol)]]


def test_a_symbol_can_be_chosen_in_the_weeks_before_which_it_was_a_member(folder: Path) -> None:
    panel = PricePanel.from_frame(FilesMarket(folder).prices(*YEARS))
    bars = WeeklyPanel.from_panel(panel)
    assert member_weeks(bars, "AAA").max() == np.datetime64("2019-06-10")  # decided on the 7th
    assert member_weeks(bars, "BBB").min() == np.datetime64("2019-06-17")
    assert len(member_weeks(bars, "CCC")) == len(bars.weeks)
    assert len(member_weeks(bars, "DDD")) == 0
    assert (np.isfinite(bars.realized) == bars.tradable).all()
    (folder / "universe.csv").unlink()
    everyone = WeeklyPanel.from_panel(PricePanel.from_frame(FilesMarket(folder).prices(*YEARS)))
    assert everyone.tradable.all()
    for name in ("momentum", "volatility", "return_ffill"):  # what is known of who is no member stays known
        np.testing.assert_array_equal(getattr(bars, name), getattr(everyone, name))


@pytest.mark.slow
def test_models_forecasts_and_portfolios_are_of_members_alone(folder: Path, tiny_lstm: LstmConfig) -> None:
    market, cutoff = FilesMarket(folder), datetime.date(2019, 12, 31)
    panel = add_signals(PricePanel.from_frame(market.prices(*YEARS)))
    forecasts = build_forecast_features(panel, [2019, 2020], {"lstm": SnapshotLocalStorage("lstm", folder / "models")})
    assert set(forecasts["symbol"]) == {"AAA", "BBB", "CCC"}
    assert forecasts.loc[forecasts["symbol"] == "AAA", "week_start"].max() == pd.Timestamp("2019-06-10")
    held = backtest(panel, forecasts, [2019, 2020], {}).table
    weights = held.set_index("week_start")["weights"].map(json.loads)
    assert set(weights["2019-06-10"]) == {"AAA", "CCC", "cash"}
    assert set(weights["2019-06-17"]) == {"BBB", "CCC", "cash"}
    trained = train_snapshot("lstm", panel, cutoff, tiny_lstm, MarketNote.of(market))
    (folder / "universe.csv").unlink()
    everyone = add_signals(PricePanel.from_frame(FilesMarket(folder).prices(*YEARS)))
    other = train_snapshot("lstm", everyone, cutoff, tiny_lstm, MarketNote.of(market))
    data, of_all = (snapshot.metadata["data"]["n_training_windows"] for snapshot in (trained, other))
    assert data < of_all
    prints = [forecaster_fingerprint("lstm", each.until(cutoff), tiny_lstm).value for each in (panel, everyone)]
    assert prints[0] != prints[1]


def fetch(market: FilesMarket, year: int) -> pd.DataFrame:
    return fetch_prices(market, datetime.date(year, 1, 1), datetime.date(year + 1, 1, 1), overlap=year > 2018)


def test_a_year_tells_of_no_change_that_came_later_and_years_join(folder: Path) -> None:
    market = FilesMarket(folder)
    years = [fetch(market, year) for year in (2018, 2019, 2020)]
    assert years[0].attrs[MEMBERS] == {key: [["2018-01-01", "2018-12-31"]] for key in ("AAA", "CCC", "GONE")}
    sessions = np.arange("2018-01-01", "2021-01-01", dtype="datetime64[D]")
    mask = member_mask(chain_prices(years).attrs[MEMBERS], ("AAA", "BBB"), sessions)
    np.testing.assert_array_equal(mask[0], sessions <= np.datetime64(JUNE))
    np.testing.assert_array_equal(mask[1], sessions > np.datetime64(JUNE))
    del years[2].attrs[MEMBERS]  # stored before there was such a file
    [late] = member_mask(chain_prices(years).attrs[MEMBERS], ("DDD",), sessions)
    np.testing.assert_array_equal(late, (sessions >= np.datetime64("2020-01-02")) & (sessions < np.datetime64("2021")))
    assert describe_members(years[0]) == "3 members, 2 with prices"
    [found] = findings_of(years[0])
    assert found.sentence == "GONE: 1 member of the universe without prices in any file."


def test_a_change_of_members_is_one_of_the_prices_of_its_years(folder: Path) -> None:
    market = FilesMarket(folder)
    before = market.observe([2018, 2019, 2020])
    (folder / "universe.csv").write_text("\n".join(SPANS).replace("2019-06-12", "2019-06-11"))
    after = market.observe([2018, 2019, 2020])
    of_years = zip(before.versions["raw_prices"].items(), after.versions["raw_prices"].items(), strict=True)
    assert [one[0] for one, other in of_years if one != other] == [2019]
    assert before.versions["raw_fundamentals"] == after.versions["raw_fundamentals"]
    files = [each.files["raw_prices"][2019] for each in (before, after)]
    assert [name for name in files[0] if files[0][name] != files[1][name]] == ["universe.csv"]
    (folder / "universe.csv").write_text("SYMBOL,from,to\nAAA,2018-01-01,soon")
    assert "raw_prices" not in market.observe([2018]).versions


def test_what_is_no_membership_is_refused_with_its_place(folder: Path) -> None:
    for line, sentence in (
        ("AAA,2019-01-01,soon", "column to: expected the last day as YYYY-MM-DD, or nothing"),
        ("AAA,2019-01-02,2019-01-01", "column to: expected a day on or after the first"),
        ("AAA,new,2019-01-01", "column from: expected a day as YYYY-MM-DD"),
    ):
        (folder / "universe.csv").write_text("\n".join([*SPANS, line]))
        with pytest.raises(TableError, match=f"^universe.csv, line 6, {sentence}"):
            FilesMarket(folder).prices(*YEARS)


def test_another_future_leaves_who_was_a_member(folder: Path) -> None:
    recorded, asked = RecordedMarket(FilesMarket(folder), *YEARS), (YEARS[0].replace(year=2018), YEARS[1])
    assert recorded.perturbed(JUNE).prices(*asked).attrs[MEMBERS] == recorded.prices(*asked).attrs[MEMBERS]
