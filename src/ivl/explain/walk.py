"""The walk through the model for one prompt and its answer: all that `sections.py` draws, but for what needs weights.

In: a processor, messages and the ids of an answer. Out: a `Walk`. `attention.py` and `timing.py` measure the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ivl.errors import SettingsError
from ivl.explain.heatmap import Floats, lay_over_picture
from ivl.explain.picture_walk import PictureWalk, walk_picture
from ivl.explain.tokens import Kind, Piece, Word, answer_words, tell_tokens
from ivl.model.config import InternVLConfig
from ivl.processing import Processor
from ivl.processing.images import load_image
from ivl.processing.messages import to_messages
from ivl.processing.placement import arrange
from ivl.processing.video import load_video
from ivl.types import ImagePart, Message, ModelInputs, VideoPart


@dataclass(frozen=True, kw_only=True, eq=False)
class Walk:
    """A prompt and its answer, taken apart."""

    config: InternVLConfig
    messages: tuple[Message, ...]
    """The prompt's, every picture read."""
    inputs: ModelInputs
    pictures: tuple[PictureWalk, ...]
    """In the order of the text; a video's frames are pictures."""
    pieces: tuple[Piece, ...]
    answer_ids: tuple[int, ...]
    words: tuple[Word, ...]
    """Of the answer, to point at."""

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.inputs.input_ids)


def take_walk(processor: Processor, messages: Sequence[Message], answer_ids: Sequence[int] = ()) -> Walk:
    """The walk of a prompt that was answered with `answer_ids`.

    messages: as `Pipeline.loaded` gives them, without the answer. Raises PromptError, ImageError, SettingsError.
    """
    check_places(processor.config)
    inputs = processor(list(messages), as_prompt=True)
    pieces = tell_tokens(processor, messages, inputs, answer_ids)
    pictures: list[PictureWalk] = []
    for image, max_tiles in _pictures(processor, messages):
        first = sum(inputs.tile_counts[: len(pictures)])
        pictures.append(walk_picture(image, processor.config, max_tiles, first))
    counted = tuple(picture.cost.num_tiles for picture in pictures)
    assert counted == inputs.tile_counts, f"pictures of {counted} tiles were found, {inputs.tile_counts} were prepared"
    return Walk(
        config=processor.config,
        messages=tuple(messages),
        inputs=inputs,
        pictures=tuple(pictures),
        pieces=pieces,
        answer_ids=tuple(answer_ids),
        words=answer_words(pieces, len(inputs.input_ids)),
    )


def check_places(config: InternVLConfig) -> None:
    """Raise SettingsError for a model, such as one with a Q-Former, whose image tokens are no places of a tile."""
    patches = config.image_size // config.vision.patch_size
    if config.tokens_per_tile * config.shuffle_factor**2 != patches**2:
        raise SettingsError(
            f"this model makes {config.tokens_per_tile} tokens of a tile's {patches**2:,} patches, and none of them is "
            "a place of the picture: only models with an MLP or a linear connector can be explained"
        )


def seen_on_picture(walk: Walk, shares: Floats, picture: int) -> Floats:
    """A word's shares (T,) of attention, as a map over one of the pictures; see `heatmap.lay_over_picture`."""
    size = walk.config.tokens_per_tile
    shown = walk.pictures[picture]
    tiles = range(shown.first_tile, shown.first_tile + shown.cost.num_tiles)
    places = [p for p in walk.pieces if p.kind == "image" and p.tile in tiles]
    own = np.concatenate([shares[piece.start : piece.stop] for piece in places])
    assert len(own) == len(tiles) * size, f"{len(own)} image tokens of {len(tiles)} tiles"
    return lay_over_picture(own, shown.cut)


def share_by_kind(walk: Walk, shares: Floats) -> dict[Kind, float]:
    """How a word's shares (T,) of attention fall to tokens of each kind."""
    totals: dict[Kind, float] = {"template": 0.0, "text": 0.0, "image": 0.0, "answer": 0.0}
    for piece in walk.pieces:
        totals[piece.kind] += float(shares[piece.start : piece.stop].sum())
    return totals


def _pictures(processor: Processor, messages: Sequence[Message]) -> list[tuple[Image.Image, int]]:
    """Each picture and the tiles it may take, in the order of the text."""
    found: list[tuple[Image.Image, int]] = []
    for position, message in enumerate(to_messages(list(messages))):
        for part in arrange(message, position):
            if isinstance(part, ImagePart):
                image = load_image(part.source, as_viewed=processor.as_viewed)
                found.append((image, part.max_tiles or processor.max_tiles))
            elif isinstance(part, VideoPart):
                found += [(frame, 1) for frame in load_video(part, as_viewed=processor.as_viewed)]
    return found
