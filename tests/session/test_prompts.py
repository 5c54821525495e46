"""Prompts made ready: videos are read once, plain prompts may be several and may be ids."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine_driver import one_thread
from exact_pipeline import exact_pipeline
from ivl.errors import ImageError, InputError
from ivl.session import Pipeline, VideoLimits
from ivl.session.answer import gather
from ivl.types import GenerationConfig, Message, TextPart, VideoPart
from videos import moving_picture, video

FEW = GenerationConfig(max_new_tokens=6, ignore_eos=True)
PROMPTS = ["One, two,", "A bowl of rice and"]


@pytest.fixture(scope="module")
def pipe(tiny_folder: Callable[[str], Path]) -> Iterator[Pipeline]:
    with one_thread(), exact_pipeline(tiny_folder("tiny-internlm2"), session_len=600) as pipe:
        yield pipe


def about(part: VideoPart) -> list[Message]:
    return [Message(role="user", parts=(part, TextPart(text="What happens?")))]


@pytest.mark.parametrize("kind", ["mp4", "GIF"])
def test_a_video_that_is_loaded_is_the_same_to_the_model(pipe: Pipeline, kind: str) -> None:
    data = video(12) if kind == "mp4" else moving_picture(kind)
    messages = about(VideoPart(source=data, num_frames=3))
    loaded = pipe.loaded(messages)
    frames = loaded[0].parts[0].frames  # type: ignore[union-attr]
    side = pipe.config.image_size
    assert frames is not None
    assert [frame.size for frame in frames] == [(side, side)] * 3
    own, ready = pipe.processor(messages), pipe.processor(loaded)
    assert own.input_ids.tolist() == ready.input_ids.tolist()
    assert own.pixel_values is not None
    assert ready.pixel_values is not None
    assert own.pixel_values.equal(ready.pixel_values)
    assert pipe(messages, FEW).token_ids == pipe(loaded, FEW).token_ids
    assert pipe.loaded(loaded) == loaded, "what is loaded is not read again"


def test_a_conversation_keeps_the_frames(pipe: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "v.gif"
    path.write_bytes(moving_picture("GIF"))
    session = pipe.chat(about(VideoPart(source=path, num_frames=2)), gen_config=FEW)
    path.unlink()
    assert pipe.chat("And then?", session=session, gen_config=FEW).response is not None


def test_videos_of_strangers_have_limits(pipe: Pipeline, tmp_path: Path) -> None:
    data = moving_picture("GIF")
    (tmp_path / "v.gif").write_bytes(data)
    with pytest.raises(ImageError, match="max_frames"):
        pipe.loaded(about(VideoPart(source=data)), video_limits=VideoLimits(max_frames=5))
    with pytest.raises(ImageError, match="paths are not allowed"):
        pipe.loaded(about(VideoPart(source=tmp_path / "v.gif")), allow_paths=False)


def test_several_plain_prompts_are_answered_each_as_alone(pipe: Pipeline) -> None:
    settings = GenerationConfig(max_new_tokens=6, ignore_eos=True, n=2, temperature=1.0, random_seed=3)
    alone = [answer for prompt in PROMPTS for answer in gather(pipe.complete(prompt, settings), 2)]
    together = gather(pipe.complete(PROMPTS, settings), 4)
    assert [answer.token_ids for answer in together] == [answer.token_ids for answer in alone]
    assert [answer.index for answer in together] == [0, 1, 2, 3]


def test_a_plain_prompt_may_be_ids(pipe: Pipeline) -> None:
    ids = [pipe.processor.tokenizer.encode(prompt, add_bos=True) for prompt in PROMPTS]
    texts = gather(pipe.complete(PROMPTS, FEW), 2)
    assert [each.token_ids for each in gather(pipe.complete(ids, FEW), 2)] == [each.token_ids for each in texts]
    assert gather(pipe.complete(ids[0], FEW), 1)[0].token_ids == texts[0].token_ids
    with pytest.raises(InputError, match="holds ids from"):
        pipe.complete([ids[0], [10**6]], FEW)
    pipe.engine.call(lambda core: core.check_idle())


def test_what_was_found_in_the_cache_is_counted_once(pipe: Pipeline) -> None:
    prompt = "A long beginning that nobody gave before, " * 12
    first, again = (gather(pipe.complete(prompt, FEW), 1)[0] for _ in range(2))
    assert first.cached_token_len == 0
    assert 0 < again.cached_token_len < again.input_token_len
    assert again == first, "what was found changes no answer"
