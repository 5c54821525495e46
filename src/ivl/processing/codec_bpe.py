"""`tokenizer.json`, and `vocab.json` with `merges.txt`: byte pair encoding by the tokenizers library.

In: the parsed files. Out: a Codec, and the ids that the file puts before every text. What comes out of a
checkpoint is rebuilt from known parts before the library sees it: it runs no regular expression that is not
named here (one can take unbounded time) and gets none of the parts that make it panic (truncation,
post-processor, decoder, other models).
"""

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models

from ivl.errors import TokenizerError
from ivl.processing.codec import SpaceRule, guarded

_SPACE = "▁"
MAX_ID = 2**24
"""Ids are below it: ten times the largest vocabulary there is."""

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_KNOWN_PATTERNS = frozenset(
    {
        _QWEN2,
        # Llama 3: digits in groups of up to three.
        _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|"),
        # GPT-2, with and without the contractions in a group.
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    }
)
_NORMALIZERS = {
    "NFC": set[str](),
    "NFD": set[str](),
    "NFKC": set[str](),
    "NFKD": set[str](),
    "Lowercase": set[str](),
    "Prepend": {"prepend"},
    "Replace": {"pattern", "content"},
}
_PRE_TOKENIZERS = {
    "ByteLevel": {"add_prefix_space", "trim_offsets", "use_regex"},
    "Digits": {"individual_digits"},
    "Metaspace": {"replacement", "prepend_scheme", "split", "add_prefix_space"},
    "Split": {"pattern", "behavior", "invert"},
}
# Not "dropout": it would make ids random.
_MODEL_KEYS = {
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "fuse_unk",
    "byte_fallback",
    "ignore_merges",
}


class BpeCodec:
    """A byte pair encoding.

    spec: a tokenizer.json as a dict. Raises TokenizerError where it is damaged or has unknown parts.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        model = _mapping(spec.get("model"), "model")
        if model.get("type", "BPE") != "BPE":
            raise TokenizerError(f"the tokenizer's model.type={model['type']!r} is not supported: only 'BPE' is")
        self._vocab = _vocab(model)
        self.size = max(self._vocab.values()) + 1
        self.unknown_id: int | None = self._vocab.get(str(model.get("unk_token")))
        # The model is built from its parts, which takes a third of the time of reading it from JSON.
        known = {key: value for key, value in model.items() if key in _MODEL_KEYS and value is not None}
        merges = _merges(model)
        bpe = guarded("building the tokenizer", lambda: models.BPE(vocab=self._vocab, merges=merges, **known))
        splitter = _chain(spec.get("pre_tokenizer"), "pre_tokenizer", "pretokenizers", _PRE_TOKENIZERS)
        shell: dict[str, Any] = {
            "version": "1.0",
            "added_tokens": [],
            "normalizer": _chain(spec.get("normalizer"), "normalizer", "normalizers", _NORMALIZERS),
            "pre_tokenizer": splitter,
            "model": {"type": "BPE", "vocab": {}, "merges": []},
        }
        text = json.dumps(shell, ensure_ascii=False)
        self._first = _assembled(text, bpe)
        # "first" puts a space only where the whole text begins, which the library cannot know of a part.
        later = text.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"')
        self._later = self._first if later == text else _assembled(later, bpe)
        self._is_byte_level = _has_type(spec.get("pre_tokenizer"), "ByteLevel") or _has_type(
            spec.get("decoder"), "ByteLevel"
        )
        self._byte_fallback = bool(model.get("byte_fallback"))
        self.space_rule: SpaceRule = "start" if _drops_space(spec.get("decoder")) else "keep"
        self._byte_of = {char: byte for byte, char in enumerate(_byte_alphabet())}

    def prepare(self, text: str) -> str:
        return text

    def encode(self, text: str, first: bool) -> list[int]:
        rust = self._first if first else self._later
        # The fast call leaves out character positions, which take three quarters of the time.
        ids: list[int] = guarded("encoding", lambda: rust.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        return ids

    def encode_rest(self, text: str) -> list[int]:
        return self.encode(text, first=False)

    def lead(self, is_special: bool) -> list[int]:
        return []

    def piece(self, token_id: int) -> str | None:
        return self._first.id_to_token(token_id) if 0 <= token_id < self.size else None

    def find(self, piece: str) -> int | None:
        return self._vocab.get(piece)

    def token_bytes(self, token_id: int) -> bytes:
        piece = self.piece(token_id)
        if piece is None:
            return b""
        if self._is_byte_level:
            known = [self._byte_of.get(char) for char in piece]
            # A piece with other characters is no byte-level piece: it stands for itself.
            return piece.encode() if None in known else bytes(byte for byte in known if byte is not None)
        if self._byte_fallback and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(_SPACE, " ").encode()


def qwen2_spec(vocab: Any, merges: str) -> dict[str, Any]:
    """A tokenizer.json with what Qwen2Tokenizer does with vocab.json and merges.txt.

    Source: transformers 4.37.2, models/qwen2/tokenization_qwen2.py.
    """
    lines = (line.strip() for line in merges.splitlines())
    pairs = [line.split() for line in lines if line and not line.startswith("#")]
    return {
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": _QWEN2}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "model": {"type": "BPE", "vocab": vocab, "merges": pairs},
    }


def prefix_ids(post_processor: Any) -> tuple[int, ...]:
    """The ids that a post_processor puts before a text: its begin-of-sequence token, if any."""
    if post_processor is None:
        return ()
    processor = _mapping(post_processor, "post_processor")
    if processor.get("type") == "Sequence":
        return tuple(token_id for each in _items(processor, "processors") for token_id in prefix_ids(each))
    if processor.get("type") != "TemplateProcessing":
        return ()
    ids: list[int] = []
    known = _mapping(processor.get("special_tokens"), "post_processor.special_tokens")
    for item in _items(processor, "single"):
        token = _mapping(item, "post_processor.single").get("SpecialToken")
        if token is None:
            break
        name = _mapping(token, "post_processor.single").get("id")
        entry = _mapping(known.get(str(name)), f"post_processor.special_tokens[{name!r}]")
        ids += [checked_id(token_id, "post_processor.special_tokens") for token_id in _items(entry, "ids")]
    return tuple(ids)


def checked_id(token_id: Any, where: str) -> int:
    """A token id; raises TokenizerError for what cannot be one."""
    if not isinstance(token_id, int) or isinstance(token_id, bool) or not 0 <= token_id < MAX_ID:
        raise TokenizerError(f"{where} has the token id {token_id!r}: a whole number from 0 to {MAX_ID - 1} is needed")
    return token_id


def _vocab(model: Mapping[str, Any]) -> dict[str, int]:
    """The vocabulary, its ids checked."""
    vocab = dict(_mapping(model.get("vocab"), "model.vocab"))
    if not vocab:
        raise TokenizerError("the tokenizer's model.vocab is empty")
    ids = set(vocab.values()) if set(map(type, vocab.values())) == {int} else {-1}
    if min(ids) < 0 or max(ids) >= MAX_ID:
        for piece, token_id in vocab.items():
            checked_id(token_id, f"model.vocab[{piece[:40]!r}]")
    if len(ids) < len(vocab):
        raise TokenizerError(f"the tokenizer's model.vocab gives {len(vocab)} pieces only {len(ids)} ids")
    return vocab


def _merges(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The merges as pairs; the file has pairs or, before 2024, texts with a space between the two."""
    merges = []
    for merge in _items(model, "merges"):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise TokenizerError(f"the tokenizer's merges hold {str(merge)[:60]!r}: two pieces are needed")
        merges.append((pair[0], pair[1]))
    return merges


def _assembled(shell: str, model: models.BPE) -> RustTokenizer:
    tokenizer = guarded("building the tokenizer", lambda: RustTokenizer.from_str(shell))
    tokenizer.model = model
    return tokenizer


def _chain(part: Any, where: str, list_key: str, known: Mapping[str, set[str]]) -> dict[str, Any] | None:
    """A normalizer or pre-tokenizer, rebuilt from the known kinds and their known keys."""
    if part is None:
        return None
    part = _mapping(part, where)
    kind = part.get("type")
    if kind == "Sequence":
        steps = [_chain(each, where, list_key, known) for each in _items(part, list_key)]
        return {"type": "Sequence", list_key: [step for step in steps if step is not None]}
    if not isinstance(kind, str) or kind not in known:
        raise TokenizerError(f"the tokenizer's {where} {kind!r} is not supported: {', '.join([*known, 'Sequence'])}")
    pattern = part.get("pattern")
    if isinstance(pattern, Mapping) and "Regex" in pattern and str(pattern["Regex"]) not in _KNOWN_PATTERNS:
        raise TokenizerError(
            f"the tokenizer's {where} splits by the regular expression {str(pattern['Regex'])[:60]!r}, which "
            f"is none of the {len(_KNOWN_PATTERNS)} known ones: an unknown one may take unbounded time"
        )
    return {"type": kind, **{key: value for key, value in part.items() if key in known[kind]}}


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TokenizerError(f"the tokenizer's {where} is a {type(value).__name__}: an object is needed")
    return value


def _items(value: Mapping[str, Any], key: str) -> list[Any]:
    items = value.get(key)
    if not isinstance(items, list):
        raise TokenizerError(f"the tokenizer's {key} is a {type(items).__name__}: a list is needed")
    return items


def _has_type(part: Any, kind: str) -> bool:
    """Whether a part of a tokenizer.json, or a step of it, is of this kind."""
    if not isinstance(part, Mapping):
        return False
    lists = [part.get(key) for key in ("pretokenizers", "decoders")]
    steps = [step for each in lists if isinstance(each, list) for step in each]
    return part.get("type") == kind or any(_has_type(step, kind) for step in steps)


def _drops_space(decoder: Any) -> bool:
    """Whether the file's decoder takes one space away at the start, as Llama's does."""
    return _has_type(decoder, "Strip") or (_has_type(decoder, "Metaspace") and decoder.get("prepend_scheme") != "never")


def _byte_alphabet() -> list[str]:
    """The character that byte-level BPE writes for each byte: itself if visible, else one from U+0100 on.

    Source: Radford et al. 2019 (GPT-2), encoder.py.
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256)]
