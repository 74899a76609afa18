"""The assets, one file a stage."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import dagster as dg

from brain_assets.graph.assets.backtests import backtest_asset
from brain_assets.graph.assets.forecasters import forecaster_asset
from brain_assets.graph.assets.forecasts import forecasts_asset
from brain_assets.graph.assets.main_models import main_model_asset
from brain_assets.graph.assets.policies import Spread, policy_asset
from brain_assets.graph.assets.prices import raw_prices_asset
from brain_assets.graph.assets.reports import report_asset
from brain_assets.graph.assets.signals import fundamentals_asset, news_asset
from brain_assets.graph.assets.week import so_far_asset, target_weights_asset
from brain_assets.graph.years import Years
from brain_assets.market.schema import RAW
from brain_assets.registry import Families


class Assets(NamedTuple):
    """All assets, by what runs them together; those of `yearly` alone have a partition a year."""

    yearly: Sequence[dg.AssetsDefinition]
    main_models: Sequence[dg.AssetsDefinition]
    reports: Sequence[dg.AssetsDefinition]
    this_week: Sequence[dg.AssetsDefinition]

    @property
    def raw(self) -> list[dg.AssetsDefinition]:
        """What comes from the market."""
        return [asset for asset in self.yearly if asset.key.to_user_string() in RAW]

    @property
    def every(self) -> list[dg.AssetsDefinition]:
        """All of them."""
        return [asset for group in self for asset in group]

    @property
    def pools(self) -> dict[str, str | None]:
        """Give the pool of each; None: it is in none."""
        return {asset.key.to_user_string(): asset.op.pool for asset in self.every}


def build_assets(years: Years, families: Families, spread_of: Callable[[str], Spread | None] | None = None) -> Assets:
    """Define the assets of some years and families.

    Parameters
    ----------
    years : Years
    families : Families
    spread_of : callable, optional
        From the name of a policy's asset to what trains its other seeds; see `policy_asset`.
    """
    forecasters, policies = families.forecasters.values(), families.policies.values()
    models = [family.asset for family in families.by_name.values()]
    yearly = [
        raw_prices_asset(years),
        news_asset(years),
        fundamentals_asset(years),
        *(forecaster_asset(family, years) for family in forecasters),
        forecasts_asset(forecasters, years),
        *(policy_asset(family, years, spread_of(family.asset) if spread_of else None) for family in policies),
        backtest_asset(policies, years),
    ]
    return Assets(
        yearly,
        [main_model_asset(family, years) for family in forecasters],
        [report_asset(years)],
        [so_far_asset(years), target_weights_asset(models, years)],
    )
