"""Answers: the engine's tokens as text, piece by piece.

In: streams of tokens and a GenerationConfig. Out: Responses that each hold what is new. Knows no roles and no history.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self

from ivl.engine import Request, SamplingParams, TokenMask, TokenOutput
from ivl.engine.stream import TokenStream
from ivl.processing import Processor
from ivl.processing.detokenizer import IncrementalDecoder
from ivl.processing.tokenizer import Tokenizer
from ivl.session.stop_words import StopWords
from ivl.types import GenerationConfig, ModelInputs, Response


def sampling_params(gen_config: GenerationConfig, processor: Processor, index: int = 0) -> SamplingParams:
    """The explicit settings of the engine for the `index`-th answer under a person's GenerationConfig."""
    temperature = 1.0 if gen_config.temperature is None else float(gen_config.temperature)
    stops = frozenset() if gen_config.ignore_eos else processor.serving_stop_token_ids
    return SamplingParams(
        max_new_tokens=gen_config.max_new_tokens,
        stop_token_ids=stops | frozenset(gen_config.stop_token_ids or ()),
        temperature=temperature if gen_config.samples else 0.0,
        top_k=gen_config.top_k or 0,
        top_p=1.0 if gen_config.top_p is None else float(gen_config.top_p),
        min_p=gen_config.min_p or 0.0,
        repetition_penalty=float(gen_config.repetition_penalty),
        min_new_tokens=gen_config.min_new_tokens or 0,
        seed=None if gen_config.random_seed is None else (gen_config.random_seed + index) % 2**63,
        logprobs=gen_config.logprobs,
        bad_token_ids=_bad_tokens(gen_config, processor.tokenizer),
    )


def first_barred(sampling: SamplingParams) -> frozenset[int]:
    """Tokens that these settings keep from coming first."""
    stops = sampling.stop_token_ids if sampling.min_new_tokens else frozenset()
    return stops | {sequence[0] for sequence in sampling.bad_token_ids if len(sequence) == 1}


def make_request(
    inputs: ModelInputs,
    sampling: SamplingParams,
    token_mask: TokenMask | None,
    adapter: str | None,
    cache_salt: str = "",
) -> Request:
    """The engine's request for prepared inputs."""
    digests = [
        hashlib.sha256(f"{digest}:{tile}".encode()).digest()
        for digest, count in zip(inputs.image_digests, inputs.tile_counts, strict=bool(inputs.image_digests))
        for tile in range(count)
    ]
    return Request(
        input_ids=inputs.input_ids,
        pixel_values=inputs.pixel_values,
        sampling=sampling,
        tile_digests=tuple(digests),
        adapter=adapter,
        cache_salt=cache_salt,
        token_mask=token_mask,
    )


class AnswerText:
    """The text of one answer, as its tokens come. goes_on: the prompt ends with a text that the answer begins with."""

    def __init__(
        self, tokenizer: Tokenizer, gen_config: GenerationConfig, prompt_len: int, index: int, goes_on: bool = False
    ) -> None:
        self._decoder = IncrementalDecoder(tokenizer, goes_on=goes_on)
        self._stops = StopWords(gen_config.stop_words or ())
        self._prompt_len = prompt_len
        self._index = index
        self._count = 0

    def push(self, output: TokenOutput) -> Response:
        """What a token adds; with a finish reason when the answer ends there, be it at a stop word."""
        self._count += 1
        finish = output.finish_reason
        # An end token is no part of the text.
        text = "" if finish == "stop" else self._stops.push(self._decoder.push(output.token_id))
        if finish and not self._stops.found:
            text += self._stops.push(self._decoder.flush()) + self._stops.flush()
        return Response(
            text=text,
            token_ids=(output.token_id,),
            finish_reason="stop" if self._stops.found else finish,
            input_token_len=self._prompt_len,
            cached_token_len=output.num_shared,
            generate_token_len=self._count,
            logprobs=None if output.logprob is None else (output.logprob,),
            index=self._index,
        )


class AnswerStream:
    """The answers to one prompt as they are made, for `for` or `async for`; several take turns, told by their `index`.

    What ends an answer early is raised, and ends the others. Closing the stream aborts all.
    """

    def __init__(self, answers: Sequence[tuple[TokenStream, AnswerText]]) -> None:
        self._streams = [tokens for tokens, _ in answers]
        self._turns = deque(answers)
        self._is_closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Response:
        if self._is_closed or not self._turns:
            raise StopIteration
        try:
            output = next(self._turns[0][0], None)
        except BaseException:
            self.close()
            raise
        if output is None:  # closed by another thread
            raise StopIteration
        return self._respond(output)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Response:
        if self._is_closed or not self._turns:
            raise StopAsyncIteration
        try:
            output = await self._turns[0][0].__anext__()
        except StopAsyncIteration:  # closed by another task
            raise
        except BaseException:
            self.close()
            raise
        return self._respond(output)

    @property
    def has_next(self) -> bool:
        """Whether the next piece, an error or the end is there already, so that nobody would wait for it."""
        return self._is_closed or not self._turns or self._turns[0][0].has_next

    def close(self) -> None:
        """Abort what still runs; its blocks and its place in the batch are free before the engine's next step."""
        self._is_closed = True
        for tokens in self._streams:
            tokens.close()

    def _respond(self, output: TokenOutput) -> Response:
        tokens, text = self._turns.popleft()
        response = text.push(output)
        if response.finish_reason:
            tokens.close()
        else:
            self._turns.append((tokens, text))
        return response


def gather(responses: Iterator[Response], count: int) -> list[Response]:
    """The `count` whole answers of a stream's pieces."""
    pieces: list[list[Response]] = [[] for _ in range(count)]
    for response in responses:
        pieces[response.index].append(response)
    return [join(own) for own in pieces]


def join(responses: Sequence[Response]) -> Response:
    """A whole answer from its pieces."""
    last = responses[-1]
    logprobs = tuple(entry for piece in responses for entry in piece.logprobs or ())
    return Response(
        text="".join(piece.text for piece in responses),
        token_ids=tuple(token_id for piece in responses for token_id in piece.token_ids),
        finish_reason=last.finish_reason,
        input_token_len=last.input_token_len,
        cached_token_len=last.cached_token_len,
        generate_token_len=last.generate_token_len,
        logprobs=logprobs or None,
        index=last.index,
    )


def _bad_tokens(gen_config: GenerationConfig, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Each bad word as tokens, at the beginning of a text and after a space."""
    words = gen_config.bad_words or ()
    spelled = [tuple(tokenizer.encode(form)) for word in words for form in (word, " " + word)]
    single = [(token_id,) for token_id in gen_config.bad_token_ids or ()]
    return tuple(dict.fromkeys([*spelled, *single]))
