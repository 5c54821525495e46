"""tokenizer.json files that are not byte-level: SentencePiece-like ones, against the whole in the library."""

import json
import random

import pytest
from tokenizers import Tokenizer as RustTokenizer

from ivl.processing.codec_bpe import BpeCodec, prefix_ids
from ivl.processing.tokenizer_files import load_tokenizer

PIECES = [
    "<unk>",
    "<s>",
    "</s>",
    *(f"<0x{byte:02X}>" for byte in range(256)),
    "▁",
    "a",
    "b",
    "▁a",
    "ab",
    "▁ab",
    "你",
]
MERGES = [["▁", "a"], ["a", "b"], ["▁a", "b"]]
DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
FORMS = {
    "llama": {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, REPLACE]},
        "pre_tokenizer": None,
    },
    "metaspace-first": {
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
    },
    "metaspace-always": {
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": "▁",
            "prepend_scheme": "always",
            "split": False,
        },
    },
    "metaspace-never": {
        "normalizer": None,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True},
    },
}


def spec_of(form):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    added = [{"id": i, "content": PIECES[i], **flags} for i in range(3)]
    added.append({"id": len(PIECES), "content": "<wide>", **flags, "lstrip": True, "rstrip": True})
    added.append({"id": len(PIECES) + 1, "content": "word", **flags, "single_word": True})
    vocab = {text: i for i, text in enumerate(PIECES)}
    model = {"type": "BPE", "vocab": vocab, "merges": MERGES, "unk_token": "<unk>", "byte_fallback": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        **FORMS[form],
        "post_processor": None,
        "decoder": DECODER,
        "model": {**model, "fuse_unk": True, "ignore_merges": False},
    }


@pytest.fixture(params=FORMS)
def form(request, tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec_of(request.param)), "utf-8")
    return tmp_path


def test_ids_equal_the_whole_file_in_the_library(form):
    rust = RustTokenizer.from_file(str(form / "tokenizer.json"))
    tokenizer = load_tokenizer(form)
    rng = random.Random(9)
    words = ["a", "b", " ", "  ", "ab", "你", "🍜", "<s>", "<wide>", "word", "▁", "\n", "!"]
    for _ in range(300):
        text = "".join(rng.choices(words, k=rng.randint(0, 12)))
        assert tokenizer.encode(text) == rust.encode(text, add_special_tokens=False).ids, text


def test_texts_come_back(form):
    tokenizer = load_tokenizer(form)
    metaspace = "Metaspace" in (form / "tokenizer.json").read_text("utf-8")
    for text in ["ab a", "a 你 b", "🍜 a", "a\nb"]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        # Metaspace puts no space before a space, but this file's decoder drops one all the same.
        assert tokenizer.decode(tokenizer.encode(" " + text)) == (text if metaspace else " " + text)


def test_a_byte_level_piece_with_a_foreign_character_stands_for_itself():
    splitter = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    spec = {"pre_tokenizer": splitter, "model": {"vocab": {"Ġa": 0, "▁b": 1}, "merges": []}}
    codec = BpeCodec(spec)
    assert codec.token_bytes(0) == b" a"
    assert codec.token_bytes(1) == "▁b".encode()
    assert codec.token_bytes(2) == b""


def test_the_prefix_of_nested_processors_is_found():
    template = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<s>"}},
            {"Sequence": {"id": "A"}},
            {"SpecialToken": {"id": "</s>"}},
        ],
        "special_tokens": {"<s>": {"ids": [1]}, "</s>": {"ids": [2]}},
    }
    assert prefix_ids({"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]}) == (1,)
    assert prefix_ids({"type": "ByteLevel"}) == ()
    assert prefix_ids(None) == ()
