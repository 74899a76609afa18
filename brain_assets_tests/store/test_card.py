import json
import math
from collections.abc import Callable

import pytest
import yaml
from huggingface_hub import ModelCard

from brain_assets import registry
from brain_assets.errors import SnapshotError
from brain_assets.forecasting.training import forecaster_card
from brain_assets.portfolio.constraints import policy_options
from brain_assets.portfolio.policies import policy_card
from brain_assets.portfolio.ppo import PpoConfig
from brain_assets.store.card import validate_card
from brain_assets.store.names import cutoff_of_year

CUTOFF = cutoff_of_year(2020)
SYMBOLS = ["AAA", "BBB", "NO", "ÄÖ"]
MARKET = {"market": "sample", "caveat": "Closes only: a caveat."}
NEUTRAL = ["volume_return", "news_sentiment"]
LSTM_OPTIONS = {"window": 60, "target": "ranked", "learning_rate": 1e-05}
LSTM_METADATA = {
    **MARKET,
    "uninformative_features": NEUTRAL,
    "data": {
        "first_session": "2016-01-04",
        "last_session": "2020-12-31",
        "last_training_target": "2020-12-31",
        "first_validation_week": "2019-12-30",
        "last_validation_target": "2020-12-31",
        "symbols": SYMBOLS,
        "n_training_windows": 400,
        "n_validation_windows": 100,
    },
    "training": {
        "train_loss": 0.98,
        "zero_train_loss": 1.0,
        "validation_loss": 0.99,
        "zero_validation_loss": 1.01,
        "validation_rank_correlation": 0.0312345678,
        "validation_momentum_rank_correlation": -0.02,
        "curve": [{"epoch": 1, "train": 0.98, "validation": 0.99}],
    },
}
PPO_METADATA = {
    **MARKET,
    "uninformative_features": NEUTRAL,
    "data": {"first_week": "2016-02-08", "last_week": "2020-12-28", "symbols": SYMBOLS, "n_weeks": 250},
    "training": {
        "cagr": 0.31,
        "cagr_equal_weight": 0.11,
        "forecast_rank_correlation": 0.02,
        "momentum_rank_correlation": 0.01,
    },
}


def lstm_card(**training: float | None) -> str:
    metadata = {**LSTM_METADATA, "training": {**LSTM_METADATA["training"], **training}}
    return forecaster_card(registry.get("lstm"), CUTOFF, LSTM_OPTIONS, metadata)


def ppo_card(**training: float | None) -> str:
    metadata = {**PPO_METADATA, "training": {**PPO_METADATA["training"], **training}}
    return policy_card("ppo", CUTOFF, policy_options(PpoConfig()), metadata, "lstm")


UNKNOWN = {"forecast_rank_correlation": None, "momentum_rank_correlation": None}


def test_hub_client_reads_the_held_out_figures_beside_their_baselines_and_writes_the_very_same_card() -> None:
    expected: dict[str, dict[str, float]] = {
        lstm_card(): {
            "mean weekly rank correlation": 0.031235,
            "mean weekly rank correlation (baseline: 4-week momentum)": -0.02,
            "loss": 0.99,
            "loss (baseline: predicting 0)": 1.01,
        },
        ppo_card(): {  # the growth on the weeks that a policy learned from is no result
            "mean weekly rank correlation of the forecasts that it follows, of lstm": 0.02,
            "mean weekly rank correlation of the forecasts that it follows, of lstm (baseline: 4-week momentum)": 0.01,
        },
        ppo_card(**UNKNOWN): {},
    }
    for text, figures in expected.items():
        card = ModelCard(text)
        assert str(card) == text
        assert (card.data.license, "brain-assets" in card.data.tags) == ("mit", True)
        assert card.data.model_name in ("lstm-snapshot-2020-12-31", "ppo-snapshot-2020-12-31")
        assert {result.metric_name: result.metric_value for result in card.data.eval_results or ()} == figures
        validate_card(text)
    assert "| not known | not known (4-week momentum) |" in ppo_card(**UNKNOWN)


@pytest.mark.parametrize(
    ("text", "figures", "options"),
    [
        (
            lstm_card(),
            (
                "| loss | validation year 2020 | 0.9900 | 1.0100 (predicting 0) | yes |",
                "| loss | training weeks | 0.9800 | 1.0000 (predicting 0) | no |",
            ),
            LSTM_OPTIONS,
        ),
        (
            ppo_card(),
            ("| growth a year, after costs | training weeks | 0.3100 | 0.1100 (equal weight) | no |",),
            policy_options(PpoConfig()),
        ),
    ],
)
def test_card_says_what_a_stranger_must_know(text: str, figures: tuple[str, ...], options: dict) -> None:
    for words in (
        *figures,
        "market: sample",
        "4 symbols: AAA, BBB, NO, ÄÖ",
        "2016-",
        "companies that failed are likely not among them",
        "Closes only: a caveat.",
        "`walkforward_forecasts` and `backtest` of 2021",
        'ModelSnapshot.load(Path("snapshot-2020-12-31"))',
        'ModelSnapshot.from_hub("<user>/<repo>", revision="snapshot-2020-12-31")',
        "License: MIT",
    ):
        assert words in text, words
    assert json.loads(text.split("```json\n")[1].split("```")[0]) == options
    snippets = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert len(snippets) == 2
    for snippet in snippets:
        compile(snippet, "card", "exec")


def changed(change: Callable[[dict], object]) -> str:
    """Give a card with other metadata."""
    _, block, body = lstm_card().split("---\n", 2)
    data = yaml.safe_load(block)
    change(data)
    return f"---\n{yaml.dump(data)}---\n{body}"


def with_value(value: object) -> str:
    def change(data: dict) -> None:
        data["model-index"][0]["results"][0]["metrics"][0]["value"] = value

    return changed(change)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# no metadata", "got others"),
        ("---\na: [\n---\n", r"got what it refuses \(.*\)"),
        (changed(lambda data: data["model-index"][0].pop("results")), "got what it refuses"),
        (with_value(math.nan), "got nan for mean weekly rank correlation"),
        (changed(lambda data: None), "got others"),  # sorted by name
    ],
)
def test_card_that_the_hub_would_not_take_or_would_misread_is_refused(text: str, problem: str) -> None:
    with pytest.raises(
        SnapshotError, match=rf"^README\.md: expected metadata .* figures, {problem}.*; correct the model card\.$"
    ):
        validate_card(text)


def test_figure_that_is_not_finite_makes_no_card() -> None:
    with pytest.raises(SnapshotError, match=r"^README\.md: expected metadata that .*, got nan for loss;"):
        lstm_card(validation_loss=math.nan)
