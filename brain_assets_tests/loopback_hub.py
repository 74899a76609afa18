"""A Hugging Face Hub for tests, on 127.0.0.1, that the real ``huggingface_hub`` client (2.4) talks to.

Repositories are kept in memory. The answers follow what the client reads of the real Hub's, and every request can be
made to fail: see `Fault`. Nothing here imports the client.
"""

import base64
import hashlib
import json
import re
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
TOKEN = "hf_writeQxZ7wKvTnLcRpYbG"  # of a form that is found nowhere by accident
READ_TOKEN = "hf_readMd4JhUsEaFoWiNzD"
LFS_NAMES = (".bin", ".pkl", ".pt", ".safetensors")
KINDS = ("429", "500", "503", "drop", "truncate", "wrong bytes", "silence", "echo 500")
"""Every fault that may pass."""


@dataclass(frozen=True)
class Request:
    """A request as it came: `line` is its method and path, header names are in lower case."""

    line: str
    url: str
    headers: dict[str, str]


@dataclass
class Fault:
    """Something that goes wrong in the requests whose line has `match`, from the `at`-th on, counted from arming.

    Kinds: an HTTP error status; ``echo`` and a status: its message repeats the token; ``drop``: the connection is
    closed, and nothing is done; ``truncate``: it is done, but half of the answer is lost; ``wrong bytes``: it is done,
    but the answer is another; ``silence``: no answer until the hub closes. `times` is how many of the requests it
    befalls, None for all.
    """

    kind: str
    match: str = ""
    at: int = 0
    times: int | None = 1
    seen: int = field(default=0, init=False)

    def befalls(self, request: Request) -> bool:
        """Count the request if it matches, and tell whether the fault befalls it."""
        if self.match not in request.line:
            return False
        self.seen += 1
        return self.at < self.seen and (self.times is None or self.seen <= self.at + self.times)


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str
    files: Files


@dataclass
class Repo:
    name: str
    branches: dict[str, str] = field(default_factory=dict)
    history: dict[str, Commit] = field(default_factory=dict)

    def at(self, revision: str) -> Commit:
        """Return the commit that a branch or an oid names."""
        oid = self.branches.get(revision, revision)
        if oid not in self.history:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.history[oid]

    def commit(self, branch: str, files: Files) -> Commit:
        """Make `files` the content of a branch."""
        parent = self.branches.get(branch, "")
        oid = hashlib.sha1(f"{self.name} {branch} {parent} {len(self.history)}".encode()).hexdigest()
        self.history[oid] = Commit(oid, parent, dict(files))
        self.branches[branch] = oid
        return self.history[oid]


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_json(cls, value: Any, status: int = 200, **headers: str) -> Self:
        return cls(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})

    def spoilt(self) -> "Answer":
        """Return it with wrong bytes."""
        if self.headers.get("Content-Type") == "application/json":
            return Answer.of_json({"unexpected": 1} if self.body.startswith(b"[") else ["unexpected"], self.status)
        return Answer(self.body[:-1] + bytes([self.body[-1] ^ 1]) if self.body else b"", self.status, self.headers)

    def raw(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Refusal(Exception):  # noqa: N818
    """An error answer."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        headers |= {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = Answer.of_json({"error": message}, status, **headers)


def is_lfs(path: str, content: bytes) -> bool:
    return bool(content) and (path.endswith(LFS_NAMES) or b"\0" in content[:512])


def blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(path: str, content: bytes) -> str:
    """Return what identifies a file's content: its sha256 where it is one of LFS, else git's oid."""
    return hashlib.sha256(content).hexdigest() if is_lfs(path, content) else blob_oid(content)


ROUTES: list[tuple[re.Pattern[str], bool, Callable[..., Any]]] = []
REPO = "(?P<repo>[^/]+/[^/]+?)"
API = f"/api/models/{REPO}"
REVISION = "(?P<revision>[^/]+)"


def route(pattern: str, *, write: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register what serves the requests whose line matches; `write` asks for the right to."""

    def register(serve: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append((re.compile(pattern), write, serve))
        return serve

    return register


class LoopbackHub:
    """The Hub; use it as a context manager.

    Tokens have a role, "write" or "read"; another one gets a 401, none at all may read. LFS files go to and come from
    another host, ``localhost``, as on the real Hub: the client must not send its token there.
    """

    def __init__(self, latency: float = 0.0, tokens: dict[str, str] | None = None) -> None:
        self.latency, self.tokens = latency, tokens or {TOKEN: "write", READ_TOKEN: "read"}
        self.requests: list[Request] = []  # in order of arrival, recorded before any fault
        self.created: list[dict[str, Any]] = []
        self.objects: Files = {}
        self.claims: dict[str, int] = {}  # the size that a listing says of files of a name
        self.crashes: list[str] = []
        self.closing, self.lock = threading.Event(), threading.RLock()
        self.repositories: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.callbacks: list[tuple[str, Callable[[], object]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = f"http://localhost:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        if self.crashes and error is None:
            raise RuntimeError("the loopback hub itself failed:\n" + "\n".join(self.crashes))

    # What tests do to it, and ask of it

    def add_repo(self, name: str) -> Repo:
        """Make a repository, with one commit on its branch main."""
        with self.lock:
            repo = self.repositories[name] = Repo(name)
            repo.commit("main", {".gitattributes": b"*.pt filter=lfs diff=lfs merge=lfs -text\n"})
            return repo

    def put(self, name: str, branch: str, files: Files) -> Commit:
        """Commit exactly these files, whatever they are named, on a branch; what is absent is made."""
        with self.lock:
            self.objects |= {etag(path, content): content for path, content in files.items()}
            repo = self.repositories.get(name) or self.add_repo(name)
            return repo.commit(branch, files)

    def remove(self, name: str, branch: str) -> None:
        """Remove a branch, as its owner may."""
        del self.repositories[name].branches[branch]

    def repos(self) -> list[str]:
        return list(self.repositories)

    def files(self, name: str, revision: str) -> Files:
        return dict(self.repositories[name].at(revision).files)

    def branches(self, name: str) -> dict[str, str]:
        return dict(self.repositories[name].branches)

    def commits(self, name: str, revision: str) -> list[str]:
        """Return the commits of a branch, the newest first."""
        repo, found = self.repositories[name], [revision]
        while oid := repo.at(found[-1]).parent:
            found.append(oid)
        return [repo.at(revision).oid, *found[1:]]

    def fail(self, *faults: Fault) -> None:
        """Arm faults; where several befall a request the first armed is applied."""
        self.faults += faults

    def before(self, match: str, callback: Callable[[], object]) -> None:
        """Call something once, right before the next request whose line has this in it is served."""
        self.callbacks.append((match, callback))

    def asked(self, part: str) -> int:
        """Count the requests that have this in their line."""
        return sum(part in request.line for request in self.requests)

    # How it answers

    def receive(self, request: Request) -> Fault | None:
        """Record a request, run what was to come before it, and return its fault."""
        with self.lock:
            self.requests.append(request)
            due = [pair for pair in self.callbacks if pair[0] in request.line]
            self.callbacks = [pair for pair in self.callbacks if pair not in due]
            befalling = [fault for fault in self.faults if fault.befalls(request)]
        for _, callback in due:
            callback()
        return befalling[0] if befalling else None

    def answer(self, request: Request, body: bytes) -> Answer:
        try:
            with self.lock:
                result = self.dispatch(request, body)
                return result if isinstance(result, Answer) else Answer.of_json(result)
        except Refusal as refusal:
            return refusal.answer
        except Exception:  # noqa: BLE001
            self.crashes.append(f"{request}\n{traceback.format_exc()}")
            return Refusal(500, "the loopback hub itself failed").answer

    def dispatch(self, request: Request, body: bytes) -> Any:
        found = [(match, write, serve) for each, write, serve in ROUTES if (match := each.fullmatch(request.line))]
        if not found:
            raise Refusal(404, "Sorry, we can't find the page you are looking for.")
        match, write, serve = found[0]
        given = {name: unquote(part or "") for name, part in match.groupdict().items()}
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise Refusal(401, "Invalid credentials in Authorization header")
        repo = self.repositories.get(given.pop("repo", ""))
        if "repo" in match.groupdict() and repo is None:
            raise Refusal(404, "Repository not found", "RepoNotFound")
        if write and self.tokens.get(token) != "write":
            raise Refusal(403 if token else 401, "You have no write access")
        if repo is not None:
            given |= {"repo": repo} | ({"commit": repo.at(given["revision"] or "main")} if "revision" in given else {})
        return serve(self, body=body, **given)

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        """Describe a file as both kinds of listings do."""
        size, sha = self.claims.get(path, len(content)), etag(path, content)
        entry = {"type": "file", "path": path, "rfilename": path, "size": size}
        if is_lfs(path, content):
            entry["lfs"] = {"oid": sha, "sha256": sha, "size": size, "pointerSize": 134}
            content = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(content)}\n".encode()
        return {**entry, "oid": blob_oid(content), "blobId": blob_oid(content)}

    @route("POST /api/repos/create", write=True)
    def create_repo(self, body: bytes) -> Any:
        asked = json.loads(body)
        name = f"{asked['organization'] or 'user'}/{asked['name']}"
        url = f"{self.endpoint}/{name}"
        if name in self.repositories:
            return Answer.of_json({"error": "You already created this model repo", "url": url}, 409)
        self.created.append(asked)
        self.add_repo(name)
        return {"url": url, "name": name, "id": name}

    @route(f"GET {API}(?:/revision/{REVISION})?")
    def model_info(self, repo: Repo, commit: Commit, **_: Any) -> Any:
        facts = {"private": False, "gated": False, "downloads": 0, "likes": 0, "tags": []}
        return {"id": repo.name, "sha": commit.oid, "siblings": self.tree(commit), **facts}

    @route(f"GET {API}/refs")
    def refs(self, repo: Repo, **_: Any) -> Any:
        heads = repo.branches.items()
        branches = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in heads]
        return {"branches": branches, "converts": [], "tags": [], "pullRequests": []}

    @route(f"GET {API}/tree/{REVISION}")
    def tree(self, commit: Commit, **_: Any) -> Any:
        return [self.entry(path, content) for path, content in sorted(commit.files.items())]

    @route(f"POST {API}/branch/(?P<branch>[^/]+)", write=True)
    def create_branch(self, repo: Repo, branch: str, **_: Any) -> Any:
        if branch in repo.branches:
            raise Refusal(409, f"Reference already exists: refs/heads/{branch}")
        repo.branches[branch] = repo.branches["main"]
        return Answer(b"OK", 201)

    @route(f"POST {API}/preupload/{REVISION}", write=True)
    def preupload(self, body: bytes, commit: Commit, **_: Any) -> Any:
        modes = []
        for file in json.loads(body)["files"]:
            path, sample = file["path"], base64.b64decode(file["sample"])
            mode = "lfs" if is_lfs(path, sample) else "regular"
            known = {"oid": etag(path, commit.files[path])} if path in commit.files else {}  # the client skips the same
            modes.append({"path": path, "uploadMode": mode, "shouldIgnore": False, **known})
        return {"files": modes}

    @route(f"POST {API}/commit/{REVISION}", write=True)
    def create_commit(self, body: bytes, repo: Repo, commit: Commit, revision: str) -> Any:
        header, *operations = [json.loads(line) for line in body.splitlines()]
        files = dict(commit.files)
        if not commit.oid.startswith(header["value"].get("parentCommit", "")):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        for key, value in ((operation["key"], operation["value"]) for operation in operations):
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            else:
                del files[value["path"]]
        oid = repo.commit(revision, files).oid  # also where nothing changes: an empty commit, as on the Hub
        return {"success": True, "commitOid": oid, "commitUrl": f"{self.endpoint}/{repo.name}/commit/{oid}"}

    @route("POST /api/validate-yaml")
    def validate_yaml(self, **_: Any) -> Any:
        return {"errors": [], "warnings": []}

    @route(rf"POST /{REPO}\.git/info/lfs/objects/batch", write=True)
    def lfs_batch(self, body: bytes, **_: Any) -> Any:
        objects = json.loads(body)["objects"]
        for item in objects:
            if item["oid"] not in self.objects:
                item["actions"] = {"upload": {"href": f"{self.storage}/lfs/{item['oid']}"}}
        return {"transfer": "basic", "objects": objects}

    @route("PUT /lfs/(?P<sha>[0-9a-f]{64})")
    def lfs_upload(self, body: bytes, sha: str) -> Any:
        if hashlib.sha256(body).hexdigest() != sha:
            raise Refusal(400, "The content does not have the SHA-256 that was announced")
        self.objects[sha] = body
        return Answer()

    @route("(?:GET|HEAD) /lfs/(?P<sha>[0-9a-f]{64})")
    def lfs_download(self, sha: str, **_: Any) -> Any:
        return Answer(self.objects[sha], headers={"Content-Type": "application/octet-stream", "ETag": f'"{sha}"'})

    @route(f"(?:GET|HEAD) /{REPO}/resolve/{REVISION}/(?P<path>.+)")
    def resolve(self, commit: Commit, path: str, **_: Any) -> Any:
        content = commit.files.get(path)
        if content is None:
            raise Refusal(404, "Entry not found", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        tag = etag(path, content)
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{tag}"', "Content-Type": "application/octet-stream"}
        if not is_lfs(path, content):
            return Answer(content, headers=headers)
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{tag}"'}
        return Answer(b"Found", 302, {**headers, **linked, "Location": f"{self.storage}/lfs/{tag}"})


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def serve(self) -> None:
        hub, body = self.hub, self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(f"{self.command} {urlsplit(self.path).path}", self.path, headers)
        fault = hub.receive(request)
        kind, _, status = fault.kind.rpartition(" ") if fault else ("", "", "")
        time.sleep(hub.latency)
        if status == "silence":
            hub.closing.wait()
        if status in ("silence", "drop"):
            self.close_connection = True
            return
        if fault and status.isdigit():
            said = f"cannot serve you, {headers.get('authorization')}" if kind == "echo" else f"fault {status}"
            answer = Refusal(int(status), said, **{"Retry-After": "0"} if status == "429" else {}).answer
        else:
            answer = hub.answer(request, body)
        if status == "bytes":
            answer = answer.spoilt()
        content = b"" if self.command == "HEAD" else answer.body
        if status == "truncate":
            self.close_connection = True
            self.wfile.write(answer.raw() + content[: len(content) // 2] if content else b"")
        else:
            self.wfile.write(answer.raw() + content)

    do_GET = do_HEAD = do_POST = do_PUT = serve  # noqa: N815

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size + 2)[:size])
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *args: Any) -> None: ...
