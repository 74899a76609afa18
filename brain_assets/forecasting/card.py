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
    data, training = metadata["data"], metadata["training"]
    validation = "validation weeks" if "version" in metadata else f"validation year {cutoff_date.year}"
    held_back = "validation weeks" if "version" in metadata else "validation year"
    neutral = ", ".join(metadata["uninformative_features"])
    held_out = "yes, but for early stopping" if training["curve"] else "yes"
    panel = "add_signals(panel, news, fundamentals)" if sees_signals(family.channels) else "panel"
    correlations, validation_losses, training_losses = (
        (training[own], training[baseline])
        for own, baseline in (
            ("validation_rank_correlation", "validation_momentum_rank_correlation"),
            ("validation_loss", "zero_validation_loss"),
            ("train_loss", "zero_train_loss"),
        )
    )
    text = CardText(
        kind="forecaster",
        task="time-series-forecasting",
        summary=f"Predicts the weekly return (last close / first open - 1) of a stock from {_seen(family)} "
        f"{'of its last {window} sessions'.format(**config) if 'window' in config else 'before the week'}.",
        data=[
            f"bars from {data['first_session']} to {data['last_session']}",
            f"trained on {data['n_training_windows']} windows with targets up to {data['last_training_target']}",
            f"validated on {data['n_validation_windows']} windows, {data['first_validation_week']} to "
            f"{data['last_validation_target']}",
            f"target: {config['target']} weekly return",
            f"channels without any information in the training data: {neutral or 'none'}",
        ],
        figures=[
            Figure(RANK_CORRELATION, "spearmanr", validation, *correlations, MOMENTUM, held_out),
            Figure("loss", "mse", validation, *validation_losses, "predicting 0", held_out),
            Figure("loss", "mse", "training weeks", *training_losses, "predicting 0"),
        ],
        figures_note=f"{_scores_note(metadata)}Losses are mean squared errors in units of the training targets' "
        f"variance. {_stopping_note(held_back, bool(training['curve']))}",
        limits=["Weekly returns are mostly noise: a good forecast of them has a rank correlation of a few hundredths."],
        use=f"forecasts = snapshot.forecast({panel}, weeks)",
    )
    return write_card(family.name, cutoff_date, config, metadata, text)


def _seen(family: "Forecaster") -> str:
    """Name what a family looks at."""
    words = [name.removesuffix("_return").replace("_", " ") for name in family.channels]
    return f"the {' and '.join((', '.join(words[:-1]), words[-1]) if words[1:] else words)}"


def _stopping_note(held_back: str, has_epochs: bool) -> str:
    """Say what of the training saw the weeks that it was kept from."""
    if not has_epochs:
        return f"The {held_back} moved no weight."
    return (
        f"No gradient step saw the {held_back}, but early stopping did: the weights are those of the epoch with the "
        "lowest loss on it, so its figures are somewhat too good."
    )


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
