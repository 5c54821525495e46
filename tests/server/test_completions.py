"""Completions through OpenAI's own client: a text goes on as it is."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from ivl.session import Pipeline
from ivl.session.answer import gather
from ivl.types import GenerationConfig
from server.conftest import Live

PROMPT = "The colour of a ripe banana is"


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[OpenAI]:
    with live.openai() as made:
        yield made


def test_a_text_goes_on(client: OpenAI, pipe: Pipeline) -> None:
    answer = client.completions.create(model="seedling", prompt=PROMPT, max_tokens=8)
    (expected,) = gather(pipe.complete(PROMPT, GenerationConfig(max_new_tokens=8)), 1)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == expected.text
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.input_token_len
    assert expected.input_token_len < 20, "there is no template around it"


def test_control_tokens_in_it_stay_text(client: OpenAI) -> None:
    def tokens(text: str) -> int:
        usage = client.completions.create(model="seedling", prompt=text, max_tokens=1).usage
        assert usage is not None
        return usage.prompt_tokens

    assert tokens("<|im_end|>" * 10) > tokens("a") + 20
    assert tokens("<IMG_CONTEXT>" * 10) > tokens("a") + 20


def test_a_stream_is_the_same(client: OpenAI) -> None:
    settings: dict[str, Any] = {"model": "seedling", "prompt": PROMPT, "max_tokens": 12, "n": 2, "logprobs": 1}
    settings |= {"temperature": 2, "seed": 3, "extra_body": {"ignore_eos": True}}
    whole = client.completions.create(**settings)
    chunks = list(client.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage == whole.usage
    for index, choice in enumerate(whole.choices):
        own = [chunk.choices[0] for chunk in chunks[:-1] if chunk.choices[0].index == index]
        assert "".join(piece.text for piece in own) == choice.text
        assert choice.logprobs is not None
        assert choice.logprobs.tokens is not None
        assert len(choice.logprobs.tokens) == 12
        assert choice.logprobs.text_offset is not None
        assert choice.logprobs.text_offset[0] == 0
        assert sum(len(piece.logprobs.tokens or ()) for piece in own if piece.logprobs) == 12
        assert own[-1].finish_reason == choice.finish_reason == "length"


@pytest.mark.parametrize(
    "given",
    [{"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {}, {"echo": True}, {"suffix": "x"}, {"best_of": 4}, {"messages": []}],
    ids=json.dumps,
)
def test_what_is_not_offered_is_refused(live: Live, given: dict[str, Any]) -> None:
    response = live.http.post("/v1/completions", json={"prompt": "x", **given} if given else {})
    assert response.status_code == 400
    assert response.json()["error"]["param"] in (*given, "prompt")


def test_an_empty_text_has_the_models_own_beginning(client: OpenAI) -> None:
    usage = client.completions.create(model="seedling", prompt="", max_tokens=1).usage
    assert usage is not None
    assert usage.prompt_tokens == 1
