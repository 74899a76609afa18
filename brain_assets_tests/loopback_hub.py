"""A Hugging Face Hub for tests, on 127.0.0.1, that the real ``huggingface_hub`` client (2.4) talks to.

Repositories are kept in memory. The answers follow what the client reads of the real Hub's, and every request can be
made to fail: see `Fault`. Nothing here imports the client.

Client settings that a test wants: ``HF_ENDPOINT`` (or ``HfApi(endpoint=...)``), ``HF_HUB_DISABLE_TELEMETRY`` (else one
more request, ``GET /api/agent-harnesses``), and ``HF_HUB_DISABLE_XET`` unless Xet itself is under test.
"""

import base64
import datetime
import hashlib
import itertools
import json
import os
import re
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

GIT_ATTRIBUTES = b"".join(
    b"*.%s filter=lfs diff=lfs merge=lfs -text\n" % name for name in (b"bin", b"pkl", b"pt", b"safetensors")
)
LFS_NAMES = (".bin", ".pkl", ".pt", ".safetensors")
USER = "user"

Match = str | Callable[["Request"], bool] | None


class Symlink(bytes):
    """A tree entry that is a link; its bytes are the path it points to."""


@dataclass(frozen=True)
class Request:
    """A request as it came: `path` is still percent-encoded and without the query, header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    index: int

    def matches(self, match: Match) -> bool:
        """Tell whether `match` means this request: a part of ``"METHOD path"``, a predicate, or None for any."""
        return match is None or (match in f"{self.method} {self.path}" if isinstance(match, str) else match(self))


@dataclass
class Fault:
    """Something that goes wrong in the requests that `match`, from the `at`-th on (0-based, counted from arming).

    ===================  ============================================================================================
    ``"401"`` ... 503    Any HTTP error status; nothing is done. "429" bears `retry_after` as Retry-After (None: none).
    ``"drop"``           The connection is reset: after half of the request's body where it has one (nothing is done),
                         else after the header and half of the answer's body.
    ``"truncate"``       The request is done, and the connection closed cleanly after half of the answer's body (after
                         half of the header where there is no body). On a commit: done, but the client cannot know.
    ``"wrong bytes"``    The request is done; the answer has a byte flipped, the JSON is not what was expected, a
                         HEAD's ETags are others. Of a PUT the body received has the byte flipped, so it is refused.
    ``"silence"``        The request is read, then nothing until the hub closes.
    ``"echo token"``     A 500 whose message repeats the Authorization header it got.
    ===================  ============================================================================================

    `times` is how many of the requests it befalls, None for all.
    """

    kind: str
    match: Match = None
    at: int = 0
    times: int | None = 1
    retry_after: int | None = 1
    seen: int = field(default=0, init=False)

    def befalls(self, request: Request) -> bool:
        """Count the request if it matches, and tell whether the fault befalls it."""
        if not request.matches(self.match):
            return False
        self.seen += 1
        return self.at < self.seen and (self.times is None or self.seen <= self.at + self.times)


@dataclass(frozen=True)
class Commit:
    """A commit; all of them are kept."""

    oid: str
    parent: str | None
    message: str
    files: dict[str, bytes]
    date: str


@dataclass
class Repo:
    """A repository: its branches by name, its commits by oid."""

    kind: str
    name: str
    branches: dict[str, str] = field(default_factory=dict)
    history: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """Return the commit that a branch or an oid names."""
        oid = self.branches.get(revision, revision)
        if oid not in self.history:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.history[oid]

    def log(self, revision: str) -> list[Commit]:
        log = [self.at(revision)]
        while log[-1].parent is not None:
            log.append(self.history[log[-1].parent])
        return log

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> Commit:
        """Make `files` the content of a branch."""
        parent = self.branches.get(branch)
        oid = hashlib.sha1(f"{self.kind} {self.name} {branch} {parent} {len(self.history)}".encode()).hexdigest()
        date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.history[oid] = Commit(oid, parent, message, dict(files), date)
        self.branches[branch] = oid
        return self.history[oid]


class Refusal(Exception):  # noqa: N818
    """An error answer."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = Answer.of_json({"error": message}, status, headers)


@dataclass
class Answer:
    """An answer; `length` is what Content-Length says of a HEAD where it is not the body's."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    @classmethod
    def of_json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Self:
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def spoilt(self) -> "Answer":
        """Return it with wrong bytes."""
        tags = {name: flip(tag.encode()).decode() for name, tag in self.headers.items() if name.endswith("ETag")}
        headers = {**self.headers, **tags}
        if headers.get("Content-Type") == "application/json":
            other: Any = {"unexpected": "answer"} if self.body.startswith(b"[") else ["unexpected answer"]
            return Answer.of_json(other, self.status, headers)
        return Answer(flip(self.body), self.status, headers, self.length)

    def raw(self, method: str) -> tuple[bytes, bytes]:
        """Return the bytes of the header and of the body."""
        length = len(self.body) if self.length is None or method != "HEAD" else self.length
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {length}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1"), b"" if method == "HEAD" else self.body


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :] if data else data


def upload_mode(path: str, sample: bytes, size: int) -> str:
    """Choose "lfs" for binary files, as the Hub does."""
    try:
        sample.decode()
        binary = b"\0" in sample
    except UnicodeDecodeError as error:
        binary = error.start < len(sample) - 4  # else a character cut by the end of the sample
    return "lfs" if size and (binary or path.endswith(LFS_NAMES) or size > 10_000_000) else "regular"


def is_lfs(path: str, content: bytes) -> bool:
    return upload_mode(path, content[:512], len(content)) == "lfs"


def blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(path: str, content: bytes) -> str:
    """Return what identifies a file's content: its sha256 where it is one of LFS, else git's oid."""
    return hashlib.sha256(content).hexdigest() if is_lfs(path, content) else blob_oid(content)


_ROUTES: list[tuple[re.Pattern[str], bool, Callable[[Any], Any]]] = []
REPO = "(?P<repo>[^/]+/[^/]+?)"
API = f"/api/(?P<kind>models|datasets|spaces)/{REPO}"
FILES = f"/(?:(?P<kind>datasets|spaces)/)?{REPO}"
REVISION = "(?P<revision>[^/]+)"


def route(pattern: str, *, write: bool = False) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register what serves the requests whose ``"METHOD path"`` matches; `write` asks for the right to."""

    def register(serve: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _ROUTES.append((re.compile(pattern), write, serve))
        return serve

    return register


@dataclass
class Call:
    """A request about to be served; `repo` and `commit` are what its path names, where it names any."""

    hub: "LoopbackHub"
    request: Request
    body: bytes
    parts: dict[str, str]
    role: str | None = None
    repo: Repo = field(init=False)
    commit: Commit = field(init=False)

    def url(self, kind: str, name: str) -> str:
        return f"{self.hub.endpoint}/{'' if kind == 'model' else kind + 's/'}{name}"

    def size(self, path: str) -> int:
        return self.hub.claims.get((self.commit.oid, path), len(self.commit.files[path]))

    def entry(self, path: str) -> dict[str, Any]:
        content = self.commit.files[path]
        entry = {"type": "file", "path": path, "size": self.size(path), "oid": blob_oid(content)}
        if isinstance(content, Symlink):
            return {**entry, "type": "unknown"}
        if is_lfs(path, content):
            sha = etag(path, content)
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n".encode()
            lfs = {"oid": sha, "size": entry["size"], "pointerSize": len(pointer)}
            entry |= {"oid": blob_oid(pointer), "lfs": lfs}
        return entry

    def blob(self, path: str) -> dict[str, Any]:
        """Describe a file of the commit as the facts of a repository do."""
        entry = self.entry(path)
        lfs = {**entry["lfs"], "sha256": entry["lfs"]["oid"]} if "lfs" in entry else None
        return {"size": entry["size"], "blobId": entry["oid"]} | ({"lfs": lfs} if lfs else {})

    def content(self, content: bytes, headers: dict[str, str], size: int | None = None) -> Answer:
        return Answer(content, 200, {"Content-Type": "application/octet-stream", **headers}, size)

    @route("GET /api/agent-harnesses")
    def agent_harnesses(self) -> Any:
        return {"standardEnvVars": [], "harnesses": {}}

    @route("POST /api/validate-yaml")
    def validate_yaml(self) -> Any:
        return {"errors": [], "warnings": []}

    @route("POST /api/repos/create", write=True)
    def create_repo(self) -> Any:
        asked = json.loads(self.body)
        kind, name = asked.get("type", "model"), f"{asked['organization'] or USER}/{asked['name']}"
        url = self.url(kind, name)
        if (kind, name) in self.hub.repos():
            return Answer.of_json({"error": f"You already created this {kind} repo", "url": url}, 409)
        self.hub.add_repo(name)
        return {"url": url, "name": name, "id": name}

    @route(f"GET {API}(?:/revision/{REVISION})?")
    def repo_info(self) -> Any:
        commit = self.commit = self.repo.at(self.parts["revision"] or "main")
        blobs = "blobs" in self.request.query
        files = [{"rfilename": path} | (self.blob(path) if blobs else {}) for path in sorted(commit.files)]
        facts = {"private": False, "gated": False, "downloads": 0, "likes": 0, "tags": [], "lastModified": commit.date}
        return {"id": self.repo.name, "sha": commit.oid, "siblings": files, **facts}

    @route(f"GET {API}/refs")
    def refs(self) -> Any:
        heads = self.repo.branches.items()
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in heads]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}

    @route(f"GET {API}/tree/{REVISION}")
    def tree(self) -> Any:
        return [self.entry(path) for path in sorted(self.commit.files)]  # flat, and within one page

    @route(f"POST {API}/branch/(?P<branch>[^/]+)", write=True)
    def create_branch(self) -> Any:
        branch, start = self.parts["branch"], json.loads(self.body).get("startingPoint", "main")
        if branch in self.repo.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{branch}")
        self.repo.branches[branch] = self.repo.at(start).oid
        return Answer(b"OK", 201)

    @route(f"DELETE {API}/branch/(?P<branch>[^/]+)", write=True)
    def delete_branch(self) -> Any:
        if self.parts["branch"] == "main":
            raise Refusal(403, "Cannot delete the default branch")
        if self.parts["branch"] not in self.repo.branches:
            raise Refusal(404, f"Invalid rev id: {self.parts['branch']}", "RevisionNotFound")
        del self.repo.branches[self.parts["branch"]]
        return Answer(b"OK")

    @route(f"POST {API}/preupload/{REVISION}", write=True)
    def preupload(self) -> Any:
        modes = []
        for file in json.loads(self.body)["files"]:
            mode = upload_mode(file["path"], base64.b64decode(file["sample"]), file["size"])
            there = self.commit.files.get(file["path"])
            known = {} if there is None else {"oid": etag(file["path"], there)}  # lets the client skip what is the same
            modes.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **known})
        return {"files": modes}

    @route(f"POST {API}/commit/{REVISION}", write=True)
    def create_commit(self) -> Any:
        header, *operations = [json.loads(line) for line in self.body.splitlines()]
        branch, files = self.parts["revision"], dict(self.commit.files)
        if branch not in self.repo.branches:
            raise Refusal(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        if not self.commit.oid.startswith(header["value"].get("parentCommit", "")):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        for key, value in ((operation["key"], operation["value"]) for operation in operations):
            path = value["path"]
            if key == "file":
                files[path] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    raise Refusal(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = self.hub.objects[value["oid"]]
            else:  # deletedFile, deletedFolder
                folder = path.rstrip("/") + "/"
                gone = [name for name in files if (name.startswith(folder) if key == "deletedFolder" else name == path)]
                if not gone:
                    raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
                for name in gone:
                    del files[name]
        message = "\n\n".join(filter(None, (header["value"]["summary"], header["value"]["description"])))
        oid = self.repo.commit(branch, files, message).oid  # also where nothing changes: an empty commit, as on the Hub
        url = f"{self.url(self.repo.kind, self.repo.name)}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    @route(f"GET {API}/xet-write-token/[^/]+", write=True)
    def xet_token(self) -> Any:
        if not self.hub.offer_xet:
            raise Refusal(404, "Xet is not enabled for this repository")
        url, end = f"{self.hub.endpoint}/cas", int(time.time()) + 3600
        headers = {"X-Xet-Cas-Url": url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(end)}
        return Answer.of_json({"casUrl": url, "accessToken": "xet", "exp": end}, headers=headers)

    @route(r"[A-Z]+ /cas/.*")
    def xet_storage(self) -> Any:
        raise Refusal(500, "the Xet storage of the loopback hub never works")

    @route(rf"POST {FILES}\.git/info/lfs/objects/batch", write=True)
    def lfs_batch(self) -> Any:
        verify = {"href": f"{self.url(self.repo.kind, self.repo.name)}.git/info/lfs/objects/verify"}
        objects = json.loads(self.body)["objects"]
        for item in objects:
            if item["oid"] not in self.hub.objects:
                item["actions"] = {"upload": {"href": f"{self.hub.storage}/lfs/{item['oid']}"}, "verify": verify}
        return {"transfer": "basic", "objects": objects}

    @route(rf"POST {FILES}\.git/info/lfs/objects/verify", write=True)
    def lfs_verify(self) -> Any:
        asked = json.loads(self.body)
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(404, "The object is not there, or of another size")
        return {}

    @route("PUT /lfs/(?P<sha>[0-9a-f]{64})")
    def lfs_upload(self) -> Any:
        if hashlib.sha256(self.body).hexdigest() != self.parts["sha"]:
            raise Refusal(400, "The content does not have the SHA-256 that was announced")
        self.hub.objects[self.parts["sha"]] = self.body
        return Answer()

    @route("(?:GET|HEAD) /lfs/(?P<sha>[0-9a-f]{64})")
    def lfs_download(self) -> Any:
        if self.parts["sha"] not in self.hub.objects:
            raise Refusal(404, "no such object")
        return self.content(self.hub.objects[self.parts["sha"]], {"ETag": f'"{self.parts["sha"]}"'})

    @route(f"(?:GET|HEAD) {FILES}/resolve/{REVISION}/(?P<path>.+)")
    def resolve(self) -> Any:
        path, commit = self.parts["path"], self.commit
        content = commit.files.get(path)
        if content is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", X_Repo_Commit=commit.oid)
        tag, size = etag(path, content), self.size(path)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{tag}"'}
        if not is_lfs(path, content):
            return self.content(content, headers, size)
        linked = {"X-Linked-Size": str(size), "X-Linked-ETag": f'"{tag}"'}
        return Answer(b"Found", 302, {**headers, **linked, "Location": f"{self.hub.storage}/lfs/{tag}"})


class LoopbackHub:
    """The Hub; use it as a context manager.

    Parameters
    ----------
    latency
        Seconds before each answer.
    tokens
        The known tokens and their roles, "write" or "read". Any other token gets a 401 everywhere; no token at all
        may read.

    Attributes
    ----------
    endpoint
        For ``HF_ENDPOINT``. LFS files come from and go to ``http://localhost:PORT`` instead, another host to the
        client, as on the real Hub: it must not send its token there.
    requests
        All requests so far, in order of arrival, recorded before any fault.
    offer_xet
        Whether a client that asks for a token of Xet's storage gets one; that storage always answers 500. The client
        (2.4) asks wherever ``hf_xet`` is there and not disabled, and goes on for minutes.
    """

    def __init__(self, latency: float = 0.0, tokens: dict[str, str] | None = None) -> None:
        self.latency = latency
        self.tokens = {"hf_write": "write", "hf_read": "read"} if tokens is None else tokens
        self.offer_xet = False
        self.requests: list[Request] = []
        self.objects: dict[str, bytes] = {}
        self.claims: dict[tuple[str, str], int] = {}
        self.crashes: list[str] = []
        self.closing = threading.Event()
        self._lock = threading.RLock()
        self._repos: dict[tuple[str, str], Repo] = {}
        self._faults: list[Fault] = []
        self._callbacks: list[tuple[Match, Callable[[], object]]] = []
        self._counter = itertools.count()
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()
        if self.crashes and error is None:
            raise RuntimeError("the loopback hub itself failed:\n" + "\n".join(self.crashes))

    def add_repo(self, name: str) -> Repo:
        """Make a repository, with one commit on its branch main."""
        with self._lock:
            repo = self._repos["model", name] = Repo("model", name)
            repo.commit("main", {".gitattributes": GIT_ATTRIBUTES}, "initial commit")
            return repo

    def put(self, name: str, branch: str, files: dict[str, bytes], message: str = "") -> Commit:
        """Commit exactly these files, whatever they are named, on a branch, which is made if absent."""
        with self._lock:
            self.objects |= {etag(path, content): content for path, content in files.items() if is_lfs(path, content)}
            return self._repos["model", name].commit(branch, files, message)

    def repos(self) -> list[tuple[str, str]]:
        return list(self._repos)

    def files(self, name: str, revision: str) -> dict[str, bytes]:
        return dict(self._repos["model", name].at(revision).files)

    def branches(self, name: str) -> dict[str, str]:
        return dict(self._repos["model", name].branches)

    def commits(self, name: str, revision: str = "main") -> list[Commit]:
        """Return the commits of a branch, the newest first."""
        return self._repos["model", name].log(revision)

    def claim_size(self, name: str, branch: str, path: str, size: int) -> None:
        """Let the tree and the HEAD of a file as it is now on a branch say another size."""
        self.claims[self._repos["model", name].at(branch).oid, path] = size

    def fail(self, *faults: Fault) -> None:
        """Arm faults; where several befall a request the first armed is applied."""
        with self._lock:
            self._faults += faults

    def clear_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def before(self, match: Match, callback: Callable[[], object]) -> None:
        """Call something once, right before the next request that matches is served."""
        with self._lock:
            self._callbacks.append((match, callback))

    def forget(self) -> None:
        """Clear `requests`; the next one has index 0."""
        with self._lock:
            self.requests.clear()
            self._counter = itertools.count()

    def receive(self, method: str, url: str, headers: dict[str, str]) -> tuple[Request, Fault | None]:
        """Record a request, run what was to come before it, and return it with its fault."""
        parts = urlsplit(url)
        with self._lock:
            query = dict(parse_qsl(parts.query))
            request = Request(method, parts.path, query, headers, next(self._counter))
            self.requests.append(request)
            due = [pair for pair in self._callbacks if request.matches(pair[0])]
            self._callbacks = [pair for pair in self._callbacks if pair not in due]
            befalling = [fault for fault in self._faults if fault.befalls(request)]
        for _, callback in due:
            callback()
        return request, befalling[0] if befalling else None

    def answer(self, request: Request, body: bytes) -> Answer:
        try:
            with self._lock:
                result = self._dispatch(request, body)
                return result if isinstance(result, Answer) else Answer.of_json(result)
        except Refusal as refusal:
            return refusal.answer
        except Exception:  # noqa: BLE001
            self.crashes.append(f"{request}\n{traceback.format_exc()}")
            return Refusal(500, "the loopback hub itself failed").answer

    def _dispatch(self, request: Request, body: bytes) -> Any:
        line = f"{request.method} {request.path}"
        found, write, serve = next(((m, w, s) for p, w, s in _ROUTES if (m := p.fullmatch(line))), (None, False, None))
        if found is None or serve is None:
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        call = Call(self, request, body, {name: unquote(part or "") for name, part in found.groupdict().items()})
        authorization = request.headers.get("authorization")
        if authorization is not None and not request.path.startswith("/cas/"):
            call.role = self.tokens.get(authorization.removeprefix("Bearer "), "")
            if not call.role:
                raise Refusal(401, "Invalid credentials in Authorization header")
        if "repo" in call.parts:
            key = (call.parts.get("kind", "").removesuffix("s") or "model", call.parts["repo"])
            if key not in self._repos:
                raise Refusal(404, "Repository not found", "RepoNotFound")
            call.repo = self._repos[key]
        if write and call.role != "write":
            raise Refusal(403, "You have no write access") if call.role else Refusal(401, "Log in first")
        if call.parts.get("revision"):
            call.commit = call.repo.at(call.parts["revision"])
        return serve(call)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: LoopbackHub) -> None:
        self.hub = hub
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may go away at any time."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def serve(self) -> None:
        hub = self.server.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        request, fault = hub.receive(self.command, self.path, headers)
        kind = fault.kind if fault else ""
        length = int(headers.get("content-length", 0))
        if kind == "drop" and (length or "transfer-encoding" in headers):
            self.rfile.read(length // 2)
            return self.reset()
        body = self.rfile.read(length) if length else b"".join(iter(self.chunk, b""))
        if len(body) < length:  # the client is gone: half a request is none
            self.close_connection = True
            return None
        hub.closing.wait(hub.latency)
        if fault and kind == "silence":
            hub.closing.wait()
            self.close_connection = True
            return None
        if fault and kind.isdigit():
            wait = {"Retry_After": str(fault.retry_after)} if kind == "429" and fault.retry_after is not None else {}
            answer = Refusal(int(kind), f"fault {kind}", **wait).answer
        elif kind == "echo token":
            answer = Refusal(500, f"cannot serve you, {headers.get('authorization')}").answer
        elif kind == "wrong bytes":
            put = request.method == "PUT"
            answer = hub.answer(request, flip(body)) if put else hub.answer(request, body).spoilt()
        else:
            answer = hub.answer(request, body)
        header, content = answer.raw(request.method)
        if kind in ("drop", "truncate"):
            cut = len(header) + len(content) // 2 if content else len(header) // 2
            self.wfile.write((header + content)[:cut])
            self.close_connection = True
            return self.reset() if kind == "drop" else None
        self.wfile.write(header + content)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = serve  # noqa: N815

    def chunk(self) -> bytes:
        """Read a chunk of a body that came without a length; nothing where there is no body, or no more of it."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        size = int(self.rfile.readline(), 16)
        return self.rfile.read(size + 2)[:size]

    def reset(self) -> None:
        """Close with a TCP reset, once what was sent has had the time to be read."""
        time.sleep(0.05)
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, *args: Any) -> None: ...
