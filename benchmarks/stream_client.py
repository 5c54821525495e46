"""Many clients of one HTTP server in one cheap thread: sends requests at once, notes when bytes come.

In: a port, and on stdin for each round a line of JSON, {"bodies": [...], "path": ...}. Out: a line of JSON for each. It
imports neither torch nor an HTTP library: what it costs is not to be taken for the server's.
"""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Exchange:
    """One request on its own connection."""

    sock: socket.socket
    unsent: memoryview
    begun: float
    first_s: float | None = None
    """Seconds until the first event of a stream, or the first byte of a whole answer's body."""
    last_s: float = 0.0
    received: list[bytes] = field(default_factory=list)


def run_round(port: int, path: str, bodies: list[str]) -> list[Exchange]:
    """All requests at once, each read until the server closes its connection."""
    selector = selectors.DefaultSelector()
    exchanges = []
    for body in bodies:
        content = body.encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        begun = time.perf_counter()
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setblocking(False)
        exchange = Exchange(sock=sock, unsent=memoryview(head.encode() + content), begun=begun)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, exchange)
        exchanges.append(exchange)
        _send(selector, exchange)
    while selector.get_map():
        for key, events in selector.select():
            if events & selectors.EVENT_WRITE:
                _send(selector, key.data)
            if events & selectors.EVENT_READ:
                _receive(selector, key.data)
    selector.close()
    return exchanges


def _send(selector: selectors.BaseSelector, exchange: Exchange) -> None:
    try:
        exchange.unsent = exchange.unsent[exchange.sock.send(exchange.unsent) :]
    except BlockingIOError:
        return
    if not exchange.unsent:
        selector.modify(exchange.sock, selectors.EVENT_READ, exchange)


def _receive(selector: selectors.BaseSelector, exchange: Exchange) -> None:
    data = exchange.sock.recv(65536)
    exchange.last_s = time.perf_counter() - exchange.begun
    if not data:
        selector.unregister(exchange.sock)
        exchange.sock.close()
        return
    if exchange.first_s is None and (b"data: " in data or b'{"' in data):
        exchange.first_s = exchange.last_s
    exchange.received.append(data)


def text_of(exchange: Exchange) -> str:
    """What the model said. Raises RuntimeError for anything but a whole answer."""
    head, _, body = b"".join(exchange.received).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"the server answered {head[:60]!r} {body[:300]!r}")
    if b"text/event-stream" not in head.lower():
        return str(json.loads(body)["choices"][0]["message"]["content"])
    events = [line for line in _unchunked(body).split(b"\n") if line.startswith(b"data: ")]
    if events[-1:] != [b"data: [DONE]"]:
        raise RuntimeError(f"a stream of {len(events)} events was cut off")
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events[:-1]]
    return "".join(delta.get("content") or "" for delta in deltas)


def _unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


def main() -> None:
    """Rounds until stdin ends."""
    port = int(sys.argv[1])
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        cpu = time.process_time()
        begun = time.perf_counter()
        exchanges = run_round(port, asked["path"], asked["bodies"])
        told = {
            "wall_s": time.perf_counter() - begun,
            "client_cpu_s": time.process_time() - cpu,
            "first_s": [exchange.first_s for exchange in exchanges],
            "last_s": [exchange.last_s for exchange in exchanges],
            "reads": sum(len(exchange.received) for exchange in exchanges),
            "texts": [text_of(exchange) for exchange in exchanges],
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
