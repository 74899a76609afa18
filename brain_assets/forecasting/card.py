"""What the model card of a forecaster says."""

import datetime
from collections.abc import Mapping
from typing import Any

from brain_assets.snapshots.card import CardText, Figure, write_card

RANK_CORRELATION = "mean weekly rank correlation"
MOMENTUM = "4-week momentum"


def forecaster_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """Write a forecaster's card; see `brain_assets.snapshots.card.write_card`."""
    data, training = metadata["data"], metadata["training"]
    validation = f"validation year {cutoff_date.year}"
    held_out = "yes, but for early stopping"
    text = CardText(
        kind="forecaster",
        task="time-series-forecasting",
        summary=f"Predicts the weekly return (last close / first open - 1) of a stock from the open, high, low, close "
        f"and volume of its last {config['window']} sessions.",
        data=[
            f"bars from {data['first_session']} to {data['last_session']}",
            f"trained on {data['n_training_windows']} windows with targets up to {data['last_training_target']}",
            f"validated on {data['n_validation_windows']} windows, {data['first_validation_week']} to "
            f"{data['last_validation_target']}",
            f"target: {config['target']} weekly return",
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
        figures_note="Losses are mean squared errors in units of the training targets' variance. No gradient step saw "
        "the validation year, but early stopping did: the weights are those of the epoch with the lowest loss on it, "
        "so its figures are somewhat too good.",
        limits=["Weekly returns are mostly noise: a good forecast of them has a rank correlation of a few hundredths."],
        use="forecasts = snapshot.forecast(panel, weeks)",
    )
    return write_card(family, cutoff_date, config, metadata, text)
