"""A conversation with a memory. In: turns of a person. Out: answers, and the history that both make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ivl.errors import SettingsError
from ivl.processing.messages import begun_text
from ivl.session.answer import join
from ivl.types import GenerationConfig, Message, Response, TextPart

if TYPE_CHECKING:
    from ivl.session.pipeline import Pipeline


class Session:
    """One person's chat with a model; `Pipeline.session` or `Pipeline.chat` begins one."""

    def __init__(self, pipeline: Pipeline, system: str | None = None, adapter: str | None = None) -> None:
        self._pipeline = pipeline
        self._adapter = adapter
        self.messages: tuple[Message, ...] = ()
        if system is not None:
            self.messages = (Message(role="system", parts=(TextPart(text=system),)),)
        self.response: Response | None = None
        """The last answer, whole."""

    def stream(self, prompt: Any, gen_config: GenerationConfig | None = None) -> Iterator[Response]:
        """Ask, and give the answer in pieces; see `Pipeline` for the forms of a prompt.

        The turn joins the history once its answer has begun. Closing the iterator stops the answer; what was said so
        far is kept. A prompt that raises leaves the history as it was. Where the prompt begins the answer itself, the
        history has the whole of it, and the pieces and `response` what is new.
        """
        if gen_config is not None and gen_config.n > 1:
            raise SettingsError(f"n={gen_config.n} is not allowed in a session, which goes on from one answer")
        messages = self.messages + self._pipeline.loaded(prompt)
        pieces: list[Response] = []
        try:
            with closing(self._pipeline.stream(messages, gen_config, adapter=self._adapter)) as stream:
                for piece in stream:
                    pieces.append(piece)
                    yield piece
        finally:
            if pieces:
                response = join(pieces)
                if response.finish_reason is None:
                    response = replace(response, finish_reason="abort")
                self.response = response
                begun = begun_text(messages)
                asked = messages[:-1] if messages[-1].role == "assistant" else messages
                answer = Message(role="assistant", parts=(TextPart(text=begun + response.text),))
                self.messages = (*asked, answer)
