"""The pipeline and its sessions on tiny official checkpoints: official answers, streams, histories, limits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import ivl
from ivl.engine import EngineCore
from ivl.errors import ContextLengthError, EngineError, PromptError, SettingsError
from ivl.session import Pipeline
from ivl.session.answer import AnswerStream, AnswerText, join, make_request, sampling_params
from ivl.session.pipeline import is_batch
from parity import tiny

GREEDY = ivl.GenerationConfig(max_new_tokens=24, ignore_eos=True)
QUESTION = "What is in this image?"


@pytest.fixture(scope="module")
def pipe(tiny_folder: Callable[[str], Path]) -> Pipeline:
    return ivl.pipeline(tiny_folder("tiny-internlm2"), engine_config=ivl.EngineConfig(device="cpu"))


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """One tile of 56 x 56 pixels."""
    return Image.linear_gradient("L").resize((56, 56)).convert("RGB")


def golden(case: str) -> dict[str, Any]:
    return tiny.golden_json("tiny-internlm2", "generate")[case]


def test_a_text_gets_the_official_answer(pipe: Pipeline) -> None:
    case = golden("gen_text")
    response = pipe(case["question"], gen_config=GREEDY)
    assert list(response.token_ids) == case["generated_ids"]
    assert response.input_token_len == len(case["input_ids"])
    assert response.generate_token_len == 24
    assert response.finish_reason == "length"


def test_every_form_of_a_prompt_is_the_same_prompt(pipe: Pipeline, image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "picture.png")
    forms = [
        (QUESTION, image),
        (QUESTION, [image]),
        (QUESTION, str(tmp_path / "picture.png")),
        (QUESTION, (tmp_path / "picture.png").read_bytes()),
        ("<image>\n" + QUESTION, image),
        [
            {
                "role": "user",
                "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}],
            }
        ],
    ]
    answers = {pipe(form, gen_config=GREEDY).token_ids for form in forms}
    assert len(answers) == 1


def test_a_list_of_prompts_gets_a_list_of_answers(pipe: Pipeline, image: Image.Image) -> None:
    prompts = ["Hello", (QUESTION, image)]
    assert pipe(prompts, gen_config=GREEDY) == [pipe(prompt, gen_config=GREEDY) for prompt in prompts]
    assert pipe([], gen_config=GREEDY) == []
    assert not is_batch([{"role": "user", "content": "Hello"}])


def test_the_stream_is_the_answer_in_pieces(pipe: Pipeline) -> None:
    pieces = list(pipe.stream("Hello", gen_config=GREEDY))
    whole = pipe("Hello", gen_config=GREEDY)
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [piece.finish_reason for piece in pieces[:-1]] == [None] * 23
    assert pieces[-1].finish_reason == whole.finish_reason == "length"


def test_an_end_token_ends_the_answer_and_is_no_text(pipe: Pipeline) -> None:
    case, processor = golden("stop_on_eos"), pipe.processor
    ids = torch.tensor(golden("gen_1img_1tile")["input_ids"])
    sampling = replace(sampling_params(GREEDY, processor), stop_token_ids=frozenset({case["eos_token_id"]}))
    inputs = ivl.ModelInputs(input_ids=ids, pixel_values=tiny.pixels("a"))
    tokens = pipe.engine.generate(make_request(inputs, sampling, None, None))
    text = AnswerText(processor.tokenizer, GREEDY, len(ids), 0)
    response = join(list(AnswerStream([(tokens, text)])))
    assert list(response.token_ids) == case["generated_ids"]
    assert response.finish_reason == "stop"
    assert response.text == processor.tokenizer.decode(case["generated_ids"][:-1])


def test_a_stop_word_ends_the_answer(pipe: Pipeline) -> None:
    whole = pipe("Hello", gen_config=GREEDY).text
    word = whole[10:13]
    response = pipe("Hello", gen_config=replace(GREEDY, stop_words=word))
    assert response.text == whole[: whole.index(word)]
    assert response.finish_reason == "stop"
    assert response.generate_token_len < 24


def test_a_seed_repeats_a_sampled_answer(pipe: Pipeline) -> None:
    sampled = ivl.GenerationConfig(max_new_tokens=16, temperature=1.5, random_seed=3)
    assert pipe("Hello", gen_config=sampled).token_ids == pipe("Hello", gen_config=sampled).token_ids
    assert pipe("Hello", gen_config=replace(sampled, random_seed=4)) != pipe("Hello", gen_config=sampled)


def test_logprobs_come_with_each_token(pipe: Pipeline) -> None:
    response = pipe("Hello", gen_config=replace(GREEDY, logprobs=2))
    assert response.logprobs is not None
    assert [entry.token_id for entry in response.logprobs] == list(response.token_ids)
    assert all(entry.top[0] == (entry.token_id, pytest.approx(entry.logprob)) for entry in response.logprobs)


def test_a_session_remembers(pipe: Pipeline, image: Image.Image) -> None:
    session = pipe.chat((QUESTION, image), gen_config=GREEDY)
    assert session.response == pipe((QUESTION, image), gen_config=GREEDY)
    session = pipe.chat("And now?", session=session, gen_config=GREEDY)
    # The same conversation told in one go, as the official code renders a history.
    history = [
        {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": pipe((QUESTION, image), gen_config=GREEDY).text},
        {"role": "user", "content": "And now?"},
    ]
    assert session.response == pipe(history, gen_config=GREEDY)
    assert [message.role for message in session.messages] == ["user", "assistant"] * 2


def test_a_session_reads_its_picture_once(pipe: Pipeline, image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "picture.png")
    session = pipe.chat((QUESTION, tmp_path / "picture.png"), gen_config=GREEDY)
    (tmp_path / "picture.png").unlink()
    assert pipe.chat("And now?", session=session, gen_config=GREEDY).response is not None


def test_a_stopped_answer_stays_in_the_history(pipe: Pipeline) -> None:
    session = pipe.session(system="Be brief.")
    stream = session.stream("Hello", GREEDY)
    said = next(stream).text + next(stream).text
    stream.close()
    assert session.response is not None
    assert session.response.finish_reason == "abort"
    assert [message.role for message in session.messages] == ["system", "user", "assistant"]
    assert session.messages[-1].parts[0].text == said


def test_a_prompt_that_fails_leaves_the_history_alone(pipe: Pipeline) -> None:
    session = pipe.chat("Hello", gen_config=GREEDY)
    before = session.messages
    with pytest.raises(PromptError):
        pipe.chat("<image> and nothing else", session=session)
    assert session.messages == before


def test_an_answer_ends_at_the_sessions_end(tiny_folder: Callable[[str], Path]) -> None:
    length = len(golden("gen_text")["input_ids"])
    config = ivl.EngineConfig(device="cpu", session_len=length + 5)
    pipe = ivl.pipeline(tiny_folder("tiny-internlm2"), engine_config=config)
    response = pipe(golden("gen_text")["question"], gen_config=GREEDY)
    assert (response.generate_token_len, response.finish_reason) == (5, "length")
    with pytest.raises(ContextLengthError, match="token"):
        pipe("word " * 200, gen_config=GREEDY)


def begun(text: str, question: str = "Hello") -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": text}]


@pytest.mark.parametrize("text", ["Well, (", "The answer is ", "为（"])
def test_a_begun_answer_is_gone_on_with(pipe: Pipeline, text: str) -> None:
    inputs = pipe.processor(begun(text), as_prompt=True)
    model = ivl.load_model(pipe.folder)
    expected = model.generate_greedy(inputs.input_ids, None, 24)
    response = pipe(begun(text), gen_config=GREEDY)
    assert list(response.token_ids) == expected
    assert response.input_token_len == len(inputs.input_ids)
    # Only what is new, with the space that may stand before it.
    whole = pipe.processor.tokenizer.decode([*inputs.input_ids.tolist(), *expected], skip_special_tokens=True)
    assert whole.endswith(f"assistant\n{text}{response.text}")
    assert "".join(piece.text for piece in pipe.stream(begun(text), gen_config=GREEDY)) == response.text


def test_an_answer_begun_with_nothing_is_none(pipe: Pipeline) -> None:
    assert pipe(begun(""), gen_config=GREEDY) == pipe("Hello", gen_config=GREEDY)


def test_begun_answers_go_side_by_side_with_others(pipe: Pipeline, image: Image.Image) -> None:
    pictured = [
        {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]},
        {"role": "assistant", "content": "It is"},
    ]
    prompts = [begun("A"), "Hello", pictured, begun("B")]
    assert pipe(prompts, gen_config=GREEDY) == [pipe(prompt, gen_config=GREEDY) for prompt in prompts]


def test_a_session_keeps_a_begun_answer_whole(pipe: Pipeline) -> None:
    session = pipe.chat(begun("Well, "), gen_config=GREEDY)
    assert session.response == pipe(begun("Well, "), gen_config=GREEDY)
    told = "Well, " + session.response.text
    assert [message.role for message in session.messages] == ["user", "assistant"]
    assert session.messages[-1].parts == (ivl.TextPart(text=told),)
    pipe.chat("And now?", session=session, gen_config=GREEDY)
    assert session.response == pipe([*begun(told), {"role": "user", "content": "And now?"}], gen_config=GREEDY)


def test_an_answer_has_to_be_asked_for(pipe: Pipeline) -> None:
    with pytest.raises(PromptError, match="there is no user message: the model has nothing to answer"):
        pipe(begun("Hi")[1:])
    session = pipe.chat("Hello", gen_config=GREEDY)
    with pytest.raises(PromptError, match="there is no user message"):
        pipe.chat(begun("Hi")[1:], session=session)
    with pytest.raises(PromptError, match="second assistant message in a row"):
        pipe([*begun("Hi"), begun("Ho")[1]])
    assert len(session.messages) == 2


def test_a_closed_pipeline_says_so(tiny_folder: Callable[[str], Path]) -> None:
    with ivl.pipeline(tiny_folder("tiny-qwen2"), engine_config=ivl.EngineConfig(device="cpu")) as pipe:
        assert pipe("Hello", gen_config=GREEDY).text
    with pytest.raises(EngineError, match="closed"):
        pipe("Hello")


def test_weights_that_overflow_fail_with_a_reason(tiny_folder: Callable[[str], Path]) -> None:
    pipe = ivl.pipeline(tiny_folder("tiny-qwen2"), engine_config=ivl.EngineConfig(device="cpu"))

    def overflow(core: EngineCore) -> None:
        with torch.no_grad():
            core.runner.model.language_model.norm.weight[0] = torch.inf

    pipe.engine.call(overflow)
    with pytest.raises(EngineError, match="not finite"):
        pipe("Hello")


def test_lmdeploys_names_work(tiny_folder: Callable[[str], Path]) -> None:
    pipe = ivl.pipeline(str(tiny_folder("tiny-internlm2")), backend_config=ivl.TurbomindEngineConfig(session_len=512))
    assert pipe.session_len == 512
    with pytest.raises(SettingsError, match="same setting"):
        ivl.pipeline(None, None, ivl.EngineConfig(), backend_config=ivl.PytorchEngineConfig())
