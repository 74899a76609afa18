"""What the model card of a forecaster says."""

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from brain_assets.forecasting.features import sees_signals
from brain_assets.store.card import CardText, Figure, write_card

if TYPE_CHECKING:
    from brain_assets.forecasting.forecaster import Forecaster

RANK_CORRELATION = "mean weekly rank correlation"
MOMENTUM = "4-week momentum"


def forecaster_card(
    family: "Forecaster", cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """Write a forecaster's card; see `brain_assets.store.card.write_card`."""
    data, told = metadata["data"], metadata["training"]
    validation = "validation weeks" if "version" in metadata else f"validation year {cutoff_date.year}"
    neutral = ", ".join(metadata["uninformative_features"])
    panel = "add_signals(panel, news, fundamentals)" if sees_signals(family.channels) else "panel"
    ranks = told["validation_rank_correlation"], told["validation_momentum_rank_correlation"]
    words = [name.removesuffix("_return").replace("_", " ") for name in family.channels]
    seen = " and ".join((", ".join(words[:-1]), words[-1]) if words[1:] else words)
    decided = f"It was {metadata['scores']['verdict']}.\n\n" if "scores" in metadata else ""  # of a main version
    text = CardText(
        kind="forecaster",
        task="time-series-forecasting",
        summary=f"Predicts the weekly return (last close / first open - 1) of a stock from the {seen} "
        f"{'of its last {window} sessions'.format(**config) if 'window' in config else 'before the week'}.",
        data=[
            f"bars from {data['first_session']} to {data['last_session']}",
            f"trained on {data['n_training_windows']} windows with targets up to {data['last_training_target']}",
            f"figures from a training that never saw the {data['n_validation_windows']} windows of "
            f"{data['first_validation_week']} to {data['last_validation_target']}",
            f"target: {config['target']} weekly return",
            f"channels without any information in the training data: {neutral or 'none'}",
        ],
        figures=[
            Figure(RANK_CORRELATION, "spearmanr", validation, *ranks, MOMENTUM, "yes"),
            Figure(
                "loss", "mse", validation, told["validation_loss"], told["zero_validation_loss"], "predicting 0", "yes"
            ),
            Figure("loss", "mse", "training weeks", told["train_loss"], told["zero_train_loss"], "predicting 0"),
        ],
        figures_note=f"{decided}Losses are mean squared errors in units of the training targets' "
        f"variance. The model was trained twice with the same settings: without the {validation}, which gave these "
        "figures, and on all weeks up to the cut-off, which gave the weights.",
        limits=["Weekly returns are mostly noise: a good forecast of them has a rank correlation of a few hundredths."],
        use=f"forecasts = snapshot.forecast({panel}, weeks)",
    )
    return write_card(family.name, cutoff_date, config, metadata, text)
