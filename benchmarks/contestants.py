"""The engines that are timed against each other, each as a function from a prompt to an `Answer`.

In: a model of ours. Out: `Contestant`s over the very same weights. Knows nothing of repeats and medians.

All are given pixels and token ids ready-made and compute logits for the last token only. The clock is read
when a token's id is in Python's hands, which is when a server could send it.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stand_in import Prompt

from ivl.engine import EngineCore, Request, SamplingParams, TokenOutput
from ivl.errors import IvlError
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.quantized import apply_int8
from ivl.model.weights import save_model
from ivl.types import EngineConfig


@dataclass(frozen=True, kw_only=True)
class Answer:
    """New tokens, and how long they took."""

    token_ids: list[int]
    first_token_s: float
    """Seconds from the prompt to the first token."""
    tokens_per_s: float
    """Tokens after the first, by the time from the first to the last."""


Contestant = Callable[[Prompt, int], Answer]


def ivl_engine(model: InternVL) -> Contestant:
    """The engine behind `ivl.pipeline`, without its thread and with its caches off, as rounds repeat their prompts.

    It fuses `model`: who else wants the weights takes them before.
    """
    return engine_contestant(make_core(model))


def make_core(model: InternVL, quantization: str | None = None) -> EngineCore:
    """An engine whose caches are off; it fuses `model`."""
    config = EngineConfig(session_len=8192, enable_prefix_caching=False, vision_cache_bytes=0, device="cpu")
    model = apply_fused(model)
    return EngineCore(apply_int8(model) if quantization == "int8" else model, config)


def engine_contestant(core: EngineCore) -> Contestant:
    """One request at a time."""

    def answer(prompt: Prompt, new_tokens: int) -> Answer:
        stamps, token_ids = [time.perf_counter()], []
        core.add(request(prompt, new_tokens))
        while core.has_work:
            for _, output in core.step():
                token_ids.append(token_of(output))
                stamps.append(time.perf_counter())
        return _answer(token_ids, stamps)

    return answer


def request(prompt: Prompt, new_tokens: int) -> Request:
    """A prompt as the engine takes it: greedy, with no end token.

    Tiles of noise are told apart by their first pixels: the engine need not read all of them.
    """
    digests = tuple(hashlib.sha256(tile.flatten()[:64].numpy().tobytes()).digest() for tile in prompt.pixel_values)
    return Request(
        input_ids=prompt.input_ids,
        pixel_values=prompt.pixel_values,
        tile_digests=digests,
        sampling=SamplingParams(max_new_tokens=new_tokens),
    )


def token_of(output: TokenOutput | IvlError) -> int:
    """The token's id; raises the error of a request that failed."""
    if isinstance(output, IvlError):
        raise output
    return output.token_id


def transformers_model(model: InternVL) -> Any:
    """transformers' InternVL with the weights of `model`: float32, SDPA, no end token."""
    from transformers import AutoModelForImageTextToText

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        save_model(model, folder, layout="transformers")
        theirs = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    theirs.generation_config.eos_token_id = None
    theirs.generation_config.pad_token_id = 0
    return theirs.eval()


def transformers_generate(theirs: Any, cache: str) -> Contestant:
    """transformers' greedy `generate`; `cache` is "dynamic", which is its default, or "static"."""

    @torch.inference_mode()
    def answer(prompt: Prompt, new_tokens: int) -> Answer:
        clock = _Clock()
        out = theirs.generate(
            input_ids=prompt.input_ids[None],
            attention_mask=torch.ones_like(prompt.input_ids[None]),
            pixel_values=prompt.pixel_values,
            max_new_tokens=new_tokens,
            do_sample=False,
            cache_implementation=cache,
            streamer=clock,
        )
        return _answer(out[0, len(prompt.input_ids) :].tolist(), clock.stamps)

    return answer


class _Clock:
    """A streamer that notes when `generate` hands over the prompt (at its start) and then each token."""

    def __init__(self) -> None:
        self.stamps = [time.perf_counter()]

    def put(self, token_ids: torch.Tensor) -> None:
        if token_ids.dim() == 1:  # the prompt comes as (1, T)
            self.stamps.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""


def _answer(token_ids: list[int], stamps: list[float]) -> Answer:
    assert len(stamps) == len(token_ids) + 1, f"{len(token_ids)} tokens were stamped {len(stamps) - 1} times"
    rate = (len(token_ids) - 1) / (stamps[-1] - stamps[1]) if len(token_ids) > 1 else 0.0
    return Answer(token_ids=token_ids, first_token_s=stamps[1] - stamps[0], tokens_per_s=rate)
