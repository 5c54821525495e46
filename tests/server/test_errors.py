"""What is refused: the right status, OpenAI's error body, the field named, nothing of the server told."""

import base64
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import openai
import pytest
from PIL import Image

from ivl.errors import AdapterError, EngineError, SettingsError
from ivl.server.errors import ApiError, api_error
from server.conftest import Live
from server.test_chat import data_uri, image_part


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEADER = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
PIXELS = png_chunk(b"IDAT", zlib.compress(bytes(1000)))
BOMB = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + HEADER + PIXELS).decode()


def picture_message(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]


def url(address: str) -> dict[str, Any]:
    return {"messages": picture_message({"type": "image_url", "image_url": {"url": address}})}


USER = {"role": "user", "content": "x"}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"temperature": "hot"}, "temperature", "temperature='hot' is not allowed"),
    ({"temperature": -1}, "temperature", "temperature=-1"),
    ({"top_p": 0}, "top_p", "top_p=0"),
    ({"n": 0}, "n", "n=0"),
    ({"n": 10**9}, "n", "n=1000000000"),
    ({"n": 17}, "n", "at most 16"),
    ({"max_tokens": 0}, "max_tokens", "max_tokens=0"),
    ({"max_tokens": 2049}, "max_tokens", "at most 2048"),
    ({"max_tokens": True}, "max_tokens", "max_tokens=True"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", "differ"),
    ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "top_logprobs=21"),
    ({"stop": [""]}, "stop", "stop holds ''"),
    ({"stop": ["x"] * 65}, "stop", "stop holds 65"),
    ({"seed": 2**70}, "seed", "seed="),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream=true only"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "frequency_penalty=0.5"),
    ({"logit_bias": {"1": 2}}, "logit_bias", "logit_bias"),
    ({"tools": [{"type": "function"}]}, "tools", "tools"),
    ({"temprature": 1}, "temprature", "did you mean 'temperature'?"),
    ({"chat_template": "{{ x }}"}, "chat_template", "no field of this request"),
    ({"prompt_embeds": "x"}, "prompt_embeds", "no field of this request"),
    ({"messages": []}, "messages", "messages"),
    ({"messages": "hello"}, "messages", "messages='hello'"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'robot'"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "is missing"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "=5"),
    ({"messages": [{"role": "user", "content": [{"type": "audio_url"}]}]}, "messages[0].content[0]", "image_url"),
    (
        {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
        "messages[0].content[0].video_url",
        "missing",
    ),
    ({"media_io_kwargs": {"video": {"fps": 1}}}, "media_io_kwargs.video.fps", "no field of this request"),
    ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs", "no field of this request"),
    ({"documents": [{"text": "x"}]}, "documents", "no field of this request"),
    ({"add_generation_prompt": True}, "add_generation_prompt", "no field of this request"),
    ({"image_embeds": "gANjYnVpbHRpbnMKZXZhbA=="}, "image_embeds", "no field of this request"),
    ({"messages": [USER, USER]}, "messages", "second user message in a row"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages", "no user message"),
    ({"messages": [{"role": "user", "content": "<image> ?"}]}, "messages", "1 <image> in its text and 0 images"),
    ({"response_format": {"type": "yaml"}}, "response_format", "response_format="),
    ({"response_format": {"type": "json_object"}, "regex": "a"}, "regex", "give one"),
    ({"regex": "("}, "regex", "cannot be used"),
    ({"regex": "(a" * 5000}, "regex", "cannot be used"),
    (url("https://example.org/cat.png?secret=1"), "messages", "fetching is switched off"),
    (url("http://169.254.169.254/latest"), "messages", "fetching is switched off"),
    (url("file:///etc/passwd"), "messages", "switched off"),
    (url("/etc/passwd"), "messages", "paths are not allowed"),
    (url("data:text/html;base64,AAAA"), "messages", "data URI"),
    (url("data:image/png;base64,!!!!"), "messages", "base64"),
    (url("data:image/png;base64,AAAA"), "messages", "picture in the data URI"),
    (url(BOMB), "messages", "pixels"),
]


@pytest.mark.parametrize(("given", "param", "words"), BAD, ids=lambda each: str(each)[:40])
def test_a_bad_request_is_told_what_is_wrong(live: Live, given: dict[str, Any], param: str, words: str) -> None:
    response = live.ask(**given)
    error = response.json()["error"]
    assert response.status_code == 400, error
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]
    assert "\n" not in error["message"]
    assert "secret" not in error["message"]
    assert error["param"] == param
    assert live.line(response)["error"] == error["code"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"messages": NaN}', b'{"a": 1e400}',
     b'{"messages": [{"role": "user", "content": "\\ud800"}]}', b'{"seed": ' + b"9" * 5000 + b"}"],
)  # fmt: skip
@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
def test_what_is_no_request_is_a_400(live: Live, body: bytes, route: str) -> None:
    response = live.http.post(route, content=body)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert len(response.json()["error"]["message"]) < 500


def test_clients_raise_the_right_errors(live: Live) -> None:
    with live.openai() as client:
        with pytest.raises(openai.NotFoundError, match="no such model"):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.BadRequestError, match="switched off") as raised:
            client.chat.completions.create(model="small", **url("https://example.org/a.png"))
        assert raised.value.code == "invalid_image"
        assert raised.value.param == "messages"


def test_a_long_prompt_has_openais_code(live: Live) -> None:
    error = live.ask(messages=[{"role": "user", "content": "word " * 5000}]).json()["error"]
    assert error["code"] == "context_length_exceeded"


def test_pictures_have_limits(serve: Callable[..., Any]) -> None:
    small = image_part(Image.new("RGB", (40, 40), "red"))
    wide = image_part(Image.new("RGB", (448, 224), "red"))
    with serve(max_images=2, max_tiles=3, max_image_bytes=4000, max_image_pixels=500_000) as live:
        assert live.ask(messages=picture_message(small, small), max_tokens=1).status_code == 200
        for parts, words in (
            ((small,) * 3, "holds 3 pictures and videos: at most 2"),
            ((wide, wide), "6 tiles: at most 3"),
            ((image_part(Image.effect_noise((100, 100), 99)),), "max_bytes"),
            ((image_part(Image.new("1", (1000, 1000))),), "pixels"),
        ):
            response = live.ask(messages=picture_message(*parts))
            assert response.status_code == 400
            assert words in response.json()["error"]["message"]
        assert live.ask(messages=picture_message(small), max_tokens=1).status_code == 200


def test_a_host_that_is_allowed_is_refused_where_it_is_private(serve: Callable[..., Any]) -> None:
    with serve(image_hosts=("localhost",)) as live:
        error = live.ask(**url(f"http://localhost:{live.url.rpartition(':')[2]}/health")).json()["error"]
        assert "not on the public internet" in error["message"]
        assert "not among allowed_hosts" in live.ask(**url("https://example.org/a.png")).json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405),
     ("GET", "/v1/models/gpt-4o", 404), ("GET", "/docs", 404), ("POST", "/v1/load_adapter", 404),
     ("GET", "/v1/models/../../etc/passwd", 404)],
)  # fmt: skip
def test_other_routes_do_not_exist(live: Live, method: str, path: str, status: int) -> None:
    response = live.http.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_our_own_failures_tell_nothing(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("a secret at 0x7f001122 in /home/user")

    monkeypatch.setattr(live.state.pipe, "stream", fail)
    response = live.ask()
    assert response.status_code == 500
    error = response.json()["error"]
    assert error["type"] == "server_error"
    assert "secret" not in json.dumps(error)
    line = live.line(response)
    assert line["error"].startswith("RuntimeError at test_errors.py:")
    assert "secret" not in json.dumps(line)


def test_an_error_in_the_middle_is_the_last_event(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = live.state.pipe.stream

    class Breaking:
        has_next = False

        def __init__(self, answers: Any) -> None:
            self.answers, self.count = answers, 0

        def __aiter__(self) -> "Breaking":
            return self

        async def __anext__(self) -> Any:
            self.count += 1
            if self.count == 3:
                raise EngineError("the model failed: secret at 0x7f001122")
            return await anext(self.answers)

        def close(self) -> None:
            self.answers.close()

    monkeypatch.setattr(live.state.pipe, "stream", lambda *args, **options: Breaking(stream(*args, **options)))
    response = live.ask(stream=True, ignore_eos=True, max_tokens=50)
    events = response.text.strip().split("\n\n")
    assert response.status_code == 200
    assert len(events) == 3
    assert json.loads(events[-1].removeprefix("data: "))["error"]["type"] == "server_error"
    assert "secret" not in response.text
    with live.openai() as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="small", messages=[{"role": "user", "content": "x"}], stream=True,
                                            extra_body={"ignore_eos": True}))  # fmt: skip


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingsError("max_new_tokens=0 is not allowed"), 400),
        (AdapterError("x"), 404),
        (EngineError("not enough memory for this request"), 500),
        (ValueError("x"), 500),
        (ApiError(429, "x", retry_after_s=3), 429),
    ],
)
def test_each_error_has_its_status(error: Exception, status: int) -> None:
    assert api_error(error).status == status
    assert set(api_error(error).body["error"]) == {"message", "type", "param", "code"}


def test_a_failed_engine_is_a_503() -> None:
    assert api_error(EngineError("x"), is_alive=False).status == 503


def test_requests_words_stand_in_the_message() -> None:
    told = api_error(SettingsError("max_new_tokens=0 is not allowed: see 0x7f00112233"))
    assert told.message == "max_tokens=0 is not allowed: see 0x..."
    assert told.param == "max_tokens"


def test_hostile_pictures_leave_the_server_well(live: Live) -> None:
    for address in (BOMB, data_uri(Image.new("RGB", (1, 1)))[:-60], "data:image/png,", "data:,", ":", "\\\\host\\x"):
        assert live.ask(**url(address)).status_code == 400
    assert live.ask(messages=picture_message(image_part(Image.new("RGB", (1, 1)))), max_tokens=1).status_code == 200
