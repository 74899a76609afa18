"""Weights that a trade leads to, as `brain_assets.portfolio.arithmetic` has them to the bit, with their derivatives.

Shapes: B = batch, A = assets. Results are of the type, and on the device, of what is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from brain_assets.portfolio import arithmetic
from brain_assets.portfolio.arithmetic import PortfolioConstraints

if TYPE_CHECKING:
    from torch import Tensor


def target_weights(logits: Tensor, available: Tensor, rules: PortfolioConstraints) -> Tensor:
    """Turn logits into weights, [B, A + 1], as `brain_assets.portfolio.arithmetic.target_weights`."""
    import torch

    of_assets = logits[:, :-1].masked_fill(~available, -torch.inf)
    return project(torch.softmax(torch.cat([of_assets, logits[:, -1:]], dim=1), dim=1), available, rules)


def project(weights: Tensor, available: Tensor, rules: PortfolioConstraints) -> Tensor:
    """Project weights, [B, A + 1], as `brain_assets.portfolio.arithmetic.project`, with the derivative of the result.

    A weight is v - tau between its bounds, and constant at them; tau keeps the sum at 1, so that its derivative is the
    mean of those between.
    """
    import torch

    exact = arithmetic.project(weights.detach().cpu().numpy().astype(np.float64), available.cpu().numpy(), rules)
    between = exact > 0.0
    between[:, :-1] &= exact[:, :-1] < rules.max_weight
    between[:, -1] = exact[:, -1] > rules.min_cash
    moves = torch.from_numpy(between).to(weights.device)
    change = (weights - weights.detach()) * moves  # 0, but its derivative is not
    shift = change.sum(dim=1, keepdim=True) / moves.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.from_numpy(exact).to(weights) + change - moves * shift
