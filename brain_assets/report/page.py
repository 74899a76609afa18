"""A report as one HTML file: tables, and charts by plotly, which it carries along; it opens without a network."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from brain_assets.portfolio.rules import RULES
from brain_assets.report import tables
from brain_assets.report.colors import BLACK
from brain_assets.report.conclusion import conclude
from brain_assets.report.figures import report_figures

if TYPE_CHECKING:
    from brain_assets.report.report import Report


def report_page(report: Report) -> str:
    """Write a report's page; equal figures and library versions give equal bytes."""
    from jinja2 import Environment, StrictUndefined

    figures = report_figures(report)
    template = (resources.files("brain_assets.report") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        report=report,
        tables=tables,
        conclusion=conclude(report),
        cost=f"{RULES.cost_bps:g} basis points",
        figures=figures,
        ink_color=BLACK,
        plotly=_plotly_library(),
        packed=_packed(_json({name: figure for group in figures.values() for name, figure in group.items()})),
    )


def _json(figures: dict[str, Any]) -> str:
    return f"{{{','.join(f'{json.dumps(name)}:{figure.to_json()}' for name, figure in figures.items())}}}"


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    library: Any = get_plotlyjs()
    return _packed(library)


def _packed(text: str) -> str:
    """Compress a text for the page, which unpacks it: plotly's library alone would fill it."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
