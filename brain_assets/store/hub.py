"""A model repo on the Hugging Face Hub: a branch a snapshot, holding exactly the files of its folder.

A new branch starts with the files of ``main``; then one commit, on top of the commit that was looked at, makes it hold
the snapshot's and nothing else. A branch between the two does not read as the snapshot of its name, so it does not
count, and the next push completes it. Nothing that a repo holds is believed: no file is downloaded that a snapshot does
not have, or that is larger than it may be.

All goes through `huggingface_hub`, which is imported when the first question is asked, and asks again where it thinks
that useful. What goes wrong is one sentence that shows no token, and a later attempt goes on from there.
"""

import hashlib
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from brain_assets.errors import HubError, MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.progress import report, warn
from brain_assets.store.checks import located
from brain_assets.store.manifest import FILES, MANIFEST, check_listing, parse, verify
from brain_assets.store.names import MAIN_BRANCH, is_repo_name, is_token

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

HOUSEKEEPING = ".gitattributes"
"""The Hub puts it into every new repo; it is never read."""


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


@dataclass(frozen=True)
class HubCopy:
    """A snapshot's branch after a push: its page, its commit, and whether it held other files before."""

    url: str
    commit: str
    changed: bool
    before: str = ""
    """The commit of the model that it held before; empty: none, or this one."""


def in_place_of(commit: str) -> str:
    """Say which commit a push takes the place of; empty: none."""
    return f"in place of commit {commit[:8]}" if commit else ""


class HubStore:
    """The model repo of one family; a branch of another market's model is not replaced, unless none is named."""

    def __init__(self, address: HubAddress, market: str | None = None) -> None:
        self.repo, self._address, self._market = address.repo, address, market

    @cached_property
    def _api(self) -> "HfApi":
        _prepare_library()
        from huggingface_hub import HfApi

        token = self._address.token
        return HfApi(endpoint=self._address.endpoint, token=token.get_secret_value() if token else None)

    def list(self) -> "list[str]":
        """Name the branches, in order; a repo that is not there has none."""
        return sorted(self.commits())

    def commits(self, must_exist: bool = False) -> dict[str, str]:
        """Give branch -> commit, in one request; a repo that is not there has none, or raises `HubError`."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._asked("list its branches"):
            try:
                references = self._api.list_repo_refs(self.repo)
            except RepositoryNotFoundError:
                if must_exist:
                    raise
                warn(f"{self.repo}: there is no such model repo, or HF_TOKEN does not let us see it: taken as empty")
                return {}
            return {branch.name: branch.target_commit for branch in references.branches}

    def holds(self, name: str, files: Mapping[str, bytes]) -> bool:
        """Tell whether a branch holds exactly these files, by its listing; raises as `read_manifest`."""
        with self._asked(f"list the files of {name}", name):
            return _holds(self._look(name), files)

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest; raises `MissingSnapshotError`, or `RefusedSnapshotError` if it is not to be believed."""
        with self._asked(f"show {name}", name):
            return self._manifest(self._look(name))

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, of one commit. Raises as `read_manifest`."""
        with self._asked(f"give {name}", name):
            branch = self._look(name)
            _check_listing(branch)
            files = {path: self._fetch(path, branch) for path in FILES}
            verify(files)
            return files

    def write(self, name: str, files: Mapping[str, bytes]) -> HubCopy:
        """Make a branch hold exactly these files, in one commit; none if it does already.

        Repo (private) and branch, which begins with what ``main`` holds, are made if they are missing. May be called
        again at any time, also by two at once.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        with self._asked(f"take {name}", name):
            found = self._find(name)
            if found is None and name != MAIN_BRANCH:  # which every repo has
                self._api.create_branch(self.repo, branch=name, exist_ok=True)
            branch = found or self._look(name)
            url = f"{self._api.endpoint}/{self.repo}/tree/{name}"
            if _holds(branch, files):
                return HubCopy(url, str(branch.sha), False)
            if found and self._market is not None:
                self._refuse_another_market(name, found)
            operations: list[CommitOperationAdd | CommitOperationDelete] = [
                *(CommitOperationAdd(path, io.BytesIO(files[path])) for path in FILES),  # open files: never over Xet
                *(CommitOperationDelete(path, is_folder=False) for path in _listed(branch) if path not in files),
            ]
            done = self._api.create_commit(  # all or nothing, on top of what the branch was
                self.repo, operations, commit_message=f"Push {name}", revision=name, parent_commit=branch.sha
            )
            return HubCopy(url, done.oid, True, str(found.sha) if found and MANIFEST in _listed(found) else "")

    def _look(self, name: str) -> "ModelInfo":
        """List a branch: its commit, and what the Hub says of the files in that."""
        from huggingface_hub.constants import HF_HUB_DOWNLOAD_TIMEOUT

        return self._api.model_info(self.repo, revision=name, files_metadata=True, timeout=HF_HUB_DOWNLOAD_TIMEOUT)

    def _manifest(self, branch: "ModelInfo") -> dict[str, Any]:
        _check_listing(branch)
        return parse(self._fetch(MANIFEST, branch))

    def _fetch(self, path: str, branch: "ModelInfo") -> bytes:
        """Read a file; of one that is longer than its listing says, no more than shows it: it may never end."""
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff  # type: ignore[attr-defined]

        url, data = f"{self._api.endpoint}/{self.repo}/resolve/{branch.sha}/{path}", bytearray()
        size = getattr(_listed(branch).get(path), "size", None) or 0
        with http_stream_backoff("GET", url, headers=build_hf_headers(token=self._api.token)) as response:
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                data.extend(chunk)
                if len(data) > size:
                    break
        return bytes(data)

    def _find(self, name: str) -> "ModelInfo | None":
        """Look at a branch; None: there is none. Makes the repo, if there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            return self._look(name)
        except RevisionNotFoundError:
            return None
        except RepositoryNotFoundError:
            report(f"{self.repo}: makes the repo, private")
            self._api.create_repo(self.repo, private=True, exist_ok=True)
            return None

    def _refuse_another_market(self, name: str, branch: "ModelInfo") -> None:
        """Do not replace what somebody trained on another market."""
        market = None
        with suppress(SnapshotError):  # nobody's snapshot
            market = self._manifest(branch).get("market")
        if isinstance(market, str) and market != self._market:
            raise HubError(
                f"{self.repo}@{name}: expected to replace a snapshot of market {self._market}, got one of "
                f"{market[:40]!r}; use another repo for this market, or remove the branch."
            )

    @contextmanager
    def _asked(self, action: str, name: str = "") -> Iterator[None]:
        """Turn what goes wrong while the Hub is asked to do something, with a branch, into our errors.

        The original exceptions are cut off: a server may repeat the token in what it says.
        """
        try:
            with located(f"{self.repo}@{name}", RefusedSnapshotError):
                yield
        except Exception as error:  # noqa: BLE001 - what is not the library's is raised as it is
            raise self._explained(error, action, name) from None

    def _explained(self, error: BaseException, action: str, name: str) -> BaseException:
        """Give our error for one of the library; any other stays as it is."""
        import httpx2
        from huggingface_hub import errors

        if isinstance(error, RuntimeError) and error.__cause__:  # it wraps what goes wrong in an upload
            error = error.__cause__
        if isinstance(error, errors.RepositoryNotFoundError):
            return HubError(
                f"{self.repo}: expected a model repo that HF_TOKEN lets us read, got none of this name; push to it "
                "first, or correct the name or the token."
            )
        if isinstance(error, errors.RevisionNotFoundError | errors.EntryNotFoundError):
            return MissingSnapshotError(
                f"{self.repo}@{name}: expected a snapshot on the Hub, but there is no such branch; push it, or train "
                "it here."
            )
        said, expected, advice = self._scrub(error), f"the Hub ({self._api.endpoint}) to {action}", "try again later"
        if isinstance(error, errors.HfHubHTTPError):
            status, reads = error.response.status_code, error.response.request.method in ("GET", "HEAD")
            said = f"{status} ({self._scrub(error.server_message or error.response.reason_phrase)})"
            if status == 401:
                expected, advice = "a token that the Hub accepts", "set HF_TOKEN to a valid one"
            elif status == 403:
                expected, advice = f"the right to {'read' if reads else 'write to'} it", "use an HF_TOKEN that has it"
        elif isinstance(error, errors.OfflineModeIsEnabled):
            expected, said, advice = "to be online", "HF_HUB_OFFLINE=1", "unset it, or set STORAGE_BACKEND=local"
        elif isinstance(error, httpx2.LocalProtocolError | httpx2.UnsupportedProtocol):  # its text may hold the token
            expected, advice = "an HF_ENDPOINT and a token that can be sent", "correct them"
            said = f"{self._api.endpoint} and a token that is not shown here"
        elif isinstance(error, httpx2.HTTPError):
            said = f"the connection failed ({said or type(error).__name__})"
        elif isinstance(error, ValueError | KeyError | TypeError | AttributeError | RuntimeError):
            said = f"an answer that is not the Hub's ({said})"
        else:
            return error
        return HubError(f"{self.repo}: expected {expected}, got: {said}; {advice}.")

    def _scrub(self, error: object) -> str:
        """Give the text of an error on one line, without the token."""
        from huggingface_hub import get_token

        text, token = " ".join(str(error).split()), self._api.token or get_token()
        return text.replace(str(token), "***") if token else text


def _listed(branch: "ModelInfo") -> "dict[str, Any]":
    """Give what the Hub says of the files of a branch, by name."""
    return {file.rfilename: file for file in branch.siblings or ()}


def _check_listing(branch: "ModelInfo") -> None:
    check_listing({path: file.size or 0 for path, file in _listed(branch).items() if path != HOUSEKEEPING})


def _holds(branch: "ModelInfo", files: Mapping[str, bytes]) -> bool:
    listed = _listed(branch)
    return set(listed) == set(files) and all(_is_same(listed[path], data) for path, data in files.items())


def _is_same(file: Any, data: bytes) -> bool:
    """Tell whether a file holds these bytes: by their SHA-256 if it is kept apart from git, else by git's own hash."""
    if file.lfs is not None:
        return bool(file.lfs.sha256 == hashlib.sha256(data).hexdigest())
    return bool(file.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest())  # noqa: S324 - git's own


@lru_cache
def _prepare_library() -> None:
    """Give the library a connection pool that does not wait for ever, once in a process, and let it be quiet."""
    import httpx2
    from huggingface_hub import constants, get_session, set_client_factory
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    hooks = get_session().event_hooks  # the library's own: HF_HUB_OFFLINE, and its log
    seconds = constants.HF_HUB_DOWNLOAD_TIMEOUT
    set_client_factory(lambda: httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=seconds))
    disable_progress_bars()  # ours is a line a snapshot
    log = logging.getLogger("huggingface_hub._commit_api")
    log.addFilter(lambda record: "not supported by Xet" not in record.getMessage())
