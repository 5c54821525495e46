"""What every engine offers to `session`: the seam behind which scheduling, caches and kernels may change."""

from collections.abc import Generator
from typing import Protocol

from ivl.engine.request import Request, TokenOutput


class Engine(Protocol):
    """Continues prompts."""

    def generate(self, request: Request) -> Generator[TokenOutput]:
        """The tokens of one answer as they are made; closing the iterator aborts the request.

        Raises ContextLengthError when the prompt leaves no room for an answer, EngineError when the model fails.
        """
        ...

    def close(self) -> None:
        """Free what the engine holds; it takes no request afterwards."""
        ...
