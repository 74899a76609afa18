"""Requests to the Hugging Face Hub: time-outs, retries that are ours alone, and errors that never show a token.

Everything goes through `huggingface_hub`, which takes its address from ``HF_ENDPOINT``, and which is imported when the
first question is asked.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from brain_assets.errors import HubError, HubUnavailableError
from brain_assets.retry import RetryPolicy, TransientError, parse_retry_after, retry
from brain_assets.store.names import is_repo_name, is_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

T = TypeVar("T")

HUB_POLICY = RetryPolicy(attempts=5, first_wait=1.0, longest_wait=60.0, total_seconds=180.0)
"""Of one question, or of one push as a whole."""
PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
"""What a Hub in trouble answers."""
CONFLICT_STATUS = frozenset({404, 409, 412})
"""What a write is answered if someone else has just made, moved or removed what it builds on: look again."""
_GARBLED = (ValueError, KeyError, TypeError, AttributeError, RuntimeError)
"""What the library raises on an answer that is not the Hub's, and (the last) on a failed upload."""

_questions: set[object] = set()
"""Those of `HubClient.ask` that are under way; the library answers some in threads of its own."""


@lru_cache
def _install() -> None:
    """Give `huggingface_hub` a connection pool that does not wait forever, once in a process.

    The library has no time-out, retries some calls and not others, and obeys a ``Retry-After`` of any length. While a
    question of `HubClient.ask` is open, a failure that may pass leaves it at once.
    """
    import httpx2
    from huggingface_hub import constants, get_session, set_client_factory
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    class Client(httpx2.Client):
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            given, seconds = request.extensions.get("timeout") or {}, constants.HF_HUB_DOWNLOAD_TIMEOUT
            request.extensions["timeout"] = {
                name: given.get(name) or seconds for name in ("connect", "read", "write", "pool")
            }
            try:
                response = super().send(request, **options)
            except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
                if not _questions:
                    raise
                if isinstance(error, httpx2.TimeoutException):
                    raise TransientError(f"no answer within {seconds} s") from None
                raise TransientError(f"the connection failed ({error or type(error).__name__})") from None
            if response.status_code in PASSING_STATUS and _questions:
                response.close()
                wait = parse_retry_after(response.headers.get("Retry-After"))
                raise TransientError(f"{response.status_code} {response.reason_phrase}", wait)
            return response

    hooks = get_session().event_hooks  # the library's own: HF_HUB_OFFLINE, and its log
    set_client_factory(lambda: Client(event_hooks=hooks, follow_redirects=True, timeout=None))
    disable_progress_bars()  # its own; ours is a line a snapshot
    log = logging.getLogger("huggingface_hub._commit_api")  # plain LFS ends with our time-outs, Xet with none
    log.addFilter(lambda record: "not supported by Xet" not in record.getMessage())


@dataclass(frozen=True)
class HubAddress:
    """A model repo, ``user/name``.

    Without a token, the one that the Hub's library finds (``HF_TOKEN``, or what `hf auth login` has stored); without an
    endpoint, ``HF_ENDPOINT``, else the Hub itself.
    """

    repo: str
    token: SecretStr | None = field(default=None, repr=False)
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if not is_repo_name(self.repo):
            raise HubError("repo: expected a model repo of the Hub, user/name, got another text; correct it.")
        if self.token is not None and not is_token(self.token.get_secret_value()):
            raise HubError(
                f"{self.repo}: expected a token of printable ASCII characters without blanks, got others (not shown "
                "here); correct it."
            )


class HubClient:
    """Asks the Hub about one model repo."""

    def __init__(self, address: HubAddress, policy: RetryPolicy) -> None:
        self.repo, self.policy, self._address = address.repo, policy, address
        self._secret: str | None = None

    @cached_property
    def api(self) -> "HfApi":
        """The library's client, made when the first question is asked."""
        _install()
        from huggingface_hub import HfApi, get_token

        given = self._address.token.get_secret_value() if self._address.token else None
        self._secret = given or get_token()
        return HfApi(endpoint=self._address.endpoint, token=given)

    def retry(self, action: str, attempt: Callable[[], T]) -> T:
        """Do something (in words, for messages) by `ask` until it works, within the policy; it may begin anew.

        Raises `HubUnavailableError` if it went on failing for reasons that may pass, `HubError` if the Hub refuses it.
        """
        try:
            return retry(attempt, self.policy, f"{self.repo}: {action}")
        except TransientError as error:
            raise HubUnavailableError(
                f"{self.repo}: expected the Hub ({self.api.endpoint}) to {action}, got: {error}; try again later."
            ) from None

    def ask(self, question: Callable[[], T], writes: bool = False) -> T:
        """Put one question to the Hub, and turn what goes wrong into our own errors.

        The original exceptions are cut off: a server may repeat the token in what it says. If it writes, a conflict is
        worth another look; else the library's own `RepositoryNotFoundError`, `RevisionNotFoundError` and
        `EntryNotFoundError` are raised.
        """
        _questions.add(this := object())
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - what is not the library's is raised as it is
            raise self._explained(error, writes) from None
        finally:
            _questions.remove(this)

    def _explained(self, error: BaseException, writes: bool) -> BaseException:
        """Give our error for one of the library; any other stays as it is."""
        import httpx2
        from huggingface_hub import errors

        cause = error.__cause__ if isinstance(error, _GARBLED) else None  # it wraps what goes wrong in an upload
        if isinstance(cause, TransientError) or (
            isinstance(cause, errors.HfHubHTTPError) and cause.response.status_code != 400  # that: other bytes came
        ):
            return self._explained(cause, writes)
        if isinstance(error, TransientError):
            return TransientError(self._scrub(error), error.wait)
        if isinstance(error, errors.HfHubHTTPError):
            absent = errors.RepositoryNotFoundError | errors.RevisionNotFoundError | errors.EntryNotFoundError
            return error if isinstance(error, absent) and not writes else self._from_status(error, writes)
        if isinstance(error, errors.OfflineModeIsEnabled):
            return HubError(
                f"{self.repo}: expected to be online, got HF_HUB_OFFLINE=1; unset it, or set STORAGE_BACKEND=local."
            )
        if isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):  # its text may hold the token
            return HubError(
                f"{self.repo}: expected an HF_ENDPOINT and a token that can be sent, got {self.api.endpoint} and a "
                "token that is not shown here; correct them."
            )
        if isinstance(error, httpx2.HTTPError):  # while the body was read
            return TransientError(f"the connection failed ({self._scrub(error) or type(error).__name__})")
        if isinstance(error, _GARBLED):
            said = f"{self._scrub(error)}: {self._scrub(cause)}" if cause else self._scrub(error)
            return TransientError(f"an answer that is not the Hub's ({said})")
        return error

    def _from_status(self, error: "HfHubHTTPError", writes: bool) -> Exception:
        status = error.response.status_code
        said = self._scrub(error.server_message or error.response.reason_phrase)
        if status in PASSING_STATUS or (writes and status in CONFLICT_STATUS):
            return TransientError(f"{status} ({said})", parse_retry_after(error.response.headers.get("Retry-After")))
        expected, advice = {
            401: ("a token that the Hub accepts", "set HF_TOKEN to a valid one"),
            403: (f"the right to {'write to' if writes else 'read'} it", "use an HF_TOKEN that has it"),
        }.get(status, ("the Hub to do as asked", "see what it says"))
        return HubError(f"{self.repo}: expected {expected}, got {status} ({said}); {advice}.")

    def _scrub(self, error: object) -> str:
        """Give the text of an error on one line, without the token."""
        text = " ".join(str(error).split())
        return text.replace(self._secret, "***") if self._secret else text
