"""`tokenizer.model` -> the parts of a tokenizer.json that give the same ids.

In: the bytes of a SentencePiece model of kind BPE, and how its official class puts spaces before texts. Out: the
`normalizer`, `pre_tokenizer`, `decoder` and `model` of a tokenizer.json, and the texts that the model never cuts. Knows
no folder and no added token.

SentencePiece merges the pair whose piece has the highest score, the leftmost where several have it. A list of merges
has no equal ranks; among equal scores the lower id comes first here, which is the same as long as no two such pieces
can overlap (in InternLM2's vocabulary, where 2,352 pairs of pieces share a score, none can).

Source: sentencepiece_model.proto and bpe_model.cc of https://github.com/google/sentencepiece (0.2).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from ivl.errors import TokenizerError
from ivl.processing.codec import SpaceRule

SPACE = "▁"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_BPE = 2
_Field = int | bytes


@dataclass(frozen=True, kw_only=True)
class SentencePieceParts:
    """What a tokenizer.json needs of a SentencePiece model."""

    spec: dict[str, Any]
    """normalizer, pre_tokenizer, decoder, model."""
    whole: tuple[str, ...]
    """Texts that the model always reads as one piece (its user-defined symbols)."""


@dataclass(frozen=True, kw_only=True)
class _Piece:
    text: str
    score: float
    kind: int


def convert_sentencepiece(model: bytes, space_rule: SpaceRule, where: str) -> SentencePieceParts:
    """The parts for the model in `model`; `where` names its file in messages.

    space_rule: where a space is put before a text: nowhere, before the first, before each between two added tokens.
    Raises TokenizerError for a damaged file, and for settings that a tokenizer.json of this kind cannot express.
    """
    pieces, trainer, normalizer = _read(model, where)
    if trainer.get(3, 1) != _BPE:
        raise TokenizerError(f"{where} is not of SentencePiece's kind bpe: only that can be written as tokenizer.json")
    if normalizer.get(2) or normalizer.get(4, 1) or not normalizer.get(5, 1) or trainer.get(24):
        raise TokenizerError(
            f"{where} changes its text before cutting it (normalisation rules or white space), which cannot be "
            "written as tokenizer.json: export the official layout"
        )
    byte_fallback = bool(trainer.get(35))
    vocab = {_key(piece, idx, byte_fallback): idx for idx, piece in enumerate(pieces)}
    if len(vocab) < len(pieces):
        raise TokenizerError(f"{where} holds the same piece twice")
    table = {
        "type": "BPE",
        "dropout": None,
        "unk_token": next((piece.text for piece in pieces if piece.kind == _UNKNOWN), None),
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": _merges(pieces),
    }
    whole = tuple(piece.text for piece in pieces if piece.kind == _USER_DEFINED)
    return SentencePieceParts(spec=_spaces(space_rule) | {"model": table}, whole=whole)


def _key(piece: _Piece, idx: int, byte_fallback: bool) -> str:
    """The piece's name in the vocabulary; one that no text leads to where SentencePiece never gives the piece."""
    # SentencePiece itself sets the NUL character aside where bytes can stand for it.
    is_unused = piece.kind == _UNUSED or (piece.text == "\0" and byte_fallback)
    return f"[unused {idx}]" if is_unused else piece.text


def _merges(pieces: list[_Piece]) -> list[list[str]]:
    """Every way in which two pieces make a third, in the order in which SentencePiece prefers the thirds."""
    normal = {piece.text for piece in pieces if piece.kind == _NORMAL}
    ranked = sorted(
        (-piece.score, idx, piece.text)
        for idx, piece in enumerate(pieces)
        if piece.kind == _NORMAL and len(piece.text) > 1
    )
    return [
        [text[:cut], text[cut:]]
        for _, _, text in ranked
        for cut in range(1, len(text))
        if text[:cut] in normal and text[cut:] in normal
    ]


def _spaces(rule: SpaceRule) -> dict[str, Any]:
    """How spaces come in and go out."""
    replace: dict[str, Any] = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    back: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    normalizer, splitter = replace, None
    if rule == "each":
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]}
    elif rule == "start":
        splitter = {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": False}
    if rule != "keep":
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": normalizer,
        "pre_tokenizer": splitter,
        "decoder": {"type": "Sequence", "decoders": back},
    }


def _read(model: bytes, where: str) -> tuple[list[_Piece], dict[int, _Field], dict[int, _Field]]:
    """Pieces, trainer_spec and normalizer_spec of a ModelProto."""
    pieces: list[_Piece] = []
    specs: dict[int, dict[int, _Field]] = {2: {}, 3: {}}
    try:
        for number, value in _fields(model):
            if number == 1:
                pieces.append(_piece(dict(_fields(cast(bytes, value)))))
            elif number in specs:
                specs[number].update(_fields(cast(bytes, value)))
    except (ValueError, TypeError, IndexError, struct.error):
        raise TokenizerError(f"{where} is damaged: fetch the file again") from None
    return pieces, specs[2], specs[3]


def _piece(fields: dict[int, _Field]) -> _Piece:
    (score,) = struct.unpack("<f", cast(bytes, fields.get(2, bytes(4))))
    return _Piece(text=cast(bytes, fields.get(1, b"")).decode(), score=score, kind=cast(int, fields.get(3, _NORMAL)))


def _fields(data: bytes) -> Iterator[tuple[int, _Field]]:
    """The fields of a protobuf message: number and value, which is a number or bytes."""
    done = 0
    while done < len(data):
        key, done = _varint(data, done)
        wire = key & 7
        if wire == 0:
            number, done = _varint(data, done)
            yield key >> 3, number
            continue
        if wire == 2:
            size, done = _varint(data, done)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if done + size > len(data):
            raise ValueError("cut off")
        yield key >> 3, data[done : done + size]
        done += size


def _varint(data: bytes, done: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[done]
        done += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, done
    raise ValueError("a number without end")
