"""One request on its way through the engine: its tokens so far, its blocks, and the keys under which they are shared.

In: a request. Out: what the scheduler and the runner ask of it. Knows no tensors of the model and no other sequence.

T prompt tokens, N tiles, I image tokens of a tile.
"""

import hashlib
from array import array
from bisect import bisect_left
from dataclasses import dataclass

from ivl.engine.request import Request
from ivl.engine.sampler import SamplingState
from ivl.errors import InputError

TileKey = tuple[bytes, int, str]
"""Digest of the pixels, uid of the adapter in the vision model, salt."""


class Sequence:
    """A prompt and the answer that grows behind it."""

    def __init__(self, request: Request, image_token_id: int | None, tokens_per_tile: int, block_size: int) -> None:
        self.request = request
        self.state = SamplingState(request.sampling, request.input_ids, request.token_mask)
        self.tokens: list[int] = request.input_ids.tolist()
        self.num_prompt = len(self.tokens)
        self.bound = self.num_prompt + request.sampling.max_new_tokens
        """Tokens it may come to have; fixes its rope."""
        self.tokens_per_tile = tokens_per_tile
        self.places: list[int] = []
        """(N * I,) positions of the image tokens, in order."""
        if request.pixel_values is not None:
            self.places = [i for i, token_id in enumerate(self.tokens) if token_id == image_token_id]
            _check_places(len(self.places), len(request.pixel_values), tokens_per_tile)
        self.tile_digests = request.tile_digests or _digests(request)
        self.id = -1
        """Given on arrival; lower came earlier."""
        self.vision_uid = 0
        self.block_size = block_size
        self.blocks: list[int] = []
        self.num_entries = 0
        """How often it was given blocks anew."""
        self.num_shared = 0
        """Tokens of its prompt that were found in the cache when it first got blocks."""
        self.num_computed = 0
        """Tokens whose keys and values are in the cache."""
        self.num_published = 0
        """Blocks that others may find."""
        self.keys_so_far: list[bytes] = []
        self._root = b""

    def enter(self, sequence_id: int, adapter_uid: int, vision_uid: int, rope: tuple[float, bool]) -> None:
        """Arrive in the engine. Nothing is shared across adapters (nor loads of one), ropes and salts.

        The uids are those of its adapter's load, 0 for none; the second is 0 too where the vision model runs without.
        """
        self.id, self.vision_uid = sequence_id, vision_uid
        root = repr((adapter_uid, rope, self.block_size, self.request.cache_salt))
        self._root = hashlib.sha256(root.encode()).digest()

    @property
    def num_left(self) -> int:
        """Tokens that are known but not computed; 1 while it decodes."""
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether nothing is to be computed but the last token of the answer so far."""
        return self.num_left == 1 and len(self.tokens) > self.num_prompt

    def blocks_for(self, num_tokens: int) -> int:
        """Blocks that hold `num_tokens` tokens."""
        return -(-num_tokens // self.block_size)

    def keys(self, count: int) -> list[bytes]:
        """The keys of the first `count` blocks: each names all tokens and all pixels up to its end."""
        known = self.keys_so_far
        while len(known) < count:
            start = len(known) * self.block_size
            stop = start + self.block_size
            assert stop <= len(self.tokens), f"block {len(known)} is not full at {len(self.tokens)} tokens"
            digest = hashlib.sha256(known[-1] if known else self._root)
            digest.update(array("q", self.tokens[start:stop]).tobytes())
            # Every image has the same placeholder ids: its pixels tell it apart.
            first, last = self.image_rows(start, stop)
            if first < last:
                digest.update(first.to_bytes(8, "little"))
                for tile in self.tiles(first, last):
                    digest.update(self.tile_digests[tile])
            known.append(digest.digest())
        return known[:count]

    def image_rows(self, start: int, stop: int) -> tuple[int, int]:
        """Which rows (first, last) of its (N * I) image features stand among the tokens [start, stop)."""
        return bisect_left(self.places, start), bisect_left(self.places, stop)

    def tiles(self, first: int, last: int) -> range:
        """The tiles of the image features [first, last)."""
        return range(first // self.tokens_per_tile, -(-last // self.tokens_per_tile))

    def tile_key(self, tile: int) -> TileKey:
        """What a tile's features may be found under."""
        return self.tile_digests[tile], self.vision_uid, self.request.cache_salt


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Tokens [start, stop) of a sequence, to be computed in one step."""

    sequence: Sequence
    start: int
    stop: int

    @property
    def samples(self) -> bool:
        """Whether the next token follows from it."""
        return self.stop == len(self.sequence.tokens)


def _check_places(num_places: int, num_tiles: int, tokens_per_tile: int) -> None:
    if num_places != num_tiles * tokens_per_tile:
        raise InputError(
            f"the prompt holds {num_places} image tokens but its {num_tiles} tiles make {num_tiles * tokens_per_tile}: "
            f"every tile needs its {tokens_per_tile} <IMG_CONTEXT> tokens"
        )


def _digests(request: Request) -> tuple[bytes, ...]:
    """SHA-256 of each tile's pixels."""
    if request.pixel_values is None:
        return ()
    tiles = request.pixel_values.contiguous().cpu()
    return tuple(hashlib.sha256(memoryview(tile.numpy()).cast("B")).digest() for tile in tiles)
