"""Events, however they are put together, are the JSON of what the shape says of each piece, byte for byte."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivl.server.chat import ChatShape
from ivl.server.completions import CompletionShape
from ivl.server.connection import Connection
from ivl.server.events import Events
from ivl.server.job import Job
from ivl.server.limits import Tiles
from ivl.server.logprobs import Logprobs
from ivl.server.settings import ServerSettings
from ivl.session import AnswerStream
from ivl.types import GenerationConfig, Response, TokenLogprob
from server.conftest import Live


class Letters:
    """A tokenizer whose ids are characters."""

    def token_bytes(self, token_id: int) -> bytes:
        return chr(token_id).encode()


SHAPES = {"chat": ChatShape, "completion": CompletionShape}
TEXTS = st.one_of(
    st.just(""), st.text(max_size=5), st.sampled_from(['"', "\\", "\ud83d", "\ue000the text\ue000", "菜"])
)


def make_job(kind: str, include_usage: bool = False, model: str = "small") -> Job:
    shape: Any = SHAPES[kind](model, Logprobs(Letters(), frozenset()), 2)
    shape.echoes = ["echoed "]
    return Job(
        model=model, gen_config=GenerationConfig(n=2), num_answers=2, is_stream=True, include_usage=include_usage,
        num_images=0, hold=Tiles(ServerSettings()).hold(), shape=shape,
    )  # fmt: skip


def written_plainly(job: Job, pieces: list[Response]) -> Iterator[bytes]:
    """Each piece's whole JSON, as it was always sent."""
    for piece in pieces:
        chunk = job.shape.chunk(piece)
        if chunk is not None:
            told = {**chunk, "usage": None} if job.include_usage else chunk
            text = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            yield b"data: " + text.encode("utf-8", "replace") + b"\n\n"


def pieces_of(texts: list[tuple[int, str]], with_logprobs: bool) -> list[Response]:
    entry = (TokenLogprob(token_id=97, logprob=-0.5, top=((98, -1.0),)),)
    made = [Response(text=text, index=index, logprobs=entry if with_logprobs else None) for index, text in texts]
    last = {piece.index: at for at, piece in enumerate(made)}
    for at in last.values():
        made[at] = replace(made[at], finish_reason="stop")
    return made


@pytest.mark.parametrize("with_logprobs", [False, True])
@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("kind", list(SHAPES))
@given(texts=st.lists(st.tuples(st.integers(0, 1), TEXTS), max_size=8))
def test_the_bytes_are_those_of_the_whole_json(
    kind: str, include_usage: bool, with_logprobs: bool, texts: list[tuple[int, str]]
) -> None:
    pieces = pieces_of(texts, with_logprobs)
    first, second = make_job(kind, include_usage), make_job(kind, include_usage)
    second.shape._head.update(first.shape._head)  # type: ignore[attr-defined]
    if kind == "chat":
        second.shape._chunk_head.update(first.shape._chunk_head)  # type: ignore[attr-defined]
    events = Events(first)
    assert [event for piece in pieces if (event := events.event(piece))] == list(written_plainly(second, pieces))


def test_a_model_that_is_called_like_the_mark_keeps_its_name() -> None:
    mark = "\ue000the text\ue000"
    events = Events(make_job("chat", model=mark))
    told = [json.loads(events.event(Response(text=text))[6:]) for text in ("a", mark, "b")]
    assert [each["model"] for each in told] == [mark] * 3
    assert [each["choices"][0]["delta"]["content"] for each in told] == ["a", mark, "b"]


def test_the_usage_is_told_where_it_was_asked_for() -> None:
    assert Events(make_job("chat")).usage({"total_tokens": 3}) == b""
    told = json.loads(Events(make_job("chat", include_usage=True)).usage({"total_tokens": 3})[6:])
    assert (told["choices"], told["usage"]) == ([], {"total_tokens": 3})


class Ready:
    """Answers whose pieces are all there already."""

    def __init__(self, answers: AnswerStream, pieces: list[Response]) -> None:
        self.answers, self.pieces = answers, pieces

    @property
    def has_next(self) -> bool:
        return True

    def __aiter__(self) -> "Ready":
        return self

    async def __anext__(self) -> Response:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)

    def close(self) -> None:
        self.answers.close()


def test_pieces_that_are_there_at_once_leave_together(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, sent = live.state.pipe.stream, list[bytes]()
    pieces = [Response(text=text) for text in "abc"] + [Response(text="d", finish_reason="stop")]
    monkeypatch.setattr(live.state.pipe, "stream", lambda *args, **more: Ready(stream(*args, **more), [*pieces]))
    write = Connection.write_event

    async def noted(self: Connection, content: bytes) -> None:
        sent.append(content)
        await write(self, content)

    monkeypatch.setattr(Connection, "write_event", noted)
    *events, done, end = live.ask(stream=True, max_tokens=4).text.split("\n\n")
    assert (done, end, sent) == ("data: [DONE]", "", [])
    assert "".join(json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in events) == "abcd"
    assert len(events) == 4
