"""A sample as the model will see it: its tiles, and its text token by token with the trained part marked.

In: an example, the processor, settings. Out: a `SampleView`, and that as text for a terminal. What is shown is made
from the very ids, labels and pixels that training gets, not from the record. `check_page.py` writes it as a page.
"""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

import numpy as np
import torch
from PIL import Image

from ivl.data.example import Example
from ivl.data.fitting import prepare
from ivl.data.settings import DataSettings
from ivl.processing.detokenizer import IncrementalDecoder
from ivl.processing.processor import UNTRAINED, Processor
from ivl.processing.segments import IMAGE_END, IMAGE_START
from ivl.processing.sizes import PictureSize
from ivl.processing.tiling import IMAGENET_MEAN, IMAGENET_STD, choose_grid

Kind = Literal["text", "trained", "image"]

MAX_SHOWN = 4000
"""Characters of a piece of text that are shown; of a longer one its two ends."""
_TILE_SIDE = 96
"""Pixels of a tile's side as it is shown."""
# Control characters but tab and newline, and those that turn the direction of what follows.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_GREEN, _DIM, _OFF = "\x1b[32m", "\x1b[2m", "\x1b[0m"


@dataclass(frozen=True, kw_only=True)
class Span:
    """A piece of the text: what is read, what is trained, or the place of an image."""

    text: str
    kind: Kind


@dataclass(frozen=True, kw_only=True)
class TileSheet:
    """The tiles of one picture, small."""

    caption: str
    columns: int
    tiles: tuple[bytes, ...]
    """JPEG files in reading order, the thumbnail last."""


@dataclass(frozen=True, kw_only=True)
class SampleView:
    """One sample."""

    title: str
    spans: tuple[Span, ...]
    sheets: tuple[TileSheet, ...]


def view(example: Example, processor: Processor, settings: DataSettings) -> SampleView:
    """What training makes of an example that can be used. Raises what `prepare` and the processor raise."""
    fitted = prepare(example, processor, settings)
    inputs = processor(fitted.messages, max_length=settings.max_length)
    assert inputs.labels is not None, "a sample ends with an answer"
    size = fitted.size
    assert (len(inputs.input_ids), sum(inputs.tile_counts)) == (size.num_tokens, size.num_tiles), "measured otherwise"
    name = f" (id {example.id})" if example.id else ""
    fewer = f", {fitted.max_tiles} tiles an image instead of {fitted.wanted_tiles}" if fitted.loses_tiles else ""
    return SampleView(
        title=visible(f"{example.where}{name}: {size.num_tokens:,} tokens, {size.num_trained:,} trained{fewer}"),
        spans=_spans(inputs.input_ids.tolist(), (inputs.labels != UNTRAINED).tolist(), inputs.tile_counts, processor),
        sheets=_sheets(inputs.pixel_values, size.pictures, processor),
    )


def to_text(sample: SampleView, *, colour: bool) -> str:
    """A sample for a terminal: the trained part in green, or between [[ and ]] where there are no colours."""
    lines = [sample.title, *(f"  {sheet.caption}" for sheet in sample.sheets)]
    return "\n".join([*lines, "".join(_marked(span, colour) for span in sample.spans)])


def visible(text: str) -> str:
    """A text without characters that steer a terminal or turn its direction."""
    return _STEERING.sub("\ufffd", text)


def shortened(text: str) -> str:
    """A text, or the two ends of a long one and how much is between them."""
    if len(text) <= MAX_SHOWN:
        return text
    half = MAX_SHOWN // 2
    return f"{text[:half]} [... {len(text) - 2 * half:,} characters are not shown ...] {text[-half:]}"


def _marked(span: Span, colour: bool) -> str:
    if span.kind == "text":
        return span.text
    if colour:
        return f"{_GREEN if span.kind == 'trained' else _DIM}{span.text}{_OFF}"
    return f"[[{span.text}]]" if span.kind == "trained" else span.text


def _spans(
    ids: Sequence[int], trained: Sequence[bool], tile_counts: Sequence[int], processor: Processor
) -> tuple[Span, ...]:
    """The text of the ids in pieces, each image one piece."""
    marks = {processor.image_token_id, *(processor.tokenizer.token_id(each) for each in (IMAGE_START, IMAGE_END))}
    start = processor.tokenizer.token_id(IMAGE_START)
    decoder = IncrementalDecoder(processor.tokenizer, skip_special_tokens=False)
    images = iter(tile_counts)
    pieces: list[Span] = []
    for token_id, is_trained in zip(ids, trained, strict=True):
        text = decoder.push(token_id)
        if token_id not in marks:
            pieces.append(Span(text=text, kind="trained" if is_trained else "text"))
        elif token_id == start:
            count = next(images)
            num_tokens = count * processor.config.tokens_per_tile
            pieces.append(Span(text=f"<image: {_tiles(count)}, {num_tokens:,} tokens>", kind="image"))
    pieces.append(Span(text=decoder.flush(), kind=pieces[-1].kind if pieces else "text"))
    return tuple(_joined(pieces))


def _joined(pieces: Iterable[Span]) -> Iterable[Span]:
    """Neighbours of one kind as one span, but each image by itself."""
    for kind, group in groupby(pieces, key=lambda span: span.kind):
        if kind == "image":
            yield from group
        else:
            text = "".join(span.text for span in group)
            if text:
                yield Span(text=shortened(visible(text)), kind=kind)


def _sheets(
    pixels: torch.Tensor | None, pictures: Sequence[PictureSize], processor: Processor
) -> tuple[TileSheet, ...]:
    sheets: list[TileSheet] = []
    done = 0
    for number, picture in enumerate(pictures, 1):
        assert pixels is not None, "pictures without pixels"
        tiles = tuple(_small(tile) for tile in pixels[done : done + picture.num_tiles])
        done += picture.num_tiles
        columns, rows = (1, 1) if picture.max_tiles == 1 else _grid(picture, processor)
        thumbnail = " and a thumbnail" if picture.num_tiles > columns * rows else ""
        tokens = picture.num_tiles * processor.config.tokens_per_tile
        size = f"{picture.width} x {picture.height} pixels, {columns} x {rows} tiles{thumbnail}, {tokens:,} tokens"
        sheets.append(TileSheet(caption=f"picture {number}: {size}", columns=columns, tiles=tiles))
    return tuple(sheets)


def _grid(picture: PictureSize, processor: Processor) -> tuple[int, int]:
    config = processor.config
    least = min(config.min_tiles, picture.max_tiles)
    return choose_grid(picture.width, picture.height, least, picture.max_tiles, config.image_size)


def _small(tile: torch.Tensor) -> bytes:
    """A normalised tile (3, S, S) as a small JPEG."""
    rgb = tile.permute(1, 2, 0).numpy() * np.array(IMAGENET_STD) + np.array(IMAGENET_MEAN)
    image = Image.fromarray(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8))
    file = io.BytesIO()
    image.resize((_TILE_SIDE, _TILE_SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=85)
    return file.getvalue()


def _tiles(count: int) -> str:
    return f"{count} tile{'' if count == 1 else 's'}"
