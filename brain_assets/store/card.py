"""The model card: one writer for every family, and the check that its metadata is what the Hugging Face Hub takes.

A card is a block of YAML between two lines of dashes, then Markdown. `huggingface_hub.ModelCard` writes it the same
way, but importing that imports the Hub's client, so a card is written with `ModelCardData` alone, and `validate_card`
asks `ModelCard` itself before a push.
"""

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from brain_assets.device import CPU
from brain_assets.errors import SnapshotError
from brain_assets.store.names import snapshot_name

if TYPE_CHECKING:
    from huggingface_hub.repocard_data import EvalResult

LICENSE = "mit"
LIBRARY = "brain_assets"

SURVIVORSHIP = (
    "The symbols were chosen with today's knowledge, so companies that failed are likely not among them, and absolute "
    "returns look better than they could have been."
)

_YAML_BLOCK = re.compile(r"---\n(?P<yaml>.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Figure:
    """One figure of a model beside its baseline's, on the same weeks and symbols.

    Attributes
    ----------
    name : str
        Such as ``mean weekly rank correlation``.
    metric : str
        One word for the Hub, such as ``spearman``.
    split : str
        The data that it was measured on, in words.
    value, baseline : float or None
        None: there is none, as where fewer than three symbols have a rank.
    baseline_name : str
        Such as ``4-week momentum``.
    held_out : str
        How the data was kept from the training, in words; empty: it was not, and the figure stays out of the card's
        metadata.
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

    Attributes
    ----------
    kind : str
        ``forecaster`` or ``policy``.
    task : str
        The Hub's name of the task.
    summary : str
        What it does.
    data : sequence of str
        The data window, a line each.
    figures : sequence of Figure
    figures_note : str
        How far the figures are to be trusted.
    limits : sequence of str
        Besides the market's caveat and survivorship.
    use : str
        The line of Python that uses it.
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
    """Write what a stranger needs to know to use or to distrust a model, Markdown.

    Parameters
    ----------
    family : str
    cutoff_date : datetime.date
    config : mapping
        JSON values.
    metadata : mapping
        Of the snapshot: ``market``, ``caveat``, ``data.symbols`` and, if it is not the CPU, the device are told.
    text : CardText

    Raises
    ------
    SnapshotError
        As `check_card`.
    """
    from huggingface_hub.repocard_data import ModelCardData

    name = f"{family}-{metadata.get('version') or snapshot_name(cutoff_date)}"
    results = _eval_results(text, metadata["market"])
    data = ModelCardData(
        license=LICENSE,
        library_name=LIBRARY,
        pipeline_tag=text.task,
        tags=["brain-assets", "finance", "walk-forward", text.kind, family],
        model_name=name,
        eval_results=results or None,
    )
    card = f"---\n{data.to_yaml(line_break=chr(10))}\n---\n{_body(family, cutoff_date, config, metadata, text)}"
    check_card(card)
    return card


def _eval_results(text: CardText, market: str) -> "list[EvalResult]":
    from huggingface_hub.repocard_data import EvalResult

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
    gpu = metadata["gpu"] if metadata.get("device", CPU) != CPU else None
    trained = (
        f"trained on a GPU, {gpu['name']}: on the first batch {gpu['gradient']:.1g} away from a CPU" if gpu else ""
    )
    later = f"see the assets `walkforward_forecasts` and `backtest` of {cutoff_date.year + 1}"
    return f"""
# {family} {text.kind}, cut-off {cutoff_date}

{text.summary}

Nothing that it learned from lies after {cutoff_date}, and it refuses weeks that begin on or before that date.

## Data

{_lines([f"market: {metadata['market']}", *text.data, *filter(None, [trained])])}
- {len(symbols)} symbols: {", ".join(symbols)}

## Figures

{_table(text.figures)}

{text.figures_note}

True out-of-sample results were not known at the cut-off\
{"" if "version" in metadata else f": {later}"}.

## Limits

{_lines([metadata["caveat"], SURVIVORSHIP, *text.limits])}

## Load

From a folder:

```python
from pathlib import Path
from brain_assets.store.snapshot import ModelSnapshot
snapshot = ModelSnapshot.load(Path("{snapshot}"))
```

From the Hugging Face Hub:

```python
from brain_assets.store.snapshot import ModelSnapshot
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


def _table(figures: Sequence[Figure]) -> str:
    rows = [
        f"| {figure.name} | {figure.split} | {_words(figure.value)} | {_words(figure.baseline)} "
        f"({figure.baseline_name}) | {figure.held_out or 'no'} |"
        for figure in figures
    ]
    head = ["| Figure | Measured on | This model | Baseline | Out of sample |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(head + rows)


def _words(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def check_card(text: str) -> None:
    """Refuse a card whose metadata the Hub would not take, or would take and misread; without the Hub's client.

    Raises
    ------
    SnapshotError
        If there is no YAML block, it cannot be parsed, it lacks a license, tags or the model's name, or it holds a
        null, NaN or an infinity anywhere.
    """
    import yaml

    block = _YAML_BLOCK.match(text)
    if block is None:
        raise _refused("a block of YAML between lines of dashes at its start", "none")
    try:
        _check_data(yaml.safe_load(block["yaml"]))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise _refused("metadata in YAML", f"what cannot be read as such ({reason})") from error


def validate_card(text: str) -> None:
    """Refuse what `check_card` does, and what `huggingface_hub.ModelCard` does not read the same; for a push.

    Imports the Hub's client, but asks nothing of the network.

    Raises
    ------
    SnapshotError
    """
    check_card(text)
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(text)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise _refused("metadata that the Hub's client reads", f"what it refuses ({reason})") from error
    _check_data(card.data.to_dict())  # type: ignore[no-untyped-call]
    if str(card) != text:
        raise _refused("a card that the Hub's client writes the same", "one that it would change")


def _check_data(data: object) -> None:
    if not isinstance(data, Mapping):
        raise _refused("metadata by name", type(data).__name__)
    for path, value in _leaves(data, ""):
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            raise _refused(f"a value for {path}", "null" if value is None else str(value))
    index = data.get("model-index")
    first = index[0] if isinstance(index, list) and index else {}
    named = first.get("name") if isinstance(first, Mapping) else None
    for name, value in (("license", data.get("license")), ("model_name", data.get("model_name") or named)):
        if not (isinstance(value, str) and value):
            raise _refused(f"a {name}", "nothing" if value is None else repr(value))
    tags = data.get("tags")
    if not (isinstance(tags, list) and tags and all(isinstance(tag, str) and tag for tag in tags)):
        raise _refused("a list of tags", "nothing" if tags is None else repr(tags))


def _leaves(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{position}]")
    else:
        yield path, value


def _refused(expected: str, got: str) -> SnapshotError:
    return SnapshotError(f"README.md: expected {expected}, got {got}; correct the model card.")
