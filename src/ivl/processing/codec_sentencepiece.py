"""`tokenizer.model`: SentencePiece as the official slow tokenizers use it.

In: the bytes of the model file. Out: a Codec. Two ways of the official classes are kept apart:
InternLM2Tokenizer and the legacy LlamaTokenizer hand every piece of text to SentencePiece as it is; the newer
LlamaTokenizer (legacy: false) puts one "▁" before the whole text and nothing before later pieces.
Source: transformers 4.37.2, models/llama/tokenization_llama.py; tokenization_internlm2.py of InternVL2-2B.
"""

from functools import cached_property

import sentencepiece

from ivl.processing.codec import SpaceRule, guarded

_SPACE = "▁"
# Protobuf merges a field that comes again: normalizer_spec (3) with add_dummy_prefix (3) false.
_NO_DUMMY_PREFIX = b"\x1a\x02\x18\x00"


class SentencePieceCodec:
    """A SentencePiece model.

    prefix_once: the newer LlamaTokenizer's way. unknown: that class's unknown token.
    Raises TokenizerError where the file cannot be read.
    """

    def __init__(self, model: bytes, *, prefix_once: bool = False, unknown: str = "<unk>") -> None:
        self._model = model
        self._prefix_once = prefix_once
        self._unknown = unknown
        self._processor = _load(model + _NO_DUMMY_PREFIX if prefix_once else model)
        self.size: int = self._processor.get_piece_size()
        self.unknown_id: int | None = self._processor.unk_id()
        self.space_rule: SpaceRule = "keep"
        if prefix_once:
            self.space_rule = "start"
        elif (self._pieces("a") or [""])[0].startswith(_SPACE):
            self.space_rule = "each"

    def prepare(self, text: str) -> str:
        return text.replace(_SPACE, " ") if self._prefix_once else text

    def encode(self, text: str, first: bool) -> list[int]:
        if not self._prefix_once:
            return self._ids(self._processor, text)
        return self._encode_spaced(_SPACE + text if first else text)

    def encode_rest(self, text: str) -> list[int]:
        return self._ids(self._unprefixed, text)

    def lead(self, is_special: bool) -> list[int]:
        # The official class drops its own "▁" only before tokens that the folder's settings name as special.
        return [] if is_special or not self._prefix_once else self._encode_spaced(_SPACE)

    def piece(self, token_id: int) -> str | None:
        return self._processor.id_to_piece(token_id) if 0 <= token_id < self.size else None

    def find(self, piece: str) -> int | None:
        token_id: int = self._processor.piece_to_id(piece)
        return token_id if self.piece(token_id) == piece else None

    def token_bytes(self, token_id: int) -> bytes:
        if not 0 <= token_id < self.size or self._processor.is_control(token_id):
            return b""
        piece: str = self._processor.id_to_piece(token_id)
        if self._processor.is_byte(token_id):
            return bytes([int(piece[3:-1], 16)])
        return piece.replace(_SPACE, " ").encode()

    def _encode_spaced(self, text: str) -> list[int]:
        """Ids of a text that may begin with a space, which a model that trims white space must not lose."""
        if not text.startswith((_SPACE, " ")):
            return self._ids(self._processor, text)
        ids = self._ids(self._processor, self._unknown + text)
        skip = len(self._ids(self._processor, self._unknown))
        return ids[skip:] if len(ids) >= skip else ids

    def _ids(self, processor: sentencepiece.SentencePieceProcessor, text: str) -> list[int]:
        ids: list[int] = guarded("encoding with tokenizer.model", lambda: processor.encode(text, out_type=int))
        return ids

    def _pieces(self, text: str) -> list[str]:
        pieces: list[str] = guarded("trying tokenizer.model", lambda: self._processor.encode(text, out_type=str))
        return pieces

    @cached_property
    def _unprefixed(self) -> sentencepiece.SentencePieceProcessor:
        """The model that puts no space before a text; most models are that already."""
        return _load(self._model + _NO_DUMMY_PREFIX) if self.space_rule == "each" else self._processor


def _load(model: bytes) -> sentencepiece.SentencePieceProcessor:
    # Its warnings go straight to stderr; one comes with every InternLM2 model and says nothing to a person.
    sentencepiece.set_min_log_level(2)
    processor = sentencepiece.SentencePieceProcessor()
    guarded("reading tokenizer.model", lambda: processor.LoadFromSerializedProto(model))
    return processor
