"""Answers of a given form: whatever the logits say, the text has the form; and a hostile form fails soon, alone."""

import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine_driver import one_thread
from ivl.engine.request import SamplingParams
from ivl.engine.sampler import SamplingState, choose
from ivl.errors import InputError, MissingExtraError, SettingsError
from ivl.processing.detokenizer import IncrementalDecoder
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.session import grammar
from ivl.session.grammar import MAX_GRAMMARS, GrammarMask, Grammars
from ivl.types import GenerationConfig
from parity.prompts import CONTROL, TOKENIZERS, internvl2_2b_folder

TINY = ["internlm2", "phi3", "qwen2", "llama-legacy", "llama-phi3"]
NO_FIXTURE_RESET = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DISH = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "price": {"type": "integer", "minimum": 1, "maximum": 999},
        "spicy": {"type": "boolean"},
        "tags": {"type": "array", "items": {"enum": ["川菜", "粤菜", "甜"]}, "maxItems": 3},
    },
    "required": ["name", "price", "spicy", "tags"],
    "additionalProperties": False,
}
PADDING = 5
"""Rows of the logits beyond the tokenizer's ids, as models have them."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """These tensors are small: on a busy machine threads would only wait for each other."""
    with one_thread():
        yield


class Model:
    """A tokenizer with random logits for a model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.vocab_size = tokenizer.vocab_size + PADDING
        self.stop = next(token_id for token_id in range(tokenizer.vocab_size) if tokenizer.added_token(token_id))
        self.grammars = Grammars(tokenizer, self.vocab_size, {self.stop})

    def answer(self, seed: int, most: int = 300, **form: Any) -> tuple[str, bool]:
        """A random answer of the form, decoded as the session decodes it, and whether it has ended by itself."""
        mask = self.grammars.token_mask(GenerationConfig(**form))
        params = SamplingParams(max_new_tokens=most, temperature=1.0, seed=seed)
        state = SamplingState(params, torch.tensor([1]), mask)
        generator = torch.Generator().manual_seed(seed)
        decoder, text = IncrementalDecoder(self.tokenizer), ""
        for _ in range(most):
            logits = 2 * torch.randn(1, self.vocab_size, generator=generator)
            logits[0, self.stop] += 3  # so that what can end does
            (choice,) = choose(logits, [state])
            assert choice.error is None, choice.error
            if choice.token_id == self.stop:
                return text + decoder.flush(), True
            text += decoder.push(choice.token_id)
        return text, False


@pytest.fixture(scope="module", params=TINY)
def model(request: pytest.FixtureRequest) -> Model:
    return Model(load_tokenizer(TOKENIZERS / request.param, CONTROL))


@pytest.fixture(scope="module")
def qwen2() -> Model:
    return Model(load_tokenizer(TOKENIZERS / "qwen2", CONTROL))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(load_tokenizer(internvl2_2b_folder(tmp_path_factory.mktemp("real") / "InternVL2-2B"), CONTROL))


def schema(of: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": of}}}


def check_dish(text: str) -> None:
    dish = json.loads(text)
    assert dish.keys() == DISH["properties"].keys()  # type: ignore[attr-defined]
    assert isinstance(dish["name"], str)
    assert len(dish["name"]) <= 6
    assert type(dish["price"]) is int
    assert 1 <= dish["price"] <= 999
    assert isinstance(dish["spicy"], bool)
    assert len(dish["tags"]) <= 3
    assert set(dish["tags"]) <= {"川菜", "粤菜", "甜"}


@NO_FIXTURE_RESET
@given(seed=st.integers(0, 10**6))
def test_random_logits_make_json_of_the_schema(model: Model, seed: int) -> None:
    text, has_ended = model.answer(seed, **schema(DISH))
    assert has_ended
    check_dish(text)


@NO_FIXTURE_RESET
@given(
    seed=st.integers(0, 10**6),
    pattern=st.sampled_from(
        ["[A-D]", r"\d{2,4}元", "(麻婆|红烧)豆腐!?", "a/b|a\\.b", "(a+)+", "x y?", "a\nb", "[\\d,]{3}"]
    ),
)
def test_random_logits_match_the_regular_expression(model: Model, seed: int, pattern: str) -> None:
    text, has_ended = model.answer(seed, regex=pattern)
    assert has_ended
    assert re.fullmatch(pattern, text), text
    text, _ = model.answer(seed, response_format={"type": "regex_schema", "regex_schema": pattern})
    assert re.fullmatch(pattern, text), text


@NO_FIXTURE_RESET
@given(
    seed=st.integers(0, 10**6),
    choices=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=5),
)
def test_a_choice_is_one_of_its_texts(model: Model, seed: int, choices: list[str]) -> None:
    # Where the tokenizer drops an answer's first space, no answer can begin with one.
    drops = model.tokenizer.space_rule != "keep"
    sayable = [choice for choice in choices if not (drops and choice.startswith(" "))]
    if not sayable:
        with pytest.raises(SettingsError, match="begins with a space"):
            model.grammars.token_mask(GenerationConfig(choice=tuple(choices)))
        return
    text, has_ended = model.answer(seed, choice=tuple(choices))
    assert has_ended
    assert text in sayable


def test_the_real_vocabulary_of_92553_tokens(real: Model) -> None:
    assert real.vocab_size > 92_000
    for seed in range(2):
        check_dish(real.answer(seed, **schema(DISH))[0])
        assert real.answer(seed, choice=("麻婆豆腐", "宫保鸡丁", " A"))[0] in {"麻婆豆腐", "宫保鸡丁", " A"}


def test_any_json_object(qwen2: Model) -> None:
    ended = 0
    for seed in range(6):
        text, has_ended = qwen2.answer(seed, response_format={"type": "json_object"})
        assert text.startswith("{")
        if has_ended:
            ended += 1
            assert isinstance(json.loads(text), dict)
    assert ended


@pytest.mark.parametrize("form", [{}, {"response_format": {"type": "text"}}], ids=str)
def test_a_free_form_has_no_mask(qwen2: Model, form: dict[str, Any]) -> None:
    assert qwen2.grammars.token_mask(GenerationConfig(**form)) is None


def allowed(mask: GrammarMask) -> set[int]:
    words = mask.bitmask()
    return {32 * at + bit for at, word in enumerate(words.tolist()) for bit in range(32) if word >> bit & 1}


@pytest.mark.parametrize("vocab_size", [992, 1000, 1024])
def test_a_mask_has_a_bit_for_each_token_and_no_word_more(qwen2: Model, vocab_size: int) -> None:
    vocab_size += -(-qwen2.tokenizer.vocab_size // 32) * 32
    grammars = Grammars(qwen2.tokenizer, vocab_size, {qwen2.stop})
    mask = grammars.token_mask(GenerationConfig(choice=("yes", "no")))
    assert mask is not None
    assert mask.bitmask().shape == (-(-vocab_size // 32),)


def test_a_finished_answer_allows_end_tokens_only(qwen2: Model) -> None:
    mask = qwen2.grammars.token_mask(GenerationConfig(choice=("A",)))
    assert mask is not None
    mask.accept(qwen2.tokenizer.encode("A")[0])
    assert allowed(mask) == {qwen2.stop}
    for _ in range(3):  # as under ignore_eos
        mask.accept(qwen2.stop)
        assert allowed(mask) == {qwen2.stop}


def test_end_tokens_added_tokens_and_padding_are_no_text(qwen2: Model) -> None:
    mask = qwen2.grammars.token_mask(GenerationConfig(regex=r"[\s\S]{1,999}"))
    assert mask is not None
    tokens = allowed(mask)
    assert not tokens & set(range(qwen2.tokenizer.vocab_size, qwen2.vocab_size))
    assert not any(qwen2.tokenizer.added_token(token_id) for token_id in tokens)
    assert len(tokens) > 100


def test_each_answer_has_its_own_mask_and_a_copy_goes_its_own_way(qwen2: Model) -> None:
    config = GenerationConfig(choice=("AB", "AC"))
    first, second = qwen2.grammars.token_mask(config), qwen2.grammars.token_mask(config)
    assert first is not None
    assert second is not None
    (a,) = qwen2.tokenizer.encode("A")
    first.accept(a)
    copied = first.copy()
    copied.accept(qwen2.tokenizer.encode("B")[0])
    assert a in allowed(second)
    assert allowed(first) == {qwen2.tokenizer.encode(char)[0] for char in "BC"}
    assert allowed(copied) == {qwen2.stop}


def test_a_token_outside_the_form_is_told(qwen2: Model) -> None:
    mask = qwen2.grammars.token_mask(GenerationConfig(choice=("A",)))
    assert mask is not None
    with pytest.raises(InputError, match="cannot be followed any further"):
        mask.accept(qwen2.tokenizer.encode("B")[0])


def deep(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        value = {"type": "object", "properties": {"a": value}, "required": ["a"]}
    return value


def in_itself() -> dict[str, Any]:
    value: dict[str, Any] = {"type": "object"}
    value["properties"] = {"a": value}
    return value


HOSTILE: dict[str, dict[str, Any]] = {
    "parentheses": {"regex": "(" * 5000 + ")" * 5000},
    "repeated repetition": {"regex": "(((a{1000}){1000}){1000})"},
    "unclosed": {"regex": "a("},
    "look-ahead": {"regex": "(?=a)b"},
    "back-reference": {"regex": r"(a)\1"},
    "nothing matches": {"regex": r"[^\s\S]"},
    "long choices": {"choice": tuple(f"{i:04d}" + "豆腐" * 490 for i in range(1024))},
    "itself": schema({"$ref": "#"}),
    "a circle": schema({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
    "fetched": schema({"$ref": "http://127.0.0.1:9/x"}),
    "a file": schema({"$ref": "file:///etc/passwd"}),
    "unsatisfiable": schema({"type": "string", "minLength": 5, "maxLength": 2}),
    "no type": schema({"allOf": [{"type": "string"}, {"type": "integer"}]}),
    "unknown type": schema({"type": "dish"}),
    "deep": schema(deep(500)),
    "very deep": schema(deep(100_000)),
    "in itself": schema(in_itself()),
    "long": schema({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(20_000)}}),
    "NaN": schema({"const": float("nan")}),
    "huge number": schema({"type": "integer", "maximum": 10**5000}),
    "surrogate": schema({"const": "\ud800"}),
    "no JSON": schema({"const": {1, 2}}),
    "many patterns at once": schema({"allOf": [{"type": "string", "pattern": f".*{i}.*"} for i in range(20)]}),
    "multiple of a large prime": schema({"type": "integer", "multipleOf": 10**9 + 7}),
    "multiples at once": schema({"allOf": [{"type": "integer", "multipleOf": p} for p in (7, 11, 13, 17, 19, 23)]}),
    "multiple of nothing": schema({"type": "integer", "multipleOf": 0}),
    "all combinations": schema(
        {"allOf": [{"anyOf": [{"minLength": i}, {"maxLength": 99 + i}, {"minimum": i}]} for i in range(20)]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_form_is_refused_soon(qwen2: Model, form: dict[str, Any]) -> None:
    config = GenerationConfig(**form)
    begin = time.perf_counter()
    for _ in range(2):  # compiled, then remembered
        with pytest.raises(SettingsError) as caught:
            qwen2.grammars.token_mask(config)
        message = str(caught.value)
        assert message.startswith(("regex=", "choice=", "response_format"))
        assert len(message) < 500
        assert "0x" not in message
    # Tens of milliseconds; the bound leaves room for a busy machine.
    assert time.perf_counter() - begin < 10
    assert qwen2.answer(1, regex="[AB]")[0] in {"A", "B"}


@pytest.mark.parametrize("pattern", ["foo**", "(a+)+", "(a|aa)+b?", "(x+x+)+y", "(.*a){20}"])
def test_what_makes_other_engines_hang_is_done_at_once(qwen2: Model, pattern: str) -> None:
    begin = time.perf_counter()
    text, _ = qwen2.answer(3, most=60, regex=pattern)
    assert time.perf_counter() - begin < 10
    assert text


def test_thousands_of_forms_are_not_all_remembered(qwen2: Model) -> None:
    grammars = Grammars(qwen2.tokenizer, qwen2.vocab_size, {qwen2.stop})
    for index in range(3 * MAX_GRAMMARS):
        grammars.token_mask(GenerationConfig(choice=(f"dish {index}",)))
    assert len(grammars._known) == MAX_GRAMMARS


def test_a_remembered_form_is_not_compiled_again(qwen2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    grammars = Grammars(qwen2.tokenizer, qwen2.vocab_size, {qwen2.stop})
    assert grammars.token_mask(GenerationConfig(regex="[A-D]"))
    monkeypatch.setattr(grammar, "_probe", None)
    assert grammars.token_mask(GenerationConfig(regex="[A-D]"))
    with pytest.raises(TypeError):
        grammars.token_mask(GenerationConfig(regex="[A-E]"))


def test_a_model_without_an_end_token_is_told(qwen2: Model) -> None:
    with pytest.raises(SettingsError, match="needs an end token"):
        Grammars(qwen2.tokenizer, qwen2.vocab_size, ()).token_mask(GenerationConfig(regex="a"))


def test_without_llguidance_the_way_out_is_named(qwen2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"ivl\[structured\]\""):
        Grammars(qwen2.tokenizer, qwen2.vocab_size, {qwen2.stop}).token_mask(GenerationConfig(regex="a"))
