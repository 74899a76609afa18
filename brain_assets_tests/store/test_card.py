import json

from huggingface_hub import ModelCard

from brain_assets import registry
from brain_assets.forecasting.training import forecaster_card
from brain_assets.portfolio.arithmetic import policy_options
from brain_assets.portfolio.policies import policy_card
from brain_assets.portfolio.ppo import PpoConfig
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
        **dict.fromkeys(("last_session", "last_training_target", "last_validation_target"), "2020-12-31"),
        "first_session": "2016-01-04",
        "first_validation_week": "2019-12-30",
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


def lstm_card() -> str:
    return forecaster_card(registry.get("lstm"), CUTOFF, LSTM_OPTIONS, LSTM_METADATA)


def ppo_card(**training: float | None) -> str:
    metadata = {**PPO_METADATA, "training": {**PPO_METADATA["training"], **training}}
    return policy_card("ppo", CUTOFF, policy_options(PpoConfig()), metadata, "lstm")


UNKNOWN = {"forecast_rank_correlation": None, "momentum_rank_correlation": None}


def test_hub_client_reads_the_held_out_figures_beside_their_baselines_and_writes_the_very_same_card() -> None:
    of_forecasts = "mean weekly rank correlation of the forecasts that it follows, of lstm"
    expected: dict[str, dict[str, float]] = {
        lstm_card(): {
            "mean weekly rank correlation": 0.031235,
            "mean weekly rank correlation (baseline: 4-week momentum)": -0.02,
            "loss": 0.99,
            "loss (baseline: predicting 0)": 1.01,
        },
        # the growth on the weeks that a policy learned from is no result
        ppo_card(): {of_forecasts: 0.02, f"{of_forecasts} (baseline: 4-week momentum)": 0.01},
        ppo_card(**UNKNOWN): {},
    }
    for text, figures in expected.items():
        card = ModelCard(text)
        assert str(card) == text
        assert (card.data.license, "brain-assets" in card.data.tags) == ("mit", True)
        assert card.data.model_name in ("lstm-snapshot-2020-12-31", "ppo-snapshot-2020-12-31")
        assert {result.metric_name: result.metric_value for result in card.data.eval_results or ()} == figures
    assert "| not known | not known (4-week momentum) |" in ppo_card(**UNKNOWN)


def test_card_says_what_a_stranger_must_know() -> None:
    for text, figures, options in (
        (
            lstm_card(),
            "| loss | validation year 2020 | 0.9900 | 1.0100 (predicting 0) | yes |\n"
            "| loss | training weeks | 0.9800 | 1.0000 (predicting 0) | no |",
            LSTM_OPTIONS,
        ),
        (
            ppo_card(),
            "| growth a year, after costs | training weeks | 0.3100 | 0.1100 (equal weight) | no |",
            policy_options(PpoConfig()),
        ),
    ):
        for words in (
            *figures.splitlines(),
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
        first, second = (part.split("```")[0] for part in text.split("```python\n")[1:])
        for snippet in (first, second):
            compile(snippet, "card", "exec")
