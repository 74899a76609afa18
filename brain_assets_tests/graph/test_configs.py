"""What a run configuration may say: refused before a run begins, or never tried again."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import torch
from dagster._core.storage.tags import WILL_RETRY_TAG

from brain_assets.errors import MarketError
from brain_assets.graph.instance import dagster_home
from brain_assets.graph.jobs import WALKFORWARD, walkforward_job
from brain_assets.settings import read_settings
from brain_assets.simulator.market import SimulatorMarket
from brain_assets_tests.conftest import TINY_LSTM
from brain_assets_tests.graph.worlds import DEFS, YEARLY, run_year, world


@pytest.mark.parametrize(
    ("job", "asset", "values", "sentence"),
    [
        (WALKFORWARD, "lstm_snapshot", {"hidden_size": -5}, "hidden_size: expected greater than or equal to 1, "),
        (WALKFORWARD, "patchtst_snapshot", {"d_model": 6, "n_heads": 4}, "n_heads: expected a divisor of d_model = 6"),
        (WALKFORWARD, "sac_policy", {"total_steps": 0}, "total_steps: expected greater than or equal to 1, "),
        (WALKFORWARD, "walkforward_forecasts", {"average": ["lstn"]}, "average: expected forecasters among lstm, "),
        (
            WALKFORWARD,
            "walkforward_forecasts",
            {"max_rank_correlation": 0.0},
            "max_rank_correlation: expected greater than",
        ),
        (WALKFORWARD, "ppo_policy", {"n_seeds": 0}, "n_seeds: expected greater than or equal to 1, got 0"),
        (WALKFORWARD, "lstm_snapshot", {"target": "foo"}, "Literal['raw', 'demeaned', 'ranked'] got foo"),
        (
            WALKFORWARD,
            "raw_news_sentiment",
            {"batch_size": 0},
            "batch_size: expected greater than or equal to 1",
        ),
        (
            "weekly_weights",
            "target_weights",
            {"max_model_age_days": 0},
            "max_model_age_days: expected greater than or equal to",
        ),
        (WALKFORWARD, "ppo_policy", {"device": "gpu"}, "Value at path root:ops:ppo_policy:config:device"),
    ],
)
def test_what_is_impossible_is_refused_before_a_run_begins(
    job: str, asset: str, values: dict[str, Any], sentence: str
) -> None:
    wrong = {"ops": {asset: {"config": values}}}
    with pytest.raises(dg.DagsterInvalidConfigError) as caught:
        dg.validate_run_config(DEFS.resolve_job_def(job), wrong)
    assert sentence in str(caught.value)
    with dg.DagsterInstance.ephemeral() as instance:  # as the launchpad does, in the code location: no run is stored
        with pytest.raises(dg.DagsterInvalidConfigError):
            instance.create_run_for_job(DEFS.resolve_job_def(job), run_config=wrong)
        assert instance.get_runs_count() == 0


@pytest.fixture
def instance(tmp_path: Path) -> Any:
    home = dagster_home(read_settings(data_dir=str(tmp_path)))
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


class Unreachable(SimulatorMarket):
    """A market that may be there at the next try."""

    def prices(self, *_: Any) -> Any:
        raise MarketError("simulator: expected an answer, got none; wait.")


def fail(instance: dg.DagsterInstance, resources: Any, asset: str, config: dict[str, Any] | None = None) -> str:
    """Fail a run of the job `walkforward`; tells whether Dagster will try it again."""
    defs = dg.Definitions(YEARLY, jobs=[walkforward_job(YEARLY)], resources=resources)
    result = defs.resolve_job_def(WALKFORWARD).execute_in_process(
        run_config={"ops": {asset: {"config": config}}} if config else {},
        instance=instance,
        partition_key="2019",
        asset_selection=[dg.AssetKey(asset)],
        raise_on_error=False,
    )
    assert not result.success
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags[WILL_RETRY_TAG]


def test_a_run_that_failed_for_its_configuration_is_not_tried_again(
    instance: dg.DagsterInstance, market: SimulatorMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = world(market, tmp_path / "models")
    run_year(2019, resources, instance, ["raw_prices"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fail(instance, resources, "lstm_snapshot", {**TINY_LSTM, "device": "cuda"}) == "false"
    away = world(Unreachable(), tmp_path / "elsewhere")
    assert fail(instance, away, "raw_prices") == "true"
