"""The model card of a forecaster."""

import datetime
import json
from collections.abc import Mapping
from typing import Any


def forecaster_card(
    family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> str:
    """Write what a stranger needs to know to use or to distrust the model, Markdown."""
    data, training = metadata["data"], metadata["training"]
    return f"""# {family} forecaster, cut-off {cutoff_date}

Predicts the weekly return (last close / first open - 1) of a stock from its last {config["window"]} sessions.
No feature and no target of its training lies after {cutoff_date}; it refuses weeks that begin on or before that date.

- data: {data["first_session"]} to {data["last_session"]}, {len(data["symbols"])} symbols
- trained on {data["n_training_windows"]} windows with targets up to {data["last_training_target"]}
- validated on {data["n_validation_windows"]} windows, {data["first_validation_week"]} to \
{data["last_validation_target"]}
- validation loss {training["validation_loss"]:.4f}; predicting zero: {training["zero_validation_loss"]:.4f}
- target: {config["target"]} weekly return

Limits: {metadata["caveat"]} The symbols were chosen today, so they are known to have survived.

## Load

```python
from pathlib import Path
from brain_assets.snapshots.model_snapshot import ModelSnapshot
snapshot = ModelSnapshot.load(Path("snapshot-{cutoff_date}"))
```

## Configuration

```json
{json.dumps(dict(config), indent=2, sort_keys=True)}
```
"""
