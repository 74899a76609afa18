"""What the model card of a policy says."""

import datetime
from collections.abc import Mapping
from typing import Any

from brain_assets.forecasting.card import MOMENTUM, RANK_CORRELATION
from brain_assets.store.card import CardText, Figure, write_card


def policy_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any], forecaster: str
) -> str:
    """Write a policy's card; see `brain_assets.store.card.write_card`. `forecaster`: whose forecasts it follows."""
    data, training, rules = metadata["data"], metadata["training"], config["rules"]
    neutral = metadata["uninformative_features"]
    text = CardText(
        kind="policy",
        task="reinforcement-learning",
        summary="Chooses weekly portfolio weights from forecasts, momentum, volatility, news, filings and holdings.",
        data=[
            f"{data['n_weeks']} weeks, the first beginning on {data['first_week']}, the last on {data['last_week']}",
            f"rules: long only, cash at least {rules['min_cash']:.0%}, each symbol at most {rules['max_weight']:.0%}, "
            f"{rules['cost_bps']:g} bps of every dollar traded",
            *([f"signals without any information in the training data: {', '.join(neutral)}"] if neutral else []),
        ],
        figures=[
            Figure(
                f"{RANK_CORRELATION} of the forecasts that it follows, of {forecaster}",
                "spearmanr",
                "training weeks",
                training["forecast_rank_correlation"],
                training["momentum_rank_correlation"],
                MOMENTUM,
                held_out="yes, walk-forward",
            ),
            Figure(
                "growth a year, after costs",
                "growth",
                "training weeks",
                training["cagr"],
                training["cagr_equal_weight"],
                "equal weight",
            ),
        ],
        figures_note="The forecasts are walk-forward: each was made by a snapshot that was finished before its week, "
        "or is momentum itself in weeks before the first snapshot. The growth is not out of sample: it is on the weeks "
        "that the policy learned from, and no result.",
        limits=["Costs are a flat rate: no taxes, no market impact, and every trade is filled at the week's open."],
        use="weights = snapshot.decide(WeeklyPanel.from_panel(add_signals(panel, news, fundamentals)), forecasts)",
    )
    return write_card(family, cutoff_date, config, metadata, text)
