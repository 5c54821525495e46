"""Streams of ids: no half characters, nothing taken back, and the same text in the end."""

import random

import pytest

from ivl.processing.detokenizer import IncrementalDecoder
from ivl.processing.tokenizer_files import load_tokenizer
from parity.prompts import TOKENIZERS, internvl2_2b_folder

NAMES = ["internlm2", "phi3", "qwen2", "yi", "qwen2-slow", "llama-legacy", "llama-phi3", "real"]
TEXTS = [
    "",
    "Hello world",
    "龙井虾仁是浙江菜。",
    "emoji 🍜🥟🫓 and ZWJ 👩\u200d🍳 flags 🇨🇳",
    "<ref>the dish</ref><box>[[1, 2, 3, 4]]</box>",
    "  spaces \n\n and\ttabs",
    "<s>ﬁ ÅＡＢＣ<unk>",
]


@pytest.fixture(scope="module", params=NAMES)
def tokenizer(request, tmp_path_factory):
    if request.param == "real":
        return load_tokenizer(internvl2_2b_folder(tmp_path_factory.mktemp("real") / "2b"))
    return load_tokenizer(TOKENIZERS / request.param)


def stream(tokenizer, ids, skip=True):
    decoder = IncrementalDecoder(tokenizer, skip_special_tokens=skip)
    return [decoder.push(token_id) for token_id in ids] + [decoder.flush()]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("skip", [True, False])
def test_pieces_join_to_the_whole(tokenizer, text, skip):
    ids = tokenizer.encode(text)
    pieces = stream(tokenizer, ids, skip)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=skip)
    assert "\ufffd" not in "".join(pieces)
    assert pieces[-1] == ""


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_given_out_is_the_beginning_of_the_whole_at_every_split(tokenizer, text):
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids, skip_special_tokens=True)
    pieces = stream(tokenizer, ids)
    for split in range(len(ids) + 1):
        given = "".join(pieces[:split])
        assert whole.startswith(given)
        # All but an incomplete character is out: at most its own bytes are held back.
        assert tokenizer.decode(ids[:split], skip_special_tokens=True).rstrip("\ufffd") == given


def test_a_character_comes_with_its_last_token(tokenizer):
    ids = tokenizer.encode("a🍜")
    pieces = stream(tokenizer, ids)
    assert [piece for piece in pieces if piece] == ["a", "🍜"] or pieces[0] == "a🍜"
    cut = stream(tokenizer, ids[:-1])
    assert set(cut[-1]) <= {"\ufffd"}


def test_ids_at_random_give_the_same_text_in_pieces(tokenizer):
    rng = random.Random(3)
    for _ in range(50):
        ids = [rng.randrange(tokenizer.vocab_size + 5) for _ in range(40)]
        for skip in (True, False):
            assert "".join(stream(tokenizer, ids, skip)) == tokenizer.decode(ids, skip_special_tokens=skip)


def test_special_tokens_are_left_out_of_answers(tokenizer):
    ids = tokenizer.encode("a<img><IMG_CONTEXT></img>b")
    assert "".join(stream(tokenizer, ids)) == "ab"
    assert "".join(stream(tokenizer, ids, skip=False)) == "a<img><IMG_CONTEXT></img>b"


def test_a_text_that_goes_on_keeps_the_space_at_its_front(tokenizer):
    ids = tokenizer.encode("one two three")
    for split in range(1, len(ids)):
        before = tokenizer.decode(ids[:split])
        decoder = IncrementalDecoder(tokenizer, goes_on=True)
        rest = "".join([decoder.push(token_id) for token_id in ids[split:]])
        assert before + rest == "one two three"
