"""`brain-assets backfill` and `status`: what is done again, what is not, and what a failure stops."""

import datetime
import re
import shutil

import dagster as dg
import pandas as pd
import pytest
import torch

from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.backfills import (
    ASSETS,
    REPOSITORY,
    TINY,
    YEARS,
    brain_assets,
    contents,
    flip,
    identities,
    outcomes,
    states,
    weights,
    write_config,
)
from brain_assets_tests.conftest import SYMBOLS
from brain_assets_tests.graph.worlds import RAW

ALL = {(year, asset) for year in YEARS for asset in ASSETS}
SKIPPED = "done already, skipped"


def runs(data_dir):
    with dg.DagsterInstance.from_config(str(data_dir / "dagster")) as instance:
        return {run.run_id: (run.tags["dagster/partition"], run.status.value) for run in instance.get_runs()}


# What is done, and done again


def test_every_year_of_every_asset_has_its_line_and_its_run(finished):
    said = outcomes(finished.output)
    assert set(said) == ALL
    assert all(text.startswith("made in ") for text in said.values())
    for year in YEARS:
        for asset in ("lstm_snapshot", "patchtst_snapshot"):
            assert "2 epochs, validation loss" in said[year, asset]
        # in the first year there is no model yet: what momentum stands in for is no figure of any
        assert ("rank correlation" in said[year, "walkforward_forecasts"]) == (year > YEARS[0])
    each = sorted((str(year), "SUCCESS") for year, _ in ALL)
    assert sorted(runs(finished.data_dir).values()) == each


def test_it_ends_with_tables_and_the_way_to_the_ui(finished):
    *lines, last = finished.output.splitlines()
    for year in YEARS:
        labels = ("LSTM", "PatchTST", "Ridge", "Boosting")
        rows = [words for line in lines if (words := line.split())[:1] == [str(year)] and words[1] in labels]
        assert [row[1] for row in rows] == list(labels)
        unknown = 3 if year == YEARS[0] else 0  # rank correlation, its t statistic and what can be detected
        assert all(len(row) == 8 and row[8 - unknown :] == ["–"] * unknown == ["–"] * row.count("–") for row in rows)
        [*_, returns] = [row for line in lines if len(row := line.split()) == 5 and row[0] == str(year)]
        expected = ["–"] * 4 if year == YEARS[0] else [figure for figure in returns[1:] if figure.endswith("%")]
        assert returns[1:] == expected  # no policy is older than the first year
    assert f"{len(ALL)} made, 0 run without change, 0 done before, 0 not done" in lines
    assert last == (
        f"Look at them in Dagster's UI: BRAIN_MARKET=simulator BRAIN_DATA_DIR={finished.data_dir} "
        f"BRAIN_SYMBOLS={','.join(SYMBOLS)} BRAIN_LAST_YEAR=2021 brain-assets ui"
    )


def test_a_second_backfill_does_nothing(finished, tmp_path):
    data = finished.copy(tmp_path)
    files = {str(path): path for folder in ("models", "raw", "forecasts", "backtests") for path in data.glob(folder)}
    before, runs_before = identities(files | weights(data)), runs(data)
    second = brain_assets(data, "backfill", "2019-2021", "--config", str(finished.config))
    assert second.returncode == 0, second.stderr
    assert outcomes(second.stdout) == dict.fromkeys(ALL, SKIPPED)
    assert f"0 made, 0 run without change, {len(ALL)} done before, 0 not done" in second.stdout
    assert identities(files | weights(data)) == before
    assert runs(data) == runs_before
    shown = brain_assets(data, "status", "--config", str(finished.config))
    assert states(shown.stdout) == dict.fromkeys(ALL, "done")


def test_another_configuration_average_or_device_makes_it_stale_and_any_device_does_not(finished, tmp_path):
    here, other = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu", "cuda")
    given = {"lstm_snapshot": {"seed": 1}, "ridge_snapshot": {"alpha": 10.0}, "sac_policy": {"device": other}}
    given |= {"patchtst_snapshot": {"device": here}, "ppo_policy": {"device": "auto", "n_seeds": 2}}
    given["walkforward_forecasts"] = {"average": ["lstm", "ridge"]}
    known = {name: each["config"] for name, each in TINY["ops"].items()}
    options = {name: {"config": {**known.get(name, {}), **each}} for name, each in given.items()}
    config = write_config(tmp_path / "other.yaml", {"ops": {**TINY["ops"], **options}})
    shown = brain_assets(finished.data_dir, "status", "--config", str(config)).stdout
    reasons = {
        **dict.fromkeys(("lstm_snapshot", "ridge_snapshot"), "trained with another configuration"),
        "sac_policy": "trained on another device",
        "ppo_policy": "trained with fewer seeds than asked for",
        "walkforward_forecasts": "made with another average",
    }
    stale = {(year, name) for year in YEARS for name in reasons}
    assert states(shown) == {**dict.fromkeys(ALL, "done"), **dict.fromkeys(stale, "stale")}
    assert {f"{name} 2019-2021: stale: {reason}" for name, reason in reasons.items()} <= set(shown.splitlines())


@pytest.mark.slow
def test_what_is_damaged_or_gone_is_named_refused_and_made_again(finished, tmp_path):
    data = finished.copy(tmp_path)
    before = contents(weights(data))
    flip(forecasts := data / "forecasts" / "2020.parquet")
    flip(model := data / "models" / "patchtst" / "snapshot-2020-12-31" / "model.safetensors")
    flip(manifest := data / "models" / "sac" / "snapshot-2020-12-31" / "metadata.json")
    shutil.rmtree(data / "models" / "lstm" / "snapshot-2020-12-31")
    shown = brain_assets(data, "status", "--config", str(finished.config))
    damaged = {(2020, "walkforward_forecasts"): forecasts, (2020, "patchtst_snapshot"): model}
    damaged[2020, "sac_policy"] = manifest
    wrong = {**dict.fromkeys(damaged, "damaged"), (2020, "lstm_snapshot"): "missing"}
    assert states(shown.stdout) == {**dict.fromkeys(ALL, "done"), **wrong}
    for (year, name), path in damaged.items():
        [line] = [line for line in shown.stdout.splitlines() if line.startswith(f"{name} {year}: damaged: ")]
        assert str(path) in line
    assert "lstm_snapshot 2020: missing: its folder is gone" in shown.stdout.splitlines()
    for command, path in ((("report",), model), (("allocate", "--date", "2021-06-01"), manifest)):
        refused = brain_assets(data, *command)
        assert refused.returncode != 0
        assert f"{path}: expected" in " ".join(refused.stderr.split())

    again = brain_assets(data, "backfill", "2019-2021", "--config", str(finished.config))
    assert again.returncode == 0, again.stderr
    made = {place for place, words in outcomes(again.stdout).items() if words.startswith("made")}
    assert set(wrong) <= made
    assert contents(weights(data)) == before  # trained in another process: bit for bit the same


def test_force_trains_again_and_gives_the_same_bytes(finished, tmp_path):
    data = finished.copy(tmp_path)
    before, bytes_before = identities(weights(data)), contents(weights(data))
    options = ("--assets", "lstm_snapshot,ppo_policy", "--config", str(finished.config), "--force")
    forced = brain_assets(data, "backfill", "2020", *options)
    assert forced.returncode == 0, forced.stderr
    said = outcomes(forced.stdout)
    assert set(said) == {(2020, "lstm_snapshot"), (2020, "ppo_policy")}
    assert all(text.startswith("made in ") for text in said.values())
    rows = [words for line in forced.stdout.splitlines() if (words := line.split()) and words[0].startswith("20")]
    shown = [row for row in rows if row[1] not in ASSETS]
    lstm, patchtst, _, _, _, momentum, *_, returns = shown
    assert {row[0] for row in shown} == {"2020"}  # figures of the year that was asked for
    assert (lstm[1], patchtst[1], momentum[1], len(returns)) == ("LSTM", "PatchTST", "4-week", 5)
    assert len({lstm[-3], patchtst[-3], momentum[-3]}) == 3  # rank correlations
    after = identities(weights(data))
    written = {"lstm/snapshot-2020-12-31", "ppo/snapshot-2020-12-31"}
    assert {name for name in after if after[name] != before[name]} == written
    assert contents(weights(data)) == bytes_before


# What a failure stops, and what it does not


@pytest.mark.slow
def test_a_year_that_the_market_does_not_have(tmp_path, finished):
    prices = SimulatorMarket(SYMBOLS).prices(datetime.date(2016, 1, 1), datetime.date(2022, 1, 1))
    prices[prices["date"].dt.year != 2020].to_csv(tmp_path / "prices.csv", index=False)
    market = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(tmp_path), "BRAIN_SYMBOLS": ""}
    assets = (*RAW, "lstm_snapshot", "walkforward_forecasts")
    arguments = ["backfill", "2019-2021", "--assets", ",".join(assets), "--config", str(finished.config)]
    run = brain_assets(tmp_path / "data", *arguments, **market)
    assert run.returncode == 1
    said = outcomes(run.stdout)
    made = {(2019, asset) for asset in assets} | {(2021, "raw_prices")}
    made |= {(year, asset) for year in YEARS for asset in ("raw_news_sentiment", "raw_fundamentals")}
    assert {place for place, text in said.items() if text.startswith("made in ")} == made
    reason = "market files: expected bars from 2020-01-01 to 2021-01-01, got none; check the symbols and the years."
    assert set(said) == {*made, (2020, "raw_prices")}  # what is blocked has no line of its own
    assert reason.startswith(said[2020, "raw_prices"].removeprefix("failed: ").removesuffix("…"))  # cut to the width
    assert "\nblocked by raw_prices 2020: 4 years of 2 assets\n" in run.stdout
    assert run.stderr == f"error: raw_prices 2020: {reason}\n"
    assert (run.stdout + run.stderr).count(reason) == 1
    assert "10 made, 0 run without change, 0 done before, 5 not done" in run.stdout


@pytest.mark.slow
def test_more_seeds_than_before_are_trained_although_the_year_is_done(finished, tmp_path):
    options = ("2019", "--assets", "ppo_policy", "--config")
    seeds = {**TINY["ops"]["ppo_policy"]["config"], "n_seeds": 2}
    twice = write_config(tmp_path / "twice.yaml", {"ops": {**TINY["ops"], "ppo_policy": {"config": seeds}}})
    data = finished.copy(tmp_path)
    done = brain_assets(data, "backfill", *options, str(twice), "--seeds", "3")  # wins over the file
    assert done.returncode == 0, done.stderr
    assert ["2019", *"––––"] in [line.split() for line in done.stdout.splitlines()]  # nobody to compare with
    assert all((data / "models" / "seeds" / number / "ppo" / "snapshot-2019-12-31").is_dir() for number in "12")
    assert states(brain_assets(data, "status", "2019", "--config", str(twice)).stdout)[2019, "ppo_policy"] == "done"


@pytest.mark.slow
@pytest.mark.wings
def test_then_assets_without_years_are_run_when_what_they_are_made_from_is_done(finished, tmp_path):
    data = finished.copy(tmp_path)
    shutil.rmtree(data / "backtests")
    run = brain_assets(data, "backfill", "2019-2021", "--config", str(finished.config), "--then", "report")
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line.split()[:2] for line in run.stdout.splitlines() if " made" in line]
    assert lines[-2:] == [["report", "made"], ["4", "made,"]]
    assert ["2021", "backtest"] in lines
    assert len(list((data / "reports").glob("*.html"))) == 1
    wrong = brain_assets(data, "backfill", "2019", "--then", "reports")
    assert wrong.returncode == 2
    assert re.fullmatch(r"error: --then: expected names among .*report.*, got reports; correct them\.\n", wrong.stderr)


@pytest.mark.slow
def test_an_edited_row_is_said_by_every_command_until_its_year_is_made_again(prices, tmp_path):
    here, years = tmp_path / "here", ("2019-2020", "--config", str(write_config(tmp_path / "tiny.yaml")))

    def say(*arguments):
        """Run a command, which must succeed, and give what it prints."""
        market = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(here / "files"), "BRAIN_SYMBOLS": ""}
        run = brain_assets(here / "data", *arguments, **market, BRAIN_LAST_YEAR="2020")
        assert (run.returncode, run.stderr) == (0, "")
        return run.stdout

    def backfill(*arguments):
        return outcomes(say("backfill", *years, *arguments))

    def stale():
        return [line for line in say("status", *years).splitlines() if "stale:" in line or "damaged:" in line]

    (here / "files").mkdir(parents=True)
    prices[prices["date"] < "2021"].to_csv(here / "files" / "prices.csv", index=False)
    backfill()
    here, rests = here.rename(tmp_path / "moved"), "This rests on raw_prices[2020] stale: prices.csv changed"
    path = here / "files" / "prices.csv"
    whole = path.read_bytes()
    rows = pd.read_csv(path)
    rows.loc[(rows["date"] == "2020-07-01") & (rows["symbol"] == "CCC"), "volume"] = 1000.0
    rows.to_csv(path, index=False)
    assert "raw_prices 2020: stale: prices.csv changed" in stale()
    assert say("report").splitlines()[0].startswith(rests)
    assert say("allocate", "--date", "2020-11-02").splitlines()[0].startswith(rests)
    said = backfill("--assets", "raw_prices")
    assert said[2019, "raw_prices"] == "done already, skipped"
    assert "made in " in said[2020, "raw_prices"]
    assert "(stale: prices.csv changed)" in said[2020, "raw_prices"]
    assert not say("report", "--years", "2019").startswith("This rests")
    assert "walkforward_forecasts[2020] stale: raw_prices[2020] changed" in say("report").splitlines()[0]
    said = backfill()
    assert "(stale: raw_prices[2020] changed)" in said[2020, "lstm_snapshot"]
    assert said[2019, "lstm_snapshot"] == "done already, skipped"
    assert stale() == []
    assert not say("report").startswith("This rests")
    path.write_bytes(whole)
    assert stale() == ["raw_prices 2020: stale: prices.csv changed"]


REAL_DATA = REPOSITORY.parent / "shared" / "data" / "real"


@pytest.mark.slow
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"no real bars in {REAL_DATA.name}/")
def test_real_bars_run_through_from_2019_to_2023(tmp_path):
    config, data = write_config(tmp_path / "tiny.yaml"), tmp_path / "data"
    files = {"BRAIN_MARKET": "files", "BRAIN_FILES_DIR": str(REAL_DATA), "BRAIN_SYMBOLS": "", "BRAIN_LAST_YEAR": ""}
    run = brain_assets(data, "backfill", "2019-2023", "--config", str(config), **files)
    assert run.returncode == 0, run.stderr
    assert f"{5 * len(ASSETS)} made, 0 run without change, 0 done before, 0 not done" in run.stdout
    rows = {year: pd.read_parquet(data / "forecasts" / f"{year}.parquet") for year in range(2019, 2024)}
    bootstrap, later = rows[2019], rows[2020]
    # DIS is known from 2019-06-13 on, a Thursday: the first week with a close before it begins on the 17th
    assert bootstrap.loc[bootstrap["symbol"] == "DIS", "week_start"].min() == pd.Timestamp("2019-06-17")
    # SBUX is gone after Thursday 2020-07-02, the last session of its week; it was tradable then, so the next week has a
    # row, whose return never came to be known
    last = later[later["symbol"] == "SBUX"].iloc[-1]
    assert last["week_start"] == pd.Timestamp("2020-07-06")
    assert pd.isna(last["realized"])
    assert "SBUX" not in set(rows[2021]["symbol"])
    weights = pd.read_parquet(data / "backtests" / "2021.parquet")["weights"]
    assert not weights.str.contains("SBUX").any()
    assert weights.str.contains("DIS").any()
