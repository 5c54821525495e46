"""How many tiles the images of a sample may take so that it fits, decided in one place.

In: an example, the processor and the run's settings. Out: its messages with every image's limit set, and what they
cost; a DataError where it cannot be used. Text is never cut. Reads pictures' headers, decodes nothing. Measuring,
checking and loading all ask here.
"""

from bisect import bisect_right
from dataclasses import dataclass, replace

from ivl.data.example import Example
from ivl.data.faults import rule_of
from ivl.data.settings import DataSettings
from ivl.errors import DataError, InputError, SettingsError
from ivl.processing.processor import Processor
from ivl.processing.sizes import SampleSize
from ivl.processing.tiling import MOST_TILES
from ivl.types import ImagePart, Message, TextPart


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A sample that fits."""

    messages: tuple[Message, ...]
    """With `max_tiles` of every image set."""
    max_tiles: int
    """Tiles that each image may take, thumbnails extra: what `with_tiles` takes to make the same sample again."""
    wanted_tiles: int
    """What each image might take if there were room; more than max_tiles where the sample was too long."""
    size: SampleSize

    @property
    def loses_tiles(self) -> bool:
        """Whether its images have fewer tiles than they would have with room."""
        return self.max_tiles < self.wanted_tiles


def prepare(example: Example, processor: Processor, settings: DataSettings) -> Fitted:
    """The sample that is trained on, at most `settings.max_length` tokens long.

    An image may take the example's max_tiles, else `max_dynamic_patch`, else the processor's number; several images
    of one sample share it (at least 1 each, as in the official trainer). Where the sample is too long all images are
    given fewer, as many as fit.
    Raises DataError with a rule: too long with one tile an image, nothing to train, pictures or turns that the
    processor refuses; SettingsError for a number of tiles that is not allowed.
    """
    wanted = wanted_tiles(example, processor, settings)
    sample = with_tiles(example, wanted)
    _check_answer(sample)
    try:
        size = processor.measure(sample.messages)
    except (DataError, SettingsError) as error:
        raise DataError(f"{example.where}: {error}", rule="record") from error
    except InputError as error:
        raise DataError(f"{example.where}: {error}", rule=rule_of(error, str(error))) from error
    if size.num_trained == 0:
        raise DataError(
            f"{example.where}: none of its {size.num_tokens} tokens would be trained: the template "
            f"{processor.template.name} trains answers to questions, and none of a sample with an empty turn",
            rule="nothing to train",
        )
    if size.num_tokens <= settings.max_length:
        return Fitted(messages=sample.messages, max_tiles=wanted, wanted_tiles=wanted, size=size)
    fewer = _most_that_fit(size, wanted, processor, settings.max_length)
    if fewer == 0:
        raise _too_long(example, size, processor, settings.max_length)
    sample = with_tiles(example, fewer)
    return Fitted(messages=sample.messages, max_tiles=fewer, wanted_tiles=wanted, size=resized(size, fewer, processor))


def wanted_tiles(example: Example, processor: Processor, settings: DataSettings) -> int:
    """Tiles that each of its images may take if there is room. Raises SettingsError."""
    most = example.max_tiles or settings.max_dynamic_patch or processor.max_tiles
    if most > MOST_TILES:
        raise SettingsError(f"max_dynamic_patch={most} is not allowed: a whole number from 1 to {MOST_TILES}")
    parts = (part for message in example.messages for part in message.parts)
    num_images = sum(isinstance(part, ImagePart) for part in parts)
    return max(1, most // max(1, num_images))


def with_tiles(example: Example, max_tiles: int) -> Example:
    """The example with each image bound to at most max_tiles tiles; an image's own smaller number stays."""
    messages = tuple(
        replace(
            message,
            parts=tuple(_bound(part, max_tiles) if isinstance(part, ImagePart) else part for part in message.parts),
        )
        for message in example.messages
    )
    return replace(example, messages=messages)


def resized(size: SampleSize, max_tiles: int, processor: Processor) -> SampleSize:
    """What a sample costs whose images take at most max_tiles tiles each; nothing is read again."""
    pictures = []
    for picture in size.pictures:
        most = min(picture.max_tiles, max_tiles)
        # Frames of a video have one tile, and stay as they are.
        num_tiles = (
            picture.num_tiles
            if most == picture.max_tiles
            else processor.count_tiles(picture.width, picture.height, most)
        )
        pictures.append(replace(picture, max_tiles=most, num_tiles=num_tiles))
    total = sum(picture.num_tiles for picture in pictures)
    num_tokens = size.num_tokens + (total - size.num_tiles) * processor.config.tokens_per_tile
    return replace(size, num_tokens=num_tokens, num_tiles=total, pictures=tuple(pictures))


def _bound(part: ImagePart, max_tiles: int) -> ImagePart:
    return replace(part, max_tiles=min(part.max_tiles or max_tiles, max_tiles))


def _most_that_fit(size: SampleSize, wanted: int, processor: Processor, max_length: int) -> int:
    """The largest number of tiles an image below `wanted` with which the sample fits; 0 if there is none."""
    # More tiles are never fewer tokens, so halving finds the last number that fits.
    numbers = range(1, wanted)
    return bisect_right(numbers, max_length, key=lambda tiles: resized(size, tiles, processor).num_tokens)


def _too_long(example: Example, size: SampleSize, processor: Processor, max_length: int) -> DataError:
    least = resized(size, 1, processor).num_tokens
    tiles = " even with one tile an image" if size.pictures else ""
    return DataError(
        f"{example.where}: the record has {least} tokens{tiles}; max_length is {max_length}: "
        "split or shorten it, or raise max_length",
        rule="too long",
    )


def _check_answer(example: Example) -> None:
    """Raise DataError where there is no answer, or nothing in it."""
    last = example.messages[-1] if example.messages else None
    if last is None or last.role != "assistant":
        raise DataError(
            f"{example.where}: the last message is not an answer: a sample ends with what the model is to say",
            rule="turns",
        )
    if not any(part.text.strip() for part in last.parts if isinstance(part, TextPart)):
        raise DataError(f"{example.where}: the last answer is empty: there is nothing to learn", rule="empty answer")
