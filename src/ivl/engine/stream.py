"""One answer on its way from the engine's thread to whoever asked: for `for` and for `async for`.

In: outcomes, on the engine's thread. Out: tokens, or the error that ended them, wherever they are awaited.
"""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import SimpleQueue
from typing import Self

from ivl.engine.engine import Outcome
from ivl.engine.request import TokenOutput
from ivl.errors import EngineError

FORKED = (
    "this engine was made before the process forked, and its thread stayed behind: make a new pipeline in the child "
    "process, or start it with multiprocessing's 'spawn' method"
)


class Mailbox:
    """Where the engine's thread puts outcomes. It holds nothing of the reader, who may go away at any time."""

    def __init__(self) -> None:
        self.outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        """None: nothing more comes."""
        self.wake: Callable[[], object] | None = None
        self.reader: tuple[asyncio.AbstractEventLoop, Callable[[], object]] | None = None
        """A loop, and what `wake` has it call."""
        self.request_id: int | None = None
        """The engine's; None until it has taken the request, and after it has ended."""

    def put(self, outcome: Outcome | None) -> None:
        """Hand an outcome over, or None for the end."""
        self.outcomes.put(outcome)
        wake = self.wake  # once: another thread may set it to None meanwhile
        if wake is not None:
            try:
                wake()
            except RuntimeError:  # the reader's event loop is closed: nobody reads any more
                self.wake = None


def deliver(outcomes: Iterable[tuple[Mailbox, Outcome]]) -> None:
    """Hand over what a step gave. Each event loop is woken once for all who read in it: for every token, it would cost
    more than the rest of the token's way.
    """
    calls: dict[asyncio.AbstractEventLoop, list[Callable[[], object]]] = {}
    for mailbox, outcome in outcomes:
        mailbox.outcomes.put(outcome)
        reader = mailbox.reader  # behind `put`: who listens only now looks into the queue after that
        if reader is not None:
            calls.setdefault(reader[0], []).append(reader[1])
    for loop, each in calls.items():
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            loop.call_soon_threadsafe(_call_all, each)


class TokenStream:
    """The tokens of one request, to be read once, in a thread or in an event loop. Closing it aborts the request."""

    def __init__(self, mailbox: Mailbox, abandon: Callable[[Mailbox], None]) -> None:
        self._mailbox = mailbox
        self._abandon = abandon
        self._is_done = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell = _Bell()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TokenOutput:
        self._check_process()
        outcome = None if self._is_done else self._checked(self._mailbox.outcomes.get())
        if outcome is None:
            raise StopIteration
        return outcome

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> TokenOutput:
        self._check_process()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._listen(loop)
        outcomes = self._mailbox.outcomes
        while not self._is_done and outcomes.empty():
            rung = self._bell.wait(loop)
            if outcomes.empty():  # what came before `wait` is seen here, what comes after it rings
                await rung
        outcome = None if self._is_done else self._checked(outcomes.get())
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    @property
    def has_next(self) -> bool:
        """Whether the next token, an error or the end is there already."""
        return self._is_done or not self._mailbox.outcomes.empty()

    def close(self) -> None:
        """Stop: what the request holds is free before the engine's next step. A reader that waits is woken."""
        if not self._is_done:
            self._is_done = True
            self._abandon(self._mailbox)
            self._mailbox.put(None)

    def __del__(self) -> None:
        self.close()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be woken in this loop, the one that reads now."""
        bell = _Bell()
        self._loop, self._bell = loop, bell
        self._mailbox.wake = lambda: loop.call_soon_threadsafe(bell.ring)
        self._mailbox.reader = loop, bell.ring

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError(FORKED)

    def _checked(self, outcome: Outcome | None) -> TokenOutput | None:
        if isinstance(outcome, TokenOutput):
            self._is_done = outcome.finish_reason is not None
            return outcome
        self._is_done = True
        if outcome is not None:
            raise outcome
        return None


class _Bell:
    """Wakes whoever waits in one event loop; for a wait as short as a token's, cheaper than asyncio's Event."""

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def wait(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """What ends with the next ring."""
        if self._waiter is None or self._waiter.done():
            self._waiter = loop.create_future()
        return self._waiter

    def ring(self) -> None:
        """On the loop's own thread."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _call_all(functions: Iterable[Callable[[], object]]) -> None:
    for function in functions:
        function()
