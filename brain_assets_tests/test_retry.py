import datetime
import email.utils

import pytest

from brain_assets.retry import RetryPolicy, TransientError, parse_retry_after, retry


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each wait, in seconds; none takes any."""
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    return waits


class Failing:
    """Fails with these errors, one a call, then gives "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.left, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "done"


def test_what_passes_is_tried_again_and_said(slept: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "brain_assets")
    operation = Failing(TransientError("503 busy"), TransientError("the connection failed"))
    assert retry(operation, RetryPolicy(attempts=3), "repo: push it") == "done"
    assert caplog.messages == [
        f"repo: push it: 503 busy; trying again in {slept[0]:.1f} s (attempt 2 of 3)",
        f"repo: push it: the connection failed; trying again in {slept[1]:.1f} s (attempt 3 of 3)",
    ]


@pytest.mark.parametrize(
    ("errors", "calls"),
    [
        ([TransientError(f"number {i}") for i in range(1, 10)], 5),
        ([ValueError("number 1")], 1),
        ([TransientError("number 1", wait=61)], 1),  # a server that asks for more
    ],
)
def test_the_error_of_the_last_attempt_is_raised(errors: list[Exception], calls: int, slept: list[float]) -> None:
    operation = Failing(*errors)
    with pytest.raises(type(errors[0]), match=f"^number {calls}$"):
        retry(operation, RetryPolicy(attempts=5, longest_wait=60), "do it")
    assert (operation.calls, len(slept)) == (calls, calls - 1)


def test_waits_are_random_double_and_stop_growing(slept: list[float]) -> None:
    policy = RetryPolicy(attempts=6, first_wait=1, longest_wait=4)
    for _ in range(50):
        with pytest.raises(TransientError):
            retry(Failing(*(TransientError("busy") for _ in range(6))), policy, "do it")
    for position, bound in enumerate((1, 2, 4, 4, 4)):
        waits = slept[position::5]
        assert len(set(waits)) == 50
        assert bound / 2 < max(waits) <= bound  # fails once in 10^15


def test_retry_after_is_waited_for_and_a_little_more_by_a_sleep_of_the_callers(slept: list[float]) -> None:
    own: list[float] = []
    retry(Failing(TransientError("429", 60)), RetryPolicy(longest_wait=60), "do it", own.append)
    assert slept == []
    assert 60 <= own[0] <= 61


def test_retry_after_may_be_seconds_or_a_date() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    assert parse_retry_after(" 120 ") == 120.0
    assert 97 < (parse_retry_after(email.utils.format_datetime(soon, usegmt=True)) or 0) <= 100
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert {parse_retry_after(text) for text in (None, "", "soon", "-1", "1.5", "²")} == {None}
