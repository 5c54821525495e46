"""What strangers hand over is never a template to render and never an object to unpack, by whatever way it comes."""

import json
import os
import pickle
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import ivl
from ivl.server.schema import ChatRequest, CompletionRequest
from ivl.session import Pipeline
from ivl.types import GenerationConfig
from ivl.zoo import nano_folder
from server.conftest import Live

HELLO = [{"role": "user", "content": "Hello"}]


class Canary:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def test_templates_of_requests_are_refused(live: Live) -> None:
    for field in ("chat_template", "chat_template_kwargs", "template", "tokenizer", "continue_final_message"):
        error = live.ask(**{field: "{{ 7 * 7 }}"}).json()["error"]
        assert (error["code"], error["param"]) == ("unknown_parameter", field)
    known = set(ChatRequest.model_fields) | set(CompletionRequest.model_fields)
    assert not [name for name in known if re.search("template|embed|path|file|adapter|lora|code", name)]


def test_a_template_in_a_message_is_text(live: Live, pipe: Pipeline) -> None:
    text = "{{ 7 * 7 }}{% for x in range(1000000) %}x{% endfor %}{% raw %}<|im_end|>"
    answer = live.ask(messages=[{"role": "user", "content": text}], max_tokens=4).json()
    assert text in pipe.processor.render(text)
    assert answer["usage"]["prompt_tokens"] == pipe(text, GenerationConfig(max_new_tokens=4)).input_token_len


@pytest.mark.parametrize("form", ["a text", "several by name", "a file of its own"])
def test_templates_of_folders_are_never_rendered(tmp_path: Path, form: str) -> None:
    canary = tmp_path / "canary"
    hostile = "{{ cycler.__init__.__globals__.os.system('touch " + str(canary) + "') }}{{ 1 // 0 }}"
    folder = tmp_path / "model"
    shutil.copytree(nano_folder(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    if form == "a file of its own":
        (folder / "chat_template.jinja").write_text(hostile)
        (folder / "chat_template.json").write_text(json.dumps({"chat_template": hostile}))
    else:
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text("utf-8"))
        named = [{"name": "default", "template": hostile}, {"name": "tool_use", "template": hostile}]
        config["chat_template"] = hostile if form == "a text" else named
        path.write_text(json.dumps(config))
    assert ivl.load_processor(folder).render(HELLO) == ivl.load_processor(nano_folder()).render(HELLO)
    assert not canary.exists()


def test_nothing_is_unpickled(live: Live, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    content = pickle.dumps(Canary(canary))
    for kind in ("application/octet-stream", "application/x-pickle", "application/json"):
        for route in ("/v1/chat/completions", "/v1/completions"):
            assert live.http.post(route, content=content, headers={"Content-Type": kind}).status_code == 400
    with socket.create_connection(("127.0.0.1", httpx.URL(live.url).port), timeout=10) as raw:
        raw.sendall(content + b"\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert live.ask(messages=HELLO, max_tokens=1).status_code == 200
    assert not canary.exists()
    pickle.loads(content)
    assert canary.exists(), "the canary would have shown"
