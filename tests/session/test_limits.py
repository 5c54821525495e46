"""What cannot be done is refused with one clear line to who asked for it, soon, and nobody else notices."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import ivl
from engine_driver import one_thread
from exact_pipeline import assert_baseline, exact_pipeline, picture
from ivl.engine import memory
from ivl.errors import AdapterError, ContextLengthError, EngineError, IvlError, PromptError, SettingsError
from ivl.processing import processor as processor_module
from ivl.session import Pipeline
from ivl.types import EngineConfig, GenerationConfig
from random_adapter import make_adapter, tensors_of, write_adapter

LONG = GenerationConfig(max_new_tokens=40, ignore_eos=True)
SHORT = GenerationConfig(max_new_tokens=5, ignore_eos=True)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def pipe(tiny_folder: Callable[[str], Path]) -> Iterator[Pipeline]:
    with exact_pipeline(tiny_folder("tiny-internlm2"), session_len=600) as pipe:
        yield pipe


@pytest.fixture(scope="module")
def alone(pipe: Pipeline) -> tuple[int, ...]:
    """What the neighbour is told who asks alone."""
    return pipe("Tell me of noodles.", LONG).token_ids


@contextmanager
def refused(pipe: Pipeline, alone: tuple[int, ...], kind: type[IvlError], match: str, seconds: float) -> Iterator[None]:
    """What is done inside raises such an error, in one line and in time, while another's answer runs unharmed."""
    with_neighbour = pipe.stream("Tell me of noodles.", LONG)
    first = next(with_neighbour).token_ids
    start = time.monotonic()
    with pytest.raises(kind, match=match) as told:
        yield
    took = time.monotonic() - start
    assert took < seconds, f"the refusal took {took:.1f} s"
    assert "\n" not in str(told.value)
    assert "0x" not in str(told.value)
    assert len(str(told.value)) < 600
    rest = tuple(token_id for piece in with_neighbour for token_id in piece.token_ids)
    assert first + rest == alone
    assert_baseline(pipe)


def test_a_prompt_of_200000_tokens(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    text = " noodle" * 200_000
    with refused(pipe, alone, ContextLengthError, "tokens.* at most 599 fit", seconds=10):
        pipe(text, SHORT)


def test_500_images_are_refused_before_they_are_cut(
    pipe: Pipeline, alone: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = processor_module.load_image

    def load_image(source: Any, **options: Any) -> Any:
        opened.append(source)
        return real(source, **options)

    def never(*_: Any) -> None:
        raise AssertionError("a tile was made")

    monkeypatch.setattr(processor_module, "load_image", load_image)
    monkeypatch.setattr(processor_module, "split_tiles", never)
    monkeypatch.setattr(processor_module, "tiles_to_tensor", never)
    with refused(pipe, alone, ContextLengthError, "at most 599 fit.*fewer images", seconds=2):
        pipe(("How many?", [picture(1)] * 500), SHORT)
    assert len(opened) <= 151, "4 tokens each: the 150th was one too many"


def test_a_chat_that_outgrows_the_session(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    session = pipe.session()
    with refused(pipe, alone, ContextLengthError, "at most 599 fit.*session_len", seconds=60):
        for turn in range(100):
            before = session.messages
            pipe.chat(f"And {turn}? Say it at some length, please.", session, LONG)
    assert session.messages == before, "a turn that was refused is no part of the history"
    assert len(before) >= 2
    assert session.response is not None


def test_without_memory_there_is_no_pipeline(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(EngineError, match=r"no memory for the key-value cache: 0.00 GiB are free on cpu") as told:
        ivl.pipeline(tiny_folder("tiny-internlm2"), engine_config=EngineConfig(device="cpu"))
    assert "\n" not in str(told.value)


def test_with_little_memory_the_cache_is_small_and_the_prompt_is_told(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1_000_000)
    folder = tiny_folder("tiny-internlm2")
    with ivl.pipeline(folder, engine_config=EngineConfig(device="cpu", max_batch_size=8)) as pipe:
        capacity = pipe.stats.num_blocks * pipe.engine_config.block_size
        assert 200 < capacity < 1000
        with pytest.raises(ContextLengthError, match=f"at most {capacity - 1} fit"):
            pipe("word " * 500, SHORT)
        assert pipe("Hello", SHORT).generate_token_len == 5
        full = pipe("Hello", replace(SHORT, max_new_tokens=5000))
        assert full.input_token_len + full.generate_token_len == capacity
        assert full.finish_reason == "length"


def test_an_adapter_of_the_wrong_shape(pipe: Pipeline, alone: tuple[int, ...], tmp_path: Path) -> None:
    adapter = make_adapter(1, pipe.config)
    tensors = {name: tensor.float() for name, tensor in tensors_of(adapter).items()}
    good = write_adapter(tmp_path / "good", tensors)
    name = next(reversed(tensors))
    bad = write_adapter(tmp_path / "bad", tensors | {name: torch.zeros(3, 3)})
    pipe.load_adapter("good", good)
    with refused(pipe, alone, AdapterError, r"has the shape \[3, 3\], but the model needs", seconds=5):
        pipe.load_adapter("bad", bad)
    assert pipe.engine.call(lambda core: core.runner.adapters.names) == ("good",)
    with refused(pipe, alone, AdapterError, "an adapter 'good' is loaded already", seconds=5):
        pipe.load_adapter("good", good)
    with refused(pipe, alone, AdapterError, "no adapter 'bad' is loaded; loaded: 'good'", seconds=2):
        pipe("Hello", SHORT, adapter="bad")
    with refused(pipe, alone, AdapterError, "nowhere is no folder", seconds=2):
        pipe.load_adapter("other", tmp_path / "nowhere")
    assert pipe("Hello", LONG, adapter="good").token_ids != pipe("Hello", LONG).token_ids
    pipe.unload_adapter("good")
    with refused(pipe, alone, AdapterError, "no adapter 'good' is loaded; loaded: none", seconds=2):
        pipe.unload_adapter("good")


def test_a_pipeline_whose_adapter_does_not_fit_is_not_left_running(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    tensors = {name: tensor.float() for name, tensor in tensors_of(make_adapter(1)).items()}
    folder = write_adapter(tmp_path / "other-model", tensors)
    with pytest.raises(AdapterError, match="made for another model"):
        ivl.pipeline(tiny_folder("tiny-internlm2"), adapter=folder, engine_config=EngineConfig(device="cpu"))


UNSATISFIABLE = {
    "nothing allowed": {"type": "json_schema", "json_schema": {"schema": {"enum": []}}},
    "two types at once": {
        "type": "json_schema",
        "json_schema": {"schema": {"allOf": [{"type": "integer"}, {"type": "string"}]}},
    },
    "unreachable reference": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/$defs/none"}}},
    "remote reference": {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://127.0.0.1:9/x.json"}}},
}


@pytest.mark.parametrize("case", UNSATISFIABLE)
def test_a_schema_that_cannot_be_satisfied(pipe: Pipeline, alone: tuple[int, ...], case: str) -> None:
    with refused(pipe, alone, SettingsError, "response_format", seconds=2):
        pipe("Hello", GenerationConfig(max_new_tokens=5, response_format=UNSATISFIABLE[case]))


def test_all_that_may_come_is_forbidden(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    tokens = tuple(pipe.processor.tokenizer.encode("yes")[:1] + pipe.processor.tokenizer.encode("y")[:1])
    with refused(pipe, alone, EngineError, "no token is allowed at new token 0", seconds=2):
        pipe("Hello", GenerationConfig(max_new_tokens=5, choice=("yes",), bad_token_ids=(*tokens, *range(290))))


def test_an_empty_prompt_is_a_prompt_or_is_refused(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    for prompt in ("", " ", [{"role": "user", "content": []}]):
        assert pipe(prompt, SHORT).generate_token_len == 5
    for prompt in ((), ("a",), [{}], [{"role": "user"}]):
        with pytest.raises(PromptError):
            pipe.stream(prompt, SHORT)
    with refused(pipe, alone, PromptError, "a prompt cannot be None", seconds=2):
        pipe(None, SHORT)


NUMBERS = {
    "max_new_tokens": (0, -1, 10**10),
    "n": (0, -1, 129, 10**9),
    "temperature": (-1, float("nan"), float("inf"), 1e400),
    "top_p": (0, -1, float("nan"), 1.5),
    "repetition_penalty": (0, -1, float("nan"), float("inf")),
    "logprobs": (-1, 21, 10**9),
    "stop_words": ([""], ["a"] * 65, ["a" * 1001]),
    "bad_words": (["a"] * 1025,),
    "random_seed": (-1, 2**63),
}


@pytest.mark.parametrize("field", NUMBERS)
def test_a_setting_out_of_bounds(field: str) -> None:
    for value in NUMBERS[field]:
        start = time.monotonic()
        with pytest.raises(SettingsError, match=field) as told:
            GenerationConfig(**{field: value})
        assert time.monotonic() - start < 0.5
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 300


def test_one_bad_prompt_in_a_list_fails_the_list_and_frees_the_rest(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    with refused(pipe, alone, ContextLengthError, "at most 599 fit", seconds=10):
        pipe(["Hello", "Tell me more.", "word " * 2000, *["And more."] * 60], replace(LONG, max_new_tokens=20))


def test_as_many_answers_as_allowed_leave_others_their_turn(pipe: Pipeline, alone: tuple[int, ...]) -> None:
    stream = pipe.stream("Hello", replace(LONG, n=128, temperature=1.0, max_new_tokens=4))
    assert pipe("Tell me of noodles.", replace(LONG, max_new_tokens=30)).token_ids == alone[:30]
    stream.close()
    assert_baseline(pipe)
