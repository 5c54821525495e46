"""The engine on a thread of its own, driven from any thread and any event loop.

In: requests from anywhere. Out: streams of tokens. Between two steps the thread takes in what callers want of the
engine; nobody else touches it.

A request that fails raises in its own stream. An engine that fails raises EngineError, with the cause, in every stream
and in every later call.
"""

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from ivl.engine.engine import EngineCore, EngineStats
from ivl.engine.request import Request, TokenOutput
from ivl.engine.sequence import Sequence
from ivl.engine.stream import FORKED, Mailbox, TokenStream, deliver
from ivl.errors import EngineError, IvlError

Result = TypeVar("Result")
Refuse = Callable[[EngineError], object]
"""Tells whoever waits for a command that it will not be done."""


class EngineWorker:
    """Owns an engine. Its thread ends with `close`, with the process, or when nobody holds the worker any more."""

    def __init__(self, core: EngineCore) -> None:
        self._loop = _Loop(core)
        self._thread = threading.Thread(target=self._loop.run, name="ivl-engine", daemon=True)
        self._thread.start()
        # Runs at exit too: a thread that is inside the model when the interpreter goes would take it down.
        self._finalizer = weakref.finalize(self, _stop, self._loop, self._thread)

    def generate(self, request: Request) -> TokenStream:
        """The tokens of one answer as they are made; the request is on its way when this returns.

        Raises ContextLengthError when the prompt leaves no room for an answer, InputError, EngineError; what ends the
        request later is raised by the stream.
        """
        self._loop.check()
        sequence = self._loop.core.prepare(request)
        mailbox = Mailbox()
        self._loop.post(lambda: self._enter(sequence, mailbox), mailbox.put)
        return TokenStream(mailbox, self._leave)

    def call(self, function: Callable[[EngineCore], Result]) -> Result:
        """Run a function on the engine's thread, between two steps, and give its result or raise what it raises."""
        if threading.current_thread() is self._thread:
            return function(self._loop.core)
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(function(self._loop.core))
            except Exception as error:
                future.set_exception(error)

        self._loop.post(run, future.set_exception)
        return future.result()

    @property
    def stats(self) -> EngineStats:
        """The engine's counts, as of some moment during this call."""
        return self._loop.core.stats

    @property
    def failure(self) -> EngineError | None:
        """Why the engine takes no more requests; None while it does."""
        return self._loop.failure

    def close(self) -> None:
        """Stop after the step that runs, end all streams with EngineError, free the weights. May be called twice."""
        self._finalizer()

    def _enter(self, sequence: Sequence, mailbox: Mailbox) -> None:
        try:
            mailbox.request_id = self._loop.core.add(sequence)
        except IvlError as error:
            mailbox.put(error)
        else:
            self._loop.mailboxes[mailbox.request_id] = mailbox

    def _leave(self, mailbox: Mailbox) -> None:
        """Abort a request, unless it or the engine has ended; nobody waits for that."""
        with suppress(EngineError):
            self._loop.post(partial(self._loop.drop, mailbox), lambda error: None)


class _Loop:
    """What runs on the thread. It holds neither the worker nor any stream, so that both can be collected."""

    def __init__(self, core: EngineCore) -> None:
        self.core = core
        self.failure: EngineError | None = None
        self.mailboxes: dict[int, Mailbox] = {}
        self._commands: SimpleQueue[tuple[Callable[[], None] | None, Refuse]] = SimpleQueue()
        self._pid = os.getpid()

    def check(self) -> None:
        """Raise EngineError unless the engine can take a request."""
        if os.getpid() != self._pid:
            raise EngineError(FORKED)
        if self.failure is not None:
            raise EngineError(str(self.failure)) from self.failure.__cause__

    def post(self, command: Callable[[], None] | None, refuse: Refuse) -> None:
        """Have a command run before the next step; None ends the loop. Raises as `check`."""
        self.check()
        self._commands.put((command, refuse))
        if self.failure is not None:  # it failed in this very moment: nobody else looks into the queue any more
            self._refuse_all(self.failure)

    def run(self) -> None:
        """Until told to end, or until the engine fails as a whole."""
        try:
            self.core.attach()
            while self._obey():
                self._step()
            self._end("the engine is closed: make a new pipeline", None)
        except BaseException as error:
            self._end(f"the engine failed and takes no more requests: {type(error).__name__}: {error}", error)

    def drop(self, mailbox: Mailbox) -> None:
        """Abort a mailbox's request, if it still runs."""
        if mailbox.request_id is not None:
            del self.mailboxes[mailbox.request_id]
            self.core.abort(mailbox.request_id)
            mailbox.request_id = None

    def _step(self) -> None:
        outcomes = [(self.mailboxes[request_id], outcome) for request_id, outcome in self.core.step()]
        for mailbox, outcome in outcomes:
            if not isinstance(outcome, TokenOutput) or outcome.finish_reason:
                assert mailbox.request_id is not None, "a request ended twice"
                del self.mailboxes[mailbox.request_id]
                mailbox.request_id = None
        deliver(outcomes)

    def _obey(self) -> bool:
        """Do what was posted, waiting for something to do; False to end."""
        while True:
            if not self.core.has_work:
                self.core.check_idle()
            try:
                command, refuse = self._commands.get(block=not self.core.has_work)
            except Empty:
                return True
            if command is None:
                return False
            try:
                command()
            except BaseException:  # the engine ends here; whoever waits for the command is told with all others
                self._commands.put((command, refuse))
                raise
            del command, refuse  # they hold the worker, which may be collected while this thread waits

    def _end(self, reason: str, cause: BaseException | None) -> None:
        failure = EngineError(reason)
        failure.__cause__ = cause
        self.failure = failure
        for mailbox in self.mailboxes.values():
            mailbox.put(_copy(failure))
        self.mailboxes.clear()
        self._refuse_all(failure)
        with suppress(Exception):  # a device that is lost cannot be tidied up
            self.core.close()

    def _refuse_all(self, failure: EngineError) -> None:
        with suppress(Empty):
            while True:
                _, refuse = self._commands.get(block=False)
                refuse(_copy(failure))


def _copy(failure: EngineError) -> EngineError:
    """One for each who is told: an exception that is raised in two threads at once mixes up their tracebacks."""
    copy = EngineError(str(failure))
    copy.__cause__ = failure.__cause__
    return copy


def _stop(loop: _Loop, thread: threading.Thread) -> None:
    """End the thread, and wait for its last step unless this is the thread itself."""
    with suppress(EngineError):  # it has ended already, or lives in the parent process
        loop.post(None, lambda error: None)
    if threading.current_thread() is not thread:
        thread.join()
