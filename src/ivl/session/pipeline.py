"""A model ready to answer: folder -> weights, processor and engine; prompts -> responses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from ivl.engine import Engine, PlainEngine
from ivl.errors import PromptError, SettingsError
from ivl.hub import resolve
from ivl.model.config import InternVLConfig
from ivl.model.fused import apply_fused
from ivl.model.weights import load_model
from ivl.processing import Processor, load_processor
from ivl.processing.images import load_image
from ivl.processing.messages import to_messages
from ivl.session.answer import join, stream_answer
from ivl.session.session import Session
from ivl.types import EngineConfig, GenerationConfig, ImagePart, Message, Response
from ivl.zoo import seedling_folder


class Pipeline:
    """Answers prompts.

    A prompt is a text; a text with an image or several, `("text", image)`, `("text", [images])`; or messages in
    OpenAI's chat form. An image is a path, URL, data URI, bytes or PIL image.
    """

    def __init__(self, folder: Path, processor: Processor, engine: Engine, session_len: int) -> None:
        self.folder = folder
        self.processor = processor
        self.engine = engine
        self.session_len = session_len

    @property
    def config(self) -> InternVLConfig:
        """The model's configuration."""
        return self.processor.config

    def __call__(self, prompt: Any, gen_config: GenerationConfig | None = None) -> Response | list[Response]:
        """The answer to a prompt, or the answers to a list of prompts in their order."""
        if is_batch(prompt):
            return [self._answer(each, gen_config) for each in prompt]
        return self._answer(prompt, gen_config)

    def stream(self, prompt: Any, gen_config: GenerationConfig | None = None) -> Iterator[Response]:
        """The answer to one prompt in pieces, each with the new text; the last carries the finish reason.

        Raises PromptError, ImageError and ContextLengthError before the first piece.
        """
        messages = to_messages(prompt)
        if messages[-1].role == "assistant":
            raise PromptError("the last message is the assistant's: end with the user's message to get an answer")
        # Told the length, the processor refuses a prompt that cannot fit before it cuts a single tile.
        inputs = self.processor(messages, max_length=self.session_len - 1)
        yield from stream_answer(self.engine, self.processor, inputs, gen_config or GenerationConfig())

    def chat(self, prompt: Any, session: Session | None = None, gen_config: GenerationConfig | None = None) -> Session:
        """Ask within a session, or begin one; the answer is in `session.response`."""
        session = session or self.session()
        for _ in session.stream(prompt, gen_config):
            pass
        return session

    def session(self, system: str | None = None) -> Session:
        """An empty conversation; `system` replaces the model's own system message."""
        return Session(self, system)

    def loaded(self, prompt: Any) -> tuple[Message, ...]:
        """The prompt's messages with every picture read, so that later turns need not read it again."""
        return tuple(
            Message(role=message.role, parts=tuple(self._loaded_part(part) for part in message.parts))
            for message in to_messages(prompt)
        )

    def close(self) -> None:
        """Free the weights."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, prompt: Any, gen_config: GenerationConfig | None) -> Response:
        return join(list(self.stream(prompt, gen_config)))

    def _loaded_part(self, part: Any) -> Any:
        if not isinstance(part, ImagePart):
            return part
        image = load_image(part.source, as_viewed=self.processor.as_viewed)
        return ImagePart(source=image, max_tiles=part.max_tiles)


def pipeline(
    model: str | Path | None = None,
    adapter: None = None,
    engine_config: EngineConfig | None = None,
    *,
    backend_config: EngineConfig | None = None,
    revision: str | None = None,
    as_viewed: bool = True,
    max_tiles: int | None = None,
) -> Pipeline:
    """Load a model and make it ready to answer.

    model: a folder, a hub id such as "OpenGVLab/InternVL2-2B", or None for the small model in the package.
    backend_config: LMDeploy's name for engine_config.
    as_viewed: read pictures as a viewer shows them (upright, transparency on white); False reads them as the official
    code does. max_tiles: tiles an image may take; None leaves it to the model's own configuration.
    """
    if adapter is not None:
        raise SettingsError(f"adapter={adapter!r} is not supported yet: merge it into the model's folder first")
    if engine_config is not None and backend_config is not None:
        raise SettingsError("engine_config and backend_config are the same setting: give one of them")
    config = engine_config or backend_config or EngineConfig()
    folder = seedling_folder() if model is None else resolve(model, revision=revision)
    # The processor first: it is quick, and a broken tokenizer is told before the weights are read.
    processor = load_processor(folder, as_viewed=as_viewed, max_tiles=max_tiles)
    device = choose_device(config.device)
    weights = apply_fused(load_model(folder, device=device, dtype=choose_dtype(config.dtype, device)))
    return Pipeline(folder, processor, PlainEngine(weights, config), config.session_len)


def choose_device(device: str) -> str:
    """The device to run on; raises SettingsError where it does not exist."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.split(":")[0]
    if kind not in {"cpu", "cuda"}:
        raise SettingsError(f"device={device!r} is not allowed: auto, cpu, cuda or cuda:N")
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingsError(f"device={device!r} was asked for, but torch sees no GPU here: use device='cpu'")
    return device


def choose_dtype(dtype: str, device: str) -> str:
    """bfloat16 on a GPU; float32 on a CPU, where bfloat16 products are far slower without AMX or AVX512."""
    if dtype != "auto":
        return dtype
    return "float32" if device == "cpu" else "bfloat16"


def is_batch(prompt: Any) -> bool:
    """Whether this is a list of prompts rather than one prompt: a list of messages is one prompt."""
    return isinstance(prompt, list) and not (prompt and isinstance(prompt[0], dict | Message))
