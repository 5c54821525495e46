"""Models, health, metrics, the API's own description."""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import TypeAdapter

import ivl
from ivl.server.schema import ChatRequest, CompletionRequest
from ivl.session import Pipeline
from ivl.types import GenerationConfig
from ivl.zoo import nano_folder
from random_adapter import make_adapter, tensors_of, write_adapter
from server.conftest import Live
from server.prometheus_text import parse

MESSAGES: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory, pipe: Pipeline) -> Iterator[str]:
    """The name of an adapter that is loaded beside the base model."""
    adapter = make_adapter(1, ivl.load_config(nano_folder()), parts=("language_model",), scale=2.0)
    folder: Path = write_adapter(tmp_path_factory.mktemp("adapter"), tensors_of(adapter))
    pipe.load_adapter("food", folder)
    yield "food"
    pipe.unload_adapter("food")


def test_the_model_of_a_request_is_the_base_or_an_adapter(
    serve: Callable[..., Any], adapted: str, pipe: Pipeline
) -> None:
    own = GenerationConfig(max_new_tokens=8, ignore_eos=True)
    with serve(adapters=(adapted,)) as live, live.openai() as client:
        listed = client.models.list().data
        assert [(model.id, model.to_dict()["parent"]) for model in listed] == [("small", None), ("food", "small")]
        assert client.models.retrieve("food").id == "food"
        texts = {}
        for name, adapter in (("small", None), ("food", "food")):
            answer = client.chat.completions.create(
                model=name, messages=MESSAGES, max_tokens=8, extra_body={"ignore_eos": True}
            )
            assert answer.model == name
            texts[name] = answer.choices[0].message.content
            assert texts[name] == pipe("Hello", own, adapter=adapter).text
        assert texts["food"] != texts["small"]
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("foods")
        assert 'ivl_answers_total{model="food",finish_reason="length"} 1' in live.http.get("/metrics").text


def test_a_name_with_a_slash(serve: Callable[..., Any]) -> None:
    with serve(name="OpenGVLab/InternVL2-2B") as live, live.openai() as client:
        assert client.models.retrieve("OpenGVLab/InternVL2-2B").id == "OpenGVLab/InternVL2-2B"
        assert live.ask(model="OpenGVLab/InternVL2-2B", max_tokens=1).json()["model"] == "OpenGVLab/InternVL2-2B"


def test_health(live: Live) -> None:
    assert live.http.get("/health").json() == {"status": "ok"}
    assert live.http.get("/ready").json() == {"status": "ready"}


def test_an_engine_that_failed_shows(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(live.state), "is_alive", False)
    assert live.http.get("/health").status_code == 503
    assert live.http.get("/ready").status_code == 503
    response = live.ask()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "engine_failed"


def test_metrics_count(serve: Callable[..., Any]) -> None:
    with serve() as live:
        before = live.state.pipe.stats
        answer = live.ask(max_tokens=5, ignore_eos=True).json()
        live.ask(max_tokens=0)
        live.http.get("/nothing-at-all?secret=1")
        live.lines(3)  # a request is counted and told of after its client has the answer
        response = live.http.get("/metrics")
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        values = parse(response.text)
        chat = "/v1/chat/completions"
        assert values[f'ivl_requests_total{{route="{chat}",status="200"}}'] == 1
        assert values[f'ivl_requests_total{{route="{chat}",status="400"}}'] == 1
        assert values['ivl_requests_total{route="other",status="404"}'] == 1
        assert values["ivl_time_to_first_token_seconds_count"] == 1
        assert values["ivl_inter_token_latency_seconds_count"] == answer["usage"]["completion_tokens"] - 1
        assert values["ivl_engine_generated_tokens_total"] == before.generated_tokens + 5
        assert values["ivl_engine_running"] == values["ivl_answers"] == values["ivl_body_bytes"] == 0
        assert values["ivl_engine_free_blocks"] == values["ivl_engine_num_blocks"]
        assert "secret" not in response.text


def test_a_line_for_each_request_holds_nothing_that_was_said(serve: Callable[..., Any]) -> None:
    with serve() as live:
        answer = live.ask(
            messages=[{"role": "user", "content": "my secret"}], max_tokens=3, user="secret", ignore_eos=True
        )
        live.lines(1)  # a request is told of after its client has the answer
        live.ask(model="secret")
        live.lines(2)
        live.http.get("/v1/models/secret")
        lines = live.lines(3)
    assert "secret" not in json.dumps(lines)
    assert [line["status"] for line in lines] == [200, 404, 404]
    first = lines[0]
    assert first["route"] == "/v1/chat/completions"
    assert first["id"] == answer.headers["x-request-id"]
    assert (first["model"], first["n"], first["completion_tokens"], first["finish"]) == ("small", 1, 3, "length")
    assert 0 < first["ttft_ms"] <= first["total_ms"]
    assert lines[1]["error"] == "model_not_found"
    assert answer.json()["choices"][0]["message"]["content"] not in json.dumps(first) or not answer.text


def test_the_document_describes_what_is_there(live: Live) -> None:
    document = live.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        "/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}", "/health", "/ready", "/metrics",
    }  # fmt: skip
    models = {"/v1/chat/completions": ChatRequest, "/v1/completions": CompletionRequest}
    for path, model in models.items():
        body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            TypeAdapter(model).validate_json(json.dumps(example["value"]))
            assert live.http.post(path, json={**example["value"], "max_tokens": 64}).status_code == 200
    assert "422" not in json.dumps(document)
    assert "404" in document["paths"]["/v1/models/{model}"]["get"]["responses"]
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(names) <= set(document["components"]["schemas"])


def test_the_page_shows_its_examples_without_scripts(live: Live) -> None:
    response = live.http.get("/")
    assert response.headers["content-type"].startswith("text/html")
    assert "<script" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "POST /v1/chat/completions" in response.text
    command = re.findall(r"<code>(curl .*?)</code>", response.text, re.DOTALL)[0].replace("&#x27;", "'")
    words = shlex.split(command.replace("&quot;", '"'))
    assert live.http.post("/v1/chat/completions", content=words[words.index("-d") + 1]).status_code == 200
