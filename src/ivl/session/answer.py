"""One answer: the engine's tokens as text, piece by piece.

In: prepared inputs and a GenerationConfig. Out: Responses that each hold what is new. Knows no roles and no history.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

from ivl.engine import Engine, Request, SamplingParams, TokenOutput
from ivl.processing import Processor
from ivl.processing.detokenizer import IncrementalDecoder
from ivl.session.stop_words import StopWords
from ivl.types import FinishReason, GenerationConfig, ModelInputs, Response


def sampling_params(gen_config: GenerationConfig, stop_token_ids: frozenset[int]) -> SamplingParams:
    """The explicit settings of the engine for a person's GenerationConfig."""
    temperature = 1.0 if gen_config.temperature is None else float(gen_config.temperature)
    return SamplingParams(
        max_new_tokens=gen_config.max_new_tokens,
        stop_token_ids=frozenset() if gen_config.ignore_eos else stop_token_ids,
        temperature=temperature if gen_config.samples else 0.0,
        top_k=gen_config.top_k or 0,
        top_p=1.0 if gen_config.top_p is None else float(gen_config.top_p),
        min_p=gen_config.min_p or 0.0,
        repetition_penalty=float(gen_config.repetition_penalty),
        min_new_tokens=gen_config.min_new_tokens or 0,
        seed=gen_config.random_seed,
        logprobs=gen_config.logprobs,
    )


def stream_answer(
    engine: Engine, processor: Processor, inputs: ModelInputs, gen_config: GenerationConfig
) -> Iterator[Response]:
    """Responses with the new text of an answer; the last one carries the finish reason.

    Closing the iterator aborts the request in the engine.
    """
    params = sampling_params(gen_config, processor.serving_stop_token_ids)
    request = Request(input_ids=inputs.input_ids, pixel_values=inputs.pixel_values, sampling=params)
    decoder = IncrementalDecoder(processor.tokenizer)
    stops = StopWords(gen_config.stop_words or ())
    with closing(engine.generate(request)) as outputs:
        for count, output in enumerate(outputs, start=1):
            # An end token is no part of the text.
            text = "" if output.finish_reason == "stop" else stops.push(decoder.push(output.token_id))
            finish = output.finish_reason
            if finish and not stops.found:
                text += stops.push(decoder.flush()) + stops.flush()
            if stops.found:
                finish = "stop"
            yield _response(text, output, finish, len(inputs.input_ids), count)
            if finish:
                return


def join(responses: Sequence[Response]) -> Response:
    """A whole answer from its pieces."""
    last = responses[-1]
    logprobs = tuple(entry for piece in responses for entry in piece.logprobs or ())
    return Response(
        text="".join(piece.text for piece in responses),
        token_ids=tuple(token_id for piece in responses for token_id in piece.token_ids),
        finish_reason=last.finish_reason,
        input_token_len=last.input_token_len,
        generate_token_len=last.generate_token_len,
        logprobs=logprobs or None,
    )


def _response(text: str, output: TokenOutput, finish: FinishReason | None, prompt: int, count: int) -> Response:
    return Response(
        text=text,
        token_ids=(output.token_id,),
        finish_reason=finish,
        input_token_len=prompt,
        generate_token_len=count,
        logprobs=None if output.logprob is None else (output.logprob,),
    )
