"""A report as one HTML file: tables, and charts by plotly, which it carries along; it opens without a network."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from brain_assets.portfolio.charts import BLACK, ChartGroup, report_charts
from brain_assets.portfolio.conclusion import conclude
from brain_assets.portfolio.plotly_figures import plotly_figure
from brain_assets.portfolio.report_tables import (
    forecaster_table,
    glossary,
    policy_table,
    seeds_sentence,
    strategy_table,
    trials_sentence,
    yearly_table,
)

if TYPE_CHECKING:
    from brain_assets.portfolio.report import Report

WIDE = ("equity", "drawdowns", "rank_correlation")
"""Charts that take the whole width."""


class Page(NamedTuple):
    """A finished page, and the pictures that are on it."""

    html: str
    groups: tuple[ChartGroup, ...]


def report_page(report: Report) -> Page:
    """Write a report's page; equal figures and library versions give equal bytes."""
    from jinja2 import Environment, StrictUndefined

    groups = report_charts(report)
    charts = [chart for group in groups for chart in (*group.charts, *group.folded)]
    template = (resources.files("brain_assets.portfolio") / "report_page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    html = environment.from_string(template).render(
        title=f"Backtest of {report.span}, market {report.market.name}",
        subtitle=_subtitle(report),
        caveat=report.market.caveat,
        conclusion=conclude(report),
        cost=f"{report.cost_bps:g} basis points",
        strategies=strategy_table(report),
        policies=policy_table(report),
        trials=trials_sentence(report),
        seeds=seeds_sentence(report),
        yearly=yearly_table(report),
        forecasters=forecaster_table(report),
        groups=groups,
        wide=WIDE,
        glossary=glossary(report),
        ink_color=BLACK,
        ink=lambda color: "var(--ink)" if color == BLACK else color,
        plotly=_plotly_library(),
        figures=_packed(json.dumps({chart.key: plotly_figure(chart) for chart in charts}, separators=(",", ":"))),
    )
    return Page(html, groups)


def _subtitle(report: Report) -> str:
    said = f"Out of sample: {report.n_weeks:,} weeks, the first beginning on {report.weeks[0]}, the last on "
    left_out = f"; {report.weeks_left_out:,} that only some strategies traded are left out" * bool(
        report.weeks_left_out
    )
    return f"{said}{report.weeks[-1]}{left_out}."


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    library: Any = get_plotlyjs()
    return _packed(library)


def _packed(text: str) -> str:
    """Compress a text for the page, which unpacks it: plotly's library alone would fill it."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
