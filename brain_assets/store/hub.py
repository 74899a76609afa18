"""One family's model repo on the Hugging Face Hub: a branch a snapshot, holding exactly the files of its folder.

A new branch becomes visible last: the files are committed on a staging branch, read back, and only then does the
snapshot's own branch start at that commit. So a branch of a snapshot's name is complete from its first moment, whenever
a push dies; what is left of it, the next push picks up. An existing branch changes by one commit on top of the one that
was looked at. Nothing that a repo holds is believed: see `HubRepo.pull`.

Import this module inside functions: it imports the Hub client.
"""

import datetime
import hashlib
import io
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: TID253 - see above
from huggingface_hub.errors import (  # noqa: TID253
    EntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile  # noqa: TID253
from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # noqa: TID253
from huggingface_hub.utils._runtime import is_xet_available  # noqa: TID253
from huggingface_hub.utils._xet import abort_xet_session  # noqa: TID253

from brain_assets.errors import HubError, RefusedSnapshotError, SnapshotError
from brain_assets.progress import report, warn
from brain_assets.store import admission
from brain_assets.store.card import validate_card
from brain_assets.store.folder import MANIFEST, PAYLOAD, check_files, read_manifest
from brain_assets.store.hub_address import HubAddress
from brain_assets.store.hub_client import XET_LIMIT, HubClient, Patience
from brain_assets.store.names import parse_snapshot_name, snapshot_name

FILES = (*PAYLOAD, MANIFEST)
BINARY = ("model.safetensors", "weights.pt", "feature_scaler.pkl")
"""What the Hub keeps apart from git."""
HTTP_ERRORS = (httpx2.HTTPError, OfflineModeIsEnabled)
"""What goes wrong between the client and the Hub; its `HfHubHTTPError` is one."""
XET_ERRORS = (OSError, RuntimeError, ValueError)
"""What `hf_xet`, a library of its own, raises."""
MOST_FILES = 1000
"""Of a listing that are looked at; a snapshot has five."""
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class RemoteFile:
    """What the Hub says about a file.

    Attributes
    ----------
    size : int
        Bytes; -1: it is no file, but a link or another repo.
    sha256 : str or None
        Of its content, if the Hub keeps it apart from git (LFS or Xet).
    blob : str
        Git's hash of it, or of the pointer to it.
    """

    size: int
    sha256: str | None
    blob: str

    def is_same(self, data: bytes) -> bool:
        """Tell whether it holds these bytes."""
        if self.size != len(data):
            return False
        if self.sha256 is not None:
            return self.sha256 == hashlib.sha256(data).hexdigest()
        return self.blob == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324 - git's own


@dataclass(frozen=True)
class HubCopy:
    """A snapshot's branch after a push.

    Attributes
    ----------
    url : str
        Where to look at it.
    commit : str
    changed : bool
        False: it held these very files already when it was first looked at.
    note : str
        Set if it went another way than planned.
    """

    url: str
    commit: str
    changed: bool
    note: str = ""


class HubRepo:
    """The model repo of one family.

    Parameters
    ----------
    family : str or None
        None: any; then it can be read only.
    address : HubAddress
    patience : Patience, optional
    market : str, optional
        Of its snapshots; those of another one are refused, and not replaced. Default: any.
    """

    def __init__(
        self,
        family: str | None,
        address: HubAddress,
        patience: Patience | None = None,
        market: str | None = None,
    ) -> None:
        self.family, self.repo, self._market = family, address.repo, market
        self._client = HubClient(address, patience)
        self._api = self._client.api

    def url(self, branch: str) -> str:
        """Give the page of a branch."""
        return f"{self._api.endpoint}/{self.repo}/tree/{branch}"

    def branches(self, must_exist: bool = False) -> dict[datetime.date, str]:
        """Give the snapshots that have a branch: cut-off -> commit. One request; a repo that is not there has none.

        A branch whose name looks like a snapshot's but holds no date is left out, with a warning.
        """
        return self.look(must_exist)[0]

    def look(self, must_exist: bool = False) -> tuple[dict[datetime.date, str], set[datetime.date]]:
        """Give what `branches` gives, and which of these snapshots have a staging branch too; one request.

        Such a push died, or is ending just now, on this machine or on another one; pushing again removes the branch.
        """
        references = self._client.retry("list its branches", self._references)
        if references is None and must_exist:
            raise self._not_seen()
        commits = self._snapshots(references)
        return commits, {date for date in commits if _staging(snapshot_name(date)) in (references or {})}

    def _snapshots(self, references: Mapping[str, str] | None) -> dict[datetime.date, str]:
        if references is None:
            warn(f"{self.repo}: there is no such model repo, or HF_TOKEN does not let us see it: taken as empty")
            return {}
        found = {}
        for name, commit in references.items():
            cutoff_date = parse_snapshot_name(name)
            if cutoff_date is not None:
                found[cutoff_date] = commit
            elif name.startswith("snapshot-"):
                warn(f"{self.repo}: branch {name!r} ignored: its name does not end in a date such as 2020-12-31")
        return found

    def _not_seen(self) -> HubError:
        return HubError(
            f"{self.repo}: expected a model repo that HF_TOKEN lets us read, got none of this name; push to it first, "
            "or correct the name or the token."
        )

    def _references(self) -> dict[str, str] | None:
        """Give branch -> commit; None: there is no such repo."""
        try:
            references = self._client.ask(lambda: self._api.list_repo_refs(self.repo))
        except RepositoryNotFoundError:
            return None
        branches = {branch.name: branch.target_commit for branch in references.branches}
        if not all(isinstance(commit, str) and _COMMIT.fullmatch(commit) for commit in branches.values()):
            raise self._client.passing("branches without commits")
        return branches

    def read_files(self, commit: str) -> dict[str, RemoteFile]:
        """List the files of a commit, in one request for a snapshot of ours."""
        return self._client.retry(f"list the files of {commit[:8]}", lambda: self._read_commit(commit))

    def _read_commit(self, commit: str) -> dict[str, RemoteFile]:
        """List the files of a commit that was there a moment ago."""
        try:
            return self._read_files(commit)
        except (RevisionNotFoundError, EntryNotFoundError, RepositoryNotFoundError):
            raise self._client.passing(f"commit {commit[:8]} is not there") from None

    def _read_files(self, revision: str, *, writes: bool = False) -> dict[str, RemoteFile]:
        entries = self._client.ask(
            lambda: list(islice(self._api.list_repo_tree(self.repo, revision=revision, recursive=True), MOST_FILES)),
            writes=writes,
        )
        files = [entry for entry in entries if isinstance(entry, RepoFile)]
        found = {
            file.path: RemoteFile(file.size, file.lfs.sha256 if file.lfs else None, file.blob_id) for file in files
        }
        for entry in entries:  # a link, or another repo inside this one, has no file below it as a folder has
            if entry.path not in found and not any(path.startswith(f"{entry.path}/") for path in found):
                found[entry.path] = RemoteFile(-1, None, "")
        return found

    def push(self, cutoff_date: datetime.date, files: Mapping[str, bytes], known: str = "") -> HubCopy:
        """Make a snapshot's branch hold exactly these files, in one commit; none if it does already.

        Repo (private) and branch are made if they are missing. May be called again at any time, also by two at once.

        Parameters
        ----------
        cutoff_date : datetime.date
        files : mapping of str to bytes
            All files of its folder.
        known : str
            A commit that is known to hold them: saves a request if the branch is there.

        Raises
        ------
        SnapshotError
            If the files do not verify or the model card's metadata are not valid; nothing has been sent then.
        HubUnavailableError
            If the Hub went on failing.
        HubError
            If the Hub refuses it.
        """
        return self.push_branch(snapshot_name(cutoff_date), files, known)

    def push_branch(self, name: str, files: Mapping[str, bytes], known: str = "") -> HubCopy:
        """Do what `push` does for a branch of any name: a main version's, or ``main`` itself."""
        problem = check_files(files)
        if problem is not None:
            raise SnapshotError(f"{name}: expected a complete snapshot to push, but {problem}; train it again.")
        validate_card(files["README.md"].decode())
        disable_progress_bars()  # the library's own; ours is a line a snapshot
        before: list[str | None] = []
        notes: list[str] = []
        commit, is_staged = self._client.retry(f"take {name}", lambda: self._push(name, files, known, before, notes))
        if is_staged:
            self._remove(_staging(name))
        return HubCopy(self.url(name), commit, commit != before[0], "; ".join(dict.fromkeys(notes)))

    def _push(
        self, name: str, files: Mapping[str, bytes], known: str, before: list[str | None], notes: list[str]
    ) -> tuple[str, bool]:
        """Do it once; gives the commit, and whether there is a staging branch to remove. `before`: what was there."""
        references = self._references()
        if references is None:
            self._create_repo()
            references = {}
        head, staging = references.get(name), _staging(name)
        before.append(head)
        if head is not None:
            commit = head if head == known else self._bring(name, head, name, files, notes)
            return commit, staging in references
        if staging not in references:
            self._client.ask(lambda: self._api.create_branch(self.repo, branch=staging), writes=True)
        commit = self._bring(staging, references.get(staging), name, files, notes)
        self._client.ask(lambda: self._api.create_branch(self.repo, branch=name, revision=commit), writes=True)
        return commit, True

    def _bring(self, branch: str, head: str | None, name: str, files: Mapping[str, bytes], notes: list[str]) -> str:
        """Commit on a branch what it lacks; gives the commit that holds the files."""
        found = self._read_files(head or branch, writes=True)
        if head is not None and are_same(found, files):
            return head
        if head is not None and branch == name:
            self._refuse_another_market(name, head, found)
        deletions = [CommitOperationDelete(path, is_folder=False) for path in found if path not in files]
        commit = self._commit(branch, head, name, [*self._upload(branch, files, notes), *deletions])
        if not are_same(self._read_files(commit, writes=True), files):
            raise self._client.passing(f"commit {commit[:8]} does not hold what was sent")
        return commit

    def _refuse_another_market(self, name: str, head: str, found: Mapping[str, RemoteFile]) -> None:
        """Do not replace what somebody trained on another market."""
        listed = found.get(MANIFEST)
        if self._market is None or listed is None or not 0 <= listed.size <= admission.LARGEST_MANIFEST:
            return
        try:
            market = read_manifest(self._fetch(f"{self.repo}@{name}", MANIFEST, head, listed)).get("market")
        except SnapshotError:  # nobody's snapshot
            return
        if isinstance(market, str) and market != self._market:
            raise HubError(
                f"{self.repo}@{name}: expected to replace a snapshot of market {self._market}, got one of "
                f"{market[:40]!r}; use another repo for this market, or remove the branch."
            )

    def _commit(
        self, branch: str, head: str | None, name: str, operations: list[CommitOperationAdd | CommitOperationDelete]
    ) -> str:
        done = self._client.ask(
            lambda: self._api.create_commit(
                self.repo, operations, commit_message=f"{self.family} {name}", revision=branch, parent_commit=head
            ),
            writes=True,
        )
        if not _COMMIT.fullmatch(str(done.oid)):
            raise self._client.passing("a commit without a hash")
        return str(done.oid)

    def _upload(self, branch: str, files: Mapping[str, bytes], notes: list[str]) -> list[CommitOperationAdd]:
        """Upload what the Hub keeps apart from git: over Xet where that works, else over plain LFS.

        The client uploads an open file over plain LFS, and bytes over Xet where both sides can; it has no fallback.
        """
        if is_xet_available():
            additions = self._upload_over_xet(branch, files, notes)
            if additions is not None:
                return additions
        additions = [CommitOperationAdd(path, io.BytesIO(files[path])) for path in FILES]
        for addition in additions:
            # one at a time: several go in threads of the library's own, which retries there by its own rules
            if addition.path_in_repo in BINARY:
                self._client.ask(
                    partial(self._api.preupload_lfs_files, self.repo, [addition], revision=branch, free_memory=False),
                    writes=True,
                )
        return additions

    def _upload_over_xet(
        self, branch: str, files: Mapping[str, bytes], notes: list[str]
    ) -> list[CommitOperationAdd] | None:
        """Do it over Xet; None: that is what failed."""
        additions = [CommitOperationAdd(path, files[path]) for path in FILES]

        def question() -> list[CommitOperationAdd] | None:
            limit = threading.Timer(XET_LIMIT, abort_xet_session)
            limit.start()
            try:
                self._api.preupload_lfs_files(self.repo, additions, revision=branch, free_memory=False)
            except HTTP_ERRORS:
                raise
            except XET_ERRORS as error:
                notes.append(f"Xet failed ({self._client.scrub(error)}): sent over plain LFS")
                report(f"{self.repo}: {notes[-1]}")
                return None
            finally:
                limit.cancel()
            return additions

        return self._client.ask(question, writes=True)

    def _remove(self, branch: str) -> None:
        """Remove a staging branch; if that fails, the snapshot is there nevertheless."""
        try:
            self._client.retry(
                f"remove branch {branch}",
                lambda: self._client.ask(lambda: self._api.delete_branch(self.repo, branch=branch)),
            )
        except (RevisionNotFoundError, EntryNotFoundError, RepositoryNotFoundError):
            return  # another pusher has removed it
        except HubError as error:
            warn(f"{error} The next push of this snapshot does it.")

    def _create_repo(self) -> None:
        for other in ("dataset", "space"):
            if self._client.ask(partial(self._api.repo_exists, self.repo, repo_type=other)):
                raise HubError(
                    f"{self.repo}: expected a model repo, got a {other}; name another one in "
                    f"HF_{str(self.family).upper()}_MODEL_REPO."
                )
        report(f"{self.repo}: makes the repo, private")
        self._client.ask(lambda: self._api.create_repo(self.repo, private=True, exist_ok=True), writes=True)

    def read_manifest(self, cutoff_date: datetime.date, commit: str) -> dict[str, Any]:
        """Read what a snapshot says of itself, in two requests; not to be believed before it is pulled.

        Raises
        ------
        RefusedSnapshotError
            If it cannot be that of a snapshot of this family and date, or its branch does not list what it states.
        """
        read = partial(self._read_manifest, self._where(cutoff_date), cutoff_date, commit)
        return self._client.retry(f"show {snapshot_name(cutoff_date)}", read)[0]

    def _read_manifest(
        self, where: str, cutoff_date: datetime.date | None, commit: str
    ) -> tuple[dict[str, Any], dict[str, RemoteFile], bytes]:
        """Give a manifest that agrees with its listing, the listing, and its bytes."""
        listing = self._read_commit(commit)
        sizes = {path: file.size for path, file in listing.items()}
        admission.admit_listing(where, sizes)
        data = self._fetch(where, MANIFEST, commit, listing[MANIFEST])
        manifest = admission.admit_manifest(where, data, self.family, cutoff_date, self._market)
        admission.admit_sizes(where, manifest, sizes)
        return manifest, listing, data

    def pull(self, cutoff_date: datetime.date, commit: str | None = None) -> tuple[dict[str, bytes], str]:
        """Read a snapshot's files, and check everything about them before any use.

        The listing must name its files and nothing else, within the limits of size; every file must be what the listing
        says, and the manifest must agree; then `ModelSnapshot` looks at what they hold.

        Parameters
        ----------
        cutoff_date : datetime.date
        commit : str, optional
            Of its branch; default: ask.

        Returns
        -------
        dict of str to bytes, str
            All files, and the commit that they are from.

        Raises
        ------
        RefusedSnapshotError
            One sentence with repo, branch, file and reason.
        SnapshotError
            If there is no such branch.
        HubUnavailableError
            If the Hub went on failing.
        """
        return self.pull_branch(snapshot_name(cutoff_date), cutoff_date, commit)

    def pull_branch(
        self, name: str, cutoff_date: datetime.date | None, commit: str | None = None
    ) -> tuple[dict[str, bytes], str]:
        """Do what `pull` does for a branch of any name; `cutoff_date`: that of its model, None: whichever it says."""
        where = f"{self.repo}@{name}"
        known = [commit] if commit else []
        files, commit = self._client.retry(
            f"give {name}",
            lambda: self._pull(where, cutoff_date, known.pop() if known else self._head(name)),
        )
        admission.admit_content(where, files, self.family, cutoff_date, self._market)
        return files, commit

    def _head(self, name: str) -> str:
        references = self._references()
        if references is None:
            raise self._not_seen()
        if name not in references:
            raise SnapshotError(
                f"{self.repo}@{name}: expected a snapshot on the Hub, but there is no such branch; push it, or train "
                "it here."
            )
        return references[name]

    def _pull(self, where: str, cutoff_date: datetime.date | None, commit: str) -> tuple[dict[str, bytes], str]:
        _, listing, manifest = self._read_manifest(where, cutoff_date, commit)  # it limits what is read next
        files = {path: self._fetch(where, path, commit, listing[path]) for path in PAYLOAD}
        return {**files, MANIFEST: manifest}, commit

    def _fetch(self, where: str, path: str, commit: str, listed: RemoteFile) -> bytes:
        """Read a file that is what the listing says."""
        try:
            data = self._client.fetch(path, commit, listed.size + 1)
        except (RevisionNotFoundError, EntryNotFoundError, RepositoryNotFoundError):
            raise RefusedSnapshotError(
                f"{where}: expected a file {path}, got none; do not use this snapshot."
            ) from None
        if not listed.is_same(data):
            raise self._client.passing(f"other bytes than those of {path}")
        return data

    def _where(self, cutoff_date: datetime.date) -> str:
        return f"{self.repo}@{snapshot_name(cutoff_date)}"


def are_same(found: Mapping[str, RemoteFile], files: Mapping[str, bytes]) -> bool:
    """Tell whether a commit holds exactly these files."""
    return set(found) == set(files) and all(found[path].is_same(data) for path, data in files.items())


def _staging(name: str) -> str:
    return f"pushing-{name}"
