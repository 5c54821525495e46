"""A model ready to answer: folder -> weights, processor and engine; prompts -> responses."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ivl.engine import EngineStats, EngineWorker
from ivl.engine.stream import TokenStream
from ivl.errors import SettingsError
from ivl.model.adapter_io import read_adapter
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config
from ivl.processing import Processor
from ivl.processing.fetch import FetchPolicy
from ivl.processing.images import ImageLimits
from ivl.processing.messages import begun_text, to_messages
from ivl.processing.video import VideoLimits
from ivl.session.allowed import AllowedTokens
from ivl.session.answer import AnswerStream, AnswerText, first_barred, gather, make_request, sampling_params
from ivl.session.grammar import GrammarMask, Grammars
from ivl.session.loading import find_folder, load_engine_core, must_merge
from ivl.session.prompts import PlainPrompt, loaded_messages, plain_inputs
from ivl.session.session import Session
from ivl.types import EngineConfig, GenerationConfig, Message, ModelInputs, Response

# Prompts of a list that are under way, for each that the engine runs at once; the rest take no memory yet.
_AHEAD = 2


class Pipeline:
    """Answers prompts, from any number of threads and event loops at once.

    A prompt is a text; a text with an image or several, `("text", image)`, `("text", [images])`; or messages in
    OpenAI's chat form. An image is a path, URL, data URI, bytes or PIL image. Messages may end with one of the
    assistant: an answer that is begun. The model goes on right behind it, as it was typed, and the Response holds only
    what is new; stop words and the answer's form are those of the new text too.
    """

    def __init__(self, folder: Path, processor: Processor, engine: EngineWorker, config: EngineConfig) -> None:
        self.folder = folder
        self.processor = processor
        self.engine = engine
        self.engine_config = config
        self.adapter: str | None = None
        """The loaded adapter that answers where a call names none; None: the base model."""
        cached = engine.stats.num_blocks * config.block_size
        self._longest_prompt = min(config.session_len, cached) - 1
        self._grammars = Grammars(
            processor.tokenizer, processor.config.text.vocab_size, processor.serving_stop_token_ids
        )
        # A long list takes some 10 ms to read: once, not for each prompt.
        self._allowed = lru_cache(maxsize=16)(partial(AllowedTokens, vocab_size=processor.config.text.vocab_size))

    @property
    def config(self) -> InternVLConfig:
        """The model's configuration."""
        return self.processor.config

    @property
    def session_len(self) -> int:
        """Tokens of prompt and answer together, at most."""
        return self.engine_config.session_len

    @property
    def stats(self) -> EngineStats:
        """What the engine has done and holds."""
        return self.engine.stats

    def __call__(self, prompt: Any, gen_config: GenerationConfig | None = None, *, adapter: str | None = None) -> Any:
        """The answer to a prompt as a Response, or for a list of prompts a list, answered side by side.

        With `n` above 1 each prompt's answers are a list. Raises what the first prompt that fails raises.
        """
        if not is_batch(prompt):
            return self._answer(self.stream(prompt, gen_config, adapter=adapter), gen_config)
        most = _AHEAD * self.engine_config.max_batch_size
        started: deque[Future[AnswerStream]] = deque()
        answers = []
        # Pictures are read and cut on threads of their own, ahead of the engine.
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="ivl-prepare") as pool:
            try:
                for each in prompt:
                    if len(started) == most:
                        answers.append(self._answer(started.popleft().result(), gen_config))
                    started.append(pool.submit(self.stream, each, gen_config, adapter=adapter))
                while started:
                    answers.append(self._answer(started.popleft().result(), gen_config))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                for future in started:
                    if not future.cancelled() and future.exception() is None:
                        future.result().close()
                raise
        return answers

    def stream(
        self,
        prompt: Any,
        gen_config: GenerationConfig | None = None,
        *,
        adapter: str | None = None,
        cache_salt: str = "",
    ) -> AnswerStream:
        """The answer to one prompt in pieces, each with the new text; the last carries the finish reason.

        cache_salt: what one prompt leaves in the caches is found again only by prompts of the same salt.
        Raises PromptError, ImageError, ContextLengthError, SettingsError and EngineError.
        """
        gen_config = gen_config or GenerationConfig()
        messages = to_messages(prompt)
        mask = self._token_mask(gen_config)
        # Told the length, the processor refuses a prompt that cannot fit before it cuts a single tile.
        inputs = self.processor(messages, max_length=self._longest_prompt, as_prompt=True)
        return self._start([inputs], gen_config, mask, adapter, cache_salt, goes_on=bool(begun_text(messages)))

    def complete(
        self,
        prompts: PlainPrompt | Sequence[PlainPrompt],
        gen_config: GenerationConfig | None = None,
        *,
        adapter: str | None = None,
        cache_salt: str = "",
    ) -> AnswerStream:
        """How a plain text goes on, without roles and template, in pieces. Control tokens typed in it stay text.

        prompts: a text, or ids of tokens, which are taken as they are; or a list of either, whose answers come side
        by side: the `index` of the i-th prompt's j-th answer is `i * n + j`, and each is what it would be alone.
        Raises InputError (for ids beyond the vocabulary), ContextLengthError, SettingsError and EngineError.
        """
        gen_config = gen_config or GenerationConfig()
        mask = self._token_mask(gen_config)
        is_one = isinstance(prompts, str) or (len(prompts) > 0 and isinstance(prompts[0], int))
        several: Any = [prompts] if is_one else prompts
        inputs = [plain_inputs(prompt, self.processor) for prompt in several]
        return self._start(inputs, gen_config, mask, adapter, cache_salt, goes_on=True)

    async def stream_async(
        self, prompt: Any, gen_config: GenerationConfig | None = None, *, adapter: str | None = None
    ) -> AsyncIterator[Response]:
        """`stream` for the event loop that runs now; any number of loops may ask one pipeline."""
        # Reading pictures takes long: not on the event loop.
        answers = await asyncio.to_thread(self.stream, prompt, gen_config, adapter=adapter)
        try:
            async for response in answers:
                yield response
        finally:
            answers.close()

    def chat(self, prompt: Any, session: Session | None = None, gen_config: GenerationConfig | None = None) -> Session:
        """Ask within a session, or begin one; the answer is in `session.response`."""
        session = session or self.session()
        for _ in session.stream(prompt, gen_config):
            pass
        return session

    def session(self, system: str | None = None, *, adapter: str | None = None) -> Session:
        """An empty conversation; `system` replaces the model's own system message."""
        return Session(self, system, adapter)

    def loaded(
        self,
        prompt: Any,
        *,
        limits: ImageLimits | None = None,
        video_limits: VideoLimits | None = None,
        fetch_policy: FetchPolicy | None = None,
        allow_paths: bool = True,
    ) -> tuple[Message, ...]:
        """The prompt's messages with every picture and video read, so that later turns need not read it again.

        The options say what may be read, as in `load_image` and `load_frames`. Frames of a video become tiles.
        """
        return loaded_messages(
            prompt,
            self.processor,
            limits=limits,
            video_limits=video_limits,
            fetch_policy=fetch_policy,
            allow_paths=allow_paths,
        )

    def load_adapter(self, name: str, folder: str | os.PathLike[str]) -> None:
        """Load a LoRA adapter beside the base model, while requests run. Raises AdapterError."""
        adapter = read_adapter(folder, self.engine.call(lambda core: core.runner.model))
        self.engine.call(lambda core: core.load_adapter(name, adapter))

    def unload_adapter(self, name: str) -> None:
        """Take no more requests for an adapter; its memory is free when the last one has ended. Raises AdapterError."""
        self.engine.call(lambda core: core.unload_adapter(name))
        if self.adapter == name:
            self.adapter = None

    def close(self) -> None:
        """Stop the engine and free the weights."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _token_mask(self, gen_config: GenerationConfig) -> GrammarMask | AllowedTokens | None:
        """What may come next, where the settings say so. Raises SettingsError for what cannot be followed."""
        if gen_config.allowed_token_ids is None:
            return self._grammars.token_mask(gen_config)
        sampling = sampling_params(gen_config, self.processor)
        return self._allowed(gen_config.allowed_token_ids, first_barred(sampling))

    def _answer(self, answers: AnswerStream, gen_config: GenerationConfig | None) -> Response | list[Response]:
        count = gen_config.n if gen_config else 1
        whole = gather(answers, count)
        return whole if count > 1 else whole[0]

    def _start(
        self,
        prompts: Sequence[ModelInputs],
        gen_config: GenerationConfig,
        mask: GrammarMask | AllowedTokens | None,
        adapter: str | None,
        cache_salt: str,
        goes_on: bool,
    ) -> AnswerStream:
        """The answers to prepared inputs, on their way."""
        answers: list[tuple[TokenStream, AnswerText]] = []
        try:
            for inputs, index in product(prompts, range(gen_config.n)):
                sampling = sampling_params(gen_config, self.processor, index)
                request = make_request(inputs, sampling, mask and mask.copy(), adapter or self.adapter, cache_salt)
                num_tokens = len(inputs.input_ids)
                text = AnswerText(self.processor.tokenizer, gen_config, num_tokens, len(answers), goes_on)
                answers.append((self.engine.generate(request), text))
        except BaseException:
            AnswerStream(answers).close()
            raise
        return AnswerStream(answers)


def pipeline(
    model: str | Path | None = None,
    adapter: str | Path | Mapping[str, str | Path] | None = None,
    engine_config: EngineConfig | None = None,
    *,
    backend_config: EngineConfig | None = None,
    revision: str | None = None,
    as_viewed: bool = True,
    max_tiles: int | None = None,
) -> Pipeline:
    """Load a model and make it ready to answer.

    model: a folder, a hub id such as "OpenGVLab/InternVL2-2B", or None for the small model in the package.
    adapter: the folder of a LoRA adapter, which then gives the answers; or folders by name, for calls to choose from. A
    single one that changes more than can differ between requests (the vocabulary, say) is merged into the model.
    backend_config: LMDeploy's name for engine_config.
    as_viewed: read pictures as a viewer shows them (upright, transparency on white); False reads them as the official
    code does. max_tiles: tiles an image may take; None leaves it to the model's own configuration.
    """
    if engine_config is not None and backend_config is not None:
        raise SettingsError("engine_config and backend_config are the same setting: give one of them")
    config = engine_config or backend_config or EngineConfig()
    folder = find_folder(model, revision)
    several = adapter if isinstance(adapter, Mapping) else {}
    single = None if adapter is None or isinstance(adapter, Mapping) else read_adapter(adapter, load_config(folder))
    merged = single if single is not None and must_merge(single, config) else None
    core, processor = load_engine_core(folder, config, as_viewed=as_viewed, max_tiles=max_tiles, merged=merged)
    pipe = Pipeline(folder, processor, EngineWorker(core), config)
    try:
        for name, path in several.items():
            pipe.load_adapter(name, path)
        if single is not None and merged is None:
            pipe.adapter = Path(single.source).name
            pipe.engine.call(lambda core: core.load_adapter(Path(single.source).name, single))
    except BaseException:
        pipe.close()
        raise
    return pipe


def is_batch(prompt: Any) -> bool:
    """Whether this is a list of prompts rather than one prompt: a list of messages is one prompt."""
    return isinstance(prompt, list) and not (prompt and isinstance(prompt[0], dict | Message))
