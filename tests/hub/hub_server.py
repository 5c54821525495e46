"""A hub on 127.0.0.1 that speaks Hugging Face's protocol as its client does: repositories, commits, large files.

Three servers: the hub, the store to which it sends for large files, and a stranger to whom a redirect may lead. Faults
are planned by tests: a request that matches is cut, refused or led elsewhere, as often as asked.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from hub.stand_in import blob_id

TOKEN, READ_TOKEN = "hf_" + "w" * 34, "hf_" + "r" * 34


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Fault:
    """What happens to requests whose "METHOD path" matches."""

    pattern: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body, sent or received, after which the connection ends."""
    times: int = 1
    after: bool = False
    """Do what was asked, and fail to say so."""


@dataclass
class Repo:
    kind: str
    private: bool = False
    gated: bool = False
    branches: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    """Files that lie in the store."""

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        commits = [commit for branch in self.branches.values() for commit in branch]
        return next((commit for commit in commits if commit[0] == revision), None)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        history = self.branches.setdefault(branch, [])
        oid = hashlib.sha1(f"{branch}{len(history)}{sorted(files)}".encode()).hexdigest()
        history.append((oid, files))
        return oid


@dataclass
class FakeHub:
    """What the hub holds and what it was asked; tests change the fields."""

    repos: dict[str, Repo] = field(default_factory=dict)
    """By "models/org/name" or "datasets/org/name"."""
    renamed: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    chunk_size: int | None = None
    faults: list[Fault] = field(default_factory=list)
    verify_url: str = ""
    ignores_ranges: bool = False
    damaged: set[str] = field(default_factory=set)
    """Files that arrive as others in the next commit."""
    requests: list[tuple[str, str, str, str | None, str | None]] = field(default_factory=list)
    """(server, method, path, Authorization, Range)."""
    num_received: int = 0
    """Bytes of large files."""
    url: str = ""
    store_url: str = ""
    stranger_url: str = ""
    lock: Any = field(default_factory=threading.Lock)

    def add(self, path: str, files: dict[str, bytes], **options: Any) -> Repo:
        kind = path.split("/")[0]
        repo = self.repos[path] = Repo(kind=kind, large={n for n in files if is_large(n, files[n])}, **options)
        self.blobs |= {sha256(files[name]): files[name] for name in repo.large}
        repo.commit("main", dict(files))
        return repo

    def files(self, path: str, revision: str = "main") -> dict[str, bytes]:
        found = self.repos[path].at(revision)
        assert found is not None
        return {name: data for name, data in found[1].items() if name != ".gitattributes"}

    def asked(self, pattern: str) -> list[tuple[str, str, str, str | None, str | None]]:
        return [each for each in self.requests if re.search(pattern, f"{each[1]} {each[2]}")]

    def fault_for(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, line):
                    fault.times -= 1
                    return fault
        return None


def is_large(name: str, data: bytes) -> bool:
    return name.endswith((".safetensors", ".parquet", ".zip")) or len(data) > 10_000_000


class Cut(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[FakeHub]
    server_kind: ClassVar[str]
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16
    fault: Fault | None = None

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.handle_one()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD

    def handle_one(self) -> None:
        self.where = unquote(urlsplit(self.path).path)
        who = self.headers.get("Authorization"), self.headers.get("Range")
        self.hub.requests.append((self.server_kind, self.command, self.where, *who))
        self.fault = self.hub.fault_for(f"{self.command} {self.where}")
        try:
            body = self.body()
            if self.fault is not None and not self.fault.after and self.fault.cut_after is None:
                self.answer(self.fault.status, b"", **self.fault.headers)
            else:
                self.respond(body)
        except Cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def body(self) -> bytes:
        limit = self.fault.cut_after if self.fault is not None and self.command in ("PUT", "POST") else None
        data = b""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
                if limit is not None and len(data) >= limit:
                    raise Cut
            self.rfile.readline()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, 2**14))
            if not piece:
                raise Cut
            left -= len(piece)
            data += piece
            if self.server_kind == "store":
                self.hub.num_received += len(piece)
            if limit is not None and len(data) >= limit:
                raise Cut
        return data

    def respond(self, body: bytes) -> None:
        self.answer(200, b"{}")

    def answer(self, status: int, data: bytes | dict[str, Any] = b"", **headers: str) -> None:
        if self.fault is not None and self.fault.after:
            raise Cut
        payload = json.dumps(data).encode() if isinstance(data, dict) else data
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = self.fault.cut_after if self.fault is not None else None
        self.wfile.write(payload if limit is None else payload[:limit])
        if limit is not None:
            self.wfile.flush()
            raise Cut


class _Hub(_Handler):
    server_kind = "hub"

    def respond(self, body: bytes) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in (TOKEN, READ_TOKEN):
            self.answer(401, {"error": f"Invalid credentials {token}"})
            return
        for pattern, method in self.routes.items():
            if match := re.fullmatch(pattern, f"{self.command} {self.where}"):
                method(self, token, body, **match.groupdict())
                return
        self.answer(404, {"error": f"no route {self.where}"})

    def whoami(self, token: str, body: bytes) -> None:
        self.answer(200, {"type": "user", "name": "me", "orgs": []}) if token else self.answer(401)

    def create(self, token: str, body: bytes) -> None:
        asked = json.loads(body)
        owner, name = asked["organization"] or "me", asked["name"]
        path = f"models/{owner}/{name}"
        if token != TOKEN or owner not in ("me", "org"):
            self.answer(403, {"error": "You don't have the rights"})
        elif self.hub.renamed.get(path, path) in self.hub.repos:
            self.answer(409, {"error": "exists", "url": f"{self.hub.url}/{owner}/{name}"})
        else:
            private = asked.get("visibility") == "private" or bool(asked.get("private"))
            self.hub.repos[path] = Repo(kind="models", private=private)
            self.hub.repos[path].commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})
            self.answer(200, {"url": f"{self.hub.url}/{owner}/{name}", "id": "1", "name": f"{owner}/{name}"})

    def find(self, path: str, token: str) -> Repo | None:
        """The repository; None after an answer that says why not."""
        if path in self.hub.renamed:
            there = self.where.replace(path.removeprefix("models/"), self.hub.renamed[path].removeprefix("models/"))
            self.answer(307, b"", Location=there)
            return None
        repo = self.hub.repos.get(path)
        if repo is None or (repo.private and not token):
            self.answer(404 if token else 401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        return repo

    def info(self, token: str, body: bytes, path: str, revision: str | None = None) -> None:
        repo = self.find(path, token)
        if repo is None:
            return
        found = repo.at(revision or "main")
        if found is None:
            self.answer(404, {"error": "Invalid rev"}, X_Error_Code="RevisionNotFound")
            return
        siblings = []
        for name, data in found[1].items():
            entry: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob_id(data)}
            if name in repo.large:
                entry["lfs"] = {"sha256": sha256(data), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        name = path.partition("/")[2]
        self.answer(200, {"id": name, "sha": found[0], "siblings": siblings, "private": repo.private, "tags": []})

    def branch(self, token: str, body: bytes, path: str, name: str) -> None:
        repo = self.hub.repos[path]
        if name in repo.branches:
            self.answer(409, {"error": "exists"})
        else:
            repo.branches[name] = [repo.branches["main"][-1]]
            self.answer(200, {})

    def preupload(self, token: str, body: bytes, path: str, revision: str) -> None:
        if self.find(path, token) is None:
            return
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"], b"\0" * file["size"]) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, token: str, body: bytes, path: str) -> None:
        if token != TOKEN:
            self.answer(403)
            return
        objects = []
        for each in json.loads(body)["objects"]:
            oid, size = each["oid"], each["size"]
            if oid not in self.hub.blobs:
                each["actions"] = {"upload": self.upload(oid, size)}
                verify = self.hub.verify_url or f"{self.hub.url}/{path}.git/info/lfs/verify"
                each["actions"]["verify"] = {"href": verify}
            objects.append(each)
        self.answer(200, {"transfer": "multipart", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def upload(self, oid: str, size: int) -> dict[str, Any]:
        chunk = self.hub.chunk_size
        signed = "?X-Amz-Signature=signed-secret"
        if chunk is None or size <= chunk:
            return {"href": f"{self.hub.store_url}/whole/{oid}{signed}"}
        header = {str(n + 1): f"{self.hub.store_url}/part/{oid}/{n + 1}{signed}" for n in range(-(-size // chunk))}
        return {"href": f"{self.hub.store_url}/complete/{oid}{signed}", "header": header | {"chunk_size": str(chunk)}}

    def verify(self, token: str, body: bytes, path: str) -> None:
        asked = json.loads(body)
        data = self.hub.blobs.get(asked["oid"])
        self.answer(200 if data is not None and len(data) == asked["size"] else 404, {})

    def commit(self, token: str, body: bytes, path: str, revision: str) -> None:
        repo = self.find(path, token)
        if repo is None:
            return
        lines = [json.loads(line) for line in body.decode().splitlines()]
        parent, files = repo.branches[revision][-1]
        if lines[0]["value"].get("parentCommit", parent) != parent:
            self.answer(412, {"error": "A commit has happened since."})
            return
        files = dict(files)
        for line in lines[1:]:
            value = line["value"]
            name = value["path"]
            if line["key"] == "file":
                files[name] = base64.b64decode(value["content"])
                repo.large.discard(name)
            elif line["key"] == "lfsFile":
                files[name] = self.hub.blobs[value["oid"]]
                repo.large.add(name)
            else:
                del files[name]
            if name in self.hub.damaged:
                files[name] = b"x" + files[name][1:]
        oid = repo.commit(revision, files)
        self.answer(
            200,
            {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{path.partition('/')[2]}/commit/{oid}"},
        )

    def yaml(self, token: str, body: bytes) -> None:
        self.answer(200, {"errors": [], "warnings": []})

    def resolve(self, token: str, body: bytes, name: str, revision: str, file: str, kind: str | None = None) -> None:
        repo = self.find(f"{kind or 'models'}/{name}", token)
        if repo is None:
            return
        if repo.gated:
            self.answer(403 if token else 401, {"error": "gated"}, X_Error_Code="GatedRepo")
            return
        found = repo.at(revision)
        if found is None or file not in found[1]:
            self.answer(404, X_Error_Code="EntryNotFound")
            return
        data, large = found[1][file], file in repo.large
        etag = sha256(data) if large else blob_id(data)
        headers = {"X_Repo_Commit": found[0], "ETag": f'"{etag}"'}
        if large:
            headers |= {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(data))}
            self.answer(302, Location=f"{self.hub.store_url}/blob/{etag}", **headers)
        else:
            self.answer(200, data, **headers)

    _ID = r"(?P<path>(?:models|datasets)/[^/]+/[^/]+)"
    _FILE = r"(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)"
    routes: ClassVar[dict[str, Any]] = {
        r"GET /api/whoami-v2": whoami,
        r"POST /api/repos/create": create,
        r"POST /api/validate-yaml": yaml,
        rf"GET /api/{_ID}(?:/revision/(?P<revision>.+))?": info,
        rf"POST /api/{_ID}/branch/(?P<name>.+)": branch,
        rf"POST /api/{_ID}/preupload/(?P<revision>.+)": preupload,
        rf"POST /api/{_ID}/commit/(?P<revision>.+)": commit,
        r"POST /(?P<path>[^/]+/[^/]+)\.git/info/lfs/objects/batch": batch,
        r"POST /(?P<path>[^/]+/[^/]+)\.git/info/lfs/verify": verify,
        rf"(?:GET|HEAD) /{_FILE}": resolve,
    }


class _Store(_Handler):
    server_kind = "store"

    def respond(self, body: bytes) -> None:
        action, oid, *number = self.where.lstrip("/").split("/")
        hub = self.hub
        if action == "part":
            hub.parts.setdefault(oid, {})[int(number[0])] = body
            self.answer(200, b"", ETag=f'"{sha256(body)[:32]}"')
        elif action == "whole":
            self.keep(oid, body)
        elif action == "complete":
            listed = [part["partNumber"] for part in json.loads(body)["parts"]]
            parts = hub.parts.pop(oid)
            self.keep(oid, b"".join(parts[number] for number in listed))
        else:
            self.send(hub.blobs[oid])

    def keep(self, oid: str, data: bytes) -> None:
        if sha256(data) != oid:
            self.answer(400, {"error": "another hash"})
            return
        self.hub.blobs[oid] = data
        self.answer(200, {})

    def send(self, data: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if wanted is None or self.hub.ignores_ranges:
            self.answer(200, data)
            return
        begin, end = int(wanted[1]), int(wanted[2]) + 1 if wanted[2] else len(data)
        self.answer(206, data[begin:end], Content_Range=f"bytes {begin}-{end - 1}/{len(data)}")


class _Stranger(_Handler):
    server_kind = "stranger"


@contextmanager
def serve_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Run the three servers and note their addresses in `hub`."""
    servers = []
    for handler in (_Hub, _Store, _Stranger):
        bound = type(handler.__name__, (handler,), {"hub": hub})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), bound))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
    hub.url, hub.store_url, hub.stranger_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
