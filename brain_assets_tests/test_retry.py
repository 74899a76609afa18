import datetime
import email.utils

import pytest

from brain_assets.retry import NO_RETRY, RetryPolicy, TransientError, parse_retry_after, retry


class FakeClock:
    """Time that passes only by sleeping, and what was slept."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("time.sleep", clock.sleep)
    return clock


class Failing:
    """Fails with these errors, one a call, then gives "done"."""

    def __init__(self, *errors: Exception) -> None:
        self.left, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "done"


def test_what_passes_is_tried_again_and_said(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "brain_assets")
    operation = Failing(TransientError("503 busy"), TransientError("the connection failed"))
    assert retry(operation, RetryPolicy(attempts=3), "repo: push it") == "done"
    assert (operation.calls, len(clock.slept)) == (3, 2)
    assert caplog.messages == [
        f"repo: push it: 503 busy; trying again in {clock.slept[0]:.1f} s (attempt 2 of 3)",
        f"repo: push it: the connection failed; trying again in {clock.slept[1]:.1f} s (attempt 3 of 3)",
    ]


def test_the_error_of_the_last_attempt_is_raised(clock: FakeClock) -> None:
    operation = Failing(*(TransientError(f"number {i}") for i in range(9)))
    with pytest.raises(TransientError, match=r"^number 4$"):
        retry(operation, RetryPolicy(attempts=5), "do it")
    assert (operation.calls, len(clock.slept)) == (5, 4)


def test_anything_else_is_raised_at_once(clock: FakeClock) -> None:
    operation = Failing(ValueError("wrong"))
    with pytest.raises(ValueError, match=r"^wrong$"):
        retry(operation, RetryPolicy(), "do it")
    assert (operation.calls, clock.slept) == (1, [])


def test_no_retry_asks_once(clock: FakeClock) -> None:
    operation = Failing(TransientError("busy", wait=0))
    with pytest.raises(TransientError):
        retry(operation, NO_RETRY, "do it")
    assert (operation.calls, clock.slept) == (1, [])


def test_waits_are_random_double_and_stop_growing(clock: FakeClock) -> None:
    policy = RetryPolicy(attempts=6, first_wait=1, longest_wait=4)
    series = []
    for _ in range(50):
        clock.slept.clear()
        with pytest.raises(TransientError):
            retry(Failing(*(TransientError("busy") for _ in range(6))), policy, "do it")
        series.append(list(clock.slept))
    for position, bound in enumerate((1, 2, 4, 4, 4)):
        column = [waits[position] for waits in series]
        assert 0 <= min(column) < max(column) <= bound
        assert len(set(column)) == 50
        assert max(column) > bound / 2  # fails once in 10^15


def test_retry_after_is_waited_for_and_a_little_more(clock: FakeClock) -> None:
    assert retry(Failing(TransientError("429", wait=7)), RetryPolicy(), "do it") == "done"
    assert 7 <= clock.slept[0] <= 8


def test_a_server_that_asks_for_more_than_the_longest_wait_is_left_alone(clock: FakeClock) -> None:
    assert retry(Failing(TransientError("429", wait=60)), RetryPolicy(longest_wait=60), "do it") == "done"
    operation = Failing(TransientError("429", wait=61))
    with pytest.raises(TransientError):
        retry(operation, RetryPolicy(longest_wait=60), "do it")
    assert operation.calls == 1


def test_no_attempt_is_begun_after_the_total_time(clock: FakeClock) -> None:
    operation = Failing(*(TransientError("429", wait=10) for _ in range(100)))
    with pytest.raises(TransientError):
        retry(operation, RetryPolicy(attempts=None, first_wait=0.001, total_seconds=35), "do it")
    assert operation.calls == 4
    assert clock.now < 1035


def test_a_sleep_of_the_callers_is_used(clock: FakeClock) -> None:
    slept: list[float] = []
    assert retry(Failing(TransientError("busy")), RetryPolicy(), "do it", sleep=slept.append) == "done"
    assert (len(slept), clock.slept) == (1, [])


def test_retry_after_may_be_seconds_or_a_date() -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    assert parse_retry_after(" 120 ") == 120.0
    assert 97 < (parse_retry_after(email.utils.format_datetime(soon, usegmt=True)) or 0) <= 100
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for text in (None, "", "soon", "-1", "1.5", "²"):
        assert parse_retry_after(text) is None
