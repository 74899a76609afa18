"""Minimum variance and hierarchical risk parity of more assets than there are weeks to look back on.

Of n assets over T weeks, a covariance matrix has n^2 entries, and T - 1 directions in which anything happens. Solvers
that are given the matrix take n^3, and the best order of leaves takes more to find; here all is said in returns,
(T, n). What is left that grows faster is the tree of risk parity, n^2, which counts from some thousand assets on.
"""

import numpy as np

from brain_assets.arrays import FloatArray, IntArray
from brain_assets.errors import BrainAssetsError
from brain_assets.market.weekly import PAST_WEEKS

MANY_ASSETS = 2 * PAST_WEEKS
"""`brain_assets.portfolio.baselines` comes here for more than so many; for fewer, skfolio is as fast."""


def minimum_variance(past: FloatArray, budget: float, max_weight: float) -> FloatArray:
    """Minimize the variance of returns, (n_weeks, n_assets), the covariance shrunk as by Ledoit & Wolf (2004).

    Weights sum to `budget`, which is at most n_assets * max_weight; none is below 0. Raises `BrainAssetsError` if the
    solver finds no solution.
    """
    import cvxpy
    from sklearn.covariance import ledoit_wolf_shrinkage

    apart = past - past.mean(axis=0)
    shrinkage = ledoit_wolf_shrinkage(apart, assume_centered=True)
    apart /= np.sqrt((apart**2).mean())  # the mean variance is 1, as a solver likes it
    # w'((1 - s) X'X / T + s I)w: the solver sees X, which is small, and never X'X
    weights = cvxpy.Variable(past.shape[1])
    moved = (1 - shrinkage) / len(past) * cvxpy.sum_squares(apart @ weights)
    problem = cvxpy.Problem(
        cvxpy.Minimize(moved + shrinkage * cvxpy.sum_squares(weights)),
        [cvxpy.sum(weights) == budget, weights >= 0, weights <= max_weight],
    )
    try:
        problem.solve(solver=cvxpy.CLARABEL)
    except cvxpy.SolverError as error:
        raise _unsolved(past, budget, max_weight, str(error)) from error
    if weights.value is None:
        raise _unsolved(past, budget, max_weight, f"a problem that is {problem.status}")
    solved: FloatArray = weights.value
    return solved


def _unsolved(past: FloatArray, budget: float, max_weight: float, found: str) -> BrainAssetsError:
    return BrainAssetsError(
        f"minimum variance: expected weights of {past.shape[1]} assets that sum to {budget:g}, each at most "
        f"{max_weight:g}, got {found}; check the returns of the past weeks."
    )


def hierarchical_risk_parity(past: FloatArray) -> FloatArray:
    """Share out risk down a tree of assets that moved together (López de Prado 2016); the weights sum to 1.

    The leaves stay in the order of the tree, as in the paper. To seek the best order among all that the tree allows, as
    is done for few assets, takes minutes a week for a few thousand. Each asset of `past`, (n_weeks, n_assets), has
    moved.
    """
    apart = past - past.mean(axis=0)
    variance = (apart**2).sum(axis=0)
    weights = np.ones(past.shape[1])
    clusters = [_leaves(past)]
    while clusters:
        cluster = clusters.pop()
        if len(cluster) == 1:
            continue
        halves = cluster[: len(cluster) // 2], cluster[len(cluster) // 2 :]
        first, second = (_inverse_variance_risk(apart[:, half], variance[half]) for half in halves)
        weights[halves[0]] *= second / (first + second)
        weights[halves[1]] *= first / (first + second)
        clusters += halves
    return weights


def _leaves(past: FloatArray) -> IntArray:
    """Order assets as they stand below a tree by Ward's method over distances sqrt((1 - correlation) / 2)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.sqrt(np.maximum((1 - np.corrcoef(past.T)) / 2, 0.0))
    np.fill_diagonal(distance, 0.0)
    leaves: IntArray = leaves_list(linkage(squareform(distance, checks=False), "ward"))
    return leaves


def _inverse_variance_risk(apart: FloatArray, variance: FloatArray) -> float:
    """Give the sum of squares of what assets, weighed by the inverse of their variances, returned together."""
    inverse = 1 / variance
    together = apart @ (inverse / inverse.sum())
    return float(together @ together)
