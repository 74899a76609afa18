"""The model card: one writer for every family, by the Hugging Face Hub's own classes.

A card is a block of YAML between two lines of dashes, then Markdown: the template is ``card.md.jinja``.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from brain_assets.formatting import in_markdown
from brain_assets.registry import Family
from brain_assets.store.names import snapshot_name

TASKS = {"forecaster": "time-series-forecasting", "policy": "reinforcement-learning"}
"""The Hub's words for what models do, by their role."""


@dataclass(frozen=True)
class Figure:
    """One figure of a model beside its baseline's, on the same weeks and symbols; None: there is none.

    The metric is in one word for the Hub. `held_out` says how the data was kept from the training; empty: it was not,
    and the figure stays out of the card's metadata.
    """

    name: str
    metric: str
    split: str
    value: float | None
    baseline: float | None
    baseline_name: str
    held_out: str = ""


def write_card(
    family: Family,
    cutoff_date: datetime.date,
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    figures: Sequence[Figure],
    **said: object,
) -> str:
    """Write what a stranger needs to know to use or to distrust a model, Markdown; `said`: what its template asks for.

    Of the metadata, ``market``, ``caveat``, ``data.symbols`` and, if it is not the CPU, the device are told of all.
    """
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    results = [
        EvalResult(
            task_type=TASKS[family.role],
            dataset_type=metadata["market"],
            dataset_name=f"market {metadata['market']}, {figure.split}",
            dataset_split=figure.split,
            metric_type=figure.metric,
            metric_name=figure.name + of,
            metric_value=round(value, 6),
        )
        for figure in figures
        for of, value in (("", figure.value), (f" (baseline: {figure.baseline_name})", figure.baseline))
        if figure.held_out and value is not None
    ]
    name = metadata.get("version") or snapshot_name(cutoff_date)
    data = ModelCardData(
        license="mit",
        library_name="brain_assets",
        pipeline_tag=TASKS[family.role],
        tags=["brain-assets", "finance", "walk-forward", family.role, family.name],
        model_name=f"{family.name}-{name}",
        eval_results=results or None,
    )
    values: Any = {**said, "family": family, "name": name, "cutoff_date": cutoff_date, "figures": figures}
    values |= {"metadata": metadata, "options": config, "config": json.dumps(dict(config), indent=2, sort_keys=True)}
    values["symbols"] = [in_markdown(symbol) for symbol in metadata["data"]["symbols"]]
    template = (resources.files("brain_assets.store") / "card.md.jinja").read_text(encoding="utf-8")
    return str(ModelCard.from_template(data, template_str=template, **values))
