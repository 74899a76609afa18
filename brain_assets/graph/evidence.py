"""What a materialization of a model shows, whether it was trained in a run or adopted."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from brain_assets import registry
from brain_assets.device import CPU
from brain_assets.graph.pictures import known_or_words, loss_curve, reward_curve

if TYPE_CHECKING:
    from brain_assets.store.snapshot import ModelSnapshot

Evidence = dict[str, dg.MetadataValue | float | int | str | bool]

POLICY_EVIDENCE = ("action_spread", "mean_turnover", "distance_to_equal_weight", "saturation")
"""What tells a policy that acts from one that does not; see `brain_assets.portfolio.evidence`."""


def model_evidence(snapshot: "ModelSnapshot") -> Evidence:
    """Give the evidence of a model of any family."""
    of_family = _forecaster_evidence if registry.get(snapshot.family).role == "forecaster" else _policy_evidence
    device = snapshot.metadata.get("device", CPU)  # from when there was no other, it says nothing
    return {"device": device, **of_family(snapshot)}


def version_evidence(snapshot: "ModelSnapshot") -> Evidence:
    """Give how a main version did on the weeks that were kept from it, beside zero and the version before."""
    scores = snapshot.metadata["scores"]
    return {
        "held_out/loss": scores["loss"],
        "held_out/loss_of_zero": scores["zero_loss"],
        "held_out/loss_of_previous": "no version before" if scores["previous"] is None else scores["previous_loss"],
        "held_out/weeks": scores["n_weeks"],
        "promoted_when_made": scores["promoted"],
        "verdict": scores["verdict"],
    }


def _forecaster_evidence(snapshot: "ModelSnapshot") -> Evidence:
    """Give a forecaster's losses beside those of zero, its rank correlation beside momentum's, its learning curve."""
    training = snapshot.metadata["training"]
    curve = training["curve"]
    return {
        "train/loss": training["train_loss"],
        "train/loss_of_zero": training["zero_train_loss"],
        "validation/loss": training["validation_loss"],
        "validation/loss_of_zero": training["zero_validation_loss"],
        "validation/rank_correlation": known_or_words(training["validation_rank_correlation"]),
        "validation/momentum_correlation": known_or_words(training["validation_momentum_rank_correlation"]),
        "neutral_channels": ", ".join(snapshot.metadata["neutral_channels"]) or "none",
        **(_epochs(snapshot, curve) if curve else {}),
    }


def _epochs(snapshot: "ModelSnapshot", curve: Sequence[Mapping[str, float]]) -> Evidence:
    """Give the learning curve of a family that has epochs."""
    training = snapshot.metadata["training"]
    return {
        "best_epoch": training["best_epoch"],
        "epochs": len(curve),
        "learning_curve": loss_curve(
            f"{snapshot.family} snapshot {snapshot.cutoff_date}",
            [losses["train"] for losses in curve],
            [losses["validation"] for losses in curve],
            training["zero_validation_loss"],
            training["best_epoch"],
        ),
    }


def _policy_evidence(snapshot: "ModelSnapshot") -> Evidence:
    """Give a policy's growth on the weeks it learned from beside equal weight's, and its learning curve."""
    training = snapshot.metadata["training"]
    return {
        "train/annual_growth": training["annual_growth"],
        "train/annual_growth_equal_weight": training["annual_growth_equal_weight"],
        **{f"train/{name}": training[name] for name in POLICY_EVIDENCE if name in training},
        "neutral_signals": ", ".join(snapshot.metadata["neutral_signals"]) or "none",
        **({"learning_curve": _rewards(snapshot, training["curve"])} if training["curve"] else {}),
    }


def _rewards(snapshot: "ModelSnapshot", curve: Sequence[Mapping[str, float]]) -> dg.MarkdownMetadataValue:
    steps, rewards = ([point[key] for point in curve] for key in ("steps", "reward"))
    return reward_curve(f"{snapshot.family} policy {snapshot.cutoff_date}", steps, rewards)
