"""Why a run failed, in a sentence for each asset."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from brain_assets import errors


def cause_of(error: Any, instance: dg.DagsterInstance) -> str:
    """Give our own error's sentence, else make one of the innermost error."""
    while error.cause is not None and not hasattr(errors, error.cls_name or ""):
        error = error.cause
    message = str(error.message).strip().split(": ", 1)[-1]
    if hasattr(errors, error.cls_name or ""):
        return message
    if error.cls_name == "OperationalError":  # of the instance's SQLite
        return str(errors.StorageError.unwritable(instance.root_directory, message))
    if str(error.cls_name).endswith("MemoryError") or "can't allocate memory" in message:  # of numpy; of torch
        return f"expected enough memory for it, got too little ({message}); give fewer --jobs, or the machine more."
    return f"expected no error of this kind, got {error.cls_name}: {message}; its run in Dagster's UI has the rest."


def failed_steps(events: Sequence[dg.DagsterEvent], instance: dg.DagsterInstance) -> dict[str, str]:
    """Give the sentence of each step that failed, or whose check that blocks did not pass."""
    failures = {
        str(event.step_key): cause_of(event.step_failure_data.error, instance)
        for event in events
        if event.is_step_failure
    }
    for event in events:
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            if found.blocking and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
                failures[found.asset_key.to_user_string()] = f"{found.check_name}: {found.description}"
    return failures
