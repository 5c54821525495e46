"""`ivl serve` as a process of its own, and raw HTTP to it: what is sent is exactly what a test says."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from random_requests import eventually
from server.prometheus_text import parse

CHAT = "/v1/chat/completions"


@dataclass(kw_only=True)
class Served:
    """A server process. Its log is read on a thread, so that it never waits for us."""

    process: "subprocess.Popen[str]"
    port: int
    lines: list[str] = field(default_factory=list)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it wrote of each request."""
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    @property
    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024  # type: ignore[index]

    def metrics(self) -> dict[str, float]:
        answer = asyncio.run(exchange(self.port, request_bytes(None, path="/metrics")))
        return parse(answer.body.decode())

    def assert_nothing_held(self) -> None:
        """Soon no answer, body or tile is under way and every block is free."""

        def is_idle() -> bool:
            now = self.metrics()
            held = ("ivl_answers", "ivl_body_bytes", "ivl_tiles", "ivl_engine_running", "ivl_engine_waiting")
            return (
                all(now[name] == 0 for name in held) and now["ivl_engine_free_blocks"] == now["ivl_engine_num_blocks"]
            )

        eventually(is_idle, 20)

    def end(self) -> int:
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


@contextmanager
def served(*options: str) -> Iterator[Served]:
    """`ivl serve` with these options on a free port."""
    command = [sys.executable, "-m", "ivl", "serve", "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            address = re.search(r"listening on http://127.0.0.1:(\d+)", process.stderr.readline())
            assert address, "it does not listen"
            server = Served(process=process, port=int(address[1]))
            reader = threading.Thread(target=lambda: server.lines.extend(process.stderr or ()))
            reader.start()
            try:
                yield server
            finally:
                process.kill()
                reader.join()
        finally:
            process.kill()


@dataclass(kw_only=True)
class Answer:
    """All that came back; status 0: the connection was closed without an answer."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """What the model said, of a streamed or a whole answer. Fails for one that was cut off."""
        if not self.body.startswith(b"data: "):
            return str(json.loads(self.body)["choices"][0]["message"]["content"])
        events = self.body.split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""], f"cut off: {events[-2:]}"
        choices = [json.loads(event[6:])["choices"][0] for event in events[:-2]]
        assert choices[-1]["finish_reason"], "it does not say why it ends"
        return "".join(choice["delta"].get("content") or "" for choice in choices)


def request_bytes(body: Any, *, path: str = CHAT, headers: str = "", length: int | None = None) -> bytes:
    """A request. body: bytes as they are, None for GET, or a value for JSON. length: promised, if not the real one."""
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    length = len(content) if length is None else length
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
    return head.encode() + content


async def exchange(port: int, content: bytes, *, leave_after: int | None = None, patience_s: float = 120) -> Answer:
    """Send bytes, read until the server closes. leave_after: events after which the client is gone; 0: at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(patience_s):
            try:
                writer.write(content)
                await writer.drain()
                while leave_after is None or received.count(b"data: ") < leave_after:
                    data = await reader.read(65536)
                    if not data:
                        break
                    received += data
            except (ConnectionError, BrokenPipeError):
                pass  # it was refused while it was still being sent
    finally:
        writer.transport.abort() if leave_after is not None else writer.close()
    return parse_answer(received)


def parse_answer(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
    return Answer(status=status, body=unchunked(body) if b"transfer-encoding: chunked" in head.lower() else body)


def unchunked(body: bytes) -> bytes:
    parts = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        parts.append(rest[: int(size or b"0", 16)])
        body = rest[int(size or b"0", 16) + 2 :]
    return b"".join(parts)
