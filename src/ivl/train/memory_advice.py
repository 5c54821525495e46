"""What to do where a run does not fit into memory: the same run with one thing changed, each with its figure.

In: a run that does not fit. Out: changes in the order in which to try them. Changes nothing by itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ivl.model.config import InternVLConfig
from ivl.train.config import TrainConfig
from ivl.train.memory_book import Load, fit


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One change, and the memory with it."""

    change: str
    total: int
    fits: bool


def find_advice(config: InternVLConfig, train: TrainConfig, load: Load, available: int) -> list[Advice]:
    """Changes in the order in which to try them, each kind up to the first that fits.

    All but the first are figured with as many layers checkpointed as they need.
    """
    advice, eased = [], replace(train, activation_checkpointing="auto")
    for kind in (_checkpoint_all, _smaller_batches, _four_bits, _fewer_tiles, _more_ranks):
        last = None
        for change, changed, lighter in kind(config, train if kind is _checkpoint_all else eased, load):
            found = fit(config, changed, lighter, available)
            last = Advice(change=change, total=found.total, fits=found.fits)
            if found.fits:
                break
        if last is not None:
            advice.append(last)
    return advice


_Change = tuple[str, TrainConfig, Load]


def _checkpoint_all(config: InternVLConfig, train: TrainConfig, load: Load) -> Iterator[_Change]:
    if train.activation_checkpointing not in ("auto", "all"):
        yield "activation_checkpointing: all", replace(train, activation_checkpointing="all"), load


def _smaller_batches(config: InternVLConfig, train: TrainConfig, load: Load) -> Iterator[_Change]:
    if train.packing:
        length = load.num_tokens // 2
        while length >= max(1024, config.tokens_per_tile):
            lighter = replace(load, num_tokens=length, num_tiles=load.num_tiles * length // load.num_tokens)
            words = f"pack_length and max_length: {length}"
            yield words, replace(train, pack_length=length, max_length=min(length, train.max_length)), lighter
            length //= 2
        return
    size = train.batch_size // 2
    while size >= 1:
        lighter = replace(
            load,
            num_tokens=-(-load.num_tokens * size // train.batch_size),
            num_tiles=-(-load.num_tiles * size // train.batch_size),
        )
        more = train.accumulative_counts * train.batch_size // size
        words = f"batch_size: {size} with accumulative_counts: {more}"
        yield words, replace(train, batch_size=size, accumulative_counts=more), lighter
        size //= 2


def _four_bits(config: InternVLConfig, train: TrainConfig, load: Load) -> Iterator[_Change]:
    if train.language_model != "full" and train.quantization is None:
        yield "quantization: nf4", replace(train, quantization="nf4"), load


def _fewer_tiles(config: InternVLConfig, train: TrainConfig, load: Load) -> Iterator[_Change]:
    """Half as many tiles an image, again and again: what is no image token stays."""
    most = train.max_dynamic_patch or config.max_tiles
    text = max(0, load.num_tokens - load.num_tiles * config.tokens_per_tile)
    tiles, limit = load.num_tiles, most // 2
    while limit >= 1 and tiles > 1:
        # An image of more than one tile has its thumbnail too.
        tiles = max(1, load.num_tiles * (limit + (limit > 1)) // (most + (most > 1)))
        lighter = replace(load, num_tokens=text + tiles * config.tokens_per_tile, num_tiles=tiles)
        yield f"max_dynamic_patch: {limit}", replace(train, max_dynamic_patch=limit), lighter
        limit //= 2


def _more_ranks(config: InternVLConfig, train: TrainConfig, load: Load) -> Iterator[_Change]:
    if load.device != "cuda" or train.quantization is not None:
        return
    for ranks in (2, 4, 8):
        if ranks > load.world_size or (ranks == load.world_size and train.strategy == "ddp"):
            words = f"strategy: fsdp2 on {ranks} GPUs"
            yield words, replace(train, strategy="fsdp2"), replace(load, world_size=ranks)
