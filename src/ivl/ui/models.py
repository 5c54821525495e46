"""The models that a page offers, by name, and one way to ask any of them.

In: a name, messages, settings, a Cancel. Out: pieces of text, at the end with counts and times. Reads no path and
fetches no address that a message holds. Knows no Gradio and no visitor.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, Self

from ivl.errors import InputError, SettingsError, nearest
from ivl.server.settings import ServerSettings
from ivl.session import AnswerStream, FetchPolicy, Pipeline, count_tiles
from ivl.types import FinishReason, GenerationConfig, Message, Response, TextPart, VideoPart

_Note = Callable[[Response], object]
_CLOSING = "the server is closing and takes no more questions"


class ClosingError(InputError):
    """The server around the page is ending. What a visitor reads is in the page's words."""


class Host(Protocol):
    """The server that a page is mounted in: when it ends, it waits for the page's answers too."""

    is_draining: bool

    def beside(self, model: str, stop: Callable[[], object]) -> AbstractContextManager[_Note]:
        """An answer under way, as long as the block runs. stop: ends it. Gives what to call with each piece."""
        ...


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What an answer took."""

    prompt_tokens: int
    answer_tokens: int
    finish_reason: FinishReason
    """"abort": it was cancelled."""
    first_s: float
    """Seconds from the question to the first token, reading the pictures included."""
    total_s: float
    """Seconds from the question to the last token."""
    tiles: int
    """Tiles of all pictures of the conversation, thumbnails included; each frame of a video is one."""
    token_ids: tuple[int, ...] = ()
    """The answer's, without the one that ended it."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What is new of an answer."""

    text: str = ""
    counts: Counts | None = None
    """With the last piece only."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One name on the page."""

    pipe: Pipeline
    adapter: str | None = None
    """The adapter of the pipeline that answers; None: its base model."""


class Cancel:
    """Ends an answer from any thread, before the engine's next step; also before it has begun."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], None] | None = None
        self.is_set = False

    def set(self) -> None:
        """End the answer now."""
        with self._lock:
            self.is_set, stop = True, self._stop
        if stop is not None:
            stop()

    def attach(self, stop: Callable[[], None]) -> None:
        """Call `stop` when this is set; at once if it is."""
        with self._lock:
            self._stop = stop
            is_late = self.is_set
        if is_late:
            stop()


class Models:
    """All models of a page, and what a question may cost."""

    def __init__(self, offers: Mapping[str, Offer], settings: ServerSettings | None = None) -> None:
        """offers: at least one; the first is what a visitor begins with."""
        assert offers, "a page without a model"
        self._offers = dict(offers)
        self.settings = settings or ServerSettings()
        self._limits = self.settings.image_limits()
        self._nothing = FetchPolicy(enabled=False)
        self._reading = asyncio.Semaphore(self.settings.prepare_threads)
        self._num_running = 0
        self.host: Host | None = None
        """None: the page is alone."""

    @classmethod
    def of(
        cls, pipes: Mapping[str, Pipeline], adapters: Sequence[str] = (), settings: ServerSettings | None = None
    ) -> Self:
        """Pipelines by name; `adapters` are those of the first one, each a name of its own."""
        offers = {name: Offer(pipe=pipe) for name, pipe in pipes.items()}
        first = next(iter(pipes.values()))
        for adapter in adapters:
            if adapter in offers:
                raise SettingsError(f"{adapter!r} is both a model's and an adapter's name: choose another")
            offers[adapter] = Offer(pipe=first, adapter=adapter)
        return cls(offers, settings)

    def names(self) -> tuple[str, ...]:
        """The names, the first one first."""
        return tuple(self._offers)

    @property
    def most_tokens(self) -> int:
        """Tokens that an answer may ask for, of the first one."""
        return self.settings.most_tokens(next(iter(self._offers.values())).pipe.session_len)

    def offer(self, name: str) -> Offer:
        """The pipeline and the adapter behind a name. Raises InputError for an unknown one."""
        if name not in self._offers:
            raise InputError(f"there is no model {name[:80]!r} on this page: {nearest(name[:80], self._offers)}")
        return self._offers[name]

    @property
    def num_running(self) -> int:
        """Answers under way."""
        return self._num_running

    def read(self, messages: Sequence[Message], pipe: Pipeline | None = None) -> tuple[Message, ...]:
        """The messages with every picture and video decoded, within the settings' limits; no paths, no addresses.

        pipe: whose tiles a video's frames become; None: the first one's. Raises ImageError, InputError, PromptError
        and, for a video without the extra that reads it, MissingExtraError.
        """
        shown = [part for message in messages for part in message.parts if not isinstance(part, TextPart)]
        if len(shown) > self.settings.max_images:
            raise InputError(
                f"the conversation holds {len(shown)} pictures and videos: at most {self.settings.max_images} are "
                "read, so begin a new chat"
            )
        videos = sum(isinstance(part, VideoPart) for part in shown)
        return (pipe or next(iter(self._offers.values())).pipe).loaded(
            tuple(messages),
            limits=self._limits,
            video_limits=self.settings.video_limits(videos),
            fetch_policy=self._nothing,
            allow_paths=False,
        )

    async def stream(
        self,
        name: str,
        messages: Sequence[Message],
        generation: GenerationConfig,
        cancel: Cancel,
        *,
        salt: str = "",
    ) -> AsyncGenerator[Piece, None]:
        """The answer to the last message, in pieces; the last one has the counts.

        salt: visitors with different ones share nothing in the engine's caches. Leaving the iterator ends the answer,
        as `cancel` does; a cancelled answer still has its last piece. Raises InputError, ImageError, PromptError,
        ContextLengthError, SettingsError and EngineError; ClosingError where the server ends, behind the last piece of
        an answer that took too long for it.
        """
        offer, begun, host = self.offer(name), time.perf_counter(), self.host
        if self._num_running >= self.settings.capacity:
            raise InputError(f"{self._num_running} answers are under way, which is all this page gives: try again")
        if host is not None and host.is_draining:
            raise ClosingError(_CLOSING)
        is_cut = False

        def stop() -> None:
            nonlocal is_cut
            is_cut = True
            cancel.set()

        self._num_running += 1
        try:
            with host.beside(name, stop) if host is not None else nullcontext(_note_nothing) as note:
                async with self._reading:
                    stream, tiles = await asyncio.to_thread(self._start, offer, messages, generation, salt)
                try:
                    cancel.attach(stream.close)
                    async for piece in _pieces(stream, begun, tiles, note):
                        yield piece
                finally:
                    stream.close()
        finally:
            self._num_running -= 1
        if is_cut:
            raise ClosingError(_CLOSING)

    def _start(
        self, offer: Offer, messages: Sequence[Message], generation: GenerationConfig, salt: str
    ) -> tuple[AnswerStream, int]:
        loaded = self.read(messages, offer.pipe)
        tiles = count_tiles(loaded, offer.pipe.processor)
        if tiles > self.settings.max_tiles:
            raise InputError(
                f"the pictures are {tiles} tiles: at most {self.settings.max_tiles} are read, so begin a new chat or "
                "send fewer"
            )
        return offer.pipe.stream(loaded, generation, adapter=offer.adapter, cache_salt=salt), tiles

    def close(self) -> None:
        """Stop all engines."""
        for pipe in {id(offer.pipe): offer.pipe for offer in self._offers.values()}.values():
            pipe.close()


def _note_nothing(response: Response) -> None:
    pass


async def _pieces(stream: AnswerStream, begun: float, tiles: int, note: _Note) -> AsyncGenerator[Piece, None]:
    first_s, prompt, ids, finish = 0.0, 0, list[int](), None

    def counts(finish: FinishReason, total_s: float) -> Counts:
        return Counts(
            prompt_tokens=prompt,
            answer_tokens=len(ids),
            finish_reason=finish,
            first_s=first_s,
            total_s=total_s,
            tiles=tiles,
            # No stop words are set here: what ends with "stop" ended with a token of its own.
            token_ids=tuple(ids[:-1] if finish == "stop" else ids),
        )

    async for response in stream:
        note(response)
        now = time.perf_counter() - begun
        first_s = first_s or now
        prompt, finish = response.input_token_len, response.finish_reason
        ids += response.token_ids
        if response.text and not finish:
            yield Piece(text=response.text)
        elif finish:
            yield Piece(text=response.text, counts=counts(finish, now))
    if finish is None:
        yield Piece(counts=counts("abort", time.perf_counter() - begun))
