"""Where the time of an answer goes: the same question asked once more, with a clock at every stage.

In: a pipeline and messages. Out: seconds of each stage, as the pipeline really takes them: nothing is found in a cache,
and what else the engine does meanwhile counts too. Knows no page.

The engine tells when each token comes, and no more. So vision model and prefill are also timed by themselves, one right
after the other on the engine's thread, and the time to the first token is shared out in their proportion.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

import torch

from ivl.explain.on_engine import Route, encode, on_engine
from ivl.model.attention import PackedAttention
from ivl.model.internvl import InternVL
from ivl.session import Pipeline
from ivl.types import GenerationConfig, Message, ModelInputs, TextPart

StageName = Literal["read", "cut", "vision", "prefill", "decode"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of an answer."""

    name: StageName
    seconds: float
    count: int
    """Of what it works on: pictures and videos read, pictures and frames cut, tiles, prompt tokens, tokens after the
    first."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The time of an answer of so many tokens."""

    stages: tuple[Stage, ...]
    """In order; their seconds add up to the whole. Stages with nothing to do are left out."""
    first_token_s: float
    """From the moment at which the engine has the request to the first token."""

    @property
    def total_s(self) -> float:
        return sum(stage.seconds for stage in self.stages)


def measure(
    pipe: Pipeline,
    messages: Sequence[Message],
    inputs: ModelInputs,
    *,
    num_tokens: int = 16,
    adapter: str | None = None,
    read: Callable[[Sequence[Message]], Sequence[Message]] | None = None,
) -> Timing:
    """Ask once more for `num_tokens` tokens, and time it. inputs: what the processor makes of the messages.

    read: reads the messages' pictures; None: `Pipeline.loaded`, which may open paths. They are timed as read only
    where a message names a file, URL or bytes. Raises what `Pipeline.stream` raises.
    """
    started = time.perf_counter()
    loaded = pipe.loaded(list(messages)) if read is None else read(messages)
    read_s = time.perf_counter() - started
    settings = GenerationConfig(max_new_tokens=num_tokens, ignore_eos=True)
    started = time.perf_counter()
    # A salt of its own: neither blocks nor features of the first time are found.
    with closing(pipe.stream(list(loaded), settings, adapter=adapter, cache_salt=secrets.token_hex(8))) as answer:
        asked = time.perf_counter()
        arrivals = [time.perf_counter() for _ in answer]
    first_s = arrivals[0] - asked
    share = on_engine(pipe, adapter, lambda model, route: _vision_share(model, inputs, route))
    shown = [part for message in messages for part in message.parts if not isinstance(part, TextPart)]
    num_read = sum(isinstance(part.source, str | bytes) and bool(part.source) for part in shown)
    stages = (
        Stage(name="read", seconds=read_s, count=num_read),
        Stage(name="cut", seconds=asked - started, count=len(inputs.tile_counts)),
        Stage(name="vision", seconds=share * first_s, count=sum(inputs.tile_counts)),
        Stage(name="prefill", seconds=(1 - share) * first_s, count=len(inputs.input_ids)),
        Stage(name="decode", seconds=arrivals[-1] - arrivals[0], count=len(arrivals) - 1),
    )
    return Timing(stages=tuple(stage for stage in stages if stage.count), first_token_s=first_s)


@torch.inference_mode()
def _vision_share(model: InternVL, inputs: ModelInputs, route: Route) -> float:
    """What share of vision model, connector and prefill together the first two take; 0 without pictures."""
    if inputs.pixel_values is None:
        return 0.0
    started = _now(model)
    features = encode(model, inputs.pixel_values, route)
    seen = _now(model)
    embeds, offsets = model.embed(inputs.input_ids.to(features.device), features), [0, len(inputs.input_ids)]
    route(len(embeds))
    model.language_model.logits(model.hidden_states(embeds, offsets, PackedAttention(offsets))[-1])
    read = _now(model)
    return (seen - started) / (read - started)


def _now(model: InternVL) -> float:
    """The time when the device has done all it was told to."""
    device = model.language_model.embed_tokens.weight.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
