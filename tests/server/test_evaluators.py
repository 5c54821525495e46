"""What lmms-eval and VLMEvalKit send is answered as the pipeline answers it; docs/evaluators.md sets them up.

The bodies are written down from the source of lmms-eval 0.7.3 (`models/chat/openai.py`, `models/simple/openai.py`,
`protocol.py`) and of ms-vlmeval 0.0.20, VLMEvalKit on PyPI (`api/gpt.py`, `api/lmdeploy.py`, `api/openai_sdk.py`,
`api/adapters/internvl2.py`, `run.py`): the same keys in the same order, the same values where nobody gives others.
"""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ivl.session import Pipeline
from ivl.types import GenerationConfig
from ivl.zoo import sample_pictures
from server.conftest import Live
from videos import moving_picture, video

PAGE = (Path(__file__).parents[2] / "docs/evaluators.md").read_text("utf-8")
QUESTION = "What is this?\nAnswer the question using a single word or phrase."


def encoded(kind: str) -> tuple[bytes, str]:
    """A picture's file, and the same in base64."""
    buffer = io.BytesIO()
    with Image.open(sample_pictures()[0]) as image:
        image.convert("RGB").save(buffer, kind)
    return buffer.getvalue(), base64.b64encode(buffer.getvalue()).decode()


def expected(pipe: Pipeline, content: list[Any], max_tokens: int, system: str | None = None) -> str:
    messages = [{"role": "user", "content": content}]
    if system:
        messages.insert(0, {"role": "system", "content": system})  # type: ignore[dict-item]
    return pipe(messages, GenerationConfig(max_new_tokens=max_tokens)).text


class TestLmmsEval:
    """It asks through OpenAI's client, and takes `choices[0].message.content` and `usage`."""

    def ask(self, live: Live, payload: dict[str, Any]) -> str:
        with live.openai("none") as client:
            answer = client.chat.completions.create(**payload)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens > 0
        details = answer.usage.completion_tokens_details
        assert details is None or details.reasoning_tokens is None
        return answer.choices[0].message.content or ""

    def test_chat(self, live: Live, pipe: Pipeline) -> None:
        data, text = encoded("PNG")
        payload = {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}},
                        {"type": "text", "text": QUESTION},
                    ],
                }
            ],
            "model": "small",
            "max_tokens": 16,
            "temperature": 0,
            "top_p": 1.0,
            "seed": 42,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "n": 1,
        }
        own = [{"type": "image", "image": data}, {"type": "text", "text": QUESTION}]
        assert self.ask(live, payload) == expected(pipe, own, 16)

    def test_a_set_may_have_a_system_message(self, live: Live, pipe: Pipeline) -> None:
        payload = {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
                {"role": "user", "content": [{"type": "text", "text": "What is red?"}]},
            ],
            "model": "small",
            "max_tokens": 8,
            "temperature": 0,
        }
        own = [{"type": "text", "text": "What is red?"}]
        assert self.ask(live, payload) == expected(pipe, own, 8, "Be short.")

    def test_simple(self, live: Live, pipe: Pipeline) -> None:
        """The question first, then the pictures; frames of a video are pictures too."""
        data, text = encoded("PNG")
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}}
        payload = {
            "model": "small",
            "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}, picture, picture]}],
            "max_tokens": 32,
            "temperature": 0,
        }
        own = [{"type": "text", "text": QUESTION}, {"type": "image", "image": data}, {"type": "image", "image": data}]
        assert self.ask(live, payload) == expected(pipe, own, 32)

    def test_addresses_of_videos(self, live: Live, pipe: Pipeline) -> None:
        """`pass_video_url=True,max_frames_num=4`; what is not local is passed on as it is."""
        data = moving_picture("GIF")
        url = f"data:image/gif;base64,{base64.b64encode(data).decode()}"
        payload = {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": QUESTION}],
                }
            ],
            "model": "small",
            "max_tokens": 16,
            "temperature": 0,
            "extra_body": {"media_io_kwargs": {"video": {"num_frames": 4}}},
        }
        own = [{"type": "video", "video": data, "num_frames": 4}, {"type": "text", "text": QUESTION}]
        assert self.ask(live, payload) == expected(pipe, own, 16)


class TestVlmEvalKit:
    """It posts JSON by itself, and takes `choices[0].message.content` of any 2xx."""

    def ask(self, live: Live, payload: dict[str, Any]) -> str:
        headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-none"}
        response = live.http.post("/v1/chat/completions", headers=headers, content=json.dumps(payload))
        assert response.status_code == 200, response.text
        answer: str = json.loads(response.text)["choices"][0]["message"]["content"]
        return answer

    @pytest.mark.parametrize("detail", ["high", "low"])
    def test_gpt4v(self, live: Live, pipe: Pipeline, detail: str) -> None:
        _, text = encoded("JPEG")
        picture = {"url": f"data:image/jpeg;base64,{text}", "detail": detail}
        payload = {
            "model": "small",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": picture}, {"type": "text", "text": QUESTION}],
                }
            ],
            "temperature": 0,
            "max_tokens": 1024,
        }
        own = [
            {"type": "image_url", "image_url": {"url": picture["url"], "detail": detail}},
            {"type": "text", "text": QUESTION},
        ]
        assert self.ask(live, payload) == expected(pipe, own, 1024)

    def test_gpt4v_without_pictures(self, live: Live, pipe: Pipeline) -> None:
        """As a judge, too."""
        payload = {"model": "small", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
        payload["max_tokens"] = 16
        assert self.ask(live, payload) == expected(pipe, [{"type": "text", "text": QUESTION}], 16)

    def test_an_address_on_the_command_line(self, live: Live, pipe: Pipeline) -> None:
        """`--base-url` makes an LMDeployAPI; `--custom-prompt internvl2` puts the tiles beside each picture."""
        data, text = encoded("JPEG")
        picture = {"url": f"data:image/jpeg;base64,{text}", "max_dynamic_patch": 6}
        payload = {
            "model": "small",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": picture}],
                }
            ],
            "n": 1,
            "max_tokens": 1024,
            "temperature": 0.0,
            "top_k": 1,
            "top_p": 1.0,
            "repetition_penalty": 1.0,
        }
        own = [{"type": "text", "text": QUESTION}, {"type": "image", "image": data, "max_tiles": 6}]
        assert self.ask(live, payload) == expected(pipe, own, 1024)

    def test_a_whole_video(self, live: Live, pipe: Pipeline) -> None:
        """`--video-llm`."""
        data = video(24)
        url = f"data:video/mp4;base64,{base64.b64encode(data).decode()}"
        payload = {
            "model": "small",
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": QUESTION}],
                }
            ],
            "n": 1,
            "max_tokens": 16,
            "temperature": 0.0,
        }
        own = [{"type": "video", "video": data}, {"type": "text", "text": QUESTION}]
        assert self.ask(live, payload) == expected(pipe, own, 16)


def test_the_pages_config_is_json() -> None:
    (text,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (model,) = json.loads(text)["model"].values()
    assert model["class"] == "GPT4V"
    assert model["api_base"].endswith("/v1/chat/completions")
