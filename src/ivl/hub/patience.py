"""Calls to a hub that may fail for a moment, and what is told meanwhile.

In: a call. Out: its result, after as many tries as it took. Knows no hub.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ivl.hub.faults import is_network_fault, name_of, status_of, wait_before_retry, without_secrets

Result = TypeVar("Result")
TRIES = 5


def _nothing(*_: object) -> None:
    """Where nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What is told while files travel."""

    progress: Callable[[str, int, int], None] = _nothing
    """Gets what travels, and of all files together the bytes that are there and the bytes there will be."""
    note: Callable[[str], None] = _nothing
    """Gets a line of text."""


def patiently(call: Callable[[], Result], told: Telling, *, tries: int = TRIES) -> Result:
    """The result of `call`, tried again while the hub is busy, fails or cuts the connection.

    Raises what the last try raised, and at once what another try would not change.
    """
    for attempt in range(tries - 1):
        try:
            return call()
        except Exception as fault:
            seconds = wait_before_retry(fault, attempt)
            if seconds is None:
                raise
            told.note(f"{_what(fault)}: again in {seconds:.0f} s")
        time.sleep(seconds)
    return call()


@contextlib.contextmanager
def quietly(told: Telling) -> Iterator[None]:
    """Tell what the client logs without the signatures in its addresses."""

    class Short(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                told.note(without_secrets(record.getMessage()))

    logger = logging.getLogger("huggingface_hub")
    handlers, propagates = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [Short()], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = handlers, propagates


def _what(fault: BaseException) -> str:
    status = status_of(fault)
    if status == 429:
        return "the hub asks to wait (429)"
    if status is not None:
        return f"the hub fails ({status})"
    assert is_network_fault(fault), "only these are tried again"
    return f"the connection was cut ({name_of(fault)})"
