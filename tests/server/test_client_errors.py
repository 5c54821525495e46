"""Every kind of refusal, as OpenAI's own client raises it: its class, status and body."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from random_requests import eventually, held
from server.conftest import Live

Serve = Callable[..., Any]
KEY = "alice-0123456789abcdef"
BODY: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}


def refused(live: Live, key: str = KEY, **given: Any) -> openai.APIStatusError:
    """What the client raises, with a whole body in one line."""
    with live.openai(key) as client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(**{**BODY, **given})
    error = raised.value
    assert isinstance(error.body, dict)
    assert set(error.body) == {"message", "type", "param", "code"}
    assert error.body["message"]
    assert "\n" not in error.body["message"]
    assert error.type == error.body["type"]
    assert error.code == error.body["code"]
    return error


@pytest.mark.parametrize(
    ("given", "kind", "status", "code"),
    [
        ({"temperature": -1}, openai.BadRequestError, 400, "invalid_value"),
        ({"messages": []}, openai.BadRequestError, 400, "invalid_value"),
        ({"extra_body": {"no_such_field": 1}}, openai.BadRequestError, 400, "unknown_parameter"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, openai.BadRequestError, 400,
         "context_length_exceeded"),
        ({"model": "gpt-4o"}, openai.NotFoundError, 404, "model_not_found"),
        ({"key": "wrong-0123456789abcdef"}, openai.AuthenticationError, 401, "invalid_api_key"),
        ({"extra_headers": {"Origin": "https://evil.example"}}, openai.PermissionDeniedError, 403, "foreign_origin"),
        ({"extra_headers": {"Host": "evil.example"}}, openai.PermissionDeniedError, 403, "foreign_host"),
        ({"messages": [{"role": "user", "content": "x" * 2**17}]}, openai.APIStatusError, 413, "body_too_large"),
        ({"extra_headers": {"Content-Encoding": "gzip"}}, openai.APIStatusError, 415, "bad_encoding"),
    ],
    ids=lambda each: each.__name__ if isinstance(each, type) else str(each)[:30],
)  # fmt: skip
def test_a_refusal_has_its_class(
    limited: Live, given: dict[str, Any], kind: type[Exception], status: int, code: str
) -> None:
    error = refused(limited, **given)
    assert type(error) is kind
    assert (error.status_code, error.code) == (status, code)


@pytest.fixture(scope="module")
def limited(pipe: Any) -> Any:
    from server.conftest import listening

    with listening(pipe, (f"alice:{KEY}",), max_body_bytes=2**16) as live:
        yield live


def test_a_full_queue(serve: Serve) -> None:
    with serve(max_running=1, max_queue=0, retry_after_s=3) as live, ThreadPoolExecutor(1) as pool:
        with held(live.state.pipe.engine):
            waiting = pool.submit(live.ask, max_tokens=1)
            eventually(lambda: live.state.gate.num_answers == 1)
            error = refused(live)
        assert type(error) is openai.RateLimitError
        assert error.type == "rate_limit_error"
        assert error.response.headers["retry-after"] == "3"
        assert waiting.result().status_code == 200


def test_a_server_that_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as live:
        monkeypatch.setattr(live.state, "is_draining", True)
        error = refused(live)
        assert (type(error), error.status_code, error.code) == (openai.InternalServerError, 503, "draining")


def test_an_error_of_completions_names_its_prompt(live: Live) -> None:
    with live.openai() as client, pytest.raises(openai.BadRequestError) as raised:
        client.completions.create(model="small", prompt=["a", "word " * 5000], max_tokens=1)
    assert (raised.value.param, raised.value.code) == ("prompt", "context_length_exceeded")


def test_a_refused_stream_raises_before_its_first_chunk(live: Live) -> None:
    with live.openai() as client, pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**{**BODY, "n": 0}, stream=True)
