"""New tokens in somebody's tokenizer: our reader and transformers both find them, and nothing else changes."""

import json
from pathlib import Path

import pytest

from ivl.errors import TokenizerError
from ivl.model.config_io import _tokenizer_image_token_id
from ivl.processing.new_tokens import INTERNVL_TOKENS, extend_tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from loose_parts import PICTURE_TOKENS, TOKENIZERS, write_tokenizer

TEXTS = ["a plate of 鱼香肉丝, please", " leading", "1234 <ref>dish</ref>", "line\n\nbreak"]
NAMES = sorted(path.name for path in TOKENIZERS.iterdir() if path.is_dir())


def folder_for(tmp_path: Path, name: str = "new") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_the_tokens_are_the_familys():
    assert INTERNVL_TOKENS == PICTURE_TOKENS


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_tokenizer_takes_new_tokens(tmp_path, name):
    source, target = write_tokenizer(tmp_path / "old", name), folder_for(tmp_path)
    old = load_tokenizer(source)
    done = extend_tokenizer(source, target, INTERNVL_TOKENS)
    new = load_tokenizer(target)
    assert done.new == INTERNVL_TOKENS
    assert done.num_known == old.vocab_size
    assert [done.ids[text] for text in INTERNVL_TOKENS] == list(range(old.vocab_size, old.vocab_size + 9))
    assert new.vocab_size == old.vocab_size + 9
    for text, token_id in done.ids.items():
        assert new.encode(text)[-1:] == [token_id]
        token = new.added_token(token_id)
        assert token is not None
        assert token.special, "left out of what people read"
    for text in TEXTS[:2] + TEXTS[3:]:
        assert new.encode(text, add_bos=True) == old.encode(text, add_bos=True)
    assert done.ids["<ref>"] in new.encode(TEXTS[2])
    assert (old.bos_id, old.space_rule) == (new.bos_id, new.space_rule)
    assert all(old.added_token(i) == new.added_token(i) for i in range(old.vocab_size)), "none of its own moves"
    assert _tokenizer_image_token_id(target)[0] == done.ids["<IMG_CONTEXT>"]


@pytest.mark.parametrize("name", NAMES)
def test_tokens_that_are_there_stay(tmp_path, name):
    done = extend_tokenizer(TOKENIZERS / name, folder_for(tmp_path), INTERNVL_TOKENS)
    assert done.new == ()
    for path in (tmp_path / "new").iterdir():
        before, after = (TOKENIZERS / name / path.name).read_bytes(), path.read_bytes()
        assert before == after or json.loads(before) == json.loads(after), path.name


def test_some_of_the_tokens(tmp_path):
    source = write_tokenizer(tmp_path / "old", "qwen2")
    first = extend_tokenizer(source, folder_for(tmp_path, "first"), ["<quad>"])
    second = extend_tokenizer(tmp_path / "first", folder_for(tmp_path, "second"), ["<img>", "<quad>", "<|im_end|>"])
    assert second.new == ("<img>",)
    assert second.ids == {"<quad>": first.ids["<quad>"], "<img>": first.ids["<quad>"] + 1, "<|im_end|>": 298}


def test_a_piece_of_the_vocabulary_becomes_a_token_with_its_own_id(tmp_path):
    source = write_tokenizer(tmp_path / "old", "qwen2")
    spec = json.loads((source / "tokenizer.json").read_text())
    piece, token_id = max(spec["model"]["vocab"].items(), key=lambda item: len(item[0]))
    done = extend_tokenizer(source, folder_for(tmp_path), [piece])
    assert (done.new, done.ids) == ((), {piece: token_id})
    assert load_tokenizer(tmp_path / "new").added_token(token_id) is not None


@pytest.mark.parametrize("name", ["qwen2", "qwen2-slow", "yi", "internlm2"])
def test_transformers_finds_them_too(tmp_path, name):
    from transformers import AutoTokenizer

    source, target = write_tokenizer(tmp_path / "old", name), folder_for(tmp_path)
    done = extend_tokenizer(source, target, INTERNVL_TOKENS)
    theirs = AutoTokenizer.from_pretrained(target)
    assert {text: theirs.convert_tokens_to_ids(text) for text in INTERNVL_TOKENS} == done.ids
    assert theirs.decode(list(done.ids.values()), skip_special_tokens=True).strip() == ""


def test_no_tokenizer(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(TokenizerError, match="no tokenizer in"):
        extend_tokenizer(tmp_path / "old", folder_for(tmp_path), INTERNVL_TOKENS)
