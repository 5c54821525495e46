"""Text to token ids and back, exact to the official tokenizers, without a checkpoint's code.

In: texts, or the segments of a prompt. Out: ids, which of them are trained, and text again.
`tokenizer_files.py` makes a Tokenizer from a folder. Knows no template, no message and no image.

Two ways in, by whom the text comes from: `encode` reads every added token of its text, as the official
tokenizer does; `encode_segments` reads control tokens only where a segment says so, and in text only those
that are content (grounding marks such as `<ref>`, and tokens that the tokenizer itself does not call special,
such as `<think>`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from ivl.errors import PromptError, TokenizerError
from ivl.processing.added_tokens import AddedToken, AddedTokenSplitter, any_of
from ivl.processing.codec import Codec
from ivl.processing.detokenizer import IncrementalDecoder
from ivl.processing.segments import IMAGE_END, IMAGE_START, IMAGE_TOKEN, Segment

MAX_CHARACTERS = 4 * 2**20
"""Characters of one text; about a million tokens, and a few seconds of work."""

GROUNDING_TOKENS = frozenset({"<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>"})
"""What people write to ask about a place in the picture, and what answers hold."""

_IMAGE_TOKENS = frozenset({IMAGE_START, IMAGE_TOKEN, IMAGE_END})


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """Token ids of a prompt or a sample, T of them."""

    ids: list[int]
    trained: list[bool]
    """For each id, whether it is a label."""


class _Item(NamedTuple):
    """A text between added tokens, or an added token."""

    text: str
    token: AddedToken | None = None
    repeat: int = 1
    trained_from: int = 0
    """The first character that is trained; the length of the text where none is."""


class Tokenizer:
    """A model's tokenizer.

    prefix_ids: what the official tokenizer puts before every text (its begin-of-sequence token), or nothing.
    named_special: the tokens that the folder's settings name (as bos_token and so on).
    control: texts that are control tokens whatever the folder says of them.
    """

    def __init__(
        self,
        codec: Codec,
        added: Sequence[AddedToken],
        prefix_ids: tuple[int, ...] = (),
        named_special: Iterable[str] = (),
        control: Iterable[str] = (),
    ) -> None:
        self._codec = codec
        self._added = {token.text: token for token in added}
        self._by_id = {token.id: token for token in added}
        self._named_special = frozenset(named_special)
        self._control = frozenset(control) | _IMAGE_TOKENS
        self.prefix_ids = prefix_ids
        self._all = AddedTokenSplitter(added)
        self._content = AddedTokenSplitter(token for token in added if self._is_content(token))
        self._bytes: dict[int, bytes] = {}
        """Of the ids asked for so far."""

    @cached_property
    def vocab_size(self) -> int:
        """One more than the highest id."""
        return max([self._codec.size, *(token_id + 1 for token_id in self._by_id)])

    @property
    def bos_id(self) -> int | None:
        """The id that every prompt begins with; None where the tokenizer puts none there."""
        return self.prefix_ids[0] if self.prefix_ids else None

    @property
    def space_rule(self) -> str:
        """Where decoding drops a space; see `codec.SpaceRule`."""
        return self._codec.space_rule

    def added_token(self, token_id: int) -> AddedToken | None:
        """The added token of an id; None where it is an ordinary one."""
        return self._by_id.get(token_id)

    def token_id(self, text: str) -> int:
        """The id of a token such as "<|im_end|>"; raises TokenizerError where there is none."""
        token = self._added.get(text)
        token_id = self._codec.find(text) if token is None else token.id
        if token_id is None:
            raise TokenizerError(f"the tokenizer has no token {text!r}: its files do not belong to this model")
        return token_id

    def encode(self, text: str, add_bos: bool = False) -> list[int]:
        """Ids of a text as the official tokenizer gives them: added tokens in it are read as such.

        add_bos: with what the official tokenizer puts before a text, which for some is nothing.
        Raises PromptError for a text that is too long or no valid Unicode.
        """
        _check_text(text)
        items = [_item(piece) for piece in self._all.split(self._codec.prepare(text))]
        return [*(self.prefix_ids if add_bos else ()), *self._encode(items, is_content=False).ids]

    def encode_segments(self, segments: Iterable[Segment]) -> EncodedPrompt:
        """Ids of a prompt, the tokenizer's own begin included, and which of them are trained.

        The text between two control tokens is cut as one, as in the official code, which sees one string.
        Where an answer follows an opening such as "assistant\\n", as many ids as the opening alone has are
        not trained.
        Raises PromptError for a text that is too long or no valid Unicode.
        """
        encoded = self._encode(list(self._items(segments)), is_content=True)
        return EncodedPrompt(
            ids=[*self.prefix_ids, *encoded.ids], trained=[False] * len(self.prefix_ids) + encoded.trained
        )

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = False) -> str:
        """Text of ids: what `encode` was given, added tokens included; bytes that are no UTF-8 become U+FFFD.

        The official slow tokenizers also put spaces around added tokens and take some before punctuation
        away; here the text stays what it is.
        """
        decoder = IncrementalDecoder(self, skip_special_tokens=skip_special_tokens)
        return "".join([decoder.push(token_id) for token_id in ids]) + decoder.flush()

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes, perhaps part of a character, that an id stands for; none for an id without a token."""
        known = self._bytes.get(token_id)
        if known is None:
            token = self._by_id.get(token_id)
            known = self._codec.token_bytes(token_id) if token is None else token.text.encode()
            if 0 <= token_id < self.vocab_size:  # not for ever more of a stranger's ids
                self._bytes[token_id] = known
        return known

    def _items(self, segments: Iterable[Segment]) -> Iterator[_Item]:
        """Control tokens, and the texts between them cut at content tokens."""
        run: list[Segment] = []
        for segment in segments:
            assert segment.kind != "image", "an image's place was not filled"
            if segment.kind == "text":
                run.append(segment)
                continue
            yield from self._run(run)
            run = []
            token = self._added.get(segment.text) or AddedToken(id=self.token_id(segment.text), text=segment.text)
            start = 0 if segment.trained else len(segment.text)
            yield _Item(segment.text, token, segment.count, start)
        yield from self._run(run)

    def _run(self, run: Sequence[Segment]) -> Iterator[_Item]:
        text = "".join(segment.text for segment in run)
        _check_text(text)
        flags = [segment.trained for segment in run]
        assert flags == sorted(flags), "trained text comes last between two control tokens"
        trained_from = sum(len(segment.text) for segment in run if not segment.trained)
        done = 0
        for piece in self._content.split(self._codec.prepare(text)):
            token = piece if isinstance(piece, AddedToken) else None
            piece_text = piece.text if isinstance(piece, AddedToken) else piece
            yield _Item(piece_text, token, 1, min(max(0, trained_from - done), len(piece_text)))
            done += len(piece_text)

    def _encode(self, items: list[_Item], is_content: bool) -> EncodedPrompt:
        """Ids of the items; `is_content`: their texts must not give a control token."""
        ids: list[int] = []
        trained: list[bool] = []
        for index, item in enumerate(items):
            first = index == 0
            if item.token is not None:
                lead = self._codec.lead(item.token.text in self._named_special) if first else []
                ids += [*lead, *[item.token.id] * item.repeat]
                trained += [False] * len(lead) + [item.trained_from == 0] * item.repeat
                continue
            before = None if first else items[index - 1].token
            after = items[index + 1].token if index + 1 < len(items) else None
            text, trained_from = _stripped(item, before, after)
            new = self._encode_text(text, first, is_content)
            if trained_from == len(text):
                untrained = len(new)
            else:
                untrained = len(self._encode_text(text[:trained_from], first, is_content))
            ids += new
            trained += [False] * untrained + [True] * (len(new) - untrained)
        return EncodedPrompt(ids=ids, trained=trained)

    def _encode_text(self, text: str, first: bool, is_content: bool) -> list[int]:
        if not text:
            return []
        ids = self._codec.encode(text, first)
        if not is_content or self._forbidden.isdisjoint(ids):
            return ids
        # The vocabulary itself knows a control token's text (SentencePiece's user-defined pieces): break it.
        ids = []
        for part in self._broken(text):
            ids += self._codec.encode_rest(part) if ids else self._codec.encode(part, first)
        if not self._forbidden.isdisjoint(ids):
            raise TokenizerError("the tokenizer makes control tokens of ordinary text: its files are damaged")
        return ids

    def _broken(self, text: str) -> Iterator[str]:
        """The text cut after the first character of whatever the vocabulary reads as a control token."""
        done = 0
        while match := self._forbidden_texts.search(text, done):
            yield text[done : match.start() + 1]
            done = match.start() + 1
        yield text[done:]

    def _is_content(self, token: AddedToken) -> bool:
        """Whether people may write the token: a grounding mark, or none that the tokenizer calls special."""
        return token.text in GROUNDING_TOKENS or not (token.special or token.text in self._control)

    @cached_property
    def _forbidden(self) -> frozenset[int]:
        """Ids that ordinary text must not give."""
        added = {token.id for token in self._by_id.values() if not self._is_content(token)}
        # A vocabulary may know a control token that the folder does not list as an added one.
        own = {found for text in self._control if (found := self._codec.find(text)) is not None}
        return frozenset(added | own) - {self._codec.unknown_id}

    @cached_property
    def _forbidden_texts(self) -> re.Pattern[str]:
        pieces = {self._codec.piece(token_id) for token_id in self._forbidden} | set(self._added) | self._control
        return re.compile(any_of(text.replace("▁", " ") for text in pieces if text and len(text) > 1))


def _stripped(item: _Item, before: AddedToken | None, after: AddedToken | None) -> tuple[str, int]:
    """A text without the white space that its neighbours take along, and where it is trained from."""
    text, trained_from = item.text, item.trained_from
    if before is not None and before.rstrip:
        text = text.lstrip()
        trained_from = max(0, trained_from - (len(item.text) - len(text)))
    if after is not None and after.lstrip:
        text = text.rstrip()
    return text, min(trained_from, len(text))


def _item(piece: str | AddedToken) -> _Item:
    if isinstance(piece, AddedToken):
        return _Item(piece.text, piece, trained_from=len(piece.text))
    return _Item(piece, trained_from=len(piece))


def _check_text(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise PromptError(f"a text of {len(text)} characters is too long: at most {MAX_CHARACTERS} are read")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"the text holds half of a surrogate pair at character {error.start}: it is no valid Unicode"
        ) from None
