"""What the model card of a forecaster says."""

import datetime
from collections.abc import Mapping
from typing import Any

from brain_assets.store.card import CardText, Figure, write_card

RANK_CORRELATION = "mean weekly rank correlation"
MOMENTUM = "4-week momentum"

SEEN = {
    "lstm": "the open, high, low, close and volume",
    "patchtst": "the bars, news scores, and filed margins, current ratio, debt to equity and their age",
}
"""What a family looks at, in words."""

USE = {
    "lstm": "forecasts = snapshot.forecast(panel, weeks)",
    "patchtst": "forecasts = snapshot.forecast(add_signals(panel, news, fundamentals), weeks)",
}


def forecaster_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """Write a forecaster's card; see `brain_assets.store.card.write_card`."""
    data, training = metadata["data"], metadata["training"]
    validation = "validation weeks" if "version" in metadata else f"validation year {cutoff_date.year}"
    held_back = "validation weeks" if "version" in metadata else "validation year"
    neutral = ", ".join(metadata["neutral_channels"])
    held_out = "yes, but for early stopping"
    text = CardText(
        kind="forecaster",
        task="time-series-forecasting",
        summary=f"Predicts the weekly return (last close / first open - 1) of a stock from {SEEN[family]} of its last "
        f"{config['window']} sessions.",
        data=[
            f"bars from {data['first_session']} to {data['last_session']}",
            f"trained on {data['n_training_windows']} windows with targets up to {data['last_training_target']}",
            f"validated on {data['n_validation_windows']} windows, {data['first_validation_week']} to "
            f"{data['last_validation_target']}",
            f"target: {config['target']} weekly return",
            f"channels without any information in the training data: {neutral or 'none'}",
        ],
        figures=[
            Figure(
                RANK_CORRELATION,
                "spearmanr",
                validation,
                training["validation_rank_correlation"],
                training["validation_momentum_rank_correlation"],
                MOMENTUM,
                held_out,
            ),
            Figure(
                "loss",
                "mse",
                validation,
                training["validation_loss"],
                training["zero_validation_loss"],
                "predicting 0",
                held_out,
            ),
            Figure(
                "loss",
                "mse",
                "training weeks",
                training["train_loss"],
                training["zero_train_loss"],
                "predicting 0",
            ),
        ],
        figures_note=f"{_scores_note(metadata)}Losses are mean squared errors in units of the training targets' "
        f"variance. No gradient step saw the {held_back}, but early stopping did: the weights are those of the epoch "
        "with the lowest loss on it, so its figures are somewhat too good.",
        limits=["Weekly returns are mostly noise: a good forecast of them has a rank correlation of a few hundredths."],
        use=USE[family],
    )
    return write_card(family, cutoff_date, config, metadata, text)


def _scores_note(metadata: Mapping[str, Any]) -> str:
    """Say how a main version did on the weeks that were kept from it."""
    if "scores" not in metadata:
        return ""
    scores = metadata["scores"]
    return (
        f"On the {scores['n_weeks']} weeks that begin from {scores['first_week']} to {scores['last_week']}, which "
        f"neither training nor early stopping saw, its loss is {scores['loss']:.4f}, that of predicting 0 "
        f"{scores['zero_loss']:.4f}; {scores['verdict']}.\n\n"
    )
