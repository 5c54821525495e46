"""Which requests the engine takes: those that it can finish and that cannot harm others.

In: a request, the model's configuration, the room there is. Out: the request, its answer cut to that room.

T prompt tokens, N tiles, S pixels a side.
"""

from dataclasses import replace

from ivl.engine.request import Request
from ivl.errors import ContextLengthError, InputError
from ivl.model.config import InternVLConfig


def admit(request: Request, config: InternVLConfig, session_len: int, capacity: int) -> Request:
    """The request with as many new tokens as the session, and the cache of `capacity` tokens, have room for.

    Raises ContextLengthError for a prompt that leaves none, InputError for what would fail or mislead in the model.
    """
    _check(request, config)
    length = len(request.input_ids)
    if length >= session_len:
        raise ContextLengthError(
            f"the prompt is {length} tokens long and session_len is {session_len}: shorten the text, "
            "give fewer or smaller images (max_tiles), or raise session_len"
        )
    if length >= capacity:
        raise ContextLengthError(
            f"the prompt is {length} tokens long and the key-value cache holds {capacity}: shorten the text, "
            "give fewer or smaller images (max_tiles), or free memory for a larger cache"
        )
    room = min(session_len, capacity) - length
    if room >= request.sampling.max_new_tokens:
        return request
    return replace(request, sampling=replace(request.sampling, max_new_tokens=room))


def _check(request: Request, config: InternVLConfig) -> None:
    """Raise InputError for what would fail or mislead in the model."""
    ids, pixels, size = request.input_ids, request.pixel_values, config.image_size
    if ids.dim() != 1 or len(ids) == 0:
        raise InputError(f"the prompt's ids have the shape {tuple(ids.shape)}: one row of at least one token is needed")
    least, most = int(ids.min()), int(ids.max())
    if least < 0 or most >= config.text.vocab_size:
        raise InputError(f"the prompt holds ids from {least} to {most}: 0 to {config.text.vocab_size - 1} are allowed")
    if pixels is not None and (pixels.dim() != 4 or pixels.shape[1:] != (3, size, size)):
        raise InputError(f"the tiles have the shape {tuple(pixels.shape)}: (N, 3, {size}, {size}) is needed")
    if request.tile_digests and (pixels is None or len(pixels) != len(request.tile_digests)):
        num_tiles = 0 if pixels is None else len(pixels)
        raise InputError(f"{len(request.tile_digests)} digests are given for {num_tiles} tiles")
