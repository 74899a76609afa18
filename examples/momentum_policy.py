"""A policy of your own in one file: it holds what rose most, and learns nothing.

    BRAIN_PLUGINS=examples.momentum_policy brain-assets backfill 2019-2021

There is an asset ``momentum_rank_policy``, and a strategy ``momentum_rank`` beside the others in backtest and report.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field

from brain_assets import Act, ModelConfig, OnProgress, Policy, PolicyDataset, PortfolioConstraints, register


class MomentumRankConfig(ModelConfig):
    """What a run may set; every field needs a default, a description and, if it is a number, bounds."""

    steepness: float = Field(
        4.0, ge=0, le=100, description="Logit of the highest momentum less that of the lowest; 0: equal weights."
    )


@register
class MomentumRank(Policy):
    """Weights by the rank of 4-week momentum, as steep as configured; cash has the lowest logit."""

    name, label = "momentum_rank", "momentum, by rank"
    Config = MomentumRankConfig
    forecaster = "lstm"  # whose forecasts it would find in weeks.forecast, and whose weeks it trades

    def fit(
        self,
        weeks: PolicyDataset,
        config: MomentumRankConfig,
        rules: PortfolioConstraints,
        progress: OnProgress,
        device: str,
    ) -> Mapping[str, np.ndarray]:
        """Learn nothing: give no arrays. A policy that learns names its arrays and their shapes in `layout`."""
        return {}

    def act(self, arrays: Mapping[str, np.ndarray], config: MomentumRankConfig, weeks: PolicyDataset) -> Act:
        """Give the function that decides a week: logits of the assets, then of cash, from what is known before it.

        Only differences of logits count. -inf holds nothing of an asset, and one that is not available is never held.
        The platform turns logits into weights that keep the trading rules.
        """
        momentum = np.where(weeks.available, weeks.momentum, -np.inf)
        rank = momentum.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")  # 0: lowest
        logits = config.steepness * rank / max(weeks.n_assets - 1, 1)

        def decide(week: int, held: np.ndarray) -> np.ndarray:
            """Decide the week at this position of `weeks`, holding these weights at the close before it."""
            return np.append(logits[week], 0.0)

        return decide
