"""The one way to the Hugging Face Hub: time-outs, bounded retries, and errors in one sentence that never show a token.

Everything goes through `huggingface_hub`, which takes its address from ``HF_ENDPOINT``. Import this module inside
functions: it imports the Hub client.
"""

import email.utils
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
import tenacity
from huggingface_hub import (  # noqa: TID253 - this module is the Hub's; others import it inside functions
    HfApi,
    constants,
    get_session,
    get_token,
    set_client_factory,
)
from huggingface_hub.errors import (  # noqa: TID253
    EntryNotFoundError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # noqa: TID253 - documented, though not in __all__
    build_hf_headers,
    hf_raise_for_status,
)
from huggingface_hub.utils._http import hf_request_event_hook  # noqa: TID253

from brain_assets.errors import HubError, HubUnavailableError
from brain_assets.progress import report
from brain_assets.store.hub_address import HubAddress

Answer = TypeVar("Answer")

PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""What a Hub in trouble answers."""
CONFLICT_STATUS = frozenset({404, 409, 412})
"""What a write is answered if someone else has just made, moved or removed what it builds on: look again."""
_GARBLED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""What the library raises on an answer that is not the Hub's, and (the last) on a failed upload."""


LONGEST_WAIT = 60.0
"""Seconds; a Hub that asks for more (``Retry-After``) is left alone."""
XET_LIMIT = 60.0
"""Seconds for an upload over Xet, which by itself goes on for minutes, and waits for a silent server forever."""

os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")  # 340 s with its default, measured on a server of 500s
_asking = threading.local()


class _PassingError(Exception):
    """Something that may be over at the next attempt."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Client(httpx2.Client):
    """The connection pool of `huggingface_hub`, with time-outs, and with retries that are ours alone.

    The library waits forever by default, retries some calls and not others, and obeys a ``Retry-After`` of any length.
    In a call of `HubClient.ask`, a passing failure leaves the library at once, as a `_PassingError`; in calls of other
    packages in this process, only the waits are bounded.
    """

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; see the class."""
        limits = request.extensions.get("timeout") or {}
        names = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = {name: limits.get(name) or TIMEOUT for name in names}
        try:
            response = super().send(request, **options)
        except httpx2.TimeoutException:
            if not _is_asking():
                raise
            raise _PassingError(f"no answer within {TIMEOUT} s") from None
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            if not _is_asking():
                raise
            raise _PassingError(f"the connection failed ({error or type(error).__name__})") from None
        wait = _retry_after(response)
        if response.status_code in PASSING_STATUS and _is_asking():
            response.close()
            raise _PassingError(f"{response.status_code} {response.reason_phrase}", wait)
        if wait is not None and wait > LONGEST_WAIT:
            response.headers["Retry-After"] = str(int(LONGEST_WAIT))
        return response


TIMEOUT = constants.HF_HUB_DOWNLOAD_TIMEOUT
"""Seconds without a byte; ``HF_HUB_DOWNLOAD_TIMEOUT`` in the environment."""


def _is_asking() -> bool:
    return getattr(_asking, "now", False)


set_client_factory(
    lambda: _Client(event_hooks={"request": [hf_request_event_hook]}, follow_redirects=True, timeout=None)
)


@dataclass(frozen=True)
class Patience:
    """How long to go on with a Hub in trouble.

    Attributes
    ----------
    attempts : int
        Of one request, or of one push as a whole.
    first_wait : float
        Seconds; upper bound of the random wait before the second attempt, doubled before every further one.
    longest : float
        Seconds after which no further attempt is begun.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest: float = 180.0


class HubClient:
    """Asks the Hub about one model repo.

    Parameters
    ----------
    address : HubAddress
    patience : Patience
    """

    def __init__(self, address: HubAddress, patience: Patience | None = None) -> None:
        self.repo = address.repo
        self.patience = patience or Patience()
        token = address.token.get_secret_value() if address.token else None
        self._secret = token or get_token()
        self.api = HfApi(endpoint=address.endpoint, token=token)

    def retry(self, action: str, attempt: Callable[[], Answer]) -> Answer:
        """Do something until it works, a bounded number of times, with random waits between; honours ``Retry-After``.

        Parameters
        ----------
        action : str
            In words, for messages: "push snapshot-2020-12-31".
        attempt : callable
            Calls `ask`, and may be called again from its start.

        Raises
        ------
        HubUnavailableError
            If it went on failing for reasons that may pass.
        HubError
            If the Hub refuses it.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_worth_another),
            stop=tenacity.stop_after_attempt(self.patience.attempts)
            | tenacity.stop_before_delay(self.patience.longest),
            wait=self._wait,
            before_sleep=lambda state: self._report(action, state),
            sleep=time.sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _PassingError as error:
            raise HubUnavailableError(
                f"{self.repo}: expected the Hub ({self.api.endpoint}) to {action}, got: {error}; try again later."
            ) from None

    def ask(self, question: Callable[[], Answer], *, writes: bool = False) -> Answer:
        """Put one question to the Hub, and turn what goes wrong into our own errors.

        The original exceptions are cut off: a server may repeat the token in what it says.

        Parameters
        ----------
        question : callable
        writes : bool
            It changes the repo; then a conflict is worth another look.

        Raises
        ------
        RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError
            The client's own, if it only reads.
        HubError
        """
        before, _asking.now = _is_asking(), True
        try:
            return question()
        except _PassingError as error:
            raise _PassingError(self.scrub(error), error.wait) from None
        except HfHubHTTPError as error:
            if not writes and isinstance(error, RepositoryNotFoundError | RevisionNotFoundError | EntryNotFoundError):
                raise
            raise self._from_status(error, writes) from None
        except OfflineModeIsEnabled:
            raise HubError(
                f"{self.repo}: expected to be online, got HF_HUB_OFFLINE=1; unset it, or set STORAGE_BACKEND=local."
            ) from None
        except (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol):  # its text may hold the token
            raise HubError(
                f"{self.repo}: expected an HF_ENDPOINT and a token that can be sent, got {self.api.endpoint} and a "
                "token that is not shown here; correct them."
            ) from None
        except httpx2.HTTPError as error:  # while the body was read
            raise _PassingError(f"the connection failed ({self.scrub(error) or type(error).__name__})") from None
        except _GARBLED as error:
            wrapped = error.__cause__  # the library wraps what goes wrong in an upload
            if isinstance(wrapped, _PassingError):
                raise _PassingError(self.scrub(wrapped), wrapped.wait) from None
            if isinstance(wrapped, HfHubHTTPError) and wrapped.response.status_code != 400:
                raise self._from_status(wrapped, writes) from None
            # 400: other bytes arrived than were announced
            cause = f": {self.scrub(wrapped)}" if wrapped else ""
            raise _PassingError(f"an answer that is not the Hub's ({self.scrub(error)}{cause})") from None
        finally:
            _asking.now = before

    def fetch(self, path: str, revision: str, most: int) -> bytes:
        """Read one file of the repo, but no more than so many bytes.

        One plain request: such files are small, and of no use before their checksum is right anyway.
        """
        url = f"{self.api.endpoint}/{self.repo}/resolve/{revision}/{path}"

        def question() -> bytes:
            data = bytearray()
            with get_session().stream("GET", url, headers=build_hf_headers(token=self.api.token)) as response:
                hf_raise_for_status(response)
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) >= most:
                        break
            return bytes(data[:most])

        return self.ask(question)

    def passing(self, reason: str) -> Exception:
        """Give an error that makes `retry` try again."""
        return _PassingError(reason)

    def scrub(self, error: object) -> str:
        """Give the text of an error on one line, without the token."""
        text = " ".join(str(error).split())
        return text.replace(self._secret, "***") if self._secret else text

    def _from_status(self, error: HfHubHTTPError, writes: bool) -> Exception:
        status = error.response.status_code
        said = self.scrub(error.server_message or error.response.reason_phrase)
        if status in PASSING_STATUS or (writes and status in CONFLICT_STATUS):
            return _PassingError(f"{status} ({said})", _retry_after(error.response))
        if status == 401:
            return HubError(
                f"{self.repo}: expected a token that the Hub accepts, got one that it refuses ({said}), or none; set "
                "HF_TOKEN to a valid one."
            )
        if status == 403:
            return HubError(
                f"{self.repo}: expected the right to {'write to' if writes else 'read'} it, the Hub says no ({said}); "
                "use an HF_TOKEN that has it."
            )
        return HubError(f"{self.repo}: expected the Hub to do as asked, got {status} ({said}).")

    def _is_worth_another(self, error: BaseException) -> bool:
        return isinstance(error, _PassingError) and (error.wait or 0) <= LONGEST_WAIT

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        jitter = tenacity.wait_random_exponential(self.patience.first_wait, LONGEST_WAIT)(state)
        asked = error.wait if isinstance(error, _PassingError) else None
        return jitter if asked is None else asked + min(jitter, 1.0)

    def _report(self, action: str, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        seconds = state.next_action.sleep if state.next_action else 0
        report(
            f"{self.repo}: {action}: {error}; again in {seconds:.1f} s (attempt {state.attempt_number + 1} of "
            f"{self.patience.attempts})"
        )


def _retry_after(response: httpx2.Response) -> float | None:
    """Read ``Retry-After``: seconds, or a date (RFC 9110, section 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
