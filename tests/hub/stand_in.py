"""A stand-in for the Hugging Face hub on 127.0.0.1: one repository, and the store to which it redirects."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40
OTHER_COMMIT = "b" * 40


def blob_id(data: bytes) -> str:
    """git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Hub:
    """What the stand-in serves and what it was asked; tests change the fields."""

    files: dict[str, bytes]
    commit: str = COMMIT
    listed: dict[str, bytes] = field(default_factory=dict)
    """Files that stand in the listing besides `files`."""
    fault: tuple[int, str] | None = None
    """Status and X-Error-Code of every answer."""
    etag: str | None = None
    """Instead of the right hash."""
    served: dict[str, bytes] = field(default_factory=dict)
    """Content that is sent instead of the right one."""
    cut: bool = False
    """Close the connection in the middle of large files."""
    moves: bool = False
    """After the listing, main is another commit with other files."""
    without_hashes: bool = False
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Authorization) at the hub."""
    store_requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """The same at the store."""
    url: str = ""
    store_url: str = ""

    def listing(self) -> dict[str, Any]:
        siblings = []
        for name, data in (self.files | self.listed).items():
            entry: dict[str, Any] = {"rfilename": name}
            if not self.without_hashes:
                entry |= {"size": len(data), "blobId": blob_id(data)}
                if name.endswith(".safetensors"):
                    entry["lfs"] = {
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "size": len(data),
                        "pointerSize": 130,
                    }
            siblings.append(entry)
        return {"id": "org/name", "sha": self.commit, "siblings": siblings, "private": False, "tags": []}


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[Hub]
    protocol_version = "HTTP/1.1"
    wbufsize = 2**16  # one packet an answer

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _HubHandler(_Handler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Authorization")))
        if hub.fault is not None:
            self.answer(hub.fault[0], X_Error_Code=hub.fault[1])
        elif path.startswith("/api/models/org/name/revision/"):
            data = json.dumps(hub.listing()).encode()
            if hub.moves:
                hub.commit = OTHER_COMMIT
            self.answer(200, data, Content_Type="application/json")
        elif path.startswith("/org/name/resolve/"):
            revision, _, name = path.removeprefix("/org/name/resolve/").partition("/")
            self.resolve(revision, name)
        else:
            self.answer(401, X_Error_Code="RepoNotFound")

    def resolve(self, revision: str, name: str) -> None:
        hub = self.hub
        commit = hub.commit if revision == "main" else revision
        data = hub.files[name]
        large = name.endswith(".safetensors")
        etag = hub.etag or (hashlib.sha256(data).hexdigest() if large else blob_id(data))
        headers = {"X_Repo_Commit": commit, "ETag": f'"{etag}"'}
        if large:
            headers |= {"X_Linked_Etag": f'"{etag}"', "X_Linked_Size": str(len(data))}
            self.answer(302, Location=f"{hub.store_url}/{name}", **headers)
        else:
            self.answer(200, hub.served.get(name, data), **headers)


class _StoreHandler(_Handler):
    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.hub.store_requests.append((self.command, name, self.headers.get("Authorization")))
        data = self.hub.served.get(name, self.hub.files[name])
        if self.hub.cut:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        else:
            self.answer(200, data)  # whatever Range was asked for


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run both servers and note their addresses in `hub`."""
    servers = []
    for handler in (_HubHandler, _StoreHandler):
        bound = type(handler.__name__, (handler,), {"hub": hub})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), bound))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
    hub.url, hub.store_url = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
