"""The time of an answer, stage by stage, on a real pipeline."""

import io

import pytest
from PIL import Image

import ivl
from ivl.explain.timing import measure
from ivl.processing.messages import to_messages


@pytest.fixture(scope="module")
def pipe(tiny_folder):
    with ivl.pipeline(tiny_folder("tiny-qwen2"), engine_config=ivl.EngineConfig(device="cpu")) as pipe:
        yield pipe


def png() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((168, 112)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def test_every_stage_is_timed_with_nothing_in_a_cache(pipe) -> None:
    messages = to_messages(("what?", png()))
    inputs = pipe.processor(messages, as_prompt=True)
    pipe(list(messages), ivl.GenerationConfig(max_new_tokens=2))
    before = pipe.stats
    timing = measure(pipe, messages, inputs, num_tokens=5)
    assert [stage.name for stage in timing.stages] == ["read", "cut", "vision", "prefill", "decode"]
    assert [stage.count for stage in timing.stages] == [1, 1, 7, len(inputs.input_ids), 4]
    assert all(stage.seconds >= 0 for stage in timing.stages)
    assert timing.total_s == pytest.approx(sum(stage.seconds for stage in timing.stages))
    vision, prefill = timing.stages[2:4]
    assert vision.seconds > 0
    assert prefill.seconds > 0
    assert vision.seconds + prefill.seconds == pytest.approx(timing.first_token_s)
    after = pipe.stats
    assert after.cached_tokens == before.cached_tokens
    assert after.encoded_tiles - before.encoded_tiles == 7, "the features of the first time were found"


def test_a_text_alone_has_no_pictures_to_time(pipe) -> None:
    messages = to_messages("what?")
    timing = measure(pipe, messages, pipe.processor(messages, as_prompt=True), num_tokens=1)
    assert [stage.name for stage in timing.stages] == ["prefill"]


def test_pictures_are_read_as_the_caller_says(pipe) -> None:
    seen = []

    def read(messages):
        seen.append(messages)
        return pipe.loaded(list(messages), allow_paths=False)

    messages = to_messages(("what?", png()))
    measure(pipe, messages, pipe.processor(messages, as_prompt=True), num_tokens=1, read=read)
    assert seen == [messages]
    with pytest.raises(ivl.errors.ImageError, match="paths"):
        measure(pipe, to_messages(("what?", "a.png")), pipe.processor(messages, as_prompt=True), read=read)
