"""Many clients for minutes, some of whom leave or are hostile: everyone else gets what he gets alone, memory stays flat
and nothing is left over; and a server that is told to end in the middle of it finishes what runs.

IVL_LOAD_SECONDS: how long the long run takes, 180 unless told otherwise.
"""

import asyncio
import base64
import io
import json
import os
import random
import socket
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from ivl.zoo import sample_pictures
from random_requests import eventually
from server.hostile import Hostiles, attack, is_right
from server.served_process import CHAT, Served, exchange, parse_answer, request_bytes, served

CLIENTS = 64
LEAVE, HOSTILE = 0.20, 0.05
CLEAR = 1e-3
"""Least difference of log-probability between the token that was chosen and the next one."""
SECONDS = float(os.environ.get("IVL_LOAD_SECONDS", "180"))
QUESTIONS = (
    "What is this?", "这是什么？", "How many foods are there?", "Which colour is it?", "Describe the picture.",
    "Where is it?",
)  # fmt: skip
OPTIONS = (
    "--session-len", "1024", "--batch", str(CLIENTS), "--name", "small", "--image-host", "127.0.0.1", "--image-host",
    "localhost",
)  # fmt: skip


@dataclass(kw_only=True)
class Tally:
    """What happened."""

    right: int = 0
    left: int = 0
    hostile: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    resident_mib: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the begin, and what the server's process held then."""


def prompts() -> list[dict[str, Any]]:
    """Questions about several pictures and without any, of lengths from one token to some hundred."""
    asked: list[dict[str, Any]] = []
    for picture in sample_pictures():
        with Image.open(picture) as opened:
            small, file = opened.convert("RGB").resize((448, 336)), io.BytesIO()
        small.save(file, "JPEG")
        url = {"url": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode(), "detail": "low"}
        for question in QUESTIONS:
            parts = [{"type": "image_url", "image_url": url}, {"type": "text", "text": question}]
            asked.append({"messages": [{"role": "user", "content": parts}], "max_tokens": 24})
    for number, question in enumerate(QUESTIONS * 4):
        text = f"{question} {number} " * (1 + number)
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 4 + 3 * number, "ignore_eos": True}
        asked.append(body)
    return asked


async def alone(port: int, asked: list[dict[str, Any]]) -> dict[int, str]:
    """What each prompt's answer is when nobody else asks; without those that hang on a near tie.

    Rounding depends on who else is in a batch, and decides between two tokens that are equally likely.
    """
    wanted: dict[int, str] = {}
    for which, body in enumerate(asked):
        answer = await exchange(port, request_bytes({**body, "logprobs": True, "top_logprobs": 2}))
        assert answer.status == 200
        tops = [token["top_logprobs"] for token in json.loads(answer.body)["choices"][0]["logprobs"]["content"]]
        if all(abs(top[0]["logprob"] - top[1]["logprob"]) > CLEAR for top in tops):
            wanted[which] = answer.text
    assert len(wanted) > len(asked) / 3
    return wanted


class Crowd:
    """Clients that come again and again."""

    def __init__(self, port: int, hostiles: Hostiles, asked: list[dict[str, Any]], wanted: dict[int, str]) -> None:
        self._port = port
        self._hostiles = hostiles
        self._requests = {which: request_bytes({**asked[which], "stream": True}) for which in wanted}
        self._wanted = wanted
        self.tally = Tally()

    async def visit(self, number: int, until: float) -> None:
        """One client after another in the same place."""
        chance = random.Random(number)
        while time.monotonic() < until:
            mood = chance.random()
            if mood < HOSTILE:
                await self._attack(chance)
            elif mood < HOSTILE + LEAVE:
                content = self._requests[chance.choice(list(self._requests))]
                cut = chance.choice((content, content, content[: chance.randrange(len(content))]))
                await exchange(self._port, cut, leave_after=chance.randrange(6) if cut is content else 0)
                self.tally.left += 1
            else:
                await self._ask(chance.choice(list(self._requests)))

    async def _ask(self, which: int) -> None:
        answer = await exchange(self._port, self._requests[which])
        self.tally.statuses[answer.status] += 1
        text = answer.text if answer.status == 200 else f"status {answer.status}"
        if text == self._wanted[which]:
            self.tally.right += 1
        else:
            self.tally.wrong.append(f"prompt {which}: {text!r} is not {self._wanted[which]!r}")

    async def _attack(self, chance: random.Random) -> None:
        hostile = self._hostiles.draw(chance)
        answer = await attack(self._port, hostile)
        self.tally.hostile += 1
        self.tally.statuses[answer.status] += 1
        if not is_right(hostile, answer):
            self.tally.wrong.append(f"{hostile.name}: status {answer.status}, {answer.body[:100]!r}")

    async def run(self, server: Served, seconds: float) -> Tally:
        """All of them, for so long."""
        begun = time.monotonic()
        clients = [asyncio.create_task(self.visit(number, begun + seconds)) for number in range(CLIENTS)]
        while time.monotonic() < begun + seconds:
            await asyncio.sleep(1)
            self.tally.resident_mib.append((time.monotonic() - begun, server.resident_mib))
        await asyncio.gather(*clients)
        return self.tally


def assert_flat(held: list[tuple[float, float]], seconds: float) -> None:
    """After a third of the time memory grows no more: the last third's median is within 5% of the one before.

    Medians, because large bodies are in memory for a moment now and then.
    """
    second = statistics.median(mib for at, mib in held if seconds / 3 <= at < 2 * seconds / 3)
    last = statistics.median(mib for at, mib in held if at >= 2 * seconds / 3)
    assert last <= 1.05 * second, f"{second:.0f} MiB became {last:.0f}: {[round(mib) for _, mib in held]}"


def load(seconds: float) -> Tally:
    """A server, its clients, and what must hold for any length of time."""
    asked = prompts()
    with socket.create_server(("127.0.0.1", 0)) as listener, served(*OPTIONS) as server:
        listener.setblocking(False)
        wanted = asyncio.run(alone(server.port, asked))
        assert len(set(wanted.values())) > len(wanted) / 3, "the answers say too little of who asked"
        hostiles = Hostiles(listener.getsockname()[1])
        tally = asyncio.run(Crowd(server.port, hostiles, asked, wanted).run(server, seconds))
        server.assert_nothing_held()
        told = f"{tally.right} right, {tally.left} left, {tally.hostile} hostile, {dict(tally.statuses)}"
        print(told, [round(mib) for _, mib in tally.resident_mib][:: max(1, int(seconds / 20))])
        assert tally.wrong == [], told
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert asyncio.run(alone(server.port, asked)) == wanted
        assert server.end() == 0
        assert max(line["status"] for line in server.log) < 500
    return tally


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_short_load() -> None:
    tally = load(20)
    assert tally.right > CLIENTS
    assert min(tally.left, tally.hostile) > 0


@pytest.mark.slow
@pytest.mark.timeout(4 * SECONDS + 300)
def test_minutes_of_load() -> None:
    tally = load(SECONDS)
    assert tally.right > 5 * CLIENTS
    assert tally.hostile > CLIENTS / 2
    assert_flat(tally.resident_mib, SECONDS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_end_in_the_middle_of_a_load() -> None:
    """Whoever has his answer's first token when SIGTERM comes gets all of it, and the process ends with 0."""
    asked = [{**body, "max_tokens": 60, "ignore_eos": True} for body in prompts()[-24:]]

    async def ask(port: int, which: int, running: list[int]) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_bytes({**asked[which], "stream": True}))
        received = await reader.readuntil(b"data: ")
        running.append(which)
        received += await reader.read()
        writer.close()
        answer = parse_answer(received)
        assert answer.status == 200
        return which, answer.text

    async def all_at_once(server: Served) -> tuple[list[tuple[int, str]], int]:
        running: list[int] = []
        tasks = [
            asyncio.create_task(ask(server.port, stable[number % len(stable)], running)) for number in range(CLIENTS)
        ]
        while len(running) < CLIENTS:
            assert not any(task.done() and task.exception() for task in tasks)
            await asyncio.sleep(0.01)
        server.process.terminate()
        await asyncio.sleep(0.3)
        late = await exchange(server.port, request_bytes({**asked[0], "stream": True}))
        return await asyncio.gather(*tasks), late.status

    with served(*OPTIONS) as server:
        wanted = asyncio.run(alone(server.port, asked))
        stable = list(wanted)
        answers, late = asyncio.run(all_at_once(server))
        assert len(answers) == CLIENTS
        assert [text for _, text in answers] == [wanted[which] for which, _ in answers]
        assert late == 503
        assert server.process.wait(30) == 0

        def finishes() -> list[str]:
            return [line["finish"] for line in server.log if line["route"] == CHAT and line.get("stream")]

        eventually(lambda: finishes() == ["length"] * CLIENTS)
