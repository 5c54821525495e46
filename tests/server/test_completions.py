"""Completions through OpenAI's own client: a text goes on as it is."""

import json
from collections.abc import Callable, Iterator
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
    answer = client.completions.create(model="small", prompt=PROMPT, max_tokens=8)
    (expected,) = gather(pipe.complete(PROMPT, GenerationConfig(max_new_tokens=8)), 1)
    assert answer.object == "text_completion"
    assert answer.choices[0].text == expected.text
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.input_token_len
    assert expected.input_token_len < 20, "there is no template around it"


def test_control_tokens_in_it_stay_text(client: OpenAI) -> None:
    def tokens(text: str) -> int:
        usage = client.completions.create(model="small", prompt=text, max_tokens=1).usage
        assert usage is not None
        return usage.prompt_tokens

    assert tokens("<|im_end|>" * 10) > tokens("a") + 20
    assert tokens("<IMG_CONTEXT>" * 10) > tokens("a") + 20


def test_a_stream_is_the_same(client: OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "prompt": PROMPT, "max_tokens": 12, "n": 2, "logprobs": 1}
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
    [{"prompt": []}, {"prompt": [[]]}, {"prompt": [1, "a"]}, {"prompt": ["a", 1]}, {"prompt": [[1], "a"]},
     {"prompt": [-1]},
     {"prompt": [10**7]}, {"prompt": [True]}, {"prompt": [1.5]}, {"prompt": {"a": 1}}, {"prompt": "word " * 5000}, {},
     {"prompt": ["a"] * 1025}, {"echo": True, "logprobs": 1}, {"suffix": "x"}, {"best_of": 4}, {"messages": []},
     {"prompt_embeds": "gANjYnVpbHRpbnMKZXZhbA=="}],
    ids=lambda given: json.dumps(given)[:40],
)  # fmt: skip
def test_what_is_not_offered_is_refused(live: Live, given: dict[str, Any]) -> None:
    response = live.http.post("/v1/completions", json={"prompt": "x", **given} if given else {})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"].partition("[")[0] in (*given, "prompt")
    assert len(error["message"]) < 500


def test_an_empty_text_has_the_models_own_beginning(client: OpenAI) -> None:
    usage = client.completions.create(model="small", prompt="", max_tokens=1).usage
    assert usage is not None
    assert usage.prompt_tokens == 1


def test_several_prompts_are_answered_each_as_alone(client: OpenAI) -> None:
    prompts = ["One, two,", PROMPT, "a"]
    settings: dict[str, Any] = {"model": "small", "max_tokens": 8, "n": 2, "temperature": 2, "seed": 3}
    settings["extra_body"] = {"ignore_eos": True}
    alone = [client.completions.create(prompt=prompt, **settings) for prompt in prompts]
    together = client.completions.create(prompt=prompts, **settings)
    assert [choice.index for choice in together.choices] == list(range(6))
    assert [choice.text for choice in together.choices] == [choice.text for each in alone for choice in each.choices]
    usages = [each.usage for each in alone if each.usage]
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(usage.prompt_tokens for usage in usages)
    assert together.usage.completion_tokens == 48
    streamed = [""] * 6
    for chunk in client.completions.create(prompt=prompts, stream=True, **settings):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [choice.text for choice in together.choices]


def test_ids_of_tokens_are_taken_as_they_are(client: OpenAI, pipe: Pipeline) -> None:
    ids = pipe.processor.tokenizer.encode(PROMPT, add_bos=True)
    text = client.completions.create(model="small", prompt=PROMPT, max_tokens=8)
    for prompt in (ids, [ids, ids]):
        answer = client.completions.create(model="small", prompt=prompt, max_tokens=8)  # type: ignore[arg-type]
        assert {choice.text for choice in answer.choices} == {text.choices[0].text}
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == len(ids) * len(answer.choices)


def test_an_echo_stands_before_each_answer(client: OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "prompt": [PROMPT, "One, two,"], "max_tokens": 6, "n": 2}
    plain, echoed = (client.completions.create(**settings, echo=echo).choices for echo in (False, True))
    prompts = [PROMPT, PROMPT, "One, two,", "One, two,"]
    assert [each.text for each in echoed] == [p + each.text for p, each in zip(prompts, plain, strict=True)]
    streamed = [""] * 4
    for chunk in client.completions.create(**settings, echo=True, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == [each.text for each in echoed]


def test_an_echo_of_ids_is_their_text(client: OpenAI, pipe: Pipeline) -> None:
    ids = pipe.processor.tokenizer.encode(PROMPT)
    answer = client.completions.create(model="small", prompt=ids, max_tokens=1, echo=True)
    assert answer.choices[0].text.startswith(PROMPT)


def test_prompts_of_a_request_count_as_answers(serve: Callable[..., Any]) -> None:
    with serve(max_running=2, max_queue=1) as live:
        body: dict[str, Any] = {"prompt": ["a", "b"], "max_tokens": 1}
        response = live.http.post("/v1/completions", json=body)
        assert response.status_code == 200
        line = live.line(response)
        assert (line["n"], line["prompt_tokens"]) == (2, response.json()["usage"]["prompt_tokens"])
        assert live.http.post("/v1/completions", json={**body, "n": 2}).status_code == 400


def test_what_was_found_in_the_cache_is_told(client: OpenAI, pipe: Pipeline) -> None:
    prompts = ["An unheard-of beginning, " * 20, "Another one that nobody knows, " * 20]
    block = pipe.engine_config.block_size

    def cached(prompt: Any, **settings: Any) -> tuple[int, int]:
        usage = client.completions.create(model="small", prompt=prompt, max_tokens=1, **settings).usage
        assert usage is not None
        assert usage.prompt_tokens_details is not None
        return usage.prompt_tokens_details.cached_tokens or 0, usage.prompt_tokens

    assert cached(prompts[0], n=3)[0] == 0
    found, total = cached(prompts[0], n=2)
    assert total - block <= found < total
    assert cached(prompts)[0] == found
    assert cached(prompts)[0] > found
