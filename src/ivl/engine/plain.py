"""The plain engine: one request at a time, keys and values in one growing cache. Short, and the measure of truth."""

from collections.abc import Generator
from dataclasses import replace

import torch
from torch import Tensor

from ivl.engine.request import Request, TokenOutput
from ivl.engine.sampler import Sampler
from ivl.errors import ContextLengthError, EngineError
from ivl.model.internvl import Decoding, InternVL
from ivl.types import EngineConfig


class PlainEngine:
    """Runs the model as its own plain loop does, with sampling."""

    def __init__(self, model: InternVL, config: EngineConfig) -> None:
        self.model: InternVL | None = model
        self.session_len = config.session_len

    def generate(self, request: Request) -> Generator[TokenOutput]:
        """See `Engine.generate`. The answer ends at the session's length when that comes first."""
        if self.model is None:
            raise EngineError("the engine is closed: make a new pipeline")
        return self._tokens(self.model, fit(request, self.session_len))

    def _tokens(self, model: InternVL, request: Request) -> Generator[TokenOutput]:
        params = request.sampling
        decoding, logits = prefill(model, request)
        sampler = Sampler(params, request.input_ids.to(logits.device), len(logits))
        while True:
            token_id, logprob = sampler.choose(logits)
            finish = None
            if token_id in params.stop_token_ids:
                finish = "stop"
            elif sampler.num_generated == params.max_new_tokens:
                finish = "length"
            yield TokenOutput(token_id=token_id, finish_reason=finish, logprob=logprob)  # type: ignore[arg-type]
            if finish:
                return
            logits = decode(model, decoding, token_id)

    def close(self) -> None:
        """Let the weights go."""
        self.model = None


def fit(request: Request, session_len: int) -> Request:
    """The request with as many new tokens as the session has room for; raises ContextLengthError for none."""
    room = session_len - len(request.input_ids)
    if room < 1:
        raise ContextLengthError(
            f"the prompt is {len(request.input_ids)} tokens long and session_len is {session_len}: shorten the text, "
            "give fewer or smaller images (max_tiles), or raise session_len"
        )
    if room >= request.sampling.max_new_tokens:
        return request
    return replace(request, sampling=replace(request.sampling, max_new_tokens=room))


# Each step enters inference mode by itself: a generator would hold it open over its caller's code.
@torch.inference_mode()
def prefill(model: InternVL, request: Request) -> tuple[Decoding, Tensor]:
    """The prompt's cache, with room for the whole answer, and the logits (V,) after its last token."""
    device = model.language_model.embed_tokens.weight.device
    features = None if request.pixel_values is None else model.encode_tiles(request.pixel_values.to(device))
    decoding = Decoding(model, capacity=len(request.input_ids) + request.sampling.max_new_tokens)
    return decoding, decoding.step(model.embed(request.input_ids.to(device), features))


@torch.inference_mode()
def decode(model: InternVL, decoding: Decoding, token_id: int) -> Tensor:
    """The logits (V,) after one more token."""
    device = model.language_model.embed_tokens.weight.device
    return decoding.step(model.embed(torch.tensor([token_id], device=device)))
