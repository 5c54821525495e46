"""The most likely letter: what the pipeline answers is the best letter of one plain forward pass, for every prompt."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from PIL import Image

import ivl
import ivl.zoo
from engine_driver import one_thread
from ivl.errors import TokenizerError
from ivl.evals.item import Asked
from ivl.evals.likelihood import letter_config
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.session import Pipeline
from ivl.types import ImagePart, Message, Part, TextPart
from parity.prompts import CONTROL, TOKENIZERS, internvl2_2b_folder

FILES = ["internlm2", "phi3", "qwen2", "yi", "qwen2-slow", "llama-legacy", "llama-phi3", "llama-named", "2b"]
LETTERS = "ABCD"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def pipe() -> Iterator[Pipeline]:
    with ivl.pipeline(engine_config=ivl.EngineConfig(device="cpu", dtype="float32")) as pipe:
        yield pipe


@pytest.fixture(scope="module")
def last_logits(pipe: Pipeline) -> list[torch.Tensor]:
    """(V,) for each question: the plain model's, at the prompt's last position."""
    model, found = ivl.load_model(pipe.folder), []
    for each in questions():
        inputs = pipe.processor(each.messages, as_prompt=True)
        with torch.inference_mode():
            found.append(model(inputs.input_ids, inputs.pixel_values).logits[-1])
    return found


@pytest.fixture(scope="module", params=FILES)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    name: str = request.param
    folder = internvl2_2b_folder(tmp_path_factory.mktemp("real") / "2b") if name == "2b" else TOKENIZERS / name
    return load_tokenizer(folder, CONTROL)


def asked(question: str, begun: str | None = None, images: Sequence[Image.Image] = ()) -> Asked:
    parts: tuple[Part, ...] = tuple(ImagePart(source=image, max_tiles=2) for image in images)
    messages: tuple[Message, ...] = (Message(role="user", parts=(*parts, TextPart(text=question))),)
    if begun is not None:
        messages = (*messages, Message(role="assistant", parts=(TextPart(text=begun),)))
    return Asked(messages=messages)


def swatch(color: str, size: tuple[int, int] = (60, 40)) -> Image.Image:
    return Image.new("RGB", size, color)


def questions() -> list[Asked]:
    choices = "（A) 红色\n（B) 蓝色\n（C) 绿色\n（D) 黄色"
    return [
        asked(f"这是什么颜色？ 选项有: {choices}, 请从中选择一个正确答案，为（", images=[swatch("red")]),
        asked(f"这是什么颜色？ 选项有: {choices}", "我从所提供的选项中选择一个正确答案，为（", [swatch("blue")]),
        asked("Which letter?\nA. one\nB. two\nC. three\nD. four", "my answer would be ("),
        asked("Which letter? D, C, B or A", "The answer is", [swatch("green"), swatch("black", (90, 30))]),
        asked("Which picture shows a bowl of rice?", "I choose "),
        asked("C", "C"),
        asked("D D D D", "D ("),
        asked("B", ""),
    ]


@pytest.mark.parametrize("letters", ["ABCD", "AB", "ABCDEFG"])
def test_the_answer_is_the_best_letter_of_a_plain_forward_pass(
    pipe: Pipeline, last_logits: list[torch.Tensor], letters: str
) -> None:
    by_config: dict[ivl.GenerationConfig, list[int]] = {}
    for index, each in enumerate(questions()):
        by_config.setdefault(letter_config(pipe.processor.tokenizer, each, letters), []).append(index)
    for config, group in by_config.items():
        responses = pipe([list(questions()[index].messages) for index in group], gen_config=config)
        for index, response in zip(group, responses, strict=True):
            best = max(config.allowed_token_ids or (), key=lambda token_id: last_logits[index][token_id].item())
            assert response.token_ids == (best,)
            assert response.text.strip() in set(letters)
    assert sorted(index for group in by_config.values() for index in group) == list(range(len(questions())))


def test_the_model_decides_between_the_letters(pipe: Pipeline) -> None:
    tokenizer = pipe.processor.tokenizer
    said = {pipe(list(each.messages), gen_config=letter_config(tokenizer, each, LETTERS)).text for each in questions()}
    assert len(said) > 1


@pytest.mark.parametrize("begun", [None, "", "（", "我选择（", "my answer would be (", "Answer: ", "答案：", "(\n"])
def test_letters_follow_the_prompts_end_as_the_official_code_cuts_them(tokenizer: Tokenizer, begun: str | None) -> None:
    config = letter_config(tokenizer, asked("?", begun), LETTERS)
    assert config.allowed_token_ids is not None
    assert [tokenizer.token_bytes(each).decode() for each in config.allowed_token_ids] == list(LETTERS)
    before = tokenizer.encode(f"assistant\n{begun or ''}")
    for letter, token_id in zip(LETTERS, config.allowed_token_ids, strict=True):
        whole = tokenizer.encode(f"assistant\n{begun or ''}{letter}")
        assert whole == [*before, token_id] or whole[: len(before)] != before


@pytest.mark.parametrize("begun", ["The answer is", "Answer:", "1."])
def test_a_letter_is_set_off_from_a_word_where_the_vocabulary_can(tokenizer: Tokenizer, begun: str) -> None:
    config = letter_config(tokenizer, asked("?", begun), LETTERS)
    said = [tokenizer.token_bytes(each).decode() for each in config.allowed_token_ids or ()]
    assert said in ([f" {letter}" for letter in LETTERS], list(LETTERS))
    spaced = all(len(tokenizer.encode(f"\n {letter}")) == len(tokenizer.encode("\n")) + 1 for letter in LETTERS)
    assert (said[0] == " A") == spaced


class NoD:
    """A tokenizer that writes D in two tokens."""

    def encode(self, text: str, add_bos: bool = False) -> list[int]:
        return [byte for char in text.encode() for byte in ([0, 1] if char == ord("D") else [char])]

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id])


def test_a_letter_that_is_no_single_token_is_named() -> None:
    assert letter_config(NoD(), asked("?"), "ABC").allowed_token_ids == (65, 66, 67)
    with pytest.raises(TokenizerError, match="the letter 'D' is not a single token behind the prompt"):
        letter_config(NoD(), asked("?"), "ABCD")
