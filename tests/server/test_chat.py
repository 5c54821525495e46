"""Chat completions through OpenAI's own client: the session's answers, in OpenAI's form."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from PIL import Image

from ivl.server.settings import ServerSettings
from ivl.session import Pipeline
from ivl.types import GenerationConfig
from ivl.zoo import sample_pictures
from server.conftest import Live

TEXT = [{"role": "user", "content": "Write a long story about a dog."}]
LONG = {"ignore_eos": True}


def data_uri(picture: Path | Image.Image) -> str:
    if isinstance(picture, Path):
        return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def image_part(picture: Path | Image.Image, **options: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": data_uri(picture), **options}}


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[OpenAI]:
    with live.openai() as made:
        yield made


def test_a_text_gets_the_sessions_answer(client: OpenAI, pipe: Pipeline) -> None:
    answer = client.chat.completions.create(model="small", messages=TEXT, max_tokens=12)
    expected = pipe("Write a long story about a dog.", GenerationConfig(max_new_tokens=12))
    assert answer.choices[0].message.content == expected.text
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == expected.finish_reason
    assert answer.object == "chat.completion"
    assert answer.model == "small"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.input_token_len
    assert answer.usage.completion_tokens == expected.generate_token_len
    assert answer.usage.total_tokens == expected.input_token_len + expected.generate_token_len


def test_pictures_stand_in_their_places(client: OpenAI, pipe: Pipeline) -> None:
    first, second = sample_pictures()[:2]
    content = [
        {"type": "text", "text": "First: "},
        image_part(first),
        {"type": "text", "text": "Second: "},
        image_part(second, detail="low"),
        {"type": "text", "text": "Which dish is the first?"},
    ]
    answer = client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": content}], max_tokens=12
    )
    own = [
        {"type": "text", "text": "First: "},
        {"type": "image", "image": str(first)},
        {"type": "text", "text": "Second: "},
        {"type": "image", "image": str(second), "max_tiles": 1},
        {"type": "text", "text": "Which dish is the first?"},
    ]
    expected = pipe([{"role": "user", "content": own}], GenerationConfig(max_new_tokens=12))
    assert answer.choices[0].message.content == expected.text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == expected.input_token_len


def test_a_placeholder_in_the_text_is_a_pictures_place(client: OpenAI, pipe: Pipeline) -> None:
    picture = sample_pictures()[0]
    content = [image_part(picture), {"type": "text", "text": "Look: <image> What is it?"}]
    answer = client.chat.completions.create(
        model="small", messages=[{"role": "user", "content": content}], max_tokens=8
    )
    expected = pipe(("Look: <image> What is it?", str(picture)), GenerationConfig(max_new_tokens=8))
    assert answer.choices[0].message.content == expected.text


def test_a_conversation_with_a_system_message(client: OpenAI, pipe: Pipeline) -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "Be short."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!", "refusal": None, "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "What is red?"}]},
    ]
    answer = client.chat.completions.create(model="small", messages=messages, max_tokens=8)
    own = [
        {"role": "system", "content": "Be short."},
        *({"role": m["role"], "content": m["content"]} for m in messages[1:]),
    ]
    assert answer.choices[0].message.content == pipe(own, GenerationConfig(max_new_tokens=8)).text


def test_a_stream_is_the_same_answer_in_pieces(client: OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "messages": TEXT, "max_tokens": 24, "temperature": 1, "seed": 5}
    settings["extra_body"] = LONG
    whole = client.chat.completions.create(**settings)
    chunks = list(client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0] for chunk in chunks[:-1]]
    assert len(pieces) > 3
    assert "".join(piece.delta.content or "" for piece in pieces) == whole.choices[0].message.content
    assert pieces[0].delta.role == "assistant"
    assert all(piece.delta.role is None for piece in pieces[1:])
    assert [piece.finish_reason for piece in pieces if piece.finish_reason] == [whole.choices[0].finish_reason]
    assert pieces[-1].finish_reason
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_on_the_wire(live: Live) -> None:
    response = live.ask(stream=True, max_tokens=4)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert all(chunk["object"] == "chat.completion.chunk" and "usage" not in chunk for chunk in chunks)


def test_several_answers_each_with_its_own_seed(client: OpenAI, pipe: Pipeline) -> None:
    settings: dict[str, Any] = {"model": "small", "messages": TEXT, "max_tokens": 16, "temperature": 2, "n": 3}
    settings["extra_body"] = LONG
    answer = client.chat.completions.create(**settings, seed=11)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    own = GenerationConfig(max_new_tokens=16, temperature=2, n=3, random_seed=11, ignore_eos=True)
    expected = pipe("Write a long story about a dog.", own)
    assert texts == [each.text for each in expected]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == sum(each.generate_token_len for each in expected)
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**settings, seed=11, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == texts


def test_logprobs_are_those_of_the_tokens(client: OpenAI, pipe: Pipeline) -> None:
    settings: dict[str, Any] = {"model": "small", "messages": TEXT, "max_tokens": 6, "logprobs": True}
    answer = client.chat.completions.create(**settings, top_logprobs=2)
    choice = answer.choices[0]
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    expected = pipe("Write a long story about a dog.", GenerationConfig(max_new_tokens=6, logprobs=2))
    assert expected.logprobs is not None
    spoken = bytes(byte for entry in choice.logprobs.content for byte in entry.bytes or ())
    assert spoken.decode() == choice.message.content
    for entry, token in zip(choice.logprobs.content, expected.logprobs, strict=False):
        # One prompt computed in other company differs in the last bits.
        assert entry.logprob == pytest.approx(token.logprob, abs=1e-4)
        assert len(entry.top_logprobs) == 2
        assert entry.top_logprobs[0].logprob == pytest.approx(token.top[0][1], abs=1e-4)
    streamed = [
        entry
        for chunk in client.chat.completions.create(**settings, top_logprobs=0, stream=True)
        if chunk.choices[0].logprobs
        for entry in chunk.choices[0].logprobs.content or ()
    ]
    assert [entry.token for entry in streamed] == [entry.token for entry in choice.logprobs.content]
    assert all(entry.top_logprobs == [] for entry in streamed)


def test_an_answer_ends_before_a_stop_text(client: OpenAI) -> None:
    settings: dict[str, Any] = {
        "model": "small",
        "messages": TEXT,
        "max_tokens": 16,
        "extra_body": {"ignore_eos": True},
    }
    whole = client.chat.completions.create(**settings).choices[0].message.content or ""
    stop = whole[3:5]
    choice = client.chat.completions.create(**settings, stop=[stop]).choices[0]
    assert choice.message.content == whole[: whole.index(stop)]
    assert choice.finish_reason == "stop"
    streamed = list(client.chat.completions.create(**settings, stop=stop, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == choice.message.content
    assert streamed[-1].choices[0].finish_reason == "stop"


def test_a_length_is_told_as_such(client: OpenAI) -> None:
    choice = client.chat.completions.create(
        model="small", messages=TEXT, max_completion_tokens=3, extra_body=LONG
    ).choices[0]
    assert choice.finish_reason == "length"


SCHEMA = {
    "type": "object",
    "properties": {"dish": {"enum": ["rice", "soup"]}, "hot": {"type": "boolean"}},
    "required": ["dish", "hot"],
    "additionalProperties": False,
}


def test_json_of_a_schema(client: OpenAI) -> None:
    schema = {"name": "dish", "strict": True, "schema": SCHEMA}
    answer = client.chat.completions.create(
        model="small",
        messages=TEXT,
        response_format={"type": "json_schema", "json_schema": schema},
    )
    value = json.loads(answer.choices[0].message.content or "")
    assert set(value) == {"dish", "hot"}
    assert value["dish"] in ("rice", "soup")
    assert isinstance(value["hot"], bool)
    assert answer.choices[0].finish_reason == "stop"


def test_a_schema_that_is_none_is_told(client: OpenAI) -> None:
    schema = {"name": "dish", "schema": {"type": "no such type"}}
    with pytest.raises(openai.BadRequestError, match="response_format"):
        client.chat.completions.create(
            model="small", messages=TEXT, response_format={"type": "json_schema", "json_schema": schema}
        )


def test_a_choice(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="small", messages=TEXT, extra_body={"choice": ["certainly", "never"]})
    assert answer.choices[0].message.content in ("certainly", "never")


def test_an_answer_that_is_begun_goes_on(client: OpenAI, pipe: Pipeline) -> None:
    messages: list[Any] = [{"role": "user", "content": "Count to five."}, {"role": "assistant", "content": "One, two"}]
    answer = client.chat.completions.create(model="small", messages=messages, max_tokens=6)
    assert answer.choices[0].message.content == pipe(messages, GenerationConfig(max_new_tokens=6)).text


def test_settings_that_are_not_given_are_the_servers(serve: Callable[..., Any]) -> None:
    """Greedy, at most as many tokens as by default."""
    assert ServerSettings().default_max_tokens == GenerationConfig().max_new_tokens
    with serve(default_max_tokens=9) as live:
        first, second = live.ask(ignore_eos=True), live.ask(ignore_eos=True, temperature=0)
        assert first.json()["choices"] == second.json()["choices"]
        assert live.line(first)["completion_tokens"] == 9


def test_a_seed_makes_an_answer_anew(client: OpenAI) -> None:
    def text(seed: int) -> str | None:
        settings: dict[str, Any] = {"max_tokens": 16, "temperature": 2, "seed": seed, "extra_body": LONG}
        return client.chat.completions.create(model="small", messages=TEXT, **settings).choices[0].message.content

    assert text(1) == text(1)
    assert text(1) != text(2)


def test_json_of_a_schema_streams(client: OpenAI) -> None:
    settings: dict[str, Any] = {"model": "small", "messages": TEXT}
    settings["response_format"] = {"type": "json_schema", "json_schema": {"name": "dish", "schema": SCHEMA}}
    chunks = client.chat.completions.create(**settings, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == client.chat.completions.create(**settings).choices[0].message.content
    assert set(json.loads(text)) == {"dish", "hot"}


def test_what_was_found_in_the_cache_is_told(client: OpenAI, pipe: Pipeline) -> None:
    picture = Image.effect_noise((200, 200), 50).convert("RGB")
    content = [image_part(picture), {"type": "text", "text": "What is it? " * 10}]
    settings: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": content}], "max_tokens": 1}

    def cached(**more: Any) -> tuple[int, int]:
        answer = client.chat.completions.create(**settings, **more)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        return answer.usage.prompt_tokens_details.cached_tokens or 0, answer.usage.prompt_tokens

    first, _ = cached()
    again, total = cached(n=2)
    assert first < again, "another picture in the same place is not this one"
    assert total - pipe.engine_config.block_size <= again < total
    chunks = list(client.chat.completions.create(**settings, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens_details is not None
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == again


def test_lmdeploys_name_for_the_tiles_of_a_picture(client: OpenAI) -> None:
    wide = Image.new("RGB", (448, 224), "red")

    def tokens(**options: Any) -> int:
        messages: Any = [{"role": "user", "content": [image_part(wide, **options), {"type": "text", "text": "?"}]}]
        usage = client.chat.completions.create(model="small", messages=messages, max_tokens=1).usage
        assert usage is not None
        return usage.prompt_tokens

    assert tokens(max_dynamic_patch=1) == tokens(max_tiles=1) == tokens(detail="low") < tokens()
