"""The one way to try again: a bounded number of times, with random waits that grow, and never without a word."""

import email.utils
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from brain_assets.progress import report

T = TypeVar("T")


@dataclass(frozen=True)
class RetryPolicy:
    """How long to go on with something that fails for reasons that may pass; times in seconds."""

    attempts: int = 5  # the first counts
    first_wait: float = 1.0  # upper bound of the random wait before the second attempt, then doubled each time
    longest_wait: float = 60.0  # upper bound of any; a server that asks for more is left alone at once


class TransientError(Exception):
    """Something that may be over at the next attempt; `wait`: seconds that the server asks for (``Retry-After``)."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def retry(
    operation: Callable[[], T], policy: RetryPolicy, action: str, sleep: Callable[[float], None] | None = None
) -> T:
    """Do something again, from its start, while it raises `TransientError` and the policy allows; tells of each wait.

    Any other exception is raised at once, and so is the last one. The action is words for the report of progress.
    """
    draw = tenacity.wait_random_exponential(policy.first_wait, policy.longest_wait)

    def is_worth_another(error: BaseException) -> bool:
        return isinstance(error, TransientError) and (error.wait or 0) <= policy.longest_wait

    def wait(state: tenacity.RetryCallState) -> float:
        asked = getattr(_error_of(state), "wait", None)
        return draw(state) if asked is None else asked + min(draw(state), 1.0)

    def say(state: tenacity.RetryCallState) -> None:
        seconds = state.next_action.sleep if state.next_action else 0.0
        attempt = f"attempt {state.attempt_number + 1} of {policy.attempts}"
        report(f"{action}: {_error_of(state)}; trying again in {seconds:.1f} s ({attempt})")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_worth_another),
        wait=wait,
        stop=tenacity.stop_after_attempt(policy.attempts),
        sleep=sleep or time.sleep,
        before_sleep=say,
        reraise=True,
    )(operation)


def _error_of(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def parse_retry_after(value: str | None) -> float | None:
    """Read a ``Retry-After`` header (RFC 9110, section 10.2.3): seconds, or a date; None: it says neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
