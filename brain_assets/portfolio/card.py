"""The model card of a policy."""

import datetime
import json
from collections.abc import Mapping
from typing import Any


def policy_card(family: str, cutoff_date: datetime.date, config: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Write what a stranger needs to know to use or to distrust the policy, Markdown."""
    data, training, rules = metadata["data"], metadata["training"], config["rules"]
    return f"""# {family} policy, cut-off {cutoff_date}

Chooses weekly portfolio weights from forecasts, momentum, volatility and what is held. It learned from weeks that ended
on or before {cutoff_date}, and refuses weeks that begin on or before that date.

- data: {data["n_weeks"]} weeks from {data["first_week"]} to {data["last_week"]}, {len(data["symbols"])} symbols
- rules: long only, cash at least {rules["min_cash"]:.0%}, each symbol at most {rules["max_weight"]:.0%}, \
{rules["cost_bps"]:g} bps of every dollar traded
- growth a year on the weeks it learned from (not a result): {training["annual_growth"]:.1%}; equal weight: \
{training["annual_growth_equal_weight"]:.1%}

Limits: {metadata["caveat"]} The symbols were chosen today, so they are known to have survived.

## Load

```python
from pathlib import Path
from brain_assets.snapshots.model_snapshot import ModelSnapshot
policy = ModelSnapshot.load(Path("snapshot-{cutoff_date}"))
```

## Configuration

```json
{json.dumps(dict(config), indent=2, sort_keys=True)}
```
"""
