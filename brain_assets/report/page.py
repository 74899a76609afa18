"""A report as one HTML file: tables, and charts by plotly, which it carries along; it opens without a network."""

import base64
import gzip
import json
from functools import cache
from importlib import resources

from brain_assets import registry
from brain_assets.forecasting.metrics import DETECTABLE, N_LAGS
from brain_assets.portfolio.constraints import CONSTRAINTS
from brain_assets.report import metrics, tables
from brain_assets.report.colors import BLACK
from brain_assets.report.conclusion import conclude, forecasts_of
from brain_assets.report.figures import report_figures
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
        metrics=metrics,
        n_lags=N_LAGS,
        detectable=DETECTABLE,
        label=registry.label,
        forecasts_of=forecasts_of,
        heads=[],
        conclusion=conclude(report),
        constraints=CONSTRAINTS,
        cost=f"{CONSTRAINTS.cost_bps:g} basis points",
        banded=any(seeds.shape[1] > 1 for seeds in report.seeds.values()),
        figures=figures,
        ink_color=BLACK,
        plotly=_plotly_library(),
        packed=_packed("{" + ",".join(f"{json.dumps(name)}:{each.to_json()}" for name, each in figures.items()) + "}"),
    )


@cache
def _plotly_library() -> str:
    from plotly.offline import get_plotlyjs

    return _packed(get_plotlyjs())


def _packed(text: str) -> str:
    """Compress a text for the page, which unpacks it: plotly's library alone would fill it."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()
