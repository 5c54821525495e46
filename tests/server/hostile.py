"""What strangers send: each input with the answers that are right for it. Status 0: closed without an answer."""

import asyncio
import base64
import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from server.served_process import Answer, exchange, parse_answer, request_bytes

REFUSED = frozenset({400})


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """Bytes that a client sends, and what it may get. hold_s: it sends no more and reads nothing for so long."""

    name: str
    content: bytes
    allowed: frozenset[int] = REFUSED
    hold_s: float = 0.0


async def attack(port: int, hostile: Hostile) -> Answer:
    """Send it; give what came back."""
    if not hostile.hold_s:
        return await exchange(port, hostile.content)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        writer.write(hostile.content)
        await asyncio.sleep(hostile.hold_s)
        return parse_answer(await reader.read(256)) if reader.at_eof() else Answer(status=0, body=b"")
    finally:
        writer.transport.abort()


def picture(data: bytes, kind: str = "png") -> dict[str, Any]:
    """A question about a picture's bytes."""
    return address(f"data:image/{kind};base64," + base64.b64encode(data).decode())


def address(url: str) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": 4, "stream": True}


def png(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG that says what it likes of itself."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def pictures() -> list[Hostile]:
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(buffer, "JPEG")
    jpeg = buffer.getvalue()
    files = {
        "a bomb of 50,000 x 50,000": png(50_000, 50_000, bytes(100_000)),
        "a bomb of 2**31 - 1 x 1": png(2**31 - 1, 1, bytes(100)),
        "a JPEG cut in half": jpeg[: len(jpeg) // 2],
        "a JPEG's first ten bytes": jpeg[:10],
        "a PNG without its pixels": png(300, 300, b""),
        "nothing": b"",
        "an EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        "a PSD": b"8BPS\x00\x01" + bytes(40),
        "a PDF": b"%PDF-1.7\n1 0 obj\n",
        "an SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "a playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "zeros": bytes(100_000),
    }
    made = [Hostile(name=name, content=request_bytes(picture(data))) for name, data in files.items()]
    made.append(Hostile(name="no base64", content=request_bytes(address("data:image/png;base64,%%%%"))))
    return made


def addresses(port: int) -> list[Hostile]:
    """Ways to say 127.0.0.1, the metadata service and files; port: of a listener that must hear nothing."""
    hosts = (
        "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "0.0.0.0", "[::1]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[64:ff9b::7f00:1]", "127.0.0.1.nip.io", "localhost.",
        "\uff11\uff12\uff17.0.0.1", "169.254.169.254", "metadata.google.internal", "10.0.0.1", "[fe80::1]", "[fd00::1]",
    )  # fmt: skip
    urls = [f"http://{host}:{port}/a.png" for host in hosts]
    urls += [
        f"http://127.0.0.1\\@example.org:{port}/", f"http://example.org\\@127.0.0.1:{port}/",
        f"http://example.org@127.0.0.1:{port}/", f"http://127.0.0.1:{port}#@example.org/",
        f"http://127.0.0.1:{port}?@example.org/", f"http:127.0.0.1:{port}/", f"http:///127.0.0.1:{port}/",
        f"HTTP://LOCALHOST:{port}/", f" http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/\r\nX: 1",
        f"https://127.0.0.1:{port}/", f"ftp://127.0.0.1:{port}/", f"gopher://127.0.0.1:{port}/_x",
        f"jar:http://127.0.0.1:{port}!/", f"dict://127.0.0.1:{port}/", "file:///etc/passwd", "file://localhost/etc/passwd",
        "/etc/passwd", "../../etc/passwd", "\\\\127.0.0.1\\share", "data:text/html,<b>", "blob:x", "", "http://",
    ]  # fmt: skip
    return [Hostile(name=f"address {url!r}", content=request_bytes(address(url))) for url in urls]


def bodies() -> list[Hostile]:
    user = {"role": "user", "content": "x"}
    wrong: list[Any] = [
        {}, [], 7, "x", b"null", {"messages": "x"}, {"messages": [7]}, {"messages": []}, {"messages": [{}]},
        {"messages": [{"role": "user", "content": 7}]}, {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}]},
        *({"messages": [user], **more} for more in (
            {"n": 10**9}, {"n": -1}, {"max_tokens": 0}, {"max_tokens": 10**30}, {"max_tokens": "x"}, {"stop": 7},
            {"temperature": "hot"}, {"temperature": float("nan")}, {"top_p": float("inf")}, {"stream": "maybe"},
            {"chat_template": "{{ 1 }}"}, {"prompt_embeds": "x"}, {"logit_bias": {"1": 1e300}}, {"seed": []},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 7}}}},
            {"regex": "(" * 30_000}, {"stop": ["x"] * 10_000},
        )),
        {"messages": [user] * 100_000}, {"messages": [user], "stop": [1] * 1_000_000}, {"messages": [1] * 1_000_000},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 100_000}]},
        {"messages": [{"role": "user", "content": "<image>" * 100_000}]},
    ]  # fmt: skip
    made = [Hostile(name=f"body {str(body)[:60]}", content=request_bytes(body)) for body in wrong]
    raw = {
        "deep lists": b'{"messages":' + b"[" * 1_000_000,
        "deep objects": b'{"a":' * 500_000,
        "no JSON": b"\x00\xff" * 1000,
        "a number of 10**6 digits": b'{"messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 10**6 + b"}",
        "a lone surrogate": b'{"messages": [{"role": "user", "content": "\\ud800"}], "max_tokens": -1}',
    }
    made += [Hostile(name=name, content=request_bytes(body)) for name, body in raw.items()]
    made.append(Hostile(name="1 GB promised", content=request_bytes(b"{", length=10**9), allowed=frozenset({413})))
    chunks = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = head + chunks * (40 * 2**20 // 0x4000)
    made.append(Hostile(name="40 MiB of chunks", content=endless, allowed=frozenset({413, 0})))
    return made


def heads() -> list[Hostile]:
    ranges = "Range: bytes=" + ",".join(f"{i}-{i}" for i in range(10_000)) + "\r\n"
    many = "".join(f"X-{i}: {'y' * 20}\r\n" for i in range(5000))
    bad = {
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00" * 50,
        "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        "a negative length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "an odd encoding": b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        "a bad chunk": b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    }
    made = [Hostile(name=name, content=content) for name, content in bad.items()]
    over = {"10,000 ranges": ranges, "5,000 headers": many}
    large = frozenset({431})
    made += [Hostile(name=n, content=request_bytes(None, path="/", headers=h), allowed=large) for n, h in over.items()]
    foreign = "X-Forwarded-For: 127.0.0.1\r\nOrigin: https://evil.example\r\n"
    made.append(
        Hostile(
            name="a foreign origin",
            content=request_bytes(None, path="/v1/models", headers=foreign),
            allowed=frozenset({403}),
        )
    )
    return made


def slow() -> list[Hostile]:
    """Those that keep a connection for a while."""
    ask = {"messages": [{"role": "user", "content": "x"}], "stream": True, "ignore_eos": True, "max_tokens": 200}
    loud = {**ask, "n": 4, "logprobs": True, "top_logprobs": 20}
    whole = request_bytes(ask)
    allowed = frozenset({0, 408})
    return [
        Hostile(name="half a head", content=whole[:40], allowed=allowed, hold_s=3),
        Hostile(name="half a body", content=whole[:-20], allowed=allowed, hold_s=3),
        Hostile(name="nothing sent", content=b"", allowed=allowed, hold_s=3),
        Hostile(name="nothing read", content=request_bytes(loud), allowed=frozenset({0}), hold_s=3),
    ]


KINDS: tuple[Callable[[int], list[Hostile]], ...] = (
    lambda port: pictures(),
    addresses,
    lambda port: bodies(),
    lambda port: heads(),
    lambda port: slow(),
)


class Hostiles:
    """Draws one, each kind as often as any other. The large ones are made once."""

    def __init__(self, listener_port: int) -> None:
        self.kinds = [make(listener_port) for make in KINDS]

    @property
    def all(self) -> list[Hostile]:
        return [each for kind in self.kinds for each in kind]

    def draw(self, chance: random.Random) -> Hostile:
        return chance.choice(chance.choice(self.kinds))


def is_right(hostile: Hostile, answer: Answer) -> bool:
    """Whether the answer is one that it may get, and in OpenAI's form."""
    if answer.status not in hostile.allowed:
        return False
    return answer.status == 0 or "error" in json.loads(answer.body)
