"""The model card: one writer for every family, by the Hugging Face Hub's own classes, and the check of a card.

A card is a block of YAML between two lines of dashes, then Markdown.
"""

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brain_assets.device import CPU
from brain_assets.errors import SnapshotError
from brain_assets.store.manifest import CARD
from brain_assets.store.names import snapshot_name

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

LICENSE = "mit"
LIBRARY = "brain_assets"

SURVIVORSHIP = (
    "The symbols were chosen with today's knowledge, so companies that failed are likely not among them, and absolute "
    "returns look better than they could have been."
)


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


@dataclass(frozen=True)
class CardText:
    """What a family says of a model of its own.

    The kind is ``forecaster`` or ``policy``, the task the Hub's word for it; data and limits (besides the market's and
    survivorship) are lines of a list; the note says how far to trust the figures; `use` is a line of Python.
    """

    kind: str
    task: str
    summary: str
    data: Sequence[str]
    figures: Sequence[Figure]
    figures_note: str
    limits: Sequence[str]
    use: str


def write_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any], text: CardText
) -> str:
    """Write what a stranger needs to know to use or to distrust a model, Markdown; raises as `validate_card`.

    Of the metadata, ``market``, ``caveat``, ``data.symbols`` and, if it is not the CPU, the device are told.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=LICENSE,
        library_name=LIBRARY,
        pipeline_tag=text.task,
        tags=["brain-assets", "finance", "walk-forward", text.kind, family],
        model_name=f"{family}-{metadata.get('version') or snapshot_name(cutoff_date)}",
        eval_results=_eval_results(text, metadata["market"]) or None,
    )
    card = f"---\n{data.to_yaml(line_break=chr(10))}\n---\n{_body(family, cutoff_date, config, metadata, text)}"
    validate_card(card)
    return card


def _eval_results(text: CardText, market: str) -> "list[EvalResult]":
    from huggingface_hub import EvalResult

    results = []
    for figure in text.figures:
        values = {figure.name: figure.value, f"{figure.name} (baseline: {figure.baseline_name})": figure.baseline}
        results += [
            EvalResult(
                task_type=text.task,
                dataset_type=market,
                dataset_name=f"market {market}, {figure.split}",
                dataset_split=figure.split,
                metric_type=figure.metric,
                metric_name=name,
                metric_value=round(value, 6),
            )
            for name, value in values.items()
            if figure.held_out and value is not None
        ]
    return results


def _body(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any], text: CardText
) -> str:
    symbols = metadata["data"]["symbols"]
    snapshot = metadata.get("version") or snapshot_name(cutoff_date)
    trained = ["trained on a GPU"] if metadata.get("device", CPU) != CPU else []
    later = f": see the assets `walkforward_forecasts` and `backtest` of {cutoff_date.year + 1}"
    table = [
        f"| {figure.name} | {figure.split} | {_shown(figure.value)} | {_shown(figure.baseline)} "
        f"({figure.baseline_name}) | {figure.held_out or 'no'} |"
        for figure in text.figures
    ]
    return f"""
# {family} {text.kind}, cut-off {cutoff_date}

{text.summary}

Nothing that it learned from lies after {cutoff_date}, and it refuses weeks that begin on or before that date.

## Data

{_lines([f"market: {metadata['market']}", *text.data, *trained])}
- {len(symbols)} symbols: {", ".join(symbols)}

## Figures

| Figure | Measured on | This model | Baseline | Out of sample |
| --- | --- | --- | --- | --- |
{chr(10).join(table)}

{text.figures_note}

True out-of-sample results were not known at the cut-off\
{"" if "version" in metadata else later}.

## Limits

{_lines([metadata["caveat"], SURVIVORSHIP, *text.limits])}

## Load

From a folder:

```python
from pathlib import Path
from brain_assets import ModelSnapshot
snapshot = ModelSnapshot.load(Path("{snapshot}"))
```

From the Hugging Face Hub:

```python
from brain_assets import ModelSnapshot
snapshot = ModelSnapshot.from_hub("<user>/<repo>", revision="{snapshot}")
{text.use}
```

## Configuration

```json
{json.dumps(dict(config), indent=2, sort_keys=True)}
```

License: {LICENSE.upper()}.
"""


def _lines(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _shown(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def validate_card(text: str) -> None:
    """Raise `SnapshotError` if the Hub's client would not read a card with all that it needs, and write the same."""
    import yaml
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(text)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise _refused("metadata that the Hub's client reads", f"what it refuses ({reason})") from error
    for name in ("license", "tags", "model_name"):
        if not getattr(card.data, name):
            raise _refused(f"a value for {name}", "none")
    for result in card.data.get("eval_results") or ():
        if not (isinstance(result.metric_value, float) and math.isfinite(result.metric_value)):
            raise _refused(f"a finite number for {result.metric_name}", str(result.metric_value))
    if str(card) != text:
        raise _refused("a card that the Hub's client writes the same", "one that it would change")


def _refused(expected: str, got: str) -> SnapshotError:
    return SnapshotError(f"{CARD}: expected {expected}, got {got}; correct the model card.")
