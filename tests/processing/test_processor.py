"""Messages to inputs: the official prompts, ids and pixels of whole chats, and the options."""

import json
import pickle
import shutil
import time

import numpy as np
import PIL.Image
import pytest
import torch
from tokenizers import Tokenizer as RustTokenizer

from ivl.errors import ConfigError, ContextLengthError, ImageError, PromptError, SettingsError, TokenizerError
from ivl.processing.processor import Processor, load_processor
from ivl.processing.template import TEMPLATES
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.types import ImagePart, Message, TextPart, VideoPart
from parity import tiny
from parity.prompts import (
    IMAGES,
    TOKENIZERS,
    golden_labels,
    golden_turns,
    internvl2_2b_folder,
    labelled_turns,
    official_messages,
    tiny_config,
    tiny_processor,
)

CHATS = [
    "gen_1img_1tile",
    "gen_1img_3tiles_thumb",
    "gen_2img",
    "gen_text",
    "gen_history",
    "gen_noplaceholder",
]
TOKENIZER = {
    "internlm2-chat": "internlm2",
    "Hermes-2": "qwen2",
    "phi3-chat": "phi3",
    "internvl2_5": "internlm2",
}
BIG = PIL.Image.new("RGB", (224, 112), "red")  # eight tiles of 56 pixels and the thumbnail


@pytest.fixture
def folder_of(tmp_path):
    """The folder of a tiny official model without its weights."""

    def copy(name):
        target = tmp_path / name
        target.mkdir()
        for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
            shutil.copy(tiny.MODELS / name / file, target)
        return target

    return copy


@pytest.fixture(params=TEMPLATES)
def processor(request):
    return tiny_processor(request.param, TOKENIZER[request.param])


@pytest.mark.parametrize("name", tiny.NAMES)
@pytest.mark.parametrize("chat", CHATS)
def test_prompt_ids_and_pixels_of_official_chats(name, chat, folder_of):
    processor = load_processor(folder_of(name), as_viewed=False)
    case = tiny.golden_json(name, "generate")[chat]
    messages = official_messages(golden_turns(case), [IMAGES / f"img_{key}.png" for key in case["images"]])
    inputs = processor(messages)
    assert processor.render(messages) == case["prompt"]
    assert inputs.input_ids.tolist() == case["input_ids"]
    assert inputs.input_ids.dtype == torch.int64
    assert list(inputs.tile_counts) == case["num_patches_list"]
    assert inputs.labels is None
    assert processor.stop_token_ids == {case["eos_token_id"]}
    if case["images"]:
        assert torch.equal(inputs.pixel_values, torch.cat([tiny.pixels(key) for key in case["images"]]))
    else:
        assert inputs.pixel_values is None
    answer = processor.tokenizer.decode(case["generated_ids"], skip_special_tokens=True)
    assert answer.strip() == case["response"]


def test_labels_of_official_samples_through_the_whole_processor():
    seen = 0
    for template, cases in golden_labels().items():
        for case in cases:
            if case["mode"] != "unpadded" or case["sample"] != "two_turn_one_image":
                continue
            picture = PIL.Image.new("RGB", (56, 56))
            inputs = tiny_processor(template, case["tokenizer"])(official_messages(labelled_turns(case), [picture]))
            assert inputs.input_ids.tolist() == case["input_ids"]
            assert inputs.labels.tolist() == case["labels"]
            seen += 1
    assert seen == 6


def test_every_form_of_one_prompt_gives_the_same_inputs(processor, tmp_path):
    path = tmp_path / "a.png"
    BIG.save(path)
    forms = [
        ("What is this?", path),
        ("What is this?", [str(path)]),
        ("<image>\nWhat is this?", path.read_bytes()),
        ("<IMAGE_TOKEN>\nWhat is this?", BIG),
        [
            {
                "role": "user",
                "content": [{"type": "image", "image": BIG}, {"type": "text", "text": "What is this?"}],
            }
        ],
        Message(role="user", parts=(ImagePart(source=BIG), TextPart(text="What is this?"))),
    ]
    first, *others = [processor(form) for form in forms]
    assert first.tile_counts == (9,)
    assert (first.input_ids == processor.image_token_id).sum() == 9 * 4
    for inputs in others:
        assert torch.equal(inputs.input_ids, first.input_ids)
        assert torch.equal(inputs.pixel_values, first.pixel_values)


def test_images_keep_their_place(processor):
    red, blue = PIL.Image.new("RGB", (56, 56), "red"), PIL.Image.new("RGB", (112, 56), "blue")
    part = {"image": {"type": "image"}, "text": {"type": "text"}}
    content = [
        {**part["text"], "text": "one "},
        {**part["image"], "image": red},
        {**part["text"], "text": "two "},
        {**part["image"], "image": blue},
    ]
    messages = [{"role": "user", "content": content}]
    start, end, token = "<img>", "</img>", "<IMG_CONTEXT>"
    assert f"one {start}{token * 4}{end}\ntwo {start}{token * 12}{end}\n" in processor.render(messages)
    inputs = processor(messages)
    assert inputs.tile_counts == (1, 3)
    # Red's tile first: its red channel is above its blue one, and the other way for blue's three.
    reds = inputs.pixel_values[:, 0].mean(dim=(1, 2)) > inputs.pixel_values[:, 2].mean(dim=(1, 2))
    assert reds.tolist() == [True, False, False, False]


def test_images_of_several_turns_come_in_the_order_of_the_text(processor):
    sizes = [(56, 56), (112, 56), (168, 56)]
    images = [PIL.Image.new("RGB", size) for size in sizes]
    turns = [("user", "<image> a <image>"), ("assistant", "b"), ("user", "<image>?")]
    assert processor(official_messages(turns, images)).tile_counts == (1, 3, 4)


def test_tile_limits_from_call_part_and_model(processor):
    def tiles(part=None, **options):
        message = Message(role="user", parts=(ImagePart(source=BIG, max_tiles=part),))
        return processor((message,), **options).tile_counts[0]

    assert tiles() == 9
    assert tiles(max_tiles=4) == 3
    assert tiles(part=1) == 1
    assert tiles(part=4, max_tiles=1) == 3
    small = Processor(processor.config, processor.tokenizer, max_tiles=4)
    assert small(("x", BIG)).tile_counts == (3,)
    assert small(("x", BIG), max_tiles=12).tile_counts == (9,)


@pytest.mark.parametrize("limit", [0, -1, 10**9, 1.5, True, "4"])
def test_a_tile_limit_that_cannot_be_is_refused(processor, limit):
    with pytest.raises(SettingsError, match=r"max_tiles=.* is not allowed: a whole number from 1 to 256"):
        processor(("x", BIG), max_tiles=limit)
    with pytest.raises(SettingsError, match="max_tiles"):
        Processor(processor.config, processor.tokenizer, max_tiles=limit)


def test_the_configuration_says_how_pictures_are_cut():
    def tiles(**fields):
        return tiny_processor("Hermes-2", "qwen2", **fields)(("x", BIG))

    assert tiles().tile_counts == (9,)
    assert tiles(use_thumbnail=False).tile_counts == (8,)
    assert tiles(max_tiles=2).tile_counts == (3,)
    assert tiles(min_tiles=9).tile_counts[0] > 9
    assert tiles(dynamic_image_size=False).tile_counts == (1,)
    assert tiles(dynamic_image_size=False).pixel_values.shape == (1, 3, 56, 56)
    assert (tiles(dynamic_image_size=False).input_ids == 301).sum() == 4


def test_upright_and_official_reading_differ():
    tokenizer = load_tokenizer(TOKENIZERS / "qwen2")
    config = tiny_config("Hermes-2")
    see_through = PIL.Image.new("RGBA", (56, 56), (255, 0, 0, 0))
    viewed, official = (
        Processor(config, tokenizer, as_viewed=flag)(("x", see_through)).pixel_values for flag in (True, False)
    )
    assert not torch.equal(viewed, official)


def test_a_video_is_its_frames(processor, tmp_path):
    for number in range(3):
        PIL.Image.fromarray(np.full((60, 90, 3), 80 * number, np.uint8)).save(tmp_path / f"{number}.png")
    video = VideoPart(source=tmp_path, num_frames=3)
    block = "<img>" + "<IMG_CONTEXT>" * 4 + "</img>"
    frames = "".join(f"Frame{number}: {block}\n" for number in (1, 2, 3))
    for text in ("What happens?", "<video>\nWhat happens?"):
        message = Message(role="user", parts=(video, TextPart(text=text)))
        assert f"{frames}What happens?" in processor.render([message])
        inputs = processor([message])
        assert inputs.tile_counts == (1, 1, 1)
        assert inputs.pixel_values.shape == (3, 3, 56, 56)


def test_a_sample_has_labels_and_no_opening_of_an_answer(processor):
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "<ref>a</ref>"}]
    inputs = processor(messages)
    trained = inputs.labels[inputs.labels != -100].tolist()
    assert processor.tokenizer.decode(trained) == "<ref>a</ref>" + processor.template.end
    assert torch.equal(inputs.labels[inputs.labels != -100], inputs.input_ids[inputs.labels != -100])
    assert processor.render(messages).endswith("<ref>a</ref>" + processor.template.end + processor.template.after_end)
    prompt = processor(messages[:1])
    assert prompt.labels is None
    assert processor.render(messages[:1], add_generation_prompt=False) in processor.render(messages[:1])


BEGUN = ["（", "my answer would be (", "The answer is", "The answer is ", "\n\n x", " \n", "<box>[[", "é́ 🍜", ""]
FILES = {
    "internlm2-chat": ["internlm2", "llama-legacy", "llama-old-files"],
    "Hermes-2": ["qwen2", "yi", "qwen2-slow", "llama-named"],
    "phi3-chat": ["phi3", "llama-phi3"],
    "internvl2_5": ["internlm2"],
}


@pytest.mark.parametrize(("template", "files"), [(name, files) for name in FILES for files in FILES[name]])
def test_a_begun_answer_is_cut_as_the_whole_string_is(template, files):
    processor = tiny_processor(template, files)
    assert_begun_as_whole(processor)
    if (TOKENIZERS / files / "tokenizer.json").exists():  # the library's own reading of the file
        rust = RustTokenizer.from_file(str(TOKENIZERS / files / "tokenizer.json"))
        for begun in BEGUN:
            messages = official_messages([("user", "q?"), ("assistant", begun)], [])
            ids = rust.encode(processor.render(messages, as_prompt=True)).ids
            assert processor(messages, as_prompt=True).input_ids.tolist() == ids


def test_a_begun_answer_is_cut_as_the_whole_string_is_by_the_released_2b_tokenizer(tmp_path):
    folder = internvl2_2b_folder(tmp_path / "2b")
    assert_begun_as_whole(load_processor(folder))


def assert_begun_as_whole(processor):
    for begun in BEGUN:
        turns = [("user", "<image>\nq?"), ("assistant", begun)]
        messages = official_messages(turns, [BIG])
        prompt = processor.render(messages, as_prompt=True)
        assert prompt == processor.render(messages[:1]) + begun
        inputs = processor(messages, as_prompt=True)
        assert inputs.input_ids.tolist() == processor.tokenizer.encode(prompt, add_bos=True)
        assert inputs.labels is None
        assert inputs.image_digests == processor(messages[:1]).image_digests


def test_control_tokens_in_a_begun_answer_stay_text(processor):
    messages = official_messages([("user", "q"), ("assistant", f"a{processor.template.end}")], [])
    ids = processor(messages, as_prompt=True).input_ids.tolist()
    end = processor.tokenizer.token_id(processor.template.end)
    assert ids.count(end) == processor(messages[:1]).input_ids.tolist().count(end)


def test_the_prompt_of_a_sample_is_its_beginning(processor):
    # Training and serving see the same ids up to the answer.
    question = {"role": "user", "content": [{"type": "image", "image": BIG}, {"type": "text", "text": "q"}]}
    prompt = processor([question]).input_ids
    sample = processor([question, {"role": "assistant", "content": "answer"}])
    assert torch.equal(sample.input_ids[: len(prompt)], prompt)
    assert (sample.labels[: len(prompt)] == -100).all()
    assert sample.labels[len(prompt)] == sample.input_ids[len(prompt)]


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_typed_control_tokens_stay_text_in_every_role(processor, role):
    typed = "<IMG_CONTEXT><img></img><s></s><|im_start|>system<|im_end|><|system|><|user|><|end|><|endoftext|>"

    def conversation(text):
        given = {"system": "S", "user": "Q", "assistant": "A", role: text}
        turns = [("user", given["user"]), ("assistant", given["assistant"]), ("user", "again")]
        return official_messages(turns, [], system=given["system"])

    def control(text):
        ids = processor(conversation(text)).input_ids.tolist()
        tokens = [processor.tokenizer.added_token(token_id) for token_id in ids]
        return [token.text for token in tokens if token]

    assert control(typed) == control("x")
    assert typed in processor.render(conversation(typed))


def test_typed_image_tokens_do_not_count_as_images(processor):
    inputs = processor(("<IMG_CONTEXT>" * 10_000, BIG))
    assert (inputs.input_ids == processor.image_token_id).sum() == 9 * 4


def test_surplus_places_are_refused_before_any_picture_is_opened(processor):
    start = time.perf_counter()
    with pytest.raises(PromptError, match=r"messages\[0\] has 100000 <image> in its text and 1 images"):
        processor(("<image>" * 100_000, "/nowhere/picture.png"))
    assert time.perf_counter() - start < 5
    with pytest.raises(ImageError):
        processor(("<image>", "/nowhere/picture.png"))


def test_a_prompt_that_is_too_long_is_refused_before_its_tiles_are_made(processor, monkeypatch):
    length = len(processor(("x", BIG)).input_ids)
    assert len(processor(("x", BIG), max_length=length).input_ids) == length
    monkeypatch.setattr("ivl.processing.processor.split_tiles", None)
    with pytest.raises(ContextLengthError, match=f"has {length} tokens or more, but at most {length - 1} fit"):
        processor(("x", BIG), max_length=length - 1)
    with pytest.raises(ContextLengthError, match="has 72 tokens or more, but at most 40 fit"):
        processor(("x", [BIG] * 1000), max_length=40)


@pytest.mark.parametrize("name", ["internlm2", "llama-legacy", "llama-phi3"])
def test_a_processor_goes_to_another_process(name):
    # Workers of a data loader may be started afresh and get it pickled.
    template = "phi3-chat" if name == "llama-phi3" else "internlm2-chat"
    processor = tiny_processor(template, name)
    copy = pickle.loads(pickle.dumps(processor))
    prompt = ("What is this? <ref>a</ref> <|im_end|>", BIG)
    assert torch.equal(copy(prompt).input_ids, processor(prompt).input_ids)
    assert copy.render(prompt) == processor.render(prompt)


def test_stop_tokens_come_from_the_folder(folder_of):
    folder = folder_of("tiny-qwen2")
    assert load_processor(folder).serving_stop_token_ids == load_processor(folder).stop_token_ids == {298}
    for value, expected in ((296, {296, 298}), ([296, 298], {296, 298}), (None, {298}), ([], {298})):
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
        processor = load_processor(folder)
        assert processor.stop_token_ids == {298}
        assert processor.serving_stop_token_ids == expected
    for text, error in (("{", "no valid JSON"), ('{"eos_token_id": "x"}', "eos_token_id='x' is no token id")):
        (folder / "generation_config.json").write_text(text)
        with pytest.raises(ConfigError, match=error):
            load_processor(folder)


def test_stop_tokens_of_the_released_2b(tmp_path):
    processor = load_processor(internvl2_2b_folder(tmp_path / "2b"))
    assert processor.stop_token_ids == {92542}
    assert processor.serving_stop_token_ids == {92542, 92543}
    inputs = processor(("你好", PIL.Image.new("RGB", (896, 448))))
    assert inputs.tile_counts == (3,)
    assert (inputs.input_ids == 92546).sum() == 3 * 256
    assert inputs.input_ids[0] == 1
    assert inputs.pixel_values.shape == (3, 3, 448, 448)


def test_a_tokenizer_of_another_model_is_refused(folder_of):
    with pytest.raises(TokenizerError, match="ids up to 307, but the model's vocab_size is 300: the folder's"):
        Processor(tiny_config("Hermes-2", vocab_size=300), load_tokenizer(TOKENIZERS / "qwen2"))
    with pytest.raises(TokenizerError, match=r"no token '<\|system\|>'"):
        Processor(tiny_config("phi3-chat"), load_tokenizer(TOKENIZERS / "qwen2"))
    folder = folder_of("tiny-qwen2")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TokenizerError, match="no tokenizer in"):
        load_processor(folder)
