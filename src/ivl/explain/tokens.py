"""The prompt and its answer, token by token: what each one stands for, and who put it there.

In: a `Processor`, messages, what it made of them, and the ids of an answer. Out: `Piece`s, which cover every token
once and in order, and the answer's `Word`s. Knows no weights and no page.
"""

import codecs
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ivl.processing import Processor
from ivl.processing.messages import to_messages
from ivl.processing.placement import arrange, place_frames
from ivl.processing.segments import IMAGE, IMAGE_TOKEN, Segment, fill_images
from ivl.processing.template import Template, Turn
from ivl.processing.video import check_video_part
from ivl.types import Message, ModelInputs, VideoPart

Kind = Literal["template", "text", "image", "answer"]
KINDS: tuple[Kind, ...] = ("template", "text", "image", "answer")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Neighbouring tokens that are read as one: most often one token; those of a character or of a tile's pixels."""

    text: str
    kind: Kind
    """template: the model's own form; text: a person's words; image: pixels; answer: what the model said."""
    token_ids: tuple[int, ...]
    start: int
    """Position of the first in prompt and answer together."""
    tile: int | None = None
    """For image tokens: which tile of all the prompt's pictures, from 0."""

    @property
    def stop(self) -> int:
        """One past the position of the last token."""
        return self.start + len(self.token_ids)


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word of the new answer, as a person would point at it; a Chinese token stands for itself."""

    text: str
    start: int
    """Of the answer's tokens, the first of this word."""
    stop: int


@dataclass(frozen=True, slots=True)
class _Typed(Segment):
    """A text that a person typed. The template copies its segments, and a copy keeps its class."""


@dataclass(frozen=True, slots=True)
class _Said(Segment):
    """A text of an earlier answer."""


def tell_tokens(
    processor: Processor, messages: Sequence[Message], inputs: ModelInputs, answer_ids: Sequence[int] = ()
) -> tuple[Piece, ...]:
    """The pieces of a prompt, as `processor(messages, as_prompt=True)` made `inputs` of it, and of its answer."""
    counts = [count * processor.config.tokens_per_tile for count in inputs.tile_counts]
    segments = fill_images(_segments(processor.template, messages), counts)
    ids = [int(token_id) for token_id in inputs.input_ids]
    kinds = _kinds(processor, segments, ids) + ["answer"] * len(answer_ids)
    return tuple(_pieces(processor, [*ids, *answer_ids], kinds))


def count_kinds(pieces: Sequence[Piece]) -> dict[Kind, int]:
    """Tokens of each kind, all kinds named."""
    counted: Counter[Kind] = Counter()
    for piece in pieces:
        counted[piece.kind] += len(piece.token_ids)
    return {kind: counted[kind] for kind in KINDS}


def answer_words(pieces: Sequence[Piece], prompt_len: int) -> tuple[Word, ...]:
    """The words of the tokens from `prompt_len` on; white space and control tokens alone are none."""
    words: list[Word] = []
    for piece in pieces:
        if piece.start < prompt_len or not piece.text.strip() or _is_control(piece.text):
            continue
        start, stop, last = piece.start - prompt_len, piece.stop - prompt_len, words[-1] if words else None
        if last is not None and last.stop == start and _goes_on(last.text, piece.text):
            words[-1] = Word(text=last.text + piece.text.rstrip(), start=last.start, stop=stop)
        else:
            words.append(Word(text=piece.text.strip(), start=start, stop=stop))
    return tuple(words)


def _segments(template: Template, messages: Sequence[Message]) -> list[Segment]:
    """The prompt's segments, those of people and of earlier answers in classes of their own."""
    turns = []
    for position, message in enumerate(to_messages(messages)):
        kind = _Said if message.role == "assistant" else _Typed
        segments: list[Segment] = []
        for part in arrange(message, position):
            if not isinstance(part, str):
                segments += place_frames(check_video_part(part)) if isinstance(part, VideoPart) else [IMAGE]
            elif part == "\n" and segments[-1:] == [IMAGE]:  # put there behind a picture that has a line of its own
                segments.append(Segment(part))
            else:
                segments.append(kind(part))
        turns.append(Turn(role=message.role, segments=tuple(segments)))
    return template.begun(turns) if turns[-1].role == "assistant" else template.prompt(turns)


def _kinds(processor: Processor, segments: Sequence[Segment], ids: Sequence[int]) -> list[Kind]:
    """Who put each token of the prompt there."""
    tokenizer, kinds, run = processor.tokenizer, list[Kind](), list[Segment]()
    for segment in segments:
        if segment.kind == "text":
            run.append(segment)
            continue
        start, token_id = len(kinds), tokenizer.token_id(segment.text)
        stop = ids.index(token_id, start)
        kinds += _run_kinds(run, [tokenizer.token_bytes(each) for each in ids[start:stop]])
        kinds += ["image" if segment.text == IMAGE_TOKEN else "template"] * segment.count
        run = []
    rest = [tokenizer.token_bytes(each) for each in ids[len(kinds) :]]
    return kinds + _run_kinds(run, rest)


def _run_kinds(run: Sequence[Segment], tokens: Sequence[bytes]) -> list[Kind]:
    """The kinds of the tokens of the text between two control tokens, each by the segment its first byte is of.

    What the tokenizer put there by itself, before the first text, is the template's.
    """
    ends = list(accumulate(len(segment.text.encode()) for segment in run))
    # Some tokenizers put a space of their own before a text.
    surplus = sum(map(len, tokens)) - (ends[-1] if ends else 0)
    kinds: list[Kind] = []
    at = -max(0, surplus)
    for token in tokens:
        here = next((idx for idx, end in enumerate(ends) if at < end), len(run) - 1)
        segment = run[here] if run else None
        kinds.append("text" if isinstance(segment, _Typed) else "answer" if isinstance(segment, _Said) else "template")
        at += len(token)
    return kinds


def _pieces(processor: Processor, ids: Sequence[int], kinds: Sequence[Kind]) -> Iterator[Piece]:
    tokenizer, size = processor.tokenizer, processor.config.tokens_per_tile
    at = num_image = 0
    while at < len(ids):
        if kinds[at] == "image":
            yield Piece(text=IMAGE_TOKEN, kind="image", token_ids=(ids[at],) * size, start=at, tile=num_image // size)
            at, num_image = at + size, num_image + size
            continue
        # Bytes of one character may be spread over several tokens: they are one piece.
        utf8, text, stop = codecs.getincrementaldecoder("utf-8")(errors="replace"), "", at
        while stop < len(ids) and kinds[stop] == kinds[at]:
            text += utf8.decode(tokenizer.token_bytes(ids[stop]))
            stop += 1
            if not utf8.getstate()[0]:
                break
        yield Piece(text=text + utf8.decode(b"", final=True), kind=kinds[at], token_ids=tuple(ids[at:stop]), start=at)
        at = stop


def _is_control(text: str) -> bool:
    return text.startswith("<") and text.endswith(">")


def _goes_on(word: str, text: str) -> bool:
    """Whether a token's text is more of the same word: letters and digits that are written without spaces between."""
    return word[-1].isalnum() and text[0].isalnum() and word.isascii() and text.isascii()
