"""A sample's tiles are lowered until it fits, its text never."""

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.fake_source import example
from ivl.data.fitting import prepare, wanted_tiles, with_tiles
from ivl.data.settings import DataSettings
from ivl.errors import DataError, SettingsError
from ivl.types import ImagePart, Message, TextPart
from parity.prompts import tiny_processor

PROCESSOR = tiny_processor("internlm2-chat", "internlm2")
WIDE = PIL.Image.new("RGB", (224, 112), "red")  # eight tiles of 56 pixels and the thumbnail


def tokens(made) -> int:
    return len(PROCESSOR(made.messages).input_ids)


def test_a_sample_that_fits_keeps_its_tiles():
    fitted = prepare(example(images=[WIDE]), PROCESSOR, DataSettings())
    assert (fitted.max_tiles, fitted.size.num_tiles, fitted.loses_tiles) == (PROCESSOR.max_tiles, 9, False)
    assert fitted.size.num_tokens == tokens(fitted)


@pytest.mark.parametrize(
    ("own", "setting", "images", "wanted"),
    [
        (None, None, 1, 12),
        (None, 6, 1, 6),
        (4, 6, 1, 4),
        (None, None, 2, 6),
        (None, None, 5, 2),
        (None, None, 13, 1),
        (None, 6, 0, 6),
    ],
)
def test_images_of_a_sample_share_its_tiles(own, setting, images, wanted):
    made = example(images=[WIDE] * images, max_tiles=own)
    assert wanted_tiles(made, PROCESSOR, DataSettings(max_dynamic_patch=setting)) == wanted
    fitted = prepare(made, PROCESSOR, DataSettings(max_dynamic_patch=setting))
    parts = [part for part in fitted.messages[0].parts if isinstance(part, ImagePart)]
    assert [part.max_tiles for part in parts] == [wanted] * images


def test_an_images_own_lower_limit_stays():
    made = example(images=[ImagePart(source=WIDE, max_tiles=1), ImagePart(source=WIDE, max_tiles=100)])
    fitted = prepare(made, PROCESSOR, DataSettings())
    assert [picture.max_tiles for picture in fitted.size.pictures] == [1, 6]
    assert fitted.size.num_tokens == tokens(fitted)


def test_tiles_are_lowered_to_as_many_as_fit():
    made = example(images=[WIDE])
    whole = prepare(made, PROCESSOR, DataSettings()).size.num_tokens
    seen = set()
    for max_length in range(whole - 8 * 4, whole + 1):
        fitted = prepare(made, PROCESSOR, DataSettings(max_length=max_length))
        assert tokens(fitted) == fitted.size.num_tokens <= max_length
        assert fitted.loses_tiles == (max_length < whole)
        again = with_tiles(made, fitted.max_tiles)
        assert again.messages == fitted.messages
        if fitted.loses_tiles:
            more = PROCESSOR.measure(with_tiles(made, fitted.max_tiles + 1).messages)
            assert more.num_tokens > max_length
        seen.add(fitted.size.num_tiles)
    assert {1, 3, 9} <= seen


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 600), st.integers(1, 600)), min_size=1, max_size=3),
    least=st.integers(1, 3),
    room=st.integers(0, 60),
)
def test_the_choice_is_that_of_trying_every_number(sizes, least, room):
    processor = tiny_processor("internlm2-chat", PROCESSOR.tokenizer, min_tiles=least)
    made = example(images=[PIL.Image.new("RGB", size) for size in sizes])
    smallest = processor.measure(with_tiles(made, 1).messages).num_tokens
    max_length = smallest + room
    share = max(1, 12 // len(sizes))
    costs = [processor.measure(with_tiles(made, n).messages).num_tokens for n in range(1, share + 1)]
    fits = [n for n, cost in enumerate(costs, 1) if cost <= max_length]
    fitted = prepare(made, processor, DataSettings(max_length=max_length))
    assert fitted.max_tiles == max(fits)
    inputs = processor(fitted.messages)
    assert (len(inputs.input_ids), sum(inputs.tile_counts)) == (fitted.size.num_tokens, fitted.size.num_tiles)


def test_what_does_not_fit_with_one_tile_is_refused():
    made = example(images=[WIDE], answer="word " * 300)
    least = PROCESSOR.measure(with_tiles(made, 1).messages).num_tokens
    prepare(made, PROCESSOR, DataSettings(max_length=least))
    with pytest.raises(DataError, match=f"fake.jsonl:1: the record has {least} tokens even with one tile") as caught:
        prepare(made, PROCESSOR, DataSettings(max_length=least - 1))
    assert caught.value.rule == "too long"
    with pytest.raises(DataError, match=r"tokens; max_length is 20: split"):
        prepare(example(), PROCESSOR, DataSettings(max_length=20))


def test_text_is_never_cut():
    made = example(images=[WIDE], answer="word " * 40)
    least = PROCESSOR.measure(with_tiles(made, 1).messages).num_tokens
    roomy, tight = (prepare(made, PROCESSOR, DataSettings(max_length=most)) for most in (8192, least))
    texts = [PROCESSOR(each.messages).input_ids for each in (roomy, tight)]
    kept = [ids[ids != PROCESSOR.image_token_id].tolist() for ids in texts]
    assert kept[0] == kept[1]
    assert tight.size.num_trained == roomy.size.num_trained > 40


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (example(answer=""), "empty answer"),
        (example(answer=" \n"), "empty answer"),
        (example(images=["missing.png"]), "missing file"),
        (example(images=[b"no picture"]), "image"),
        (example("<image> <image>", images=[WIDE]), "placeholder count"),
        (example(answer="x" * (4 * 2**20 + 1)), "too long"),
        (example(answer="half \ud800"), "encoding"),
    ],
)
def test_why_a_sample_cannot_be_used(made, rule):
    with pytest.raises(DataError, match=r"^fake\.jsonl:1: ") as caught:
        prepare(made, PROCESSOR, DataSettings())
    assert caught.value.rule == rule


def test_a_conversation_that_ends_with_a_question_is_none():
    made = example()
    asked = Message(role="user", parts=(TextPart(text="and?"),))
    with pytest.raises(DataError, match="not an answer") as caught:
        prepare(type(made)(messages=(*made.messages, asked), where="a:1"), PROCESSOR, DataSettings())
    assert caught.value.rule == "turns"


def test_nothing_to_train():
    # The template drops the whole sample where one of its turns is empty.
    processor = tiny_processor("Hermes-2", "qwen2")
    first, later = example(answer=""), example()
    with pytest.raises(DataError, match="none of its") as caught:
        prepare(type(first)(messages=first.messages + later.messages, where="a:1"), processor, DataSettings())
    assert caught.value.rule == "nothing to train"


def test_a_setting_that_no_record_can_have_is_no_records_fault():
    with pytest.raises(SettingsError, match="max_dynamic_patch=257"):
        prepare(example(), PROCESSOR, DataSettings(max_dynamic_patch=257))
