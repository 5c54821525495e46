"""Every token of prompt and answer is told once, in order, readable, with who put it there."""

from itertools import pairwise

import pytest
from PIL import Image

from ivl.explain.tokens import Piece, Word, answer_words, count_kinds, tell_tokens
from ivl.model.config_io import load_config
from ivl.processing import load_processor
from ivl.processing.messages import to_messages
from ivl.types import Message, TextPart, VideoPart
from parity.tiny import NAMES

TYPED = "图里有几个 🍜 hamburger？\nAnd\n\nwhy <ref>it</ref>?"
EARLIER = "三个🍔 burgers"


def picture(width: int = 120, height: int = 60) -> Image.Image:
    return Image.linear_gradient("L").resize((width, height)).convert("RGB")


def conversation() -> list[dict[str, object]]:
    return [
        {"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": "两张？"}]},
        {"role": "assistant", "content": EARLIER},
        {"role": "user", "content": [{"type": "image", "image": picture(56, 56)}, {"type": "text", "text": TYPED}]},
    ]


def text_of(pieces: tuple[Piece, ...], kind: str) -> str:
    return "".join(piece.text for piece in pieces if piece.kind == kind)


@pytest.mark.parametrize("name", NAMES)
def test_all_tokens_are_told_and_belong_to_who_wrote_them(tiny_folder, name: str) -> None:
    processor = load_processor(tiny_folder(name))
    messages = to_messages(conversation())
    inputs = processor(messages, as_prompt=True)
    answer = processor.tokenizer.encode("左上，top left 🍕")
    pieces = tell_tokens(processor, messages, inputs, answer)
    ids = [token_id for piece in pieces for token_id in piece.token_ids]
    assert ids == [*inputs.input_ids.tolist(), *answer]
    assert all(piece.start == before.stop for before, piece in pairwise(pieces))
    # Some tokenizers have no token for an emoji, or take the space before a control token along.
    assert text_of(pieces, "text").replace(" ", "").startswith("两张？图里有几个")
    assert text_of(pieces, "answer").replace(" ", "").startswith("三个")
    tiles = [piece.tile for piece in pieces if piece.kind == "image"]
    assert tiles == list(range(sum(inputs.tile_counts)))
    counts = count_kinds(pieces)
    assert sum(counts.values()) == len(ids)
    assert counts["image"] == sum(inputs.tile_counts) * load_config(tiny_folder(name)).tokens_per_tile
    template = text_of(pieces, "template")
    assert processor.template.system.replace(" ", "") in template.replace(" ", "")
    assert "几个" not in template
    assert "hamburger" not in template


@pytest.mark.parametrize("name", ["tiny-internlm2", "tiny-qwen2", "tiny-llama"])
def test_a_character_of_several_tokens_is_one_piece(tiny_folder, name: str) -> None:
    processor = load_processor(tiny_folder(name))
    messages = to_messages("🍜龘")
    inputs = processor(messages, as_prompt=True)
    pieces = [piece for piece in tell_tokens(processor, messages, inputs) if piece.kind == "text"]
    own = [piece for piece in pieces if piece.text.strip()]
    assert "".join(piece.text for piece in own).strip() == "🍜龘"
    assert "\ufffd" not in "".join(piece.text for piece in own)
    assert max(len(piece.token_ids) for piece in own) > 1


def test_what_was_typed_is_told_word_for_word(tiny_folder) -> None:
    processor = load_processor(tiny_folder("tiny-qwen2"))
    messages = to_messages(conversation())
    pieces = tell_tokens(processor, messages, processor(messages, as_prompt=True), processor.tokenizer.encode("是"))
    assert text_of(pieces, "text") == "两张？" + TYPED
    assert text_of(pieces, "answer") == EARLIER + "是"
    system = "system\n" + processor.template.system
    assert text_of(pieces, "template").startswith("<|im_start|>" + system + "<|im_end|>")


def test_an_answer_that_is_begun_is_the_answers(tiny_folder) -> None:
    processor = load_processor(tiny_folder("tiny-qwen2"))
    messages = to_messages([{"role": "user", "content": "why?"}, {"role": "assistant", "content": "Because"}])
    pieces = tell_tokens(processor, messages, processor(messages, as_prompt=True))
    assert text_of(pieces, "answer") == "Because"


def test_frames_of_a_video_are_tiles(tiny_folder, tmp_path) -> None:
    for number in range(3):
        picture(56, 56).save(tmp_path / f"{number}.png")
    processor = load_processor(tiny_folder("tiny-qwen2"))
    messages = to_messages(("what?", VideoPart(source=tmp_path, num_frames=3)))
    inputs = processor(messages, as_prompt=True)
    pieces = tell_tokens(processor, messages, inputs)
    assert [piece.tile for piece in pieces if piece.kind == "image"] == [0, 1, 2]
    assert text_of(pieces, "text") == "what?"
    assert "Frame3: " in text_of(pieces, "template")
    read = [Message(role="user", parts=(VideoPart(frames=(picture(56, 56),) * 2), TextPart(text="what?")))]
    pieces = tell_tokens(processor, read, processor(read, as_prompt=True))
    assert [piece.tile for piece in pieces if piece.kind == "image"] == [0, 1]


def test_words_are_what_a_person_points_at() -> None:
    texts = [" top", " le", "ft", ",", " 左", "上", "\n", "12", "3", "<|im_end|>"]
    pieces = [
        Piece(text=text, kind="answer", token_ids=(at,), start=10 + at) for at, text in enumerate(texts)
    ]  # fmt: skip
    before = Piece(text="prompt", kind="text", token_ids=(1,) * 10, start=0)
    words = answer_words([before, *pieces], 10)
    assert [word.text for word in words] == ["top", "left", ",", "左", "上", "123"]
    assert words[1] == Word(text="left", start=1, stop=3)
