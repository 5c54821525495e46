"""Messages to what the model reads; the very same code for training and for serving.

In: messages, and a model folder's configuration and tokenizer. Out: token ids, tiles, and labels where the
last message is an answer. Everything that differs between models comes from the folder. Knows no weights and
no engine.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import PIL.Image
import torch

from ivl.errors import ConfigError, ContextLengthError, SettingsError, TokenizerError
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config
from ivl.processing.images import content_digest, load_image, picture_size
from ivl.processing.messages import show, to_messages
from ivl.processing.placement import arrange, place_frames
from ivl.processing.segments import IMAGE, IMAGE_END, IMAGE_START, IMAGE_TOKEN, Segment, fill_images, text_of
from ivl.processing.sizes import PictureSize, SampleSize
from ivl.processing.template import Turn, get_template
from ivl.processing.tiling import MOST_TILES, choose_grid, split_tiles, tiles_to_bytes, tiles_to_tensor
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.processing.tokenizer_settings import read_object
from ivl.processing.video import check_video_part, load_video
from ivl.types import ImagePart, Message, ModelInputs, VideoPart

UNTRAINED = -100
"""Label of a token that is not trained."""

_Size = TypeVar("_Size", bound="PictureSize")


@dataclass(frozen=True, kw_only=True)
class _Picture(PictureSize):
    """An opened picture."""

    image: PIL.Image.Image

    def digest(self, config: InternVLConfig) -> str:
        """Equal only for pictures that become equal tiles."""
        return content_digest(
            self.image,
            min_tiles=min(config.min_tiles, self.max_tiles),
            max_tiles=self.max_tiles,
            tile_size=config.image_size,
            thumbnail=config.use_thumbnail,
        )


class Processor:
    """Prepares prompts and training samples for one model.

    config, tokenizer: of the model's folder. eos_token_ids: the end tokens of its generation_config.json.
    as_viewed: read pictures as a viewer shows them; False: as the official code, without EXIF or alpha.
    max_tiles: tiles that an image may take; None: the model's own number (`max_dynamic_patch`). Each image
    may take as many, however many images there are, as in the official chat example.
    Raises TokenizerError where the tokenizer does not belong to the model.
    """

    def __init__(
        self,
        config: InternVLConfig,
        tokenizer: Tokenizer,
        eos_token_ids: Iterable[int] = (),
        as_viewed: bool = True,
        max_tiles: int | None = None,
    ) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.template = get_template(config.template)
        self.as_viewed = as_viewed
        self.max_tiles = _tile_limit(max_tiles, config.max_tiles)
        if tokenizer.vocab_size > config.text.vocab_size:
            raise TokenizerError(
                f"the tokenizer has ids up to {tokenizer.vocab_size - 1}, but the model's vocab_size is "
                f"{config.text.vocab_size}: the folder's tokenizer files belong to another model"
            )
        for token in (*self.template.control_tokens, IMAGE_START, IMAGE_END):
            tokenizer.token_id(token)
        self.image_token_id = tokenizer.token_id(IMAGE_TOKEN)
        self.stop_token_ids = frozenset({tokenizer.token_id(self.template.end)})
        """The template's end token: what the official chat() stops on."""
        self.serving_stop_token_ids = self.stop_token_ids | frozenset(eos_token_ids)
        """With the end tokens of the folder's generation_config.json."""

    def __call__(
        self,
        messages: Any,
        *,
        max_tiles: int | None = None,
        max_length: int | None = None,
        as_prompt: bool = False,
        as_bytes: bool = False,
    ) -> ModelInputs:
        """What the model reads: input_ids (T,) int64, pixel_values (N, 3, S, S) float32 or None.

        messages: any form that `to_messages` takes. Where the last one is an answer this is a training
        sample: labels (T,) are its answers and their end tokens, and nothing is added. Otherwise labels are
        None and the prompt ends with the opening of an answer.
        max_tiles: tiles an image may take in this call; an ImagePart's own number goes before it.
        max_length: tokens at most; checked before the tiles are made.
        as_prompt: an answer at the end is one that is begun, not a sample's: the prompt ends with it, as it was
        typed, and the model goes on from there.
        as_bytes: pixel_values are uint8, a quarter of the size: `tiling.normalise` makes the float32 of them, on
        the device where they are needed.
        Raises PromptError, ImageError, ContextLengthError, SettingsError.
        """
        checked = to_messages(messages)
        turns, pictures = self._open(checked, max_tiles, max_length, self._pictures)
        encoded = self.tokenizer.encode_segments(self._segments(turns, pictures, as_prompt=as_prompt))
        _check_length(len(encoded.ids), max_length)
        input_ids = torch.tensor(encoded.ids, dtype=torch.int64)
        labels = None
        digests: tuple[str, ...] = ()
        if turns[-1].role == "assistant" and not as_prompt:
            labels = input_ids.where(torch.tensor(encoded.trained, dtype=torch.bool), UNTRAINED)
        else:  # only an engine asks whether it saw a picture before
            digests = tuple(picture.digest(self.config) for picture in pictures)
        return ModelInputs(
            input_ids=input_ids,
            pixel_values=self._pixels(pictures, as_bytes),
            tile_counts=tuple(picture.num_tiles for picture in pictures),
            image_digests=digests,
            labels=labels,
        )

    def render(
        self,
        messages: Any,
        add_generation_prompt: bool = True,
        *,
        max_tiles: int | None = None,
        as_prompt: bool = False,
    ) -> str:
        """The prompt as one string, each image as `<img>`, its image tokens and `</img>`.

        Where the last message is an answer, this is the text of a training sample, and nothing is added to
        it; or, `as_prompt`, that of a prompt which ends with a begun answer. What people typed is in it as they
        typed it; only `input_ids` tell it from control tokens. Errors as calling.
        """
        turns, pictures = self._open(to_messages(messages), max_tiles, None, self._pictures)
        return text_of(self._segments(turns, pictures, add_generation_prompt, as_prompt=as_prompt))

    def measure(self, messages: Any, *, max_tiles: int | None = None) -> SampleSize:
        """What calling would give, in numbers: pictures' headers are read, and no pixels are made.

        A picture whose header is sound and whose pixels are damaged is not noticed. Otherwise errors as calling.
        """
        turns, pictures = self._open(to_messages(messages), max_tiles, None, self._sizes)
        encoded = self.tokenizer.encode_segments(self._segments(turns, pictures))
        return SampleSize(
            num_tokens=len(encoded.ids),
            num_tiles=sum(picture.num_tiles for picture in pictures),
            num_trained=sum(encoded.trained) if turns[-1].role == "assistant" else 0,
            pictures=tuple(pictures),
        )

    def count_tiles(self, width: int, height: int, max_tiles: int) -> int:
        """Tiles of a picture of this size, thumbnail included, where it may take max_tiles without the thumbnail.

        More are never fewer: a larger max_tiles gives as many tiles or more.
        """
        config = self.config
        if not config.dynamic_image_size:
            return 1
        least = min(config.min_tiles, max_tiles)
        columns, rows = choose_grid(width, height, least, max_tiles, config.image_size)
        return columns * rows + (config.use_thumbnail and columns * rows > 1)

    def _segments(
        self,
        turns: Sequence[Turn],
        pictures: Sequence[PictureSize],
        add_generation_prompt: bool = True,
        as_prompt: bool = False,
    ) -> list[Segment]:
        if turns[-1].role != "assistant":
            segments = self.template.prompt(turns, add_generation_prompt)
        else:
            segments = self.template.begun(turns) if as_prompt else self.template.sample(turns)
        return fill_images(segments, [picture.num_tiles * self.config.tokens_per_tile for picture in pictures])

    def _open(
        self,
        messages: Sequence[Message],
        max_tiles: int | None,
        max_length: int | None,
        read: Callable[[ImagePart | VideoPart, int], Sequence[_Size]],
    ) -> tuple[list[Turn], list[_Size]]:
        """The turns, and what `read` gives for the pictures in the order of the text."""
        limit = _tile_limit(max_tiles, self.max_tiles)
        # All places are counted before the first picture is opened.
        arranged = [arrange(message, position) for position, message in enumerate(messages)]
        turns: list[Turn] = []
        pictures: list[_Size] = []
        for message, pieces in zip(messages, arranged, strict=True):
            segments: list[Segment] = []
            for piece in pieces:
                if isinstance(piece, str):
                    segments.append(Segment(piece))
                    continue
                new = read(piece, limit)
                segments += place_frames(len(new)) if isinstance(piece, VideoPart) else [IMAGE]
                pictures += new
                num_tokens = self.config.tokens_per_tile * sum(picture.num_tiles for picture in pictures)
                _check_length(num_tokens, max_length)
            turns.append(Turn(role=message.role, segments=tuple(segments)))
        return turns, pictures

    def _pictures(self, part: ImagePart | VideoPart, limit: int) -> list[_Picture]:
        if isinstance(part, VideoPart):
            return [
                _Picture(image=each, width=each.width, height=each.height, max_tiles=1, num_tiles=1)
                for each in load_video(part, as_viewed=self.as_viewed)
            ]
        image = load_image(part.source, as_viewed=self.as_viewed)
        size = self._size(part, image.width, image.height, limit)
        return [_Picture(image=image, **vars(size))]

    def _sizes(self, part: ImagePart | VideoPart, limit: int) -> list[PictureSize]:
        if isinstance(part, VideoPart):
            side = self.config.image_size
            return [PictureSize(width=side, height=side, max_tiles=1, num_tiles=1)] * check_video_part(part)
        return [self._size(part, *picture_size(part.source, self.as_viewed), limit)]

    def _size(self, part: ImagePart, width: int, height: int, limit: int) -> PictureSize:
        most = part.max_tiles or limit if self.config.dynamic_image_size else 1
        num_tiles = self.count_tiles(width, height, most)
        return PictureSize(width=width, height=height, max_tiles=most, num_tiles=num_tiles)

    def _pixels(self, pictures: Sequence[_Picture], as_bytes: bool) -> torch.Tensor | None:
        """(N, 3, S, S) float32 or uint8: the tiles of all pictures."""
        if not pictures:
            return None
        config = self.config
        parts = []
        for picture in pictures:
            least = min(config.min_tiles, picture.max_tiles)
            tiles = split_tiles(picture.image, least, picture.max_tiles, config.image_size, config.use_thumbnail)
            assert len(tiles) == picture.num_tiles, f"{len(tiles)} tiles were made of {picture.num_tiles} counted"
            parts.append(tiles_to_bytes(tiles) if as_bytes else tiles_to_tensor(tiles))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def load_processor(
    folder: str | os.PathLike[str], *, as_viewed: bool = True, max_tiles: int | None = None
) -> Processor:
    """The processor of a model folder; the options are those of `Processor`.

    Reads config.json, the tokenizer's files and generation_config.json.
    Raises ConfigError and TokenizerError.
    """
    folder = Path(folder)
    config = load_config(folder)
    control = get_template(config.template).control_tokens
    tokenizer = load_tokenizer(folder, control)
    return Processor(config, tokenizer, _eos_token_ids(folder), as_viewed=as_viewed, max_tiles=max_tiles)


def _eos_token_ids(folder: Path) -> tuple[int, ...]:
    """The eos_token_id of generation_config.json, which is a number, a list of them or missing."""
    try:
        value = read_object(folder / "generation_config.json").get("eos_token_id")
    except TokenizerError as error:
        raise ConfigError(str(error)) from error
    ids = [] if value is None else value if isinstance(value, list) else [value]
    for token_id in ids:
        if not isinstance(token_id, int) or isinstance(token_id, bool) or token_id < 0:
            raise ConfigError(f"generation_config.json: eos_token_id={show(token_id)} is no token id")
    return tuple(ids)


def _tile_limit(max_tiles: int | None, default: int) -> int:
    if max_tiles is None:
        return default
    if not isinstance(max_tiles, int) or isinstance(max_tiles, bool) or not 1 <= max_tiles <= MOST_TILES:
        raise SettingsError(f"max_tiles={show(max_tiles)} is not allowed: a whole number from 1 to {MOST_TILES}")
    return max_tiles


def _check_length(num_tokens: int, max_length: int | None) -> None:
    if max_length is not None and num_tokens > max_length:
        raise ContextLengthError(
            f"the prompt has {num_tokens} tokens or more, but at most {max_length} fit: "
            "shorten the text, send fewer images, lower max_tiles, or raise session_len"
        )
