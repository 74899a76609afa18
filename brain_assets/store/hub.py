"""A model repo on the Hugging Face Hub: a branch a snapshot, holding exactly the files of its folder.

A new branch starts with the files of ``main``; then one commit, on top of the commit that was looked at, makes it hold
the snapshot's and nothing else. A process that dies between the two leaves a branch that does not read as the snapshot
of its name, so it does not count, and the next push completes it. Nothing that a repo holds is believed: listing, sizes
and hashes are compared, and no file is downloaded that a snapshot does not have, or that is larger than it may be.
"""

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from brain_assets.errors import HubError, MissingSnapshotError, RefusedSnapshotError, SnapshotError
from brain_assets.progress import report, warn
from brain_assets.retry import RetryPolicy, TransientError
from brain_assets.store.card import validate_card
from brain_assets.store.checks import located
from brain_assets.store.hub_client import HUB_POLICY, HubAddress, HubClient
from brain_assets.store.manifest import CARD, FILES, MANIFEST, PAYLOAD, check_listing, damaged, parse, verify
from brain_assets.store.names import MAIN_BRANCH
from brain_assets.store.places import Store

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

T = TypeVar("T")

HOUSEKEEPING = ".gitattributes"
"""The Hub puts it into every new repo; it is never read."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Branch:
    """A branch when it was looked at: its commit, and what the Hub says of the files in that."""

    commit: str
    files: "Mapping[str, RepoSibling]"

    def holds(self, files: Mapping[str, bytes]) -> bool:
        """Tell whether it holds exactly these files."""
        return set(self.files) == set(files) and all(_is_same(self.files[path], data) for path, data in files.items())


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


class HubStore(Store):
    """The model repo of one family; a branch of another market's model is not replaced, unless none is named."""

    def __init__(self, address: HubAddress, policy: RetryPolicy = HUB_POLICY, market: str | None = None) -> None:
        self.repo, self._client, self._market = address.repo, HubClient(address, policy), market

    def url(self, name: str) -> str:
        """Give the page of a branch."""
        return f"{self._client.api.endpoint}/{self.repo}/tree/{name}"

    def list(self) -> "list[str]":
        """Name the branches, in order; a repo that is not there has none."""
        return sorted(self.commits())

    def commits(self, must_exist: bool = False) -> dict[str, str]:
        """Give branch -> commit, in one request; a repo that is not there has none, or raises `HubError`."""
        from huggingface_hub.errors import RepositoryNotFoundError

        def attempt() -> dict[str, str]:
            references = self._client.ask(lambda: self._client.api.list_repo_refs(self.repo))
            return {branch.name: _require_commit(branch.target_commit) for branch in references.branches}

        try:
            return self._client.retry("list its branches", attempt)
        except RepositoryNotFoundError:
            if must_exist:
                raise self._not_seen() from None
            warn(f"{self.repo}: there is no such model repo, or HF_TOKEN does not let us see it: taken as empty")
            return {}

    def holds(self, name: str, files: Mapping[str, bytes]) -> bool:
        """Tell whether a branch holds exactly these files, by its listing; raises as `read_manifest`."""
        return self._read(name, f"list the files of {name}", lambda: self._look(name)).holds(files)

    def read_manifest(self, name: str) -> dict[str, Any]:
        """Read a manifest that its branch agrees with, in two requests; the other files are not read.

        Raises `MissingSnapshotError` if there is no such branch, `RefusedSnapshotError` if it is not to be believed.
        """
        return self._read(name, f"show {name}", lambda: parse(self._read_manifest(self._look(name))))

    def read(self, name: str) -> dict[str, bytes]:
        """Read all files, of one commit. Raises as `read_manifest`."""

        def attempt() -> dict[str, bytes]:
            branch = self._look(name)
            manifest = self._read_manifest(branch)  # it limits what is read next
            files = {**{path: self._fetch(path, branch) for path in PAYLOAD}, MANIFEST: manifest}
            verify(files)
            return files

        return self._read(name, f"give {name}", attempt)

    def _read(self, name: str, action: str, attempt: Callable[[], T]) -> T:
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

        try:
            with located(f"{self.repo}@{name}", RefusedSnapshotError):
                return self._client.retry(action, attempt)
        except RepositoryNotFoundError:
            raise self._not_seen() from None
        except (RevisionNotFoundError, EntryNotFoundError):
            raise MissingSnapshotError(
                f"{self.repo}@{name}: expected a snapshot on the Hub, but there is no such branch; push it, or train "
                "it here."
            ) from None

    def _not_seen(self) -> HubError:
        return HubError(
            f"{self.repo}: expected a model repo that HF_TOKEN lets us read, got none of this name; push to it first, "
            "or correct the name or the token."
        )

    def _look(self, name: str, writes: bool = False) -> Branch:
        """List a branch; to be absent is for another look if it is written to, as in `HubClient.ask`."""
        api = self._client.api
        info = self._client.ask(lambda: api.model_info(self.repo, revision=name, files_metadata=True), writes)
        branch = Branch(_require_commit(info.sha), {file.rfilename: file for file in info.siblings or []})
        for path, file in branch.files.items():
            if not isinstance(file.size, int) or not isinstance(file.blob_id, str):
                raise TransientError(f"no size of {path[:60]!r}")
        return branch

    def _read_manifest(self, branch: Branch) -> bytes:
        """Give a manifest that agrees with its listing."""
        check_listing({path: file.size or 0 for path, file in branch.files.items() if path != HOUSEKEEPING})
        parse(data := self._fetch(MANIFEST, branch))
        return data

    def _fetch(self, path: str, branch: Branch) -> bytes:
        """Read a file that is what the listing says; of a larger one, no more than a byte too many."""
        from huggingface_hub import get_session
        from huggingface_hub.errors import EntryNotFoundError
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        api, listed = self._client.api, branch.files[path]
        longest = (listed.size or 0) + 1

        def download() -> bytes:
            url, data = f"{api.endpoint}/{self.repo}/resolve/{branch.commit}/{path}", bytearray()
            with get_session().stream("GET", url, headers=build_hf_headers(token=api.token)) as response:
                hf_raise_for_status(response)
                for chunk in response.iter_bytes():
                    data.extend(chunk[: longest - len(data)])
                    if len(data) == longest:  # it may never end
                        break
            return bytes(data)

        try:
            data = self._client.ask(download)
        except EntryNotFoundError:
            raise damaged(path, "a file", "none") from None
        if not _is_same(listed, data):
            raise TransientError(f"other bytes than those of {path}")
        return data

    def write(self, name: str, files: Mapping[str, bytes]) -> None:
        """Push without asking what became of it."""
        self.push(name, files)

    def push(self, name: str, files: Mapping[str, bytes]) -> HubCopy:
        """Make a branch hold exactly these files, in one commit; none if it does already.

        Repo (private) and branch are made if they are missing. May be called again at any time, also by two at once.
        Raises `SnapshotError`, with nothing sent, if the files do not verify or the card is not valid, else `HubError`.
        """
        verify(files)
        validate_card(files[CARD].decode())
        is_sent = False

        def attempt() -> HubCopy:
            nonlocal is_sent
            found = self._find(name)
            branch = found or self._start(name)
            if branch.holds(files):
                return HubCopy(self.url(name), branch.commit, is_sent)  # the answer to our own commit was lost
            if found is not None:
                self._refuse_another_market(name, found)
            is_sent = True
            commit = self._commit(name, branch, files)
            return HubCopy(self.url(name), commit, True, found.commit if found and MANIFEST in found.files else "")

        return self._client.retry(f"take {name}", attempt)

    def _find(self, name: str) -> Branch | None:
        """Look at a branch; None: there is none. Makes the repo, if there is none."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        try:
            return self._look(name)
        except RevisionNotFoundError:
            return None
        except RepositoryNotFoundError:
            report(f"{self.repo}: makes the repo, private")
            create = self._client.api.create_repo
            self._client.ask(lambda: create(self.repo, private=True, exist_ok=True), writes=True)
            return None

    def _start(self, name: str) -> Branch:
        """Make a branch, which begins with what ``main`` holds; that one every repo has."""
        if name != MAIN_BRANCH:
            self._client.ask(lambda: self._client.api.create_branch(self.repo, branch=name), writes=True)
        return self._look(name, writes=True)

    def _commit(self, name: str, branch: Branch, files: Mapping[str, bytes]) -> str:
        """Commit what a branch lacks on top of what it was, all or nothing."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[CommitOperationAdd | CommitOperationDelete] = [  # open files go over plain LFS, never over Xet
            *(CommitOperationAdd(path, io.BytesIO(files[path])) for path in FILES),
            *(CommitOperationDelete(path, is_folder=False) for path in branch.files if path not in files),
        ]
        done = self._client.ask(
            lambda: self._client.api.create_commit(
                self.repo, operations, commit_message=f"Push {name}", revision=name, parent_commit=branch.commit
            ),
            writes=True,
        )
        return _require_commit(done.oid)

    def _refuse_another_market(self, name: str, branch: Branch) -> None:
        """Do not replace what somebody trained on another market; None: any market will do."""
        market = None
        if self._market is not None:
            with suppress(SnapshotError):  # nobody's snapshot
                market = parse(self._read_manifest(branch)).get("market")
        if isinstance(market, str) and market != self._market:
            raise HubError(
                f"{self.repo}@{name}: expected to replace a snapshot of market {self._market}, got one of "
                f"{market[:40]!r}; use another repo for this market, or remove the branch."
            )


def _is_same(file: "RepoSibling", data: bytes) -> bool:
    """Tell whether a file holds these bytes: by their SHA-256 if it is kept apart from git, else by git's own hash."""
    if file.size != len(data):
        return False
    if file.lfs is not None:
        return file.lfs.sha256 == hashlib.sha256(data).hexdigest()
    return file.blob_id == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 - git's own


def _require_commit(commit: object) -> str:
    if not (isinstance(commit, str) and _COMMIT.fullmatch(commit)):
        raise TransientError("a branch without a commit")
    return commit
