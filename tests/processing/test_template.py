"""Prompts and labels against the official conversation.py and dataset.py."""

import dataclasses
import itertools

import pytest

from ivl.errors import ConfigError, PromptError
from ivl.processing.placement import arrange
from ivl.processing.segments import IMAGE, Segment, fill_images, text_of
from ivl.processing.template import TEMPLATES, Turn, get_template
from ivl.processing.tokenizer_files import load_tokenizer
from parity.prompts import (
    TOKENIZERS,
    golden_labels,
    golden_prompts,
    golden_turns,
    labelled_turns,
    official_messages,
)

PROMPTS = golden_prompts()
LABELS = golden_labels()
MISMATCHES = {"more_placeholders_than_images", "fewer_placeholders_than_images"}
PROMPT_CASES = [
    (template, name)
    for template in TEMPLATES
    for name in PROMPTS["templates"][template]["cases"]
    if name != "batch_chat"
]
LABEL_CASES = [(template, index) for template in TEMPLATES for index in range(len(LABELS[template]))]


def turns_of(messages):
    """Turns as the processor makes them, every picture one place."""
    return [
        Turn(
            role=message.role,
            segments=tuple(Segment(p) if isinstance(p, str) else IMAGE for p in arrange(message, index)),
        )
        for index, message in enumerate(messages)
    ]


def prompt_of(template, question, num_patches, history=None, system=None):
    case = {"question": question, "history": history}
    messages = official_messages(golden_turns(case), [b"image"] * len(num_patches), system)
    segments = get_template(template).prompt(turns_of(messages))
    return text_of(fill_images(segments, [3 * count for count in num_patches]))


@pytest.mark.parametrize(("template", "name"), PROMPT_CASES)
def test_prompt_equals_official(template, name):
    case = PROMPTS["templates"][template]["cases"][name]
    patches = case["num_patches_list"]
    if name == "empty_history_list_no_placeholder":
        # The official code forgets the image where history is an empty list; there is no image to place.
        patches = []
    arguments = (template, case["question"], patches, case["history"], case["system_message"])
    if name in MISMATCHES:
        with pytest.raises(PromptError, match=r"^messages\[0\] has \d <image> in its text and \d images: "):
            prompt_of(*arguments)
    else:
        assert prompt_of(*arguments) == case["prompt"]
        assert get_template(template).end == case["stop_token"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_batch_prompts_equal_official(template):
    batch = PROMPTS["templates"][template]["cases"]["batch_chat"]
    prompts = [
        prompt_of(template, question, [count])
        for question, count in zip(batch["questions"], batch["num_patches_list"], strict=True)
    ]
    assert prompts == batch["prompts"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_system_message_and_end_are_the_official_ones(template):
    golden = PROMPTS["templates"][template]
    assert get_template(template).system == golden["default_system_message"]
    assert get_template(template).end + get_template(template).after_end == golden["sep"]


@pytest.mark.parametrize(("template", "index"), LABEL_CASES)
def test_ids_and_labels_equal_official(template, index):
    case = LABELS[template][index]
    images = [] if case["text_only"] else case["num_image_token_list"]
    messages = official_messages(labelled_turns(case), [b"image"] * len(images))
    segments = fill_images(get_template(template).sample(turns_of(messages)), images)
    tokenizer = load_tokenizer(TOKENIZERS / case["tokenizer"], get_template(template).control_tokens)
    encoded = tokenizer.encode_segments(segments)
    labels = [token if trained else -100 for token, trained in zip(encoded.ids, encoded.trained, strict=True)]
    # Truncation and padding are the batch's work: they cut or lengthen both lists alike.
    length = min(case["attention_mask_sum"], len(encoded.ids))
    assert encoded.ids[:length] == case["input_ids"][:length]
    assert labels[:length] == case["labels"][:length]
    assert length == len(encoded.ids) or case["mode"] == "truncated"
    assert set(case["labels"][length:]) <= {-100}


def test_label_cases_hold_every_kind():
    kinds = {(case["sample"], case["mode"]) for cases in LABELS.values() for case in cases}
    assert {"unpadded", "padded", "truncated"} == {mode for _, mode in kinds}
    assert {"whitespace", "starts_with_gpt", "empty_answer_last"} <= {sample for sample, _ in kinds}


def test_an_empty_turn_of_a_prompt_has_no_end_token():
    # The official get_prompt writes only the opening where a message is empty.
    turns = [Turn(role="user", segments=(Segment(""),))]
    assert text_of(get_template("Hermes-2").prompt(turns)).endswith(
        "<|im_end|><|im_start|>user\n<|im_start|>assistant\n"
    )


def test_generation_prompt_can_be_left_out():
    turns = [Turn(role="user", segments=(Segment("hi"),))]
    with_it, without = (
        text_of(get_template("phi3-chat").prompt(turns, add_generation_prompt=add)) for add in (True, False)
    )
    assert with_it == without + "<|assistant|>\n"


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_begun_answer_stays_open_and_as_it_was_typed(template):
    turns = [Turn(role=role, segments=(Segment(f" {role} "),)) for role in ("user", "assistant")]
    segments = template.begun(turns)
    assert text_of(segments) == text_of(template.prompt(turns[:1])) + " assistant "
    assert not any(segment.trained for segment in segments)


def test_only_answers_are_trained():
    roles = ["system", "user", "assistant", "user", "assistant"]
    turns = [Turn(role=role, segments=(Segment(f"{role}{index}"),)) for index, role in enumerate(roles)]
    for template in TEMPLATES.values():
        trained = [segment.text for segment in template.sample(turns) if segment.trained]
        assert trained == ["assistant2", template.end, "assistant4", template.end]


def test_white_space_around_images_stays_in_a_stripped_sample():
    turns = [
        Turn(role="user", segments=(IMAGE, Segment("\n"), Segment("  a  "), IMAGE, Segment("\n "))),
        Turn(role="assistant", segments=(Segment(" \n b \n"),)),
    ]
    text = text_of(get_template("internlm2-chat").sample(turns))
    assert text.endswith("user\n<image>\n  a  <image><|im_end|><|im_start|>assistant\nb<|im_end|>")


def test_a_drawn_opening_answer_is_dropped_only_in_samples():
    turns = [Turn(role=role, segments=(Segment(role),)) for role in ("assistant", "user")]
    assert "assistant\nassistant" in text_of(get_template("internlm2-chat").prompt(turns))


def test_an_unknown_template_is_named():
    with pytest.raises(ConfigError, match=r"template='internlm-chat' .* did you mean 'internlm2-chat'\?"):
        get_template("internlm-chat")


def test_templates_share_nothing_that_can_be_changed():
    for first, second in itertools.combinations(TEMPLATES.values(), 2):
        assert first != second
    with pytest.raises(dataclasses.FrozenInstanceError):
        TEMPLATES["internlm2-chat"].openings.user = None
    with pytest.raises(TypeError):
        TEMPLATES["internlm2-chat"] = None
