"""The life of one request for answers, from its first byte to its last.

In: ASGI's receive and send. Out: JSON, or server-sent events. Whatever ends it early (the client leaves or stops
reading, the server ends, an error), its answers are aborted before the engine's next step and its place is free.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from concurrent.futures import Future
from typing import Any

from starlette.responses import Response as HttpResponse

from ivl.errors import IvlError
from ivl.server.connection import Connection
from ivl.server.errors import ApiError, api_error
from ivl.server.events import END, Events, as_event, as_json
from ivl.server.front import Send
from ivl.server.job import Job, Prepare, usage_of
from ivl.server.limits import Body, ClientGone, Receive
from ivl.server.meter import Meter
from ivl.server.record import Record
from ivl.server.state import State
from ivl.session import AnswerStream
from ivl.session.answer import join
from ivl.types import Response

MakeJob = Callable[[bytes, State, Record], tuple[Job, Prepare]]
_LARGE_BODY = 2**18
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Answering(HttpResponse):
    """What a route returns: nothing has happened before it is called."""

    def __init__(self, state: State, make_job: MakeJob) -> None:
        super().__init__()
        self._state = state
        self._make_job = make_job
        self._work: asyncio.Task[None] | None = None
        self._is_stopped = False
        self._has_begun = False
        self._connection: Connection | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Raises ApiError, IvlError and ValidationError where no answer has begun yet, and ClientGone."""
        state, record = self._state, scope["ivl.record"]
        self._connection = scope.get("ivl.connection")
        state.check_running()
        state.running.add(self)
        try:
            with state.bodies.room() as body:
                raw = await body.read(dict(scope["headers"]), receive)
                record.body_bytes = len(raw)
                job, prepare = await self._job(raw, record)
                del raw
                record.model, record.stream, record.images = job.model, job.is_stream, job.num_images
                count = job.num_answers
                with state.gate.place(record.key, count, is_shared=len(state.keys) == 0):
                    record.n = count
                    self._work = asyncio.create_task(self._answer(job, prepare, body, record, send))
                    del prepare
                    await self._watched(self._work, receive, send)
        finally:
            state.running.discard(self)

    def stop(self) -> None:
        """End it, because the server ends."""
        self._is_stopped = True
        if self._work is not None:
            self._work.cancel()

    async def _job(self, raw: bytes, record: Record) -> tuple[Job, Prepare]:
        if len(raw) < _LARGE_BODY:
            return self._make_job(raw, self._state, record)
        return await asyncio.get_running_loop().run_in_executor(
            self._state.threads, self._make_job, raw, self._state, record
        )

    async def _watched(self, work: "asyncio.Task[None]", receive: Receive, send: Send) -> None:
        """Wait for the work, or for the client to leave."""
        watcher = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait((work, watcher), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watcher.cancel()
            work.cancel()  # nothing, where it has ended
            await asyncio.wait((work,))
        if not work.cancelled():
            work.result()
            return
        if not self._is_stopped:
            raise ClientGone
        ended = ApiError(503, "the server has ended before this answer did", code="draining")
        if not self._has_begun:
            raise ended
        await send(_last(as_event(ended.body)))

    async def _answer(self, job: Job, prepare: Prepare, body: Body, record: Record, send: Send) -> None:
        future = self._state.threads.submit(prepare)
        del prepare
        try:
            await self._write(await _result(future), job, body, record, send)
        finally:
            future.add_done_callback(lambda _: job.hold.release())  # now, or when the thread has ended too

    async def _write(self, answers: AnswerStream, job: Job, body: Body, record: Record, send: Send) -> None:
        body.free()  # the pictures are tiles now
        meter = Meter(self._state.metrics, record, job.model, job.gen_config.n)
        try:
            if job.is_stream:
                await self._stream(answers, job, meter, send)
            else:
                await self._whole(answers, job, meter, send)
        finally:
            answers.close()

    async def _whole(self, answers: AnswerStream, job: Job, meter: Meter, send: Send) -> None:
        pieces: list[list[Response]] = [[] for _ in range(job.num_answers)]
        async for response in answers:
            meter.note(response)
            pieces[response.index].append(response)
        content = as_json(job.shape.whole([join(own) for own in pieces]))
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        self._has_begun = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(_last(content))

    async def _stream(self, answers: AnswerStream, job: Job, meter: Meter, send: Send) -> None:
        """An error before the first token is raised; one after it is the last event."""
        events, unsent = Events(job), b""
        try:
            async for response in answers:
                meter.note(response)
                if not self._has_begun:
                    self._has_begun = True
                    await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
                unsent += events.event(response)
                if unsent and not answers.has_next:
                    await self._send_events(send, unsent)
                    unsent = b""
        except IvlError as error:
            if not self._has_begun:
                raise
            told = api_error(error, is_alive=self._state.is_alive)
            meter.record.error = told.code or ""
            await send(_last(unsent + as_event(told.body)))
            return
        await send(_last(unsent + events.usage(usage_of(meter.last, job.gen_config.n)) + END))

    async def _send_events(self, send: Send, content: bytes) -> None:
        """The way past the middlewares, where the server is ours: most of what a token costs would be theirs."""
        if self._connection is not None:
            await self._connection.write_event(content)
        else:
            await send({"type": "http.response.body", "body": content, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _result(future: "Future[AnswerStream]") -> AnswerStream:
    """What a thread makes; where nobody waits for it any more, it is closed once it is there."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        future.add_done_callback(_close)
        raise


def _close(future: "Future[AnswerStream]") -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()


def _last(content: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": False}
