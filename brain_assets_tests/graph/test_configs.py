"""What a run configuration may say: refused before a run begins, or never tried again."""

from typing import Any

import dagster as dg
import pytest

from brain_assets.graph.options import WALKFORWARD
from brain_assets_tests.graph.worlds import DEFS


@pytest.mark.parametrize(
    ("job", "asset", "values", "sentence"),
    [
        (WALKFORWARD, "patchtst_snapshot", {"d_model": 6, "n_heads": 4}, "n_heads: expected a divisor of d_model = 6"),
        (WALKFORWARD, "walkforward_forecasts", {"average": ["lstn"]}, "average: expected forecasters among lstm, "),
        (WALKFORWARD, "ppo_policy", {"n_seeds": 0}, "n_seeds: expected greater than or equal to 1, got 0"),
        (WALKFORWARD, "lstm_snapshot", {"target": "foo"}, "Literal['raw', 'demeaned', 'ranked'] got foo"),
        (WALKFORWARD, "raw_news_sentiment", {"batch_size": 0}, "batch_size: expected greater than or equal to 1"),
        ("weekly_weights", "target_weights", {"max_model_age_days": 0}, "max_model_age_days: expected greater than or"),
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
