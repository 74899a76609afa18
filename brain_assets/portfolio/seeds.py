"""The same policy trained with other random seeds: how much of its result is the luck of one training.

Trainings numbered from 1 have the seed of the configuration plus their number, and learn from the same weeks. They are
kept beside the policy (`SnapshotLocalStorage.of_seed`), trade the same weeks under names of their own, and never
replace it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from brain_assets.arrays import IntArray
from brain_assets.errors import SnapshotError
from brain_assets.store.fingerprint import hash_json

if TYPE_CHECKING:
    from brain_assets.forecasting.walkforward import SnapshotSource
    from brain_assets.store.snapshot import ModelSnapshot

_NAME = re.compile(r"(.+)_seed_(\d+)")


def seed_strategy(family: str, number: int) -> str:
    """Spell the strategy that trades with a family's policy of another seed; `number` is 1 or more."""
    return f"{family}_seed_{number}"


def family_of_seed(strategy: str) -> str | None:
    """Read the family out of the name of such a strategy; None: it is another strategy."""
    match = _NAME.fullmatch(strategy)
    return match[1] if match else None


def with_seed(options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Give what `brain_assets.portfolio.constraints.policy_options` gives for the seed of a number."""
    training = options["training"]
    return {**options, "training": {**training, "seed": training["seed"] + number}}


def stands_beside(
    policy: Mapping[str, Any], options: Mapping[str, Any], number: int, fingerprint: Mapping[str, Any]
) -> bool:
    """Tell whether a training is that of a policy with the seed of a number, from what their metadata say.

    `policy` is the fingerprint of the policy, `options` what `policy_options` gives for it, `fingerprint` the other's.
    """
    expected = {**policy, "config": hash_json(with_seed(options, number))}
    return all(fingerprint[part] == expected[part] for part in ("code", "config", "data"))


def seed_snapshots(
    main: Sequence[ModelSnapshot], choice: IntArray, source: SnapshotSource, number: int
) -> list[ModelSnapshot] | None:
    """Give the trainings with the seed of a number, one beside each of `main`, those of the family's policy.

    `choice`, (n_weeks,), says which of `main` trades each week, -1 none; one that trades no week stands for itself.
    None if one that trades is absent, unreadable, or was trained on other data or with another configuration.
    """
    here = source.list_candidates([snapshot.cutoff_date for snapshot in main])
    found = list(main)
    for position in set(choice[choice >= 0].tolist()):
        policy = main[position]
        if policy.cutoff_date not in here:
            return None
        try:
            found[position] = source.fetch_snapshot(policy.cutoff_date)
        except SnapshotError:
            return None
        fingerprint = found[position].metadata["fingerprint"]
        if not stands_beside(policy.metadata["fingerprint"], policy.config, number, fingerprint):
            return None
    return found
